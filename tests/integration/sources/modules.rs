//! Which modules use which others, by the `use` lines and paths of the sources: they keep to the layers of
//! ARCHITECTURE.md, and no modules use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{project, sources};

/// The names on the path from the crate to a module.
type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// The modules on a line of the figure in ARCHITECTURE.md use only modules on the lines below.
pub(super) fn arrows_go_down() -> Result<()> {
    let page = fs::read_to_string(project().join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    let (_, figure) = page.split_once("\n## The layers\n").context("the section is gone")?;
    let figure = figure.lines().skip_while(|line| !line.starts_with("    "));
    let figure = figure.take_while(|line| line.starts_with("    "));
    let layers: Vec<Vec<&str>> = figure.map(|line| line.split_whitespace().collect()).collect();
    ensure!(layers.len() == 5, "the figure has {} lines", layers.len());
    let layer = |name: &str| {
        let found = layers.iter().position(|layer| layer.contains(&name));
        found.with_context(|| format!("{name} is in no layer of ARCHITECTURE.md"))
    };
    let mut wrong = Vec::new();
    let mut count = 0;
    for (module, known) in graph("src")? {
        let Some(room) = module.first() else { continue };
        for known in known.iter().filter_map(|known| known.first()).filter(|it| *it != room) {
            count += 1;
            if layer(room)? >= layer(known)? {
                wrong.push(format!("{} uses {known}", module.join("::")));
            }
        }
    }
    ensure!(count > 100, "only {count} uses of other modules were found");
    ensure!(
        wrong.is_empty(),
        "these modules use modules that are not on a lower layer: {wrong:#?}"
    );
    Ok(())
}

/// In no directory do two modules use each other, directly or through others.
pub(super) fn no_circle() -> Result<()> {
    let mut circles = Vec::new();
    for root in ["src", "worker/src", "benches/ratios"] {
        let graph = graph(root)?;
        ensure!(graph.len() > 20, "{root} has {} modules", graph.len());
        let rooms: BTreeSet<Module> = graph
            .keys()
            .flat_map(|module| (0..module.len()).map(|end| module[..end].to_vec()))
            .collect();
        for room in rooms {
            if let Some(circle) = circle(&within(&room, &graph)) {
                circles.push(format!("{root}/{}: {}", room.join("/"), circle.join(" -> ")));
            }
        }
    }
    ensure!(circles.is_empty(), "these modules use each other in a circle: {circles:#?}");
    Ok(())
}

/// Which modules directly below `room` use which others. A module includes all modules below it.
fn within<'g>(room: &[String], graph: &'g Graph) -> BTreeMap<&'g str, BTreeSet<&'g str>> {
    let below = |module: &'g Module| module.strip_prefix(room)?.first().map(String::as_str);
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, known) in graph {
        let Some(from) = below(module) else { continue };
        let to = known.iter().filter_map(below).filter(|to| *to != from);
        found.entry(from).or_default().extend(to);
    }
    found
}

/// A path that leads back to its first module.
fn circle<'g>(graph: &BTreeMap<&'g str, BTreeSet<&'g str>>) -> Option<Vec<&'g str>> {
    fn walk<'g>(
        at: &'g str,
        way: &mut Vec<&'g str>,
        done: &mut BTreeSet<&'g str>,
        graph: &BTreeMap<&'g str, BTreeSet<&'g str>>,
    ) -> Option<Vec<&'g str>> {
        if let Some(begin) = way.iter().position(|module| *module == at) {
            way.push(at);
            return Some(way.split_off(begin));
        }
        if !done.insert(at) {
            return None;
        }
        way.push(at);
        let found = graph[at].iter().find_map(|next| walk(next, way, done, graph));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|module| walk(module, &mut Vec::new(), &mut done, graph))
}

/// The modules below a directory, and which of them each module names.
fn graph(root: &str) -> Result<Graph> {
    let mut texts: BTreeMap<Module, String> = BTreeMap::new();
    for (path, text) in sources()? {
        let Ok(path) = Path::new(&path).strip_prefix(root) else { continue };
        let path = path.with_extension("");
        let mut module: Module =
            path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|name| name == "tests") {
            continue;
        }
        // `lib` is the root of the crate, which may use any module.
        module.pop_if(|name| ["mod", "lib"].contains(&name.as_str()));
        texts.insert(module, without_tests(&text));
    }
    let known = |module: &Module, text: &str| {
        let named = paths(text).into_iter().filter_map(|path| resolve(module, &path, &texts));
        named.filter(|known| known != module).collect()
    };
    Ok(texts.iter().map(|(module, text)| (module.clone(), known(module, text))).collect())
}

/// A source without its comments and its unit tests.
fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code.split("#[cfg(test)]\npub(crate) mod tests {").next().unwrap_or_default();
    let code = code.split("#[cfg(test)]\npub(super) mod tests {").next().unwrap_or_default();
    code.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .fold(String::new(), |code, line| code + line + "\n")
}

/// The paths that a source names: those of its `use` lines, and those that begin with `crate` or `super`.
fn paths(code: &str) -> Vec<String> {
    let uses = code.split_inclusive(';').filter_map(|item| {
        let (_, tree) = item.strip_suffix(';')?.rsplit_once("use ")?;
        Some(tree.split_whitespace().collect::<String>())
    });
    let mut found: Vec<String> = uses.flat_map(|tree| branches(&tree)).collect();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let end = code[at..].find(|c| !is_path(c)).unwrap_or(code.len() - at);
            found.push(code[at..at + end].to_owned());
        }
    }
    found
}

/// `a::{b, c::d}` is `a::b` and `a::c::d`.
fn branches(tree: &str) -> Vec<String> {
    let Some((before, group)) = tree.split_once('{') else { return vec![tree.to_owned()] };
    let group = group.strip_suffix('}').unwrap_or(group);
    let mut depth = 0;
    let parts = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.flat_map(branches).map(|branch| format!("{before}{branch}")).collect()
}

/// The module that a path in `module` leads to, or into.
fn resolve(module: &Module, path: &str, texts: &BTreeMap<Module, String>) -> Option<Module> {
    let mut names = path.split("::").filter(|name| !name.is_empty()).peekable();
    let mut at = match *names.peek()? {
        "crate" => Vec::new(),
        // Without `self` or `super` the path may be another crate's.
        _ => module.clone(),
    };
    let is_relative = ["crate", "self", "super"].contains(names.peek()?);
    for name in names {
        match name {
            "crate" | "self" => {}
            "super" => drop(at.pop()),
            name => at.push(name.to_owned()),
        }
        if !is_relative && !texts.contains_key(&at) {
            return None;
        }
    }
    while !texts.contains_key(&at) {
        at.pop()?;
    }
    Some(at)
}
