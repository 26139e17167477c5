//! What `init` refuses to write: a site in which `check` finds a problem, a path or a name that would break out of the
//! configuration, a file that already exists.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::{MODULE, init, site};
use crate::harness::command::{Output, Test, collect};
use crate::harness::process::{AtParentDeath, Running, User};
use crate::harness::stage::Stage;

pub(super) const TESTS: &[(&str, Test)] = &[
    ("a site in which check finds a problem is refused, and nothing is written", refused_by_check),
    ("a path that would break out of a configuration is refused", hostile_paths),
    ("an invalid mount or name is refused, and an existing file is not changed", bad_input),
    ("for root a Python is chosen and refused with the rights of the server's user", as_user),
];

fn refused_by_check(stage: &Stage) -> Result<()> {
    let place = site(stage, "init-refused")?;
    fs::write(place.join("broken.py"), "import package_that_is_not_there\n")?;
    let output = init(stage, &place, &["apache", "broken.py", "-o", "site.conf"])?;
    output
        .ends(2)?
        .says("✗ import")?
        .says("No module named 'package_that_is_not_there'")?
        .says("pip install")?;
    ensure!(
        !place.join("site.conf").exists() && output.stdout.is_empty(),
        "a configuration was written"
    );
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
        output.ends(2)?.says("cannot be in a configuration").with_context(|| name)?;
        ensure!(output.stdout.is_empty(), "a configuration was written");
    }
    Ok(())
}

fn as_user(stage: &Stage) -> Result<()> {
    let place = site(stage, "init-as")?;
    let current = User::current();
    let init_as = |user: &str, words: &[&str]| -> Result<Output> {
        let mut command = stage.command(&stage.bridge());
        command.args(["init", "apache", "shown.py", "--as", user]).args(words).current_dir(&place);
        command.env("PATH", format!("{}:/usr/bin:/bin", place.join("closed/bin").display()));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        collect(Running::start(command, &current, AtParentDeath::Kill)?)
    };
    if current.uid != 0 {
        return init_as("root", &[])?.ends(2)?.says("is for root").map(drop);
    }
    init_as("nobody-of-that-name", &[])?.ends(2)?.says("no such user")?;
    // A Python that only root can reach, like root's own in /root.
    let bin = place.join("closed/bin");
    fs::create_dir_all(&bin)?;
    symlink(stage.python().canonicalize()?, bin.join("python3"))?;
    let root = init_as("root", &[])?;
    let python = format!("CGI2WSGI_PYTHON \"{}\"", bin.join("python3").display());
    let text = String::from_utf8_lossy(&root.ends(0)?.stdout).into_owned();
    ensure!(text.contains(&python), "no {python} in {text}");
    fs::set_permissions(place.join("closed"), fs::Permissions::from_mode(0o700))?;
    let user = stage.user.uid.to_string();
    let output = init_as(&user, &[])?;
    let text = String::from_utf8_lossy(&output.ends(0)?.stdout).into_owned();
    ensure!(text.contains("CGI2WSGI_PYTHON \"/usr/bin/python3\""), "{text}");
    let output = init_as(&user, &["--python", "closed/bin/python3", "-o", "site.conf"])?;
    output.ends(2)?.says("✗ python")?.says(&place.join("closed").display().to_string())?;
    output.says("(with the rights of ")?;
    ensure!(
        !place.join("site.conf").exists() && output.stdout.is_empty(),
        "a configuration was written"
    );
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
    output.ends(2)?.says("already exists")?;
    ensure!(
        fs::read_to_string(place.join("site.conf"))? == "mine\n",
        "the existing file was changed"
    );
    Ok(())
}
