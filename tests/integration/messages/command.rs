//! Mistakes in what is typed and set: paths, rights, options, `#!` lines, Pythons and virtual environments.

use super::Outcome::{Answered, Failed};
use super::Where::{Server, Shell};
use super::{Mistake, RIGHT};

const APP: &[(&str, &str)] = &[("app.py", RIGHT)];
const MANAGE: &str = "from django.core.management import execute_from_command_line\n";

pub(super) const MISTAKES: &[Mistake] = &[
    // Which application.
    Mistake::new(
        "no application",
        &[],
        "no application: name one after the options, or in CGI2WSGI_APP (the words of a query string are never \
         taken for one; Apache's suexec passes on no CGI2WSGI variable: give the options in the #! line of a script)",
    )
    .only(Server),
    Mistake::new(
        "a misspelt file",
        &["ap.py"],
        "no application \"ap.py\": {site} has no file \"ap.py\"; did you mean app.py? (\"ap.py\" is relative to \
         {site}, the current directory of this process: give the absolute path, or --chdir)",
    )
    .files(APP),
    Mistake::new(
        "an application whose file has another name",
        &["{site}/website.py"],
        "no application \"{site}/website.py\": {site} has no file \"website.py\"; it has app.py",
    )
    .files(APP),
    Mistake::new(
        "wsgi.py misspelt",
        &["{site}/mysite/wsg.py"],
        "no application \"{site}/mysite/wsg.py\": {site}/mysite has no file \"wsg.py\"; did you mean wsgi.py?",
    )
    .files(&[("mysite/wsgi.py", RIGHT)]),
    Mistake::new(
        "a misspelt directory",
        &["{site}/mysit/wsgi.py"],
        "no application \"{site}/mysit/wsgi.py\": there is no directory {site}/mysit: {site} has no \"mysit\"; \
         did you mean mysite?",
    )
    .files(&[("mysite/wsgi.py", RIGHT)]),
    Mistake::new(
        "a directory",
        &["{site}"],
        "the application \"{site}\" is a directory: name a file in it, such as {site}/app.py or \
         {site}/mysite/wsgi.py",
    )
    .files(&[("app.py", RIGHT), ("mysite/wsgi.py", RIGHT)]),
    Mistake::new(
        "manage.py",
        &["{site}/manage.py"],
        "{site}/manage.py is Django's command line, not an application: give {site}/mysite/wsgi.py",
    )
    .files(&[("manage.py", MANAGE), ("mysite/wsgi.py", RIGHT), ("mysite/__init__.py", "")]),
    Mistake::new(
        "a file in place of a directory",
        &["{site}/app.py/x.py"],
        "no application \"{site}/app.py/x.py\": {site}/app.py is a file, not a directory",
    )
    .files(APP),
    Mistake::new(
        "a directory that the user may not enter",
        &["{site}/closed/below/app.py"],
        "no application \"{site}/closed/below/app.py\": user {user} may not enter the directory {site}/closed \
         (mode 0600, owner {owner}): chmod a+x {site}/closed, or move what is in it to where every user may \
         go, such as /srv",
    )
    .files(&[("closed/below/app.py", RIGHT)])
    .modes(&[("closed", 0o600)]),
    Mistake::new(
        "a file that the user may not read",
        &["{site}/app.py"],
        "the application {site}/app.py cannot be read by user {user}: chmod a+r {site}/app.py",
    )
    .files(APP)
    .modes(&[("app.py", 0o200)]),
    Mistake::new(
        "a callable without its colon",
        &["app.py", "application"],
        "[\"application\"] after the application \"app.py\" is not read under a web server, because a \
         visitor's query string can be there: write a callable after a colon, app.py:application",
    )
    .files(APP)
    .only(Server),
    Mistake::new(
        "a callable without its colon at a shell",
        &["app.py", "application"],
        "\"application\" after the application \"app.py\" is not read: write a callable after a colon, \
         app.py:application",
    )
    .files(APP)
    .only(Shell),
    Mistake::new(
        "a colon without a callable behind it",
        &["app.py:"],
        "\"app.py:\": \"\" is not the name of a callable, such as application, site.app or create_app()",
    )
    .files(APP),
    Mistake::new(
        "a factory with arguments",
        &["app.py:create_app('production')"],
        "\"app.py:create_app('production')\": a factory is called without arguments: write create_app()",
    )
    .files(APP)
    .only(Shell),
    Mistake::new(
        "a missing module",
        &["webapp:application"],
        "there is no module \"webapp\" in {site}, nor in Python's own directories with the virtual environment \
         {venv}; did you mean web_app?",
    )
    .files(&[("web_app.py", RIGHT)]),
    Mistake::new(
        "a module in another directory",
        &["shop:application"],
        "there is no module \"shop\" in {site}, nor in Python's own directories with the virtual environment \
         {venv}: give the directory that it is in with --chdir or --pythonpath",
    )
    .files(&[("src/shop.py", RIGHT)]),
    Mistake::new(
        "Django's WSGI_APPLICATION as it is written",
        &["mysite.wsgi.application"],
        "there is no module \"mysite.wsgi.application\", but mysite.wsgi has application: write \
         mysite.wsgi:application",
    )
    .files(&[("mysite/__init__.py", ""), ("mysite/wsgi.py", RIGHT)]),
    Mistake::new(
        "the application named twice",
        &["app.py"],
        "the application is specified twice, as \"app.py\" on the command line and as \"other.py\" in \
         CGI2WSGI_APP: under a web server specify it once, because a visitor's query string can be on the \
         command line",
    )
    .files(APP)
    .variables(&[("CGI2WSGI_APP", "other.py")])
    .only(Server),
    // Directories.
    Mistake::new(
        "--chdir to a missing directory",
        &["--chdir", "{site}/shp", "app.py"],
        "--chdir {site}/shp does not exist: {site} has no \"shp\"; did you mean shop? Otherwise give a directory that \
         exists",
    )
    .files(&[("shop/app.py", RIGHT)]),
    Mistake::new(
        "--chdir to a file",
        &["--chdir", "{site}/app.py", "app.py"],
        "--chdir {site}/app.py is a file: give the directory {site}",
    )
    .files(APP),
    Mistake::new(
        "--chdir to a closed directory",
        &["--chdir", "{site}/closed", "app.py"],
        "--chdir {site}/closed: user {user} may not enter the directory {site}/closed (mode 0600, owner \
         {owner}): chmod a+x {site}/closed, or move what is in it to where every user may go, such as /srv",
    )
    .files(&[("closed/app.py", RIGHT)])
    .modes(&[("closed", 0o600)]),
    Mistake::new(
        "--pythonpath to a missing directory",
        &["--pythonpath", "{site}/libs", "app.py"],
        "--pythonpath {site}/libs does not exist: {site} has no \"libs\"; did you mean lib? Otherwise give a directory \
         that exists",
    )
    .files(&[("app.py", RIGHT), ("lib/x.py", "")]),
    Mistake::new(
        "--pythonpath to a closed directory",
        &["--pythonpath", "{site}/closed", "app.py"],
        "--pythonpath {site}/closed: user {user} may not enter the directory {site}/closed (mode 0600, owner \
         {owner}): chmod a+x {site}/closed, or move what is in it to where every user may go, such as /srv",
    )
    .files(&[("app.py", RIGHT), ("closed/x.py", "")])
    .modes(&[("closed", 0o600)]),
    // Options and variables.
    Mistake::new("gunicorn's option", &["--workers", "3", "app.py"], "unknown option --workers: cgi2wsgi --help \
                  lists the options")
        .files(APP),
    Mistake::new("a misspelt option", &["--time-out", "30", "app.py"], "unknown option --time-out; did you mean --timeout?")
        .files(APP),
    Mistake::new(
        "options behind the application",
        &["app.py", "--debug"],
        "[\"--debug\"] is after the application \"app.py\", where cgi2wsgi reads nothing under a web server, \
         because a visitor's query string can be there: write options before the application",
    )
    .files(APP)
    .only(Server),
    Mistake::new(
        "an option without its value",
        &["--timeout"],
        "a value is required for '--timeout <SECONDS>' but none was supplied",
    )
    .files(APP)
    .variables(&[("CGI2WSGI_APP", "app.py")])
    .only(Server),
    Mistake::new(
        "a timeout with a unit",
        &["--timeout", "30s", "app.py"],
        "--timeout \"30s\" is not a number of seconds, at least 0.001, such as 30 or 2.5",
    )
    .files(APP),
    Mistake::new(
        "a size with a space before its unit",
        &["--max-body", "20 MB", "app.py"],
        "--max-body \"20 MB\" is not a number of bytes, such as 1048576, 512K or 20M",
    )
    .files(APP),
    Mistake::new(
        "a mount that is no path",
        &["app.py"],
        "CGI2WSGI_MOUNT: \"shop\" is not a mount path: give one that begins with a slash, or \"auto\"",
    )
    .files(APP)
    .variables(&[("CGI2WSGI_MOUNT", "shop")]),
    Mistake::new("a switch that is neither on nor off", &["app.py"], "CGI2WSGI_DEBUG \"yes please\" is neither on nor off: write 1 or 0")
        .files(APP)
        .variables(&[("CGI2WSGI_DEBUG", "yes please")]),
    Mistake::new(
        "a misspelt variable",
        &["app.py"],
        "unknown setting: the variable CGI2WSGI_TIME_OUT is not read; did you mean CGI2WSGI_TIMEOUT?",
    )
    .files(APP)
    .variables(&[("CGI2WSGI_TIME_OUT", "5")])
    .outcome(Answered(0))
    .status(200),
    Mistake::new(
        "a body that is larger than --max-body",
        &["--max-body", "5", "app.py"],
        "the request body has 6 bytes and --max-body (CGI2WSGI_MAX_BODY) allows 5: raise it if such bodies are \
         to be accepted",
    )
    .files(APP)
    .only(Server)
    .status(413),
    // #! lines.
    Mistake::new(
        "a #! line with Windows line ends",
        &[],
        "the #! line of {site}/index.cgi ends with a carriage return, a Windows line end, which becomes part of \
         its last option: sed -i 's/\\r$//' {site}/index.cgi",
    )
    .files(&[("index.cgi", "#!{bridge} --debug\r\nfrom app import application\r\n"), ("app.py", RIGHT)]),
    Mistake::new(
        "an unknown option in a #! line",
        &[],
        "unknown option --processes: cgi2wsgi --help lists the options",
    )
    .files(&[("index.cgi", "#!{bridge} --debug --processes 4\nfrom app import application\n"), ("app.py", RIGHT)]),
    Mistake::new(
        "a #! line that is too long",
        &[],
        "the #! line of {site}/index.cgi is longer than the 255 bytes that the system reads: set options with \
         variables such as CGI2WSGI_CHDIR, or in the server's configuration",
    )
    .files(&[(
        "index.cgi",
        "#!{bridge} --debug --timeout 5 --pythonpath /srv/one/very/very/very/very/very/very/long/path/that/goes/on/and/on/and/on/and/on \
         --pythonpath /srv/another/very/very/very/very/very/very/long/path/that/goes/on/and/on/and/on/and/on/and/on/and/on/and/on/and/on/and/on\n\
         from app import application\n",
    ), ("app.py", RIGHT)]),
    // Pythons.
    Mistake::new(
        "a missing Python",
        &["--python", "/opt/python3.99/bin/python3", "app.py"],
        "there is no Python /opt/python3.99/bin/python3: /opt has no \"python3.99\": give the path of a Python, \
         such as --python /usr/bin/python3",
    )
    .files(APP),
    Mistake::new(
        "a Python that is not in PATH",
        &["--python", "python3.99", "app.py"],
        "--python \"python3.99\" is not in PATH (/usr/local/bin:/usr/bin:/bin): give the path of a Python executable",
    )
    .files(APP)
    .variables(&[("PATH", "/usr/local/bin:/usr/bin:/bin")]),
    Mistake::new(
        "the directory of a Python",
        &["--python", "{venv}", "app.py"],
        "--python \"{venv}\" is a directory: give the path of the executable in it, such as \"{venv}/bin/python\", \
         or use --venv for a virtual environment",
    )
    .files(APP),
    Mistake::new(
        "Python 2",
        &["--python", "{site}/python2.7", "app.py"],
        "the Python {site}/python2.7 does not start: its process ended itself with exit status 2 before it had \
         loaded the worker; it does not understand -X utf8 (Python 2 does not); cgi2wsgi needs \
         CPython 3.9 or newer: name another with --python",
    )
    .files(&[
        ("app.py", RIGHT),
        // What Python 2.7 does with Python 3's options.
        ("python2.7", "#!/bin/sh\necho '-X is reserved for implementation-specific arguments' >&2\nexit 2\n"),
    ]),
    Mistake::new(
        "no Python at all",
        &["--python", "/bin/true", "app.py"],
        "the Python /bin/true does not start: its process ended itself with exit status 0 before it had loaded \
         the worker; it is not a Python; cgi2wsgi needs CPython 3.9 or newer: name another with --python",
    )
    .files(APP),
    Mistake::new(
        "PYTHONHOME of another Python",
        &["--python", "/usr/bin/python3", "app.py"],
        "the Python /usr/bin/python3 does not start: its process ended itself with exit status 1 before it had \
         loaded the worker; PYTHONHOME is set, to \"/opt/python\": unset it, or let it name where this Python \
         is installed",
    )
    .files(APP)
    .variables(&[("PYTHONHOME", "/opt/python")]),
    // Virtual environments.
    Mistake::new(
        "a missing virtual environment",
        &["--venv", "{site}/vnv", "app.py"],
        "--venv \"{site}/vnv\" is not a virtual environment: {site} has no \"vnv\"; did you mean venv?",
    )
    .files(&[("app.py", RIGHT), ("venv/pyvenv.cfg", "")]),
    Mistake::new(
        "the directory around a virtual environment",
        &["--venv", "{site}", "app.py"],
        "--venv \"{site}\" is not a virtual environment: {site} has no pyvenv.cfg; did you mean {site}/venv?",
    )
    .files(&[("app.py", RIGHT), ("venv/pyvenv.cfg", "")]),
    Mistake::new(
        "the bin of a virtual environment",
        &["--venv", "{site}/venv/bin", "app.py"],
        "--venv \"{site}/venv/bin\" is not a virtual environment: {site}/venv/bin has no pyvenv.cfg; did you mean \
         {site}/venv?",
    )
    .files(&[("app.py", RIGHT), ("venv/pyvenv.cfg", ""), ("venv/bin/python", "")]),
    Mistake::new(
        "a virtual environment whose Python is gone",
        &["--venv", "{site}/old", "app.py"],
        "there is no Python {site}/old/bin/python: make the virtual environment again (python3 -m venv --clear \
         {site}/old) and install the site's packages again",
    )
    .files(&[("app.py", RIGHT), ("old/pyvenv.cfg", ""), ("old/bin/pip", "")]),
    Mistake::new(
        "a virtual environment that the user may not enter",
        &["--venv", "{site}/private", "app.py"],
        "--venv \"{site}/private\" is not a virtual environment: user {user} may not enter the directory \
         {site}/private (mode 0600, owner {owner}): chmod a+x {site}/private, or move what is in it to where \
         every user may go, such as /srv",
    )
    .files(&[("app.py", RIGHT), ("private/pyvenv.cfg", "")])
    .modes(&[("private", 0o600)]),
    // Words at a shell.
    Mistake::new(
        "the verb request left out",
        &["app.py", "/shop"],
        "\"/shop\" after the application \"app.py\" is not read: did you mean cgi2wsgi request app.py /shop?",
    )
    .files(APP)
    .only(Shell),
    Mistake::new(
        "the URL before the application, as for curl",
        &["request", "http://localhost/shop", "app.py"],
        "the application comes before the URL: did you mean cgi2wsgi request app.py http://localhost/shop?",
    )
    .files(APP)
    .only(Shell),
    Mistake::new("a verb of cgi2wsgi warm alone", &["status"], "did you mean cgi2wsgi warm status?").only(Shell),
    Mistake::new(
        "a verb of other programs",
        &["runserver"],
        "cgi2wsgi has no verb \"runserver\": a web server starts it for each request, and cgi2wsgi request APP [URL] \
         makes a request without one",
    )
    .only(Shell),
    Mistake::new(
        "an option of the verb request",
        &["-v", "app.py"],
        "-v is an option of cgi2wsgi request: write cgi2wsgi request -v ... APP [URL]",
    )
    .files(APP)
    .only(Shell),
    Mistake::new(
        "an error status with request -f",
        &["request", "-f", "app.py"],
        "the application answered 404 Not Found (-f)",
    )
    .files(&[("app.py", "def application(environ, start_response):\n    start_response('404 Not Found', [])\n    return []\n")])
    .only(Shell)
    .outcome(Answered(22)),
    Mistake::new(
        "a URL that is not http",
        &["request", "app.py", "ftp://localhost/"],
        "the URL \"ftp://localhost/\" is neither http nor https",
    )
    .files(APP)
    .only(Shell),
    Mistake::new(
        "a header without its colon",
        &["request", "-H", "Accept text/html", "app.py"],
        "-H \"Accept text/html\" has no colon: write \"Name: value\"",
    )
    .files(APP)
    .only(Shell),
    Mistake::new(
        "a data file that the user may not read",
        &["{site}/app.py"],
        "the application raised PermissionError: [Errno 13] Permission denied: '{site}/data.txt'; this process runs \
         as user {uid}: give that user the right to {site}/data.txt and {site}, or let the application use \
         another place",
    )
    .files(&[("app.py", "open(__file__.replace('app.py', 'data.txt'))\n"), ("data.txt", "")])
    .modes(&[("data.txt", 0o200)])
    .outcome(Failed),
];
