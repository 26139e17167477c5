//! The command line, as clap reads it. Definitions only: what the words mean
//! is validated in [`crate::settings`]. The man page and the completions are
//! made from this file.

// Doc comments here are help texts, which have no Markdown.
#![allow(clippy::doc_markdown)]
// A switch on the command line is a bool.
#![allow(clippy::struct_excessive_bools)]

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

mod checking;
pub mod plain;

pub use self::checking::{CheckArgs, InitArgs, Server};

/// What a person types.
#[derive(Debug, Parser)]
#[command(
    name = "cgi2wsgi",
    version,
    disable_version_flag = true,
    about = "Run a Python WSGI application as a CGI program",
    long_about = "Run a Python WSGI application as a CGI program: one request from the environment \
                  and standard input, one response on standard output.\n\n\
                  A web server starts it for each request. At a shell, variables describe the request \
                  (PATH_INFO=/hello cgi2wsgi app.py), or `cgi2wsgi request` builds it from flags like curl's.",
    after_help = "Examples:\n  \
                  cgi2wsgi request app.py /                 ask the application, without a server\n  \
                  cgi2wsgi check app.py                     what is wrong with the site\n  \
                  cgi2wsgi init apache app.py --mount /app  the server's configuration\n  \
                  PATH_INFO=/x cgi2wsgi app.py              what a server would read\n\n\
                  Each option can be a variable too: CGI2WSGI_APP, CGI2WSGI_VENV, CGI2WSGI_MAX_BODY, ...\n\
                  A flag overrides its variable. -h leaves out details, and the options of --log, --record\n\
                  and --warm.\n\n\
                  Exit status: 0 a response was delivered, 1 the application failed,\n\
                  2 the command line or the set-up is wrong.",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    override_usage = "cgi2wsgi [OPTIONS] APP\n       cgi2wsgi request [OPTIONS] APP [URL]\n       \
                      cgi2wsgi check [OPTIONS] [APP]\n       cgi2wsgi init SERVER APP\n       \
                      cgi2wsgi profile [OPTIONS] APP [URL]\n       cgi2wsgi warm status|stop|log"
)]
pub struct Cli {
    /// A verb; without one, a CGI request is answered.
    #[command(subcommand)]
    pub verb: Option<Verb>,

    /// Print the name of the worker's file that belongs to this build
    #[arg(long, hide = true, exclusive = true)]
    pub worker_file_name: bool,

    /// Print the version, its build, where its worker is, and the Python that it would use
    #[arg(short = 'V', long, exclusive = true)]
    pub version: bool,

    /// The options of the application.
    #[command(flatten)]
    pub options: Options,

    /// The application: package.module:callable, package.module, package.module:factory(), or a
    /// file, with :callable or without
    ///
    /// Without a callable, the name application is used, else app.
    #[arg(help_heading = "Arguments")]
    pub app: Option<OsString>,
}

/// What an operator can write where a server starts the executable: no verbs,
/// no help, and options before the application only (P1).
#[derive(Debug, Default, Parser)]
#[command(name = "cgi2wsgi", disable_help_flag = true, color = clap::ColorChoice::Never)]
pub struct UnderAServer {
    /// The options of the application.
    #[command(flatten)]
    pub options: Options,

    /// The application and what stands behind it, which must be nothing.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

/// What can be done besides answering a CGI request.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build a request from flags like curl's, run it and show the response
    Request(Box<RequestArgs>),

    /// Find out what is wrong with a site: one line for each finding, with what to do about it
    Check(Box<CheckArgs>),

    /// Write the configuration that runs an application under a server, with the real paths of this machine
    Init(Box<InitArgs>),

    /// Show where the time of a cold request goes: the start of Python, each import, the call
    Profile(Box<ProfileArgs>),

    /// Show the zygotes of --warm, stop them, or read their log
    #[command(subcommand, disable_help_subcommand = true)]
    Warm(WarmVerb),
}

/// `cgi2wsgi warm`: what this user's zygotes do.
#[derive(Debug, Subcommand)]
pub enum WarmVerb {
    /// Show the zygotes of this user, or for root of all: how large, how busy, how often restarted and why
    #[command(
        after_help = "Exit status: 0 if there are any, 1 if there are none, 2 if the set-up \
                            is wrong."
    )]
    Status,

    /// Stop zygotes; requests that have begun are finished
    Stop(Box<WarmStopArgs>),

    /// Show the log of the zygotes of this user, or for root of all: each line behind its user's name
    Log(WarmLogArgs),
}

/// `cgi2wsgi warm stop`.
#[derive(Debug, Default, Args)]
#[command(
    after_help = "The next request of an application whose --warm is still on starts another.\n\
                  Exit status: 0 if all zygotes that were to stop are gone, 1 if there were none or one is \
                  still there, 2 if the command line or the set-up is wrong."
)]
pub struct WarmStopArgs {
    /// The application, as for cgi2wsgi itself or as `cgi2wsgi warm status` shows it
    pub app: Option<OsString>,

    /// All zygotes of this user
    #[arg(long, conflicts_with = "app")]
    pub all: bool,

    /// For root: all zygotes of all users
    #[arg(long, conflicts_with_all = ["app", "all"])]
    pub all_users: bool,

    /// The options of the application.
    #[command(flatten)]
    pub options: Options,
}

/// `cgi2wsgi warm log`.
#[derive(Debug, Default, Args)]
#[command(after_help = "Exit status: 0 if there is a log, 1 if there is none, 2 if the set-up is \
                        wrong.")]
pub struct WarmLogArgs {
    /// Only the last N lines; for root, of each user
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,

    /// Print only the path of the log
    #[arg(long, conflicts_with = "lines")]
    pub path: bool,
}

/// Where the application is and how it is run. Each is `CGI2WSGI_...` too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Application and Python")]
pub struct Options {
    /// Change to DIR before importing [default: the file's directory]
    ///
    /// It is the first import directory, and other relative paths start from it.
    #[arg(long, value_name = "DIR")]
    pub chdir: Option<OsString>,

    /// Import from DIR too; repeatable
    #[arg(long, value_name = "DIR")]
    pub pythonpath: Vec<OsString>,

    /// The Python that runs the application: a path, or a name in PATH [default: that of the virtual
    /// environment, else python3]
    #[arg(long, value_name = "EXE", conflicts_with = "venv")]
    pub python: Option<OsString>,

    /// The virtual environment of the application [default: .venv or venv beside it]
    #[arg(long, value_name = "DIR")]
    pub venv: Option<OsString>,

    /// The public path of the application, or "auto" to recover it
    ///
    /// For servers whose SCRIPT_NAME is wrong, as it is behind rewriting in .htaccess.
    #[arg(long, value_name = "PATH", help_heading = "Server")]
    pub mount: Option<OsString>,

    /// Serve Apache's Action: the application is the file of PATH_TRANSLATED
    ///
    /// SUFFIXES, separated by commas, are those that such a file may have; .wsgi if not given.
    #[arg(long, value_name = "SUFFIXES", num_args = 0..=1, require_equals = true,
          default_missing_value = "1", help_heading = "Server")]
    pub handler: Option<OsString>,

    /// Write a whole HTTP response, for a non-parsed-header script
    #[arg(long, help_heading = "Server")]
    pub nph: bool,

    /// Give up after SECONDS: answer 504, and log where the application hung
    #[arg(long, value_name = "SECONDS", help_heading = "Limits")]
    pub timeout: Option<OsString>,

    /// Refuse a request body of more than BYTES (K, M and G are understood)
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub max_body: Option<OsString>,

    /// Show tracebacks in the browser too. Never on a public site
    #[arg(long, help_heading = "Errors, logs and records")]
    pub debug: bool,

    /// Report where the time goes: a Server-Timing header and a line in the log
    #[arg(long, help_heading = "Errors, logs and records")]
    pub timings: bool,

    /// Write a line for each request to FILE, with what was written to standard error below it
    ///
    /// The file's directory must be one that others cannot write to. A line has the time, the number of the request, which
    /// is on an error page too, the process, the application, the method, the URL, the status, the bytes of the body and
    /// the milliseconds.
    #[arg(long, value_name = "FILE", help_heading = "Errors, logs and records")]
    pub log: Option<OsString>,

    /// With --log, write text for people, or json: one object a line [default: text]
    #[arg(
        long,
        value_name = "FORMAT",
        hide_short_help = true,
        help_heading = "Errors, logs and records"
    )]
    pub log_format: Option<OsString>,

    /// With --log, rename a file of more than BYTES to FILE.1, and begin another (K, M and G are understood) [default: 10M]
    #[arg(
        long,
        value_name = "BYTES",
        hide_short_help = true,
        help_heading = "Errors, logs and records"
    )]
    pub log_size: Option<OsString>,

    /// Keep requests that failed in DIR, so that cgi2wsgi request --replay runs them again
    ///
    /// A request failed if its status is 500 or more, if its response was cut, or if there is a traceback. A record has the
    /// variables, the body, the head of the response and what was written to standard error, without cookies, authorization
    /// and the values of fields such as password.
    #[arg(long, value_name = "DIR", help_heading = "Errors, logs and records")]
    pub record: Option<OsString>,

    /// With --record, keep all requests
    #[arg(long, hide_short_help = true, help_heading = "Errors, logs and records")]
    pub record_all: bool,

    /// With --record, keep the last N requests [default: 100]
    #[arg(
        long,
        value_name = "N",
        hide_short_help = true,
        help_heading = "Errors, logs and records"
    )]
    pub record_max: Option<OsString>,

    /// With --record, keep cookies, passwords and the environment too
    #[arg(long, hide_short_help = true, help_heading = "Errors, logs and records")]
    pub record_secrets: bool,

    /// Keep the imported application ready in a process that forks for each request
    #[arg(long, help_heading = "Warm")]
    pub warm: bool,

    /// With --warm, exit after SECONDS without a request, or if an import takes longer than SECONDS and no request is
    /// waiting [default: 600]
    #[arg(long, value_name = "SECONDS", hide_short_help = true, help_heading = "Warm")]
    pub warm_idle: Option<OsString>,

    /// With --warm, fork N children ahead of need [default: 2]
    #[arg(long, value_name = "N", hide_short_help = true, help_heading = "Warm")]
    pub warm_spare: Option<OsString>,

    /// With --warm, run N children at a time; more requests wait in line [default: 64]
    #[arg(long, value_name = "N", hide_short_help = true, help_heading = "Warm")]
    pub warm_max: Option<OsString>,

    /// With --warm, request PATH once after the import, and throw the response away
    #[arg(long, value_name = "PATH", hide_short_help = true, help_heading = "Warm")]
    pub warm_request: Option<OsString>,

    /// With --warm, treat the variable NAME as one of the request, which the import does not see; or, if NAME is an
    /// absolute path, let changes of that file start no new zygote; NAME* stands for all names that begin with NAME;
    /// repeatable
    #[arg(long, value_name = "NAME", hide_short_help = true, help_heading = "Warm")]
    pub warm_ignore: Vec<OsString>,

    /// With --warm, let requests wait in line while all its processes together have more than BYTES
    /// of memory (K, M and G are understood)
    #[arg(long, value_name = "BYTES", hide_short_help = true, help_heading = "Warm")]
    pub warm_memory: Option<OsString>,
}

/// `cgi2wsgi profile`: where the time goes.
#[derive(Debug, Default, Args)]
#[command(
    after_help = "Imports are timed by Python itself (-X importtime), which makes them a little slower.\n\
                        Exit status: 0 if there was a response, 1 or 2 as for cgi2wsgi itself."
)]
pub struct ProfileArgs {
    /// The application, as for cgi2wsgi itself
    pub app: OsString,

    /// A path, or a whole URL
    #[arg(default_value = "/")]
    pub url: String,

    /// Draw a flame graph into FILE, an image for a browser
    #[arg(long, value_name = "FILE")]
    pub svg: Option<OsString>,

    /// Show the N modules that took longest [default: 15]
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<OsString>,

    /// Make N requests and show the one in the middle [default: 3]
    #[arg(long, value_name = "N")]
    pub runs: Option<OsString>,

    /// The options of the application.
    #[command(flatten)]
    pub options: Options,
}

/// `cgi2wsgi request`: the curl of WSGI.
#[derive(Debug, Default, Args)]
#[command(
    after_help = "Data, form files and JSON are taken from a file with @FILE, and from standard \
                  input with @-.\n\
                  Exit status: 22 with -f for a status of 400 or more, as with curl; else 0, 1 or 2 as for cgi2wsgi \
                  itself. With --replay of a directory: 1 if an answer changed, 2 if a record could not be read."
)]
pub struct RequestArgs {
    /// The application, as for cgi2wsgi itself; with --replay, if not given, the application of the record
    #[arg(required_unless_present = "replay")]
    pub app: Option<OsString>,

    /// A path, or a whole URL
    #[arg(default_value = "/")]
    pub url: String,

    /// The request method [default: GET, or POST with a body]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub method: Option<String>,

    /// Send DATA in the body; several are joined by &
    #[arg(short, long, value_name = "DATA", conflicts_with_all = ["form", "json"])]
    pub data: Vec<OsString>,

    /// Send a multipart form: NAME=VALUE, NAME=@FILE, NAME=@FILE;type=TYPE;filename=NAME
    #[arg(short = 'F', long, value_name = "FIELD", conflicts_with = "json")]
    pub form: Vec<OsString>,

    /// Send JSON, and ask for it
    #[arg(long, value_name = "JSON")]
    pub json: Option<OsString>,

    /// A header of the request, "Name: value"; "Name:" leaves it out
    #[arg(short = 'H', long, value_name = "HEADER")]
    pub header: Vec<String>,

    /// Cookies: "name=value; other=value"
    #[arg(short = 'b', long, value_name = "COOKIES")]
    pub cookie: Vec<String>,

    /// Basic authorization
    #[arg(short, long, value_name = "USER:PASSWORD")]
    pub user: Option<String>,

    /// Show the head of the response too
    #[arg(short, long)]
    pub include: bool,

    /// Request only the head (HEAD), and show it
    #[arg(short = 'I', long, conflicts_with_all = ["data", "form", "json"])]
    pub head: bool,

    /// Write to FILE
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<OsString>,

    /// Fail when the status is 400 or more: no body, exit status 22
    #[arg(short, long)]
    pub fail: bool,

    /// Show the request's variables and the head of the response on standard error
    #[arg(short, long)]
    pub verbose: bool,

    /// Follow redirects of the application to itself, 50 at most
    #[arg(short = 'L', long)]
    pub location: bool,

    /// Write FORMAT when the response is over: %{http_code}, %{content_type}, %{size_download}, %{time_total}, \n, ...
    #[arg(short, long, value_name = "FORMAT")]
    pub write_out: Option<String>,

    /// As for curl, and without effect: there is no progress to be silent about
    #[arg(short, long)]
    pub silent: bool,

    /// As for curl, and without effect: errors are always shown
    #[arg(short = 'S', long)]
    pub show_error: bool,

    /// As for curl, and without effect: there is no connection, and no certificate to check
    #[arg(short = 'k', long)]
    pub insecure: bool,

    /// Write a record of the request and of its response to FILE, for --replay
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub save: Option<OsString>,

    /// Run the request of a record of --record or --save again, or those of all records in a directory
    ///
    /// For a directory, each request is a line that says whether the answer is the same as the recorded one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "method", "data", "form", "json", "head", "location"])]
    pub replay: Option<OsString>,

    /// Start the debugger (pdb) on the terminal where an uncaught exception was raised, or one that Flask or Django caught
    #[arg(long)]
    pub pdb: bool,

    /// The options of the application.
    #[command(flatten)]
    pub options: Options,
}

#[cfg(test)]
mod tests;
