//! Apache's `Action`: one executable for every file of a kind (E18).
//!
//! A visitor can also request the executable's own URL and choose the path after it. `REDIRECT_HANDLER` shows that
//! Apache chose the file. No request header can set it: the variables of headers begin with `HTTP_`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::path;
use super::refusal::Refusal;
use super::variables::Variables;

/// The application's file and what follows it in the URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Handled {
    /// The file that `PATH_TRANSLATED` names.
    pub file: PathBuf,
    /// Length in bytes of what follows it in `PATH_TRANSLATED`, and in `PATH_INFO` too.
    pub rest: usize,
}

/// Finds the file of a request that `Action` handed over. `is_file` looks at
/// the file system; `suffixes` are those that an application may have.
pub fn file_of(
    variables: &Variables,
    suffixes: &[String],
    is_file: impl Fn(&Path) -> bool,
) -> Result<Handled, Refusal> {
    let refuse = |reason: String| Err(Refusal::new(403, reason));
    if variables.get_nonempty("REDIRECT_HANDLER").is_none() {
        return refuse(
            "--handler: REDIRECT_HANDLER is not set, so this request was made directly and not \
             through Apache's Action"
                .into(),
        );
    }
    let Some(translated) = variables.get_nonempty("PATH_TRANSLATED") else {
        return refuse("--handler: the server sent no PATH_TRANSLATED".into());
    };
    let shown = || String::from_utf8_lossy(translated).into_owned();
    if !translated.starts_with(b"/") || path::has_dot_segments(translated) {
        return refuse(format!("--handler: PATH_TRANSLATED {:?} is not a plain path", shown()));
    }
    let mut file = translated;
    while !file.is_empty() {
        let candidate = Path::new(OsStr::from_bytes(file));
        if is_file(candidate) {
            return if suffixes.iter().any(|suffix| file.ends_with(suffix.as_bytes())) {
                Ok(Handled { file: candidate.to_owned(), rest: translated.len() - file.len() })
            } else {
                refuse(format!(
                    "--handler: {candidate:?} does not end in {}, so it is not run; --handler=SUFFIX allows \
                     another",
                    suffixes.join(" or ")
                ))
            };
        }
        file = path::parent(file);
    }
    refuse(format!("--handler: no part of PATH_TRANSLATED {:?} is a file", shown()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> Result<(String, usize), u16> {
        let variables = pairs.iter().map(|(name, value)| (*name, *value)).collect();
        let is_file =
            |path: &Path| ["/w/a/h.wsgi", "/etc/passwd"].contains(&path.to_str().unwrap_or(""));
        file_of(&variables, &[".wsgi".into()], is_file)
            .map(|handled| (handled.file.display().to_string(), handled.rest))
            .map_err(|refusal| refusal.status)
    }

    #[test]
    fn e18_the_file_is_found_and_the_rest_kept() {
        let at =
            |translated| found(&[("REDIRECT_HANDLER", "wsgi"), ("PATH_TRANSLATED", translated)]);
        assert_eq!(at("/w/a/h.wsgi"), Ok(("/w/a/h.wsgi".into(), 0)));
        assert_eq!(at("/w/a/h.wsgi/p/q"), Ok(("/w/a/h.wsgi".into(), 4)));
        for refused in ["/etc/passwd", "/w/a/../a/h.wsgi", "/w/missing.wsgi", "h.wsgi", "/w/a"] {
            assert_eq!(at(refused), Err(403), "{refused}");
        }
    }

    #[test]
    fn e18_a_direct_call_is_refused_whatever_a_client_forges() {
        let forged = [
            ("PATH_TRANSLATED", "/w/a/h.wsgi"),
            ("HTTP_REDIRECT_HANDLER", "wsgi"),
            ("HTTP_REDIRECT_STATUS", "200"),
            ("REDIRECT_STATUS", "200"),
        ];
        assert_eq!(found(&forged), Err(403));
        assert_eq!(found(&[("REDIRECT_HANDLER", "wsgi")]), Err(403));
    }
}
