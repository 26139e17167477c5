//! Programs of the system that the bench compares with. A missing one is installed, as `tests/run` does it, or the
//! error names the command that installs it: no peer is left out.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::User;
use crate::stage::run;
use crate::terminal;

/// A program of the system, and Debian's package of it. None of them has a daemon.
pub(crate) struct Package {
    name: &'static str,
    places: &'static [&'static str],
}

/// The CGI interpreter that most hosts have.
pub(crate) const PHP_CGI: Package =
    Package { name: "php-cgi", places: &["/usr/bin/php-cgi", "/usr/local/bin/php-cgi"] };

pub(crate) const APACHE: Package = Package {
    name: "apache2-bin",
    places: &["/usr/sbin/apache2", "/usr/sbin/httpd", "/usr/local/sbin/httpd"],
};

impl Package {
    /// The program, if it is installed.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        self.places.iter().map(PathBuf::from).find(|place| place.is_file())
    }

    /// The program, installed if need be.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        if let Some(found) = self.find() {
            return Ok(found);
        }
        let Self { name, places } = self;
        let advice =
            format!("there is none of {places:?}: install it (Debian: apt-get install {name})");
        if User::current().uid != 0 || !Path::new("/usr/bin/apt-get").is_file() {
            bail!(advice);
        }
        terminal::progress(&format!("   installing {name} (apt-get)"));
        let install = format!("apt-get install --yes --no-install-recommends {name}");
        apt_get(&install, Path::new("/")).with_context(|| advice.clone())?;
        self.find().context(advice)
    }
}

/// Unpacks Debian's `package` into `directory`, and installs nothing.
pub(crate) fn unpack(package: &str, directory: &Path) -> Result<()> {
    let advice = format!("install it (Debian: apt-get install {package})");
    apt_get(&format!("apt-get download {package}"), directory).with_context(|| advice.clone())?;
    let unpack = format!("dpkg -x {package}_*.deb .");
    run(Command::new("sh").args(["-c", &unpack]).current_dir(directory)).context(advice)
}

/// Runs a command of apt; if it fails, again after `apt-get update`.
fn apt_get(command: &str, directory: &Path) -> Result<()> {
    let script = format!("{command} || {{ apt-get update && {command}; }}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(directory).env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut shell)
}
