//! What visitors and the site's owner see of a failure (M1, M7): the page for a browser, the text for a script, and the
//! number that is in the log too. With `--debug` also the traceback, even of an exception that a framework has caught.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::harness::command::{CGI, Output, Test, run};
use crate::harness::process::{AtParentDeath, End, Running, User};
use crate::harness::stage::Stage;

pub(super) const TESTS: &[(&str, Test)] = &[
    (
        "a browser gets a page and a script gets text, both with the request's number in the log",
        numbers,
    ),
    ("M1: an exception that is raised in an except block keeps the application's frames", frames),
    ("--debug shows an exception that Flask has caught; without it the page is Flask's", flask),
    ("--debug shows an exception that Django has caught", django_debug),
    ("M7: an exception that Django catches and does not log is in the log", django_error),
    ("M7: a host that Django refuses is named with the cure", django_host),
    ("what Django catches has its cure in the log, whoever logs it", django_cures),
    (
        "behind a proxy that ends TLS Django's redirects and refused forms have their cure in the log",
        django_proxy,
    ),
    (
        "a static file that Django does not serve with DEBUG off has its cure in the log",
        django_static,
    ),
    ("--debug shows the reason where there is no traceback", reasons),
    ("at a shell no message mentions a server's log", shell),
    ("the pages in Chromium, with screenshots", screenshots),
];

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// Writes an application, and returns its answer to a GET of `/shop?item=3`.
fn answer(
    stage: &Stage,
    name: &str,
    code: &str,
    options: &[&str],
    variables: &[(&str, &str)],
) -> Result<Output> {
    let directory = stage.workplace(&format!("page-{name}"))?;
    fs::write(directory.join("app.py"), code)?;
    let mut command = stage.command(&stage.bridge());
    command.args(options).arg(directory.join("app.py")).env("CGI2WSGI_VENV", stage.python_env());
    command.envs(CGI).env("PATH_INFO", "/shop").env("QUERY_STRING", "item=3");
    command.env("HTTP_HOST", "shop.example").envs(variables.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    run(stage, command)
}

/// An application that raises an exception in the `except` block of a function that it calls.
const NESTED: &str = "import json\n\n\ndef settings_of(text):\n    try:\n        return {}[text]\n    except KeyError:\n        \
                      return json.loads(text)\n\n\ndef application(environ, start_response):\n    return \
                      settings_of('<none>')\n";

const FLASK: &str = "import flask\n\napp = flask.Flask(__name__)\n\n\n@app.route('/shop')\ndef shop():\n    raise \
                     LookupError('no such <item>')\n";

const DJANGO: &str = "import django\nfrom django.conf import settings\nfrom django.core.wsgi import \
                      get_wsgi_application\nfrom django.urls import path\n\nsettings.configure(DEBUG=False, \
                      ALLOWED_HOSTS=['shop.example'], ROOT_URLCONF=__name__)\n\n\ndef shop(request):\n    raise \
                      LookupError('no such <item>')\n\n\nurlpatterns = [path('shop', shop)]\napplication = \
                      get_wsgi_application()\n";

fn numbers(stage: &Stage) -> Result<()> {
    let output = answer(stage, "numbers", NESTED, &[], &[("HTTP_ACCEPT", BROWSER)])?;
    let (status, page) = output.ends(1)?.response()?;
    let number = page.split("<code>").nth(1).and_then(|rest| rest.split("</code>").next());
    let number = number.with_context(|| format!("no number on the page:\n{page}"))?;
    ensure!(status == 500 && page.starts_with("<!DOCTYPE html>"), "{status} {page}");
    ensure!(!page.contains("JSONDecodeError") && !page.contains("app.py"), "{page}");
    output.says(&format!("request {number}]"))?;
    let header = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(header.contains("Content-Type: text/html; charset=utf-8\r\n"), "{header}");

    let output = answer(stage, "numbers", NESTED, &[], &[("HTTP_ACCEPT", "*/*")])?;
    let (_, text) = output.ends(1)?.response()?;
    let number =
        text.strip_prefix(crate::cases::FAILED).and_then(|rest| rest.strip_prefix("Request "));
    output.says(&format!("request {}]", number.context("no number")?.trim_end()))?;
    Ok(())
}

fn frames(stage: &Stage) -> Result<()> {
    let output = answer(stage, "frames", NESTED, &[], &[])?;
    let own = ["line 12, in application", "line 8, in settings_of", "json/decoder.py"];
    own.iter().try_for_each(|part| output.says(part).map(drop))
}

fn flask(stage: &Stage) -> Result<()> {
    let output = answer(stage, "flask", FLASK, &["--debug"], &[])?;
    let (status, page) = output.response()?;
    ensure!(status == 500 && page.contains("line 8, in shop"), "{status} {page}");
    ensure!(page.contains("LookupError: no such <item>"), "{page}");
    let output = answer(stage, "flask", FLASK, &["--debug"], &[("HTTP_ACCEPT", BROWSER)])?;
    let (_, page) = output.response()?;
    ensure!(page.contains("<h1>LookupError: no such &lt;item&gt;</h1>"), "{page}");
    let own = page.split("<section class=own>").nth(1).unwrap_or_default();
    ensure!(
        own.contains("<b>app.py</b>") && page.contains(" frames of libraries</summary>"),
        "{page}"
    );
    let (status, page) = answer(stage, "flask", FLASK, &[], &[])?.ends(0)?.response()?;
    ensure!(status == 500 && !page.contains("LookupError"), "{status} {page}");
    Ok(())
}

fn django_debug(stage: &Stage) -> Result<()> {
    let output = answer(stage, "django-debug", DJANGO, &["--debug"], &[])?;
    let (status, page) = output.response()?;
    ensure!(status == 500 && page.contains("in shop\n    raise LookupError"), "{status} {page}");
    // Django's own debug page says more, so it is kept.
    let debugs = DJANGO.replace("DEBUG=False", "SECRET_KEY='x', DEBUG=True");
    let output =
        answer(stage, "django-debugs", &debugs, &["--debug"], &[("HTTP_ACCEPT", BROWSER)])?;
    let (_, page) = output.ends(0)?.response()?;
    ensure!(page.contains("Request Method:"), "not Django's page:\n{page}");
    Ok(())
}

fn django_error(stage: &Stage) -> Result<()> {
    let output = answer(stage, "django-error", DJANGO, &[], &[])?;
    let (status, page) = output.ends(0)?.response()?;
    ensure!(status == 500 && !page.contains("LookupError"), "{status} {page}");
    output.says("in shop\n    raise LookupError")?;
    output.says(
        "warning: the application raised LookupError: no such <item>, which Django caught (answered 500) and \
         does not log itself, because DEBUG is off and LOGGING in the settings has no handler for the logger \
         django.request [",
    )?;
    // If Django logs the exception, the log has it once; if not, cgi2wsgi logs it and says why.
    for (keeps, is_told) in [("False", false), ("True", true)] {
        let logging = format!(
            "LOGGING={{'version': 1, 'disable_existing_loggers': {keeps}, 'handlers': {{'c': {{'class': \
             'logging.StreamHandler'}}}}, 'root': {{'handlers': ['c']}}}}, DEBUG=False"
        );
        let logs = DJANGO.replace("DEBUG=False", &logging);
        let output = answer(stage, &format!("django-logs-{keeps}"), &logs, &[], &[])?;
        ensure!(output.stderr.matches("in shop\n").count() == 1, "{}", output.stderr);
        ensure!(output.stderr.contains("does not log") == is_told, "{}", output.stderr);
    }
    Ok(())
}

fn django_host(stage: &Stage) -> Result<()> {
    let usual = "MIDDLEWARE=['django.middleware.common.CommonMiddleware'], DEBUG=False";
    let django = DJANGO.replace("DEBUG=False", usual);
    let output = answer(stage, "django-host", &django, &[], &[("HTTP_HOST", "www.shop.example")])?;
    ensure!(output.ends(0)?.response()?.0 == 400, "{}", output.stderr);
    output.says(
        "cgi2wsgi: warning: Django answered 400, because the host \"www.shop.example\" is not in ALLOWED_HOSTS, \
         ['shop.example']: add it in ",
    )?;
    let other = django.replace(
        "raise LookupError('no such <item>')",
        "from django.core.exceptions import BadRequest\n    raise BadRequest",
    );
    let output = answer(stage, "django-other", &other, &[], &[])?;
    ensure!(output.response()?.0 == 400 && !output.stderr.contains("ALLOWED"), "{}", output.stderr);
    Ok(())
}

fn django_cures(stage: &Stage) -> Result<()> {
    let raises = "from django.db.utils import OperationalError\n    raise OperationalError('no such table: shop')";
    let django = DJANGO.replace("raise LookupError('no such <item>')", raises);
    let debugs = django.replace("DEBUG=False", "SECRET_KEY='x', DEBUG=True");
    for (name, code, is_told) in [("off", &django, true), ("on", &debugs, false)] {
        let output = answer(stage, &format!("django-cures-{name}"), code, &[], &[])?;
        ensure!(output.ends(0)?.response()?.0 == 500, "{}", output.stderr);
        output.says("cgi2wsgi: warning: the application raised OperationalError: no such table: shop, which Django")?;
        output.says("; the tables of the database were not made, or are older than the code: manage.py migrate; if ")?;
        ensure!(output.stderr.contains("does not log itself") == is_told, "{}", output.stderr);
    }
    let key = DJANGO.replace("raise LookupError('no such <item>')", "return settings.SECRET_KEY");
    let output = answer(stage, "django-key", &key, &[], &[])?;
    output.says("SECRET_KEY setting must not be empty, which Django caught (answered 500)")?;
    output.says("the server has to pass that variable on")?.ends(0).map(drop)
}

const BELIEVES: &str = "SECURE_PROXY_SSL_HEADER=('HTTP_X_FORWARDED_PROTO', 'https')";

fn django_proxy(stage: &Stage) -> Result<()> {
    let cure = "write SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\") in ";
    let right = DJANGO.replace(
        "raise LookupError('no such <item>')",
        "from django.http import HttpResponse\n    return HttpResponse('right')",
    );
    let with =
        |more: &str| right.replace("DEBUG=False", &format!("DEBUG=False, SECRET_KEY='x', {more}"));
    let redirects =
        "MIDDLEWARE=['django.middleware.security.SecurityMiddleware'], SECURE_SSL_REDIRECT=True";
    let checks = "MIDDLEWARE=['django.middleware.csrf.CsrfViewMiddleware']";
    let https = ("HTTP_X_FORWARDED_PROTO", "https");
    let form = [("REQUEST_METHOD", "POST"), ("HTTP_ORIGIN", "https://shop.example"), https];
    for (name, settings, variables, status, said) in [
        ("redirects", redirects, &[https][..], 301, "so that the redirect never ends: "),
        ("refuses", checks, &form[..], 403, "refuses the origin \"https://shop.example\" of "),
    ] {
        let output = answer(stage, &format!("django-{name}"), &with(settings), &[], variables)?;
        ensure!(output.ends(0)?.response()?.0 == status, "{}", output.stderr);
        output.says(said)?.says(cure)?;
        // Once Django believes the proxy, there is nothing to say.
        let believes = with(&format!("{settings}, {BELIEVES}"));
        let output = answer(stage, &format!("django-{name}-believes"), &believes, &[], variables)?;
        ensure!(!output.stderr.contains("cgi2wsgi: warning: Django"), "{}", output.stderr);
    }
    // A first request without a proxy is only redirected.
    let output = answer(stage, "django-redirects", &with(redirects), &[], &[])?;
    ensure!(output.ends(0)?.response()?.0 == 301 && output.stderr.is_empty(), "{}", output.stderr);
    Ok(())
}

fn django_static(stage: &Stage) -> Result<()> {
    let with = "DEBUG=False, STATIC_URL='static/', INSTALLED_APPS=['django.contrib.staticfiles']";
    let django = DJANGO.replace("DEBUG=False", with);
    let output = answer(stage, "django-static", &django, &[], &[("PATH_INFO", "/static/a.css")])?;
    ensure!(output.ends(0)?.response()?.0 == 404, "{}", output.stderr);
    output.says(
        "cgi2wsgi: warning: Django answered 404 for \"/static/a.css\", because it serves no static files with DEBUG off: \
         collect them into STATIC_ROOT (not set in the settings) with manage.py collectstatic, and let the server \
         serve /static/ from there, or add WhiteNoise",
    )?;
    let output = answer(stage, "django-static", &django, &[], &[("PATH_INFO", "/other")])?;
    ensure!(output.ends(0)?.response()?.0 == 404 && output.stderr.is_empty(), "{}", output.stderr);
    Ok(())
}

fn reasons(stage: &Stage) -> Result<()> {
    let nothing = "def application(environ, start_response):\n    start_response('200 OK', [])\n";
    let (_, page) = answer(stage, "reasons", nothing, &["--debug"], &[])?.response()?;
    ensure!(page.contains("\n\nthe application returned None, not an iterable"), "{page}");
    let (_, page) = answer(stage, "reasons", nothing, &[], &[])?.response()?;
    ensure!(!page.contains("None"), "{page}");
    Ok(())
}

fn shell(stage: &Stage) -> Result<()> {
    let directory = stage.workplace("page-shell")?;
    fs::write(directory.join("app.py"), NESTED)?;
    let mut command = stage.command(&stage.bridge());
    command.arg("request").arg(directory.join("app.py")).env("CGI2WSGI_VENV", stage.python_env());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = run(stage, command)?;
    let text = String::from_utf8_lossy(&output.ends(1)?.stdout).into_owned();
    ensure!(text == "The application failed. The reason is on standard error.\n", "{text:?}");
    Ok(())
}

/// The directory of the screenshots.
fn artefacts() -> Result<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-artefacts/pages");
    fs::create_dir_all(&directory).context("cannot make the directory of the screenshots")?;
    Ok(directory)
}

/// Makes a screenshot of a page.
pub(crate) fn screenshot(stage: &Stage, name: &str, page: &str, suffix: &str) -> Result<()> {
    let directory = artefacts()?;
    let picture = directory.join(format!("{name}.png"));
    let _ = fs::remove_file(&picture);
    let file = directory.join(format!("{name}.{suffix}"));
    fs::write(&file, page)?;
    let profile = tempfile::tempdir().context("no directory for Chromium's profile")?;
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--disable-gpu",
        "--no-sandbox",
        "--hide-scrollbars",
        "--no-first-run",
    ]);
    command.args(["--disable-dev-shm-usage", "--window-size=1200,800", "--no-proxy-server"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.arg(format!("--screenshot={}", picture.display()));
    command.arg(format!("file://{}", file.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("HOME", stage.path("run"));
    let end = Running::start(command, &User::current(), AtParentDeath::Kill)?
        .wait(Duration::from_secs(120))?;
    ensure!(end == End::Code(0), "chromium (Debian: apt-get install chromium) ended with {end:?}");
    let size = fs::metadata(&picture).map_or(0, |metadata| metadata.len());
    // A blank page of this size is a picture of less than 5 kB.
    ensure!(size > 8_000, "{} has {size} bytes", picture.display());
    Ok(())
}

fn screenshots(stage: &Stage) -> Result<()> {
    for (name, code, options) in [
        ("error", NESTED, &[][..]),
        ("debug", NESTED, &["--debug"]),
        ("debug-flask", FLASK, &["--debug"]),
    ] {
        let output = answer(stage, "pictures", code, options, &[("HTTP_ACCEPT", BROWSER)])?;
        screenshot(stage, name, &output.response()?.1, "html")?;
    }
    Ok(())
}
