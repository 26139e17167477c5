//! The code is right, and something around it is not: files and rights, variables, limits, libraries of the system.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use super::{Case, Remedy, word};
use crate::handoff::Source;

impl Case<'_> {
    /// A library of the system, or a locale.
    pub(super) fn of_system(&self) -> Option<Remedy> {
        let text = self.text();
        let is_library = text.contains("cannot open shared object file")
            && (self.is("ImportError") || self.is("OSError"));
        if is_library {
            let library = text.split(':').next().unwrap_or_default();
            let search = format!("apt-file search {}", word(library));
            let advice = format!(
                "install the package that has it (Debian: {search}), or name its directory in LD_LIBRARY_PATH in the \
                 server's configuration"
            );
            let why = format!("the system library {library} is missing");
            return Some(Remedy::new(why, advice).command(search));
        }
        if self.is("UnicodeError") && text.starts_with("'ascii' codec can't") {
            return self.python.variable("PYTHONUTF8").filter(|value| value == "0").map(|_| {
                let why = "PYTHONUTF8 is 0, and files have the locale's encoding unless the code names one";
                Remedy::new(why, "leave PYTHONUTF8 out, or write encoding=\"utf-8\"")
                    .command("unset PYTHONUTF8")
            });
        }
        (text == "unsupported locale setting").then(|| {
            Remedy::new(
                "this machine does not have that locale",
                "locale -a lists those that exist (Debian: dpkg-reconfigure locales), and C.UTF-8 is always there",
            )
        })
    }

    /// A variable that a shell has and a server's process has not.
    pub(super) fn of_variable(&self) -> Option<Remedy> {
        let innermost = self.raised.frames.first()?;
        let is_environ = innermost.function == "__getitem__"
            && (innermost.file.ends_with("os.py") || innermost.file.as_os_str() == "<frozen os>");
        if !(self.is("KeyError") && is_environ) {
            return None;
        }
        let name = self.raised.key.as_deref()?;
        let why = format!("the environment variable {name} is not set");
        let advice = format!(
            "a server passes on only what its configuration sets (Apache: SetEnv {name} ..., nginx: fastcgi_param), not \
             the variables of a shell"
        );
        let remedy = Remedy::new(why, advice);
        Some(remedy.command(format!("export {}=...", word(name))))
    }

    /// A file that this user may not use, or that is looked for elsewhere.
    pub(super) fn of_access(&self) -> Option<Remedy> {
        let user = rustix::process::geteuid().as_raw();
        let file = self.raised.filename.as_deref();
        let text = self.text();
        if self.is("PermissionError") {
            let path = Path::new(file?);
            let shown = path.display();
            if path.extension() == Some("py".as_ref()) {
                let why = format!("this process runs as user {user}, who must be able to read it");
                return Some(Remedy::new(why, format!("chmod a+r {shown}")));
            }
            let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
            let directory =
                directory.map_or_else(String::new, |it| format!(" and {}", it.display()));
            let advice = format!(
                "give that user the right to {shown}{directory}, or let the application use another place"
            );
            return Some(Remedy::new(format!("this process runs as user {user}"), advice));
        }
        let here = self.python.here();
        if self.is("FileNotFoundError") {
            let file = file.filter(|file| !file.is_empty() && !file.starts_with('/'))?;
            let why = format!("{file} is relative to the current directory, {}", here.display());
            let remedy = Remedy::new(why, "write the path from __file__, or give --chdir");
            let above = here.ancestors().skip(1).take(2).find(|it| it.join(file).exists());
            return Some(match above {
                Some(above) => remedy.command(format!(
                    "cgi2wsgi check --chdir {} {}",
                    word(above),
                    word(self.name())
                )),
                None => remedy,
            });
        }
        let is_database = text.contains("unable to open database file")
            || text.contains("attempt to write a readonly database");
        is_database.then(|| {
            let why = format!(
                "SQLite needs to write to the database file and to the directory that it is in, as user {user}; a \
                 relative path begins at {}",
                here.display()
            );
            Remedy::new(why, "")
        })
    }

    /// No room on a disk or in memory.
    pub(super) fn of_room(&self) -> Option<Remedy> {
        if self.is("MemoryError") {
            let limit = getrlimit(Resource::As).current? >> 20;
            let why = format!("a process may have {limit} MiB of memory (RLIMIT_AS)");
            let advice =
                "raise that limit (Apache: RLimitMEM; systemd: LimitAS; a shell: ulimit -v)";
            return Some(Remedy::new(why, advice).command("ulimit -v unlimited"));
        }
        let is_over_quota = self.raised.errno == Some(libc::EDQUOT);
        let is_full = is_over_quota || self.raised.errno == Some(libc::ENOSPC);
        (self.is("OSError") && is_full).then(|| {
            let place = match &self.raised.filename {
                Some(file) => format!("the file system of {file}"),
                None => "a file system".to_owned(),
            };
            let user = rustix::process::geteuid().as_raw();
            let told = match self.raised.filename {
                Some(_) => "",
                None => " (the traceback shows which file)",
            };
            let why = if is_over_quota {
                format!("user {user} has used up the quota of {place}{told}")
            } else {
                format!("{place} is full{told}")
            };
            Remedy::new(why, "make room there")
        })
    }

    /// Modules of another Python in PYTHONPATH.
    pub(super) fn of_pythonpath(&self) -> Option<Remedy> {
        let given = self.python.variable("PYTHONPATH")?;
        let file = match &self.raised.filename {
            Some(file) => Path::new(file),
            None => &self.raised.frames.first()?.file,
        };
        let directory = std::env::split_paths(&given)
            .find(|directory| !directory.as_os_str().is_empty() && file.starts_with(directory))?;
        let is_own = match &self.application.source {
            Source::File(own) => file == own,
            Source::Module(_) => false,
        };
        (!is_own).then(|| {
            let why =
                format!("{} is imported from PYTHONPATH, {}", file.display(), directory.display());
            let version = self.version();
            let advice = format!(
                "unset it if its modules are those of another Python than this one, {version}"
            );
            Remedy::new(why, advice).command("unset PYTHONPATH")
        })
    }
}
