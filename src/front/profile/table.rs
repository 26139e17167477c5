//! The table of a profile: the phases, and the modules that took longest.

use std::fmt::Write;
use std::time::Duration;

use super::{Import, Run};
use crate::report::printable_line;

/// What was profiled, for the first line.
pub(super) struct Title<'o> {
    /// What was requested.
    pub(super) url: &'o str,
    /// The application, as it is shown.
    pub(super) application: &'o str,
    /// How many times.
    pub(super) runs: usize,
    /// How many modules are shown.
    pub(super) lines: usize,
}

/// The readable name of a phase.
pub(super) fn shown(phase: &str) -> &str {
    match phase {
        "front" => "cgi2wsgi itself",
        "interpreter" => "Python's start",
        "import" => "import of the application",
        "call" => "call, to the first byte",
        other => other,
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The whole table.
pub(super) fn table(run: &Run, title: &Title<'_>) -> String {
    let mut text = String::new();
    let (application, url) =
        (printable_line(title.application, 200), printable_line(title.url, 200));
    let total = run.total();
    let _ = writeln!(
        text,
        "GET {url} of {application}: {:.1} ms, status {} (the median of {} cold requests)\n",
        milliseconds(total),
        run.status,
        title.runs
    );
    for (phase, took) in &run.phases {
        let share = took.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
        let mut modules = 0;
        for import in run.imported_in(phase) {
            import.each(&mut |_| modules += 1);
        }
        let modules = match modules {
            0 => String::new(),
            1 => "  1 module".to_owned(),
            _ => format!("  {modules} modules"),
        };
        let line = format!(
            "{:>9.1} ms {:>3.0} %  {:<10}  {}{modules}",
            milliseconds(*took),
            share * 100.0,
            bar(share),
            shown(phase)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let mut all: Vec<&Import> = Vec::new();
    for import in run.imports.iter().flat_map(|(_, imports)| imports) {
        import.each(&mut |import| all.push(import));
    }
    all.sort_by_key(|import| std::cmp::Reverse(import.own));
    if !all.is_empty() {
        let _ = writeln!(text, "\n  own ms  with what it imports  module");
    }
    for import in all.iter().take(title.lines) {
        let name = printable_line(&import.name, 120);
        let (own, whole) = (milliseconds(import.own), milliseconds(import.all));
        let _ = writeln!(text, "{own:>8.1}  {whole:>21.1}  {name}");
    }
    text
}

/// A bar of up to ten characters, in eighths of a character.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let eighths = (share.clamp(0.0, 1.0) * 80.0).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_phases_and_the_worst_modules() {
        let us = Duration::from_micros;
        let inside = Import { name: "b".into(), own: us(9_000), all: us(9_000), inside: vec![] };
        let import =
            Import { name: "a".into(), own: us(1_000), all: us(10_000), inside: vec![inside] };
        let run = Run {
            phases: vec![("import".into(), us(10_000)), ("call".into(), us(30_000))],
            imports: vec![("import".into(), vec![import])],
            status: 200,
        };
        let title = Title { url: "/", application: "/srv/app.py", runs: 3, lines: 1 };
        let expected = "GET / of /srv/app.py: 40.0 ms, status 200 (the median of 3 cold requests)\n\n     \
                        10.0 ms  25 %  ██▌         import of the application  2 modules\n     \
                        30.0 ms  75 %  ███████▌    call, to the first byte\n\n  own ms  with what it imports  \
                        module\n     9.0                    9.0  b\n";
        assert_eq!(table(&run, &title), expected);
        assert_eq!((bar(0.0), bar(1.0)), (String::new(), "█".repeat(10)));
    }
}
