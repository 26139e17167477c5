//! The imports that Python reports, as trees.

use std::time::Duration;

/// An import, with those that it caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// The module.
    pub(super) name: String,
    /// How long it took without what it imports.
    pub(super) own: Duration,
    /// How long it took with what it imports.
    pub(super) all: Duration,
    /// What it imports, in order.
    pub(super) inside: Vec<Import>,
}

impl Import {
    /// This import and all that it caused.
    pub(super) fn each<'i>(&'i self, act: &mut dyn FnMut(&'i Import)) {
        act(self);
        for inside in &self.inside {
            inside.each(act);
        }
    }
}

/// What has been read so far. Python writes a module after those that it imports.
#[derive(Debug, Default)]
pub(super) struct Imports {
    /// Imports whose importing module has not been read yet, with their depth.
    waiting: Vec<(usize, Import)>,
    /// Imports that no module caused, with the time from the request's beginning to their end.
    roots: Vec<(Duration, Import)>,
}

impl Imports {
    /// Takes a line of `-X importtime` that was read `at` that time. Returns false for any other line.
    pub(super) fn take(&mut self, line: &str, at: Duration) -> bool {
        let Some(fields) = line.strip_prefix("import time:") else { return false };
        let mut fields = fields.splitn(3, '|');
        let (Some(own), Some(all), Some(name)) = (fields.next(), fields.next(), fields.next())
        else {
            return false;
        };
        let microseconds = |text: &str| text.trim().parse().ok().map(Duration::from_micros);
        let (Some(own), Some(all)) = (microseconds(own), microseconds(all)) else {
            // The heading, and modules that were already imported.
            return true;
        };
        let name = name.trim_end_matches(['\n', '\r']);
        let name = name.strip_prefix(' ').unwrap_or(name);
        let trimmed = name.trim_start_matches(' ');
        let depth = (name.len() - trimmed.len()) / 2;
        let first = self.waiting.iter().rposition(|(of, _)| *of <= depth).map_or(0, |at| at + 1);
        let inside = self.waiting.drain(first..).map(|(_, import)| import).collect();
        let import = Import { name: trimmed.to_owned(), own, all, inside };
        if depth == 0 {
            self.waiting.clear();
            self.roots.push((at, import));
        } else {
            self.waiting.push((depth, import));
        }
        true
    }

    /// The imports of each phase. An import belongs to the phase in which it began; it is read a little after its end.
    pub(super) fn in_phases(self, phases: &[(String, Duration)]) -> Vec<(String, Vec<Import>)> {
        let mut ends = Vec::new();
        let mut end = Duration::ZERO;
        for (name, took) in phases {
            end += *took;
            ends.push((name.clone(), end, Vec::new()));
        }
        let last = ends.len().saturating_sub(1);
        for (at, import) in self.roots {
            let began = at.saturating_sub(import.all);
            let phase = ends.iter().position(|(_, end, _)| began < *end).unwrap_or(last);
            if let Some((_, _, imports)) = ends.get_mut(phase) {
                imports.push(import);
            }
        }
        ends.into_iter().map(|(name, _, imports)| (name, imports)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_what_it_imports() {
        let mut imports = Imports::default();
        for line in [
            "import time: self [us] | cumulative | imported package",
            "import time:       100 |        100 |     c",
            "import time:        50 |        150 |   b",
            "import time:        10 |         10 |   d",
            "import time:         5 |        165 | a",
            "import time:         7 |          7 | e",
        ] {
            assert!(imports.take(line, Duration::from_millis(1)), "{line}");
        }
        assert!(!imports.take("a line of the application's", Duration::ZERO));
        let phases = [
            ("import".to_owned(), Duration::from_micros(900)),
            ("call".to_owned(), Duration::from_micros(500)),
        ];
        let found = imports.in_phases(&phases);
        let names =
            |imports: &[Import]| imports.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&found[0].1), names(&found[1].1)),
            (vec!["a".to_owned()], vec!["e".into()])
        );
        let a = &found[0].1[0];
        assert_eq!(names(&a.inside), ["b", "d"]);
        assert_eq!(names(&a.inside[0].inside), ["c"]);
        assert_eq!((a.own, a.all), (Duration::from_micros(5), Duration::from_micros(165)));
    }
}
