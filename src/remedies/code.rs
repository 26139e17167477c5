//! Code that is wrong, or of another version of Python.

use super::tables::{NAMES_OF_PYTHON_2, SYNTAX_OF_PYTHON_2, successor};
use super::{Case, GUARD, Remedy};

impl Case<'_> {
    /// Code of Python 2.
    pub(super) fn of_name(&self) -> Option<Remedy> {
        const PORT: &str = "cgi2wsgi runs Python 3.9 and newer, and the code must be ported (2to3)";
        if self.is("ModuleNotFoundError") {
            let now = successor(self.raised.name.as_deref()?)?;
            let why = format!("it is a module of Python 2, in Python 3 {now}");
            return Some(Remedy::new(why, PORT));
        }
        let is_old = |part: &&str| self.text().contains(part);
        if self.is("SyntaxError") && SYNTAX_OF_PYTHON_2.iter().any(is_old) {
            return Some(Remedy::new("this is code of Python 2", PORT));
        }
        if self.is("NameError") {
            let name = self.text().split('\'').nth(1)?;
            let is_old = NAMES_OF_PYTHON_2.contains(&name);
            return is_old.then(|| Remedy::new(format!("{name} is a name of Python 2"), PORT));
        }
        None
    }

    /// Newer syntax in an older Python, and files that are not UTF-8.
    pub(super) fn of_syntax(&self) -> Option<Remedy> {
        if self.is_of_newer_types() {
            let why = format!(
                "types are written with | since Python 3.10, and the application runs with {} ({})",
                self.version(),
                self.python.executable()
            );
            return Some(Remedy::new(why, NEWER));
        }
        if !self.is("SyntaxError") {
            return None;
        }
        let text = self.text();
        if text.contains("codec can't decode") || text.contains("Non-UTF-8 code") {
            return Some(Remedy::new(
                "the file is not UTF-8",
                "save it as UTF-8, or name its encoding in its first line, # -*- coding: latin-1 -*-",
            ));
        }
        let minor = minor_of_syntax(self.raised.source.as_deref()?.trim(), text)?;
        (self.python.version() < (3, minor)).then(|| {
            let why = format!(
                "this is syntax of Python 3.{minor}, and the application runs with {} ({})",
                self.version(),
                self.python.executable()
            );
            Remedy::new(why, NEWER)
        })
    }

    /// `int | None`, evaluated by a Python before 3.10.
    fn is_of_newer_types(&self) -> bool {
        self.is("TypeError")
            && self.python.version() < (3, 10)
            && self.text().starts_with("unsupported operand type(s) for |: ")
            && self.text().contains("'type'")
    }

    /// A program for the command line, or with a server of its own, that acts while it is imported.
    pub(super) fn of_server(&self) -> Option<Remedy> {
        if !self.is_import {
            return None;
        }
        if self.raised.frames.iter().any(|frame| SERVERS.contains(&frame.function.as_str())) {
            return Some(Remedy::new(
                "the application starts a server of its own while it is imported",
                format!("put that call, such as app.run(), below {GUARD}"),
            ));
        }
        self.is("SystemExit").then(|| {
            Remedy::new(
                "it ends the program while it is imported",
                format!("put the code for the command line below {GUARD}"),
            )
        })
    }

    /// Input from a keyboard.
    pub(super) fn of_keyboard(&self) -> Option<Remedy> {
        let asks = self.is("EOFError") && self.is_import && self.text().contains("reading a line");
        asks.then(|| {
            Remedy::new(
                "it asks for input while it is imported, and a server gives none",
                format!("put the code that asks below {GUARD}"),
            )
        })
    }
}

/// Functions that run a server.
const SERVERS: [&str; 4] = ["serve_forever", "server_bind", "run_simple", "runserver"];

const NEWER: &str = "name a newer one with --python, or make the virtual environment with it";

/// The version 3.x that a line needs, by its syntax and by what an older Python says about it.
fn minor_of_syntax(line: &str, said: &str) -> Option<u8> {
    let has_parameters = |keyword: &str| {
        let rest = line.strip_prefix(keyword)?;
        let name = rest.trim_start_matches(|c: char| c == '_' || c.is_alphanumeric());
        (name.starts_with('[') && name.len() < rest.len()).then_some(12)
    };
    let has_template = [" t\"", "(t\"", " t'", "(t'"].iter().any(|start| line.contains(start));
    has_parameters("def ")
        .or_else(|| has_parameters("async def "))
        .or_else(|| has_parameters("class "))
        .or_else(|| (line.starts_with("type ") && line.contains('=')).then_some(12))
        .or_else(|| line.starts_with("except*").then_some(11))
        .or_else(|| (line.starts_with("match ") && line.ends_with(':')).then_some(10))
        .or_else(|| (has_template && said.starts_with("invalid syntax")).then_some(14))
        .or_else(|| is_newer_f_string(line, said).then_some(12))
}

/// Since Python 3.12 the quotes of an f-string, and backslashes, may stand within its braces.
fn is_newer_f_string(line: &str, said: &str) -> bool {
    if said.contains("f-string expression part cannot include a backslash") {
        return true;
    }
    let is_nested = |quote: char| {
        let inside = line.split_once(&format!("f{quote}")).map(|(_, rest)| rest);
        let braces = inside.and_then(|rest| rest.split_once('{')).map(|(_, rest)| rest);
        braces.and_then(|rest| rest.split_once('}')).is_some_and(|(it, _)| it.contains(quote))
    };
    said.starts_with("f-string: ") && (is_nested('"') || is_nested('\''))
}

#[cfg(test)]
mod tests {
    use super::minor_of_syntax;

    #[test]
    fn a_line_needs_the_version_that_brought_its_syntax() {
        for (line, said, expected) in [
            ("def first[T](list: list[T]) -> T:", "expected '('", Some(12)),
            ("class Box[T]:", "invalid syntax", Some(12)),
            ("type Point = tuple[float, float]", "invalid syntax", Some(12)),
            ("except* ValueError:", "invalid syntax", Some(11)),
            ("page = t\"<p>{name}\"", "invalid syntax", Some(14)),
            ("match command:", "invalid syntax", Some(10)),
            ("print(f\"{d[\"a\"]}\")", "f-string: expecting '}'", Some(12)),
            ("print(f\"}\")", "f-string: single '}' is not allowed", None),
            ("print(f\"{a\")", "f-string: expecting '}'", None),
            (
                "f'{nl.join([\"\\n\"])}'",
                "f-string expression part cannot include a backslash",
                Some(12),
            ),
            ("def f(:", "invalid syntax", None),
            ("match = 1", "invalid syntax", None),
        ] {
            assert_eq!(minor_of_syntax(line, said), expected, "{line}");
        }
    }
}
