//! The lines of a configuration and of the files that it includes, split into words. The number of files and the bytes
//! of each are limited.

use std::path::{Path, PathBuf};

use super::super::application::beginning_of;

/// The most that is read of one file, in bytes.
const LARGEST: u64 = 1 << 20;

/// How many files are read.
const MOST_FILES: usize = 500;

/// A line with something on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) words: Vec<String>,
}

/// The text of a file; empty if it is not a regular file.
pub(super) fn read(file: &Path) -> String {
    String::from_utf8_lossy(&beginning_of(file, LARGEST)).into_owned()
}

/// The lines of a file and of all that it includes, in order. `is_of_server_root`: relative names begin at the
/// directory that `ServerRoot` names.
pub(super) fn gather(file: &Path, is_of_server_root: bool) -> Vec<Line> {
    let mut gathering = Gathering {
        root: file.parent().unwrap_or(Path::new("/")).to_owned(),
        is_of_server_root,
        files: 0,
        lines: Vec::new(),
    };
    gathering.add(file, 0);
    gathering.lines
}

struct Gathering {
    root: PathBuf,
    is_of_server_root: bool,
    files: usize,
    lines: Vec<Line>,
}

impl Gathering {
    fn add(&mut self, file: &Path, depth: usize) {
        self.files += 1;
        if self.files > MOST_FILES || depth > 8 {
            return;
        }
        for line in parse(&read(file), 1) {
            let first = line.words.first().map(|word| word.to_lowercase()).unwrap_or_default();
            let named = line.words.get(1).cloned();
            if self.is_of_server_root && first == "serverroot" {
                self.root = named.clone().map_or(self.root.clone(), PathBuf::from);
            }
            let is_included = ["include", "includeoptional", "import"].contains(&first.as_str());
            match named {
                Some(named) if is_included => {
                    for file in matching(&self.root.join(named)) {
                        self.add(&file, depth + 1);
                    }
                }
                _ => self.lines.push(line),
            }
        }
    }
}

/// The files that match a name, which may have a `*` in its last part.
fn matching(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((before, after)) = name.split_once('*') else {
        return if path.is_dir() { matching(&path.join("*")) } else { vec![path.to_owned()] };
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().take(MOST_FILES);
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
        })
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// Splits at blanks, quotes and the separators of all four languages, and leaves out comments.
pub(super) fn parse(text: &str, first: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let words = words(line);
        if !words.is_empty() {
            lines.push(Line { number: first + index, words });
        }
    }
    lines
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut was_quoted = false;
    for character in line.chars() {
        match quote {
            Some(end) if character == end => quote = None,
            Some(_) => word.push(character),
            None => match character {
                '"' | '\'' | '`' => {
                    quote = Some(character);
                    was_quoted = true;
                }
                '#' if word.is_empty() => break,
                ' ' | '\t' | ';' | '(' | ')' | ',' | '=' | '<' | '>' => {
                    if !word.is_empty() || was_quoted {
                        words.push(std::mem::take(&mut word));
                    }
                    was_quoted = false;
                }
                _ => word.push(character),
            },
        }
    }
    if !word.is_empty() || was_quoted {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_all_four_languages() {
        for (line, expected) in [
            ("  SetEnv A \"x y\" # no", vec!["SetEnv", "A", "x y"]),
            ("fastcgi_param A \"b\";", vec!["fastcgi_param", "A", "b"]),
            ("alias.url = (\"/a\" => \"/b\")", vec!["alias.url", "/a", "/b"]),
            ("cgi * `/b c` {", vec!["cgi", "*", "/b c", "{"]),
            ("<Location \"/app\">", vec!["Location", "/app"]),
            ("# all", vec![]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn included_files_are_read_in_their_place_and_a_circle_ends() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path();
        std::fs::create_dir(root.join("d")).expect("made");
        for (name, text) in [
            ("main.conf", "A 1\nInclude d/*.conf\nB 2\nInclude main.conf\n"),
            ("d/1.conf", "C 3\n"),
            ("d/2.conf", "D 4\n"),
            ("d/3.other", "E 5\n"),
        ] {
            std::fs::write(root.join(name), text).expect("written");
        }
        let lines = gather(&root.join("main.conf"), true);
        let first: Vec<&str> = lines.iter().take(4).map(|line| line.words[0].as_str()).collect();
        assert_eq!(first, ["A", "C", "D", "B"]);
    }
}
