//! `cgi2wsgi warm`: what this user's zygotes do, or everybody's for root, for a
//! person. Reads what they leave in their private directory, and asks them to
//! end; knows nothing else of them.

mod log;
mod status;
mod stop;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::cgi::variables::Variables;
use crate::front::cli::WarmVerb;
use crate::front::exit::MISCONFIGURED;
use crate::report;
use crate::zygotes::directory::Directory;
use crate::zygotes::process;
use crate::zygotes::status::Status;

/// Exit status: there is nothing to show or to stop, or it did not stop.
const NOTHING: u8 = 1;

/// Does what was asked.
pub fn run(verb: WarmVerb, variables: &Variables) -> ExitCode {
    let done = match verb {
        WarmVerb::Status => status::run(variables),
        WarmVerb::Stop(arguments) => stop::run(*arguments, variables),
        WarmVerb::Log(arguments) => log::run(&arguments, variables),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report::error(&format!("{error:#}"));
            ExitCode::from(MISCONFIGURED)
        }
    }
}

/// The private directories that there are.
fn directories(variables: &Variables) -> Result<Vec<Directory>> {
    Directory::existing(variables).map_err(anyhow::Error::msg)
}

/// A zygote that lives.
struct Zygote {
    /// Its user.
    owner: u32,
    /// Where it says so.
    file: PathBuf,
    status: Status,
}

/// Those that there are.
fn zygotes(variables: &Variables) -> Result<Vec<Zygote>> {
    let mut all = Vec::new();
    for directory in directories(variables)? {
        let found = match Status::all(&directory) {
            // It went with its last zygote just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found.with_context(|| directory.path().display().to_string())?,
        };
        let owner = directory.owner();
        // Root shows, and stops, nothing on another user's word but what is that user's.
        let found = found.into_iter().filter(|(_, one)| process::owner(one.pid) == Some(owner));
        all.extend(found.map(|(file, status)| Zygote { owner, file, status }));
    }
    Ok(all)
}

/// What is told of those that are gone, the last of each application that has
/// no other: by which user, and when.
fn gone(variables: &Variables) -> Result<Vec<(u32, SystemTime, Status)>> {
    let mut all = Vec::new();
    for directory in directories(variables)? {
        // Not where one has just gone with its place.
        let found = Status::gone(&directory).unwrap_or_default();
        all.extend(found.into_iter().map(|(at, status)| (directory.owner(), at, status)));
    }
    Ok(all)
}

/// Where there is none: for whom and where was looked, and what may be wrong.
fn none(variables: &Variables) -> String {
    let me = rustix::process::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    if me == 0 {
        return "no zygote runs, of any user".to_owned();
    }
    no_zygote(&user_name(&passwd, me), &Directory::candidates(variables))
}

fn no_zygote(user: &str, places: &[PathBuf]) -> String {
    let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    let places = places.join(" or ");
    format!(
        "no zygote runs for user {user} in {places}: ask as root, or as the web server's user with \
         its TMPDIR and XDG_RUNTIME_DIR"
    )
}

/// The name of a user, or the number where `/etc/passwd` has none.
fn user_name(passwd: &str, uid: u32) -> String {
    let number = uid.to_string();
    let named = passwd.lines().find(|line| line.split(':').nth(2) == Some(number.as_str()));
    named.and_then(|line| line.split(':').next()).map_or(number.clone(), str::to_owned)
}

/// Whether standard output is coloured: on a terminal, unless `NO_COLOR` is set.
fn is_coloured() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// To standard output. A reader that has left has seen enough.
fn show(text: &[u8]) -> Result<()> {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_where_they_have_one() {
        let passwd = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\n";
        assert_eq!(user_name(passwd, 33), "www-data");
        assert_eq!(user_name(passwd, 1000), "1000");
    }

    #[test]
    fn where_there_is_none_all_places_are_named() {
        let text = no_zygote("www-data", &["/run/user/33/cgi2wsgi".into(), "/tmp/c-33".into()]);
        let expected = "user www-data in /run/user/33/cgi2wsgi or /tmp/c-33: ";
        assert!(text.contains(expected), "{text}");
    }
}
