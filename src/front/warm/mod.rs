//! `cgi2wsgi warm`: shows and stops this user's zygotes, or everybody's for root. It reads their files in their private
//! directory and asks them to end; it knows nothing else of them.

mod log;
mod status;
mod stop;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::cgi::variables::Variables;
use crate::front::cli::WarmVerb;
use crate::front::exit::MISCONFIGURED;
use crate::report::{self, printable_line};
use crate::zygotes::directory::Directory;
use crate::zygotes::process;
use crate::zygotes::status::Status;

/// Exit status: there is nothing to show or to stop, or it did not stop.
const NOTHING: u8 = 1;

/// Does what was asked.
pub fn run(verb: WarmVerb, variables: &Variables) -> ExitCode {
    let done = match verb {
        WarmVerb::Status => see_processes().and_then(|()| status::run(variables)),
        WarmVerb::Stop(arguments) => {
            see_processes().and_then(|()| stop::run(*arguments, variables))
        }
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

/// An error if no process can be seen: each zygote would then be taken for one that has ended.
fn see_processes() -> Result<()> {
    ensure!(
        process::started(std::process::id()).is_some(),
        "no process can be seen, so it is not known which zygotes run: is /proc mounted?"
    );
    Ok(())
}

/// The private directories that exist. Warns of those that cannot be used, and goes on with the others.
fn directories(variables: &Variables) -> Vec<Directory> {
    let (found, unusable) = Directory::existing(variables);
    for why in unusable {
        report::warning(&format!("skipped: {why}"));
    }
    found
}

/// A live zygote.
struct Zygote<'d> {
    directory: &'d Directory,
    /// Its name in the directory.
    name: String,
    status: Status,
}

/// All live zygotes.
fn zygotes(directories: &[Directory]) -> Vec<Zygote<'_>> {
    let mut all = Vec::new();
    for directory in directories {
        match directory.names() {
            Ok(names) if names.are_all => {}
            Ok(names) => report::warning(&format!(
                "{} has more than {} files: the rest was not looked at",
                directory.path().display(),
                names.all.len()
            )),
            // Most likely the directory was removed just now, with its last zygote.
            Err(_) => continue,
        }
        let owner = directory.owner();
        let found = Status::all(directory).unwrap_or_default().into_iter();
        // A status file may name any pid: root shows and stops only processes of the user who owns the directory.
        let found = found.filter(|(_, one)| process::owner(one.pid) == Some(owner));
        all.extend(found.map(|(name, status)| Zygote { directory, name, status }));
    }
    all
}

/// For each application without a live zygote, the last status of its last zygote: its user, and when it ended.
fn gone(directories: &[Directory]) -> Vec<(u32, SystemTime, Status)> {
    let mut all = Vec::new();
    for directory in directories {
        // A directory may just have been removed.
        let found = Status::gone(directory).unwrap_or_default();
        all.extend(found.into_iter().map(|(at, status)| (directory.owner(), at, status)));
    }
    all
}

/// How many characters of a text are shown in one line at most: it may be another user's.
const LONGEST: usize = 300;

fn shown(text: &str) -> String {
    printable_line(text, LONGEST)
}

/// The message if there is no zygote: for which users and in which directories, and what may be wrong.
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

/// Writes to standard output. A reader that has closed the pipe is no error.
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
