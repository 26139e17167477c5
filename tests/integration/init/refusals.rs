//! What `init` does not write: a site that `check` has a problem with, a path or a name that would break out of the
//! configuration, a file that is there already.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{MODULE, init, site};
use crate::harness::command::Test;
use crate::harness::stage::Stage;

pub(super) const TESTS: &[(&str, Test)] = &[
    ("what check has a problem with is refused, and nothing is written", refused_by_check),
    ("a path that would break out of a configuration is refused", hostile_paths),
    (
        "a mount and a name that are none are refused, and a file that is there is left alone",
        bad_input,
    ),
];

fn refused_by_check(stage: &Stage) -> Result<()> {
    let place = site(stage, "init-refused")?;
    fs::write(place.join("broken.py"), "import package_of_nobody\n")?;
    let output = init(stage, &place, &["apache", "broken.py", "-o", "site.conf"])?;
    output
        .ends(2)?
        .says("✗ import")?
        .says("No module named 'package_of_nobody'")?
        .says("pip install")?;
    ensure!(!place.join("site.conf").exists() && output.stdout.is_empty(), "something is written");
    init(stage, &place, &["nginx", "missing.py"])?.ends(2)?.says("✗ application").map(drop)
}

fn hostile_paths(stage: &Stage) -> Result<()> {
    let servers = [
        ("apache", "a\"b"),
        ("apache", "${HOME}"),
        ("htaccess", "a\\b"),
        ("caddy", "a`b"),
        ("caddy", "{env.HOME}"),
        ("lighttpd", "a\"b"),
        ("nginx", "$host"),
        ("nginx", "a\"; return 200;"),
        ("apache", "a\nSetEnv X 1"),
    ];
    for (number, (server, name)) in servers.into_iter().enumerate() {
        let place = stage.workplace(&format!("init-hostile-{number}"))?;
        let inner = place.join(name);
        fs::create_dir(&inner)?;
        fs::write(inner.join("shown.py"), MODULE)?;
        let output = init(stage, &inner, &[server, "shown.py"])?;
        output.ends(2)?.says("cannot stand in a configuration").with_context(|| name)?;
        ensure!(output.stdout.is_empty(), "something is written");
    }
    Ok(())
}

fn bad_input(stage: &Stage) -> Result<()> {
    let place = site(stage, "init-bad")?;
    for (words, says) in [
        (["apache", "shown.py", "--mount", "app"], "is not a path such as /app"),
        (["apache", "shown.py", "--mount", "/a b"], "is not a path such as /app"),
        (["nginx", "shown.py", "--mount", "/(a|b)"], "is not a path such as /app"),
        (["caddy", "shown.py", "--name", "a {"], "is not a name such as"),
        (["nginx", "shown.py", "--name", "a;b"], "is not a name such as"),
        (["iis", "shown.py", "--name", "a"], "possible values: apache"),
    ] {
        init(stage, &place, &words)?.ends(2)?.says(says)?;
    }
    fs::write(place.join("site.conf"), "mine\n")?;
    let output = init(stage, &place, &["lighttpd", "shown.py", "-o", "site.conf"])?;
    output.ends(2)?.says("is there already")?;
    ensure!(fs::read_to_string(place.join("site.conf"))? == "mine\n", "it was changed");
    Ok(())
}
