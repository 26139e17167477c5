//! `cgi2wsgi check` and `cgi2wsgi init`, as clap reads them.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

use super::Options;

/// What a configuration can be written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// Apache 2.4, in its own configuration
    Apache,
    /// A shared host: .htaccess and index.cgi
    Htaccess,
    /// Caddy with the cgi plugin
    Caddy,
    /// lighttpd 1.4
    Lighttpd,
    /// nginx with fcgiwrap
    Nginx,
}

/// `cgi2wsgi check`: what is wrong with a site.
#[derive(Debug, Default, Args)]
#[command(
    after_help = "It imports the application, requests / once, and once more with --warm, as a request would. \
                  An import may take 30 seconds, or --timeout.\n\
                  Where APP is a script whose #! line names cgi2wsgi, the options of that line are used.\n\n\
                  Examples:\n  \
                  cgi2wsgi check mysite/wsgi.py\n  \
                  sudo cgi2wsgi check --as www-data --host example.org /srv/site/app.py\n  \
                  cgi2wsgi check --server /etc/apache2/apache2.conf /srv/site/app.py\n  \
                  cgi2wsgi check --json app.py | python3 -m json.tool\n\n\
                  Exit status: 0 if nothing is wrong, 1 if there are warnings, 2 if there is a problem or the command \
                  line is wrong."
)]
pub struct CheckArgs {
    /// The application, as for cgi2wsgi itself
    pub app: Option<OsString>,

    /// For root: look with the rights of USER, such as the web server's (www-data)
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,

    /// The name that visitors give the site, such as example.org
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,

    /// Look at the configuration of a server too: apache, caddy, lighttpd or nginx, or its file
    #[arg(long, value_name = "SERVER|FILE")]
    pub server: Option<String>,

    /// Write the findings as JSON
    #[arg(long)]
    pub json: bool,

    /// The options of the application.
    #[command(flatten)]
    pub options: Options,
}

/// `cgi2wsgi init`: the configuration of a server.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                  cgi2wsgi init apache --name example.org -o site.conf /srv/site/app.py\n  \
                  cgi2wsgi init nginx --mount /app --warm mysite.wsgi\n  \
                  sudo cgi2wsgi init caddy --as www-data /srv/site/app.py\n  \
                  cgi2wsgi init htaccess -o ~/public_html/.htaccess ~/site/app.py\n\n\
                  Exit status: 0 if the configuration is written, 2 if cgi2wsgi check finds a problem with the site, \
                  or the command line is wrong.")]
pub struct InitArgs {
    /// The server
    pub server: Server,

    /// The application, as for cgi2wsgi itself
    pub app: OsString,

    /// The name of the site, such as example.org or example.org:8080; --mount is its path there
    #[arg(long, value_name = "HOST")]
    pub name: Option<String>,

    /// For root: USER's rights decide which Python can be used and what is refused; the server's usual user, such as
    /// www-data, if not given
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,

    /// Write to FILE, which must not exist yet; htaccess writes index.cgi beside it
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<OsString>,

    /// The options of the application.
    #[command(flatten)]
    pub options: Options,
}
