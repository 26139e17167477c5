//! The `#!` line of an application that is itself a CGI program: whether the kernel would start what it names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};

use super::finding::{Finding, word};
use crate::did_you_mean;
use crate::front::cli::{Options, UnderAServer};

const ABOUT: &str = "#! line";

/// How many bytes of the line the kernel reads: since Linux 5.1, and before.
const LONGEST: usize = 255;
const LONGEST_BEFORE: usize = 127;

const MARK: &[u8] = b"\xef\xbb\xbf";

/// A line that makes cgi2wsgi run the script.
#[derive(Debug)]
pub(super) struct Line {
    /// The program that is to be started: cgi2wsgi.
    pub(super) program: PathBuf,
    /// The options after it.
    pub(super) options: Options,
}

/// What is wrong with the script `file` that begins with `beginning`, and what its line says if it names cgi2wsgi.
/// `front` is this executable; `is_there` tells whether there is such a file.
pub(super) fn judge(
    file: &Path,
    beginning: &[u8],
    front: &Path,
    is_there: impl Fn(&Path) -> bool,
) -> (Option<Line>, Vec<Finding>) {
    let mut findings = Vec::new();
    let without_mark = beginning.strip_prefix(MARK);
    let Some(rest) = without_mark.unwrap_or(beginning).strip_prefix(b"#!") else {
        return (None, findings);
    };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let line = &rest[..end];
    if !line.windows(8).any(|window| window == b"cgi2wsgi") && !names(line, front) {
        // A server that starts this script does not use cgi2wsgi.
        return (None, findings);
    }
    findings.extend(stray_bytes(file, line, without_mark.is_some()));
    findings.extend(too_long(line.len() + 2, front));
    let words: Vec<&OsStr> = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(OsStr::from_bytes)
        .collect();
    let Some((program, options, wrong)) = program(file, line, &words, front, is_there) else {
        return (None, findings);
    };
    findings.extend(wrong);
    match read(options) {
        Ok(options) => (Some(Line { program, options }), findings),
        Err(reason) => {
            findings.push(Finding::problem(ABOUT, reason));
            (None, findings)
        }
    }
}

/// Bytes that an editor has left around the line: the kernel takes them as part of it.
fn stray_bytes(file: &Path, line: &[u8], is_marked: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_marked {
        findings.push(
            Finding::problem(
                ABOUT,
                "a byte order mark (EF BB BF) comes before #!: the kernel sees no #! line",
            )
            .cure(format!("sed -i '1s/^\\xef\\xbb\\xbf//' {}", word(file))),
        );
    }
    if line.ends_with(b"\r") {
        let named = String::from_utf8_lossy(line).trim_end().to_owned();
        findings.push(
            Finding::problem(
                ABOUT,
                format!("#!{named} ends with a carriage return (Windows line ends): the kernel takes it as part \
                         of the program's name"),
            )
            .cure(format!("sed -i 's/\\r$//' {}", word(file))),
        );
    }
    findings
}

/// The program that the kernel starts by the words of the line, its options, and what is wrong with them. With
/// `env`, the program is this executable. Nothing: the line names no program.
fn program<'w>(
    file: &Path,
    line: &[u8],
    words: &'w [&'w OsStr],
    front: &Path,
    is_there: impl Fn(&Path) -> bool,
) -> Option<(PathBuf, &'w [&'w OsStr], Vec<Finding>)> {
    let (first, options) = words.split_first()?;
    let program = PathBuf::from(first);
    let shown = program.display().to_string();
    if program.file_name() == Some(OsStr::new("env")) {
        return found_by_env(file, line, options, front, is_there);
    }
    let seen = if !program.is_absolute() {
        Some(format!("names {shown}, which is relative to the server's current directory"))
    } else if !is_there(&program) {
        Some(format!("names {shown}, which does not exist"))
    } else {
        None
    };
    let wrong = seen.map(|seen| Finding::problem(ABOUT, seen).cure(line_with(file, &shown, front)));
    Some((program, options, wrong.into_iter().collect()))
}

/// The same for `#!/usr/bin/env`, from the words after it.
fn found_by_env<'w>(
    file: &Path,
    line: &[u8],
    mut words: &'w [&'w OsStr],
    front: &Path,
    is_there: impl Fn(&Path) -> bool,
) -> Option<(PathBuf, &'w [&'w OsStr], Vec<Finding>)> {
    const USUAL: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
    let mut findings = Vec::new();
    if words.first() == Some(&OsStr::new("-S")) {
        words = &words[1..];
    } else if words.len() > 1 {
        let rest = String::from_utf8_lossy(line).trim().to_owned();
        let seen = format!(
            "#!{rest}: env takes the whole text as the name of one program, blanks included"
        );
        let cure = format!("sed -i '1s|env |env -S |' {}", word(file));
        findings.push(Finding::problem(ABOUT, seen).cure(cure));
    }
    let (named, options) = words.split_first()?;
    let shown = named.display().to_string();
    if !USUAL.iter().any(|directory| is_there(&Path::new(directory).join(named))) {
        let seen = format!(
            "env looks for {shown} in PATH, and it is not in {}, which is what most servers have",
            USUAL.join(", ")
        );
        findings.push(Finding::warning(ABOUT, seen).cure(line_with(file, &shown, front)));
    }
    Some((front.to_owned(), options, findings))
}

/// The kernel reads only the beginning of a long line.
fn too_long(length: usize, front: &Path) -> Option<Finding> {
    if length > LONGEST {
        let seen = format!(
            "is {length} bytes long, and Linux reads {LONGEST} of it: write the options as SetEnv \
             CGI2WSGI_..., or make a short link to cgi2wsgi"
        );
        let cure = format!("ln -s {} /usr/local/bin/cgi2wsgi", word(front));
        return Some(Finding::problem(ABOUT, seen).cure(cure));
    }
    (length > LONGEST_BEFORE).then(|| {
        let seen = format!("is {length} bytes long: Linux before 5.1 reads {LONGEST_BEFORE} of it");
        Finding::warning(ABOUT, seen)
    })
}

fn names(line: &[u8], front: &Path) -> bool {
    line.split(u8::is_ascii_whitespace).any(|word| Path::new(OsStr::from_bytes(word)) == front)
}

/// A command that puts the right program into the line.
fn line_with(file: &Path, wrong: &str, front: &Path) -> String {
    let literal = |text: &str| text.replace('\\', "\\\\").replace(['|', '&', '.', '*', '['], "\\&");
    let right = front.display().to_string().replace(['|', '&', '\\'], "\\&");
    format!("sed -i {} {}", word(format!("1s|#!.*{}|#!{right}|", literal(wrong))), word(file))
}

/// The options of a line.
fn read(words: &[&OsStr]) -> Result<Options, String> {
    let all = [OsStr::new("cgi2wsgi")].into_iter().chain(words.iter().copied());
    let all: Vec<OsString> = all.map(OsStr::to_owned).collect();
    let parsed = UnderAServer::try_parse_from(all).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let tip = text.lines().find(|line| line.contains("tip:")).unwrap_or_default().trim();
        format!("{first}{}{tip}", if tip.is_empty() { "" } else { "; " })
    })?;
    match parsed.words.first() {
        Some(unknown) if unknown.as_bytes().starts_with(b"-") => {
            let command = UnderAServer::command();
            let known: Vec<String> = command
                .get_arguments()
                .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
                .collect();
            let name = unknown.to_string_lossy();
            let meant = did_you_mean::question(&name, known.iter().map(String::as_str));
            Err(format!("has an unknown option {unknown:?}{meant}"))
        }
        Some(surplus) => {
            Err(format!("{surplus:?} is not an option, and the script itself is the application"))
        }
        None => Ok(parsed.options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(beginning: &[u8]) -> (Option<Line>, Vec<(String, Option<String>)>) {
        let front = Path::new("/usr/bin/cgi2wsgi");
        let is_there = |path: &Path| path == front;
        let (line, findings) = judge(Path::new("/s/index.cgi"), beginning, front, is_there);
        (line, findings.into_iter().map(|finding| (finding.seen, finding.cure)).collect())
    }

    #[test]
    fn a_good_line_gives_its_options() {
        let (line, findings) = seen(b"#!/usr/bin/cgi2wsgi --debug  --venv /v\nimport os\n");
        assert!(findings.is_empty(), "{findings:?}");
        let options = line.expect("it is one").options;
        assert!(options.debug && options.venv == Some("/v".into()));
        let (line, findings) = seen(b"#!/usr/bin/env -S cgi2wsgi --nph\n");
        assert!(findings.is_empty() && line.is_some_and(|line| line.options.nph), "{findings:?}");
        for other in
            [b"#!/usr/bin/python3\n".as_slice(), b"import os\n", b"", b"#!", b"\xef\xbb\xbfx"]
        {
            assert!(matches!(seen(other), (None, findings) if findings.is_empty()));
        }
    }

    #[test]
    fn each_mistake_is_named_with_its_cure() {
        let long = format!("#!/usr/bin/cgi2wsgi --chdir /{}\n", "x".repeat(300));
        for (beginning, expected, cure) in [
            (b"\xef\xbb\xbf#!/usr/bin/cgi2wsgi\n".as_slice(), "byte order mark", "\\xef\\xbb\\xbf"),
            (b"#!/usr/bin/cgi2wsgi\r\n", "Windows line ends", "s/\\r$//"),
            (b"#!/opt/cgi2wsgi\n", "/opt/cgi2wsgi, which does not exist", "#!/usr/bin/cgi2wsgi"),
            (b"#!bin/cgi2wsgi\n", "relative", "#!/usr/bin/cgi2wsgi"),
            (b"#!/usr/bin/env cgi2wsgi --debug\n", "the name of one program", "env -S"),
            (b"#!/usr/bin/env cgi2wsgi-0\n", "not in /usr/local/bin", "sed"),
            (long.as_bytes(), "bytes long", "ln -s"),
        ] {
            let findings = seen(beginning).1;
            let found = findings.iter().find(|(seen, _)| seen.contains(expected));
            let (_, found) = found.unwrap_or_else(|| panic!("{expected}: {findings:?}"));
            assert!(found.as_ref().is_some_and(|found| found.contains(cure)), "{found:?}");
        }
        assert!(seen(b"#!/usr/bin/cgi2wsgi --vnev /v\n").1[0].0.contains("--vnev"));
        assert!(seen(b"#!/usr/bin/cgi2wsgi app.py\n").1[0].0.contains("app.py"));
    }
}
