//! The committed man pages and completions are what the command line makes.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::*;

/// Compares what is committed with what this file makes; with REGENERATE=1
/// in the environment, writes it instead.
fn assert_committed(path: &str, made: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("REGENERATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(&path, made).expect("room");
    }
    let committed = std::fs::read(&path).unwrap_or_default();
    let shown = path.display();
    assert!(committed == made, "{shown} is stale: REGENERATE=1 cargo test --lib cli");
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
    UnderAServer::command().debug_assert();
}

#[test]
fn the_committed_man_pages_are_made_from_the_definitions() {
    let mut command = Cli::command();
    command.build();
    assert_pages_committed("cgi2wsgi", &command);
}

/// One page for a command and each of its verbs.
fn assert_pages_committed(name: &str, command: &clap::Command) {
    let mut page = Vec::new();
    let named = command.clone().name(name.to_owned().leak() as &'static str);
    clap_mangen::Man::new(named).date("2026-11-21").render(&mut page).expect("memory");
    if name == "cgi2wsgi" {
        // Before the last section, which is the version.
        let text = String::from_utf8(page).expect("text");
        let (before, version) = text.rsplit_once(".SH VERSION").expect("a section of the version");
        page = format!("{before}{}.SH VERSION{version}", include_str!("manual.roff")).into();
    }
    assert_committed(&format!("docs/man/{name}.1"), &page);
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        assert_pages_committed(&format!("{name}-{}", verb.get_name()), verb);
    }
}

#[test]
fn the_committed_completions_are_made_from_the_definitions() {
    for (shell, name) in
        [(Shell::Bash, "cgi2wsgi.bash"), (Shell::Zsh, "_cgi2wsgi"), (Shell::Fish, "cgi2wsgi.fish")]
    {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "cgi2wsgi", &mut script);
        assert_committed(&format!("docs/completions/{name}"), &script);
    }
}
