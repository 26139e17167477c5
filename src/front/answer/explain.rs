//! Why the application could not be started: which Python, how it ended, what that usually means and what to do.

use std::io;
use std::process::ExitStatus;

use rustix::process::{Resource, getrlimit};

use crate::cgi::variables::Variables;
use crate::front::find::way::obstacle_to_enter;
use crate::front::plan::Plan;
use crate::front::supervise::{NotBegun, ended};

/// The reason for the log.
pub(super) fn not_begun(why: &NotBegun, plan: &Plan, variables: &Variables) -> String {
    let python = plan.interpreter.executable.display();
    match why {
        NotBegun::NotStarted(error) => format!(
            "the Python {python} cannot be started: {error}{}",
            closed_directory(error, plan).or_else(|| hint_for(error)).unwrap_or_default()
        ),
        NotBegun::NoWorker(error) => format!("{error:#}"),
        NotBegun::Unusable(reason) => {
            format!("the Python {python} cannot run the application: {reason}; {}", cure(reason))
        }
        NotBegun::Gone { how, was_loaded: false } => format!(
            "the Python {python} does not start: its process {} before it had loaded the worker; {}",
            ended(*how),
            why_not_started(*how, variables)
        ),
        NotBegun::Gone { how, was_loaded: true } => format!(
            "the worker's process {} before it had begun the request; {}",
            ended(*how),
            surroundings(variables)
        ),
        NotBegun::OtherBuild(build) => format!(
            "the worker {} is of build {build}: install front and worker from the same build",
            plan.worker.file().display()
        ),
        NotBegun::Stale => "the application changed while it was imported".to_owned(),
        NotBegun::Cold(reason) => reason.clone(),
        NotBegun::TimedOut => format!(
            "the application was not started within --timeout, {} s: the Python {python} or what it imports at \
             its start takes longer than that, or requests wait in line",
            plan.deadline.map(|deadline| deadline.timeout.as_secs_f64()).unwrap_or_default()
        ),
        NotBegun::NoSignals(error) => {
            format!("the system cannot report signals (signalfd): {error}")
        }
    }
}

/// The error may concern the working directory, which the child enters before it executes Python.
fn closed_directory(error: &io::Error, plan: &Plan) -> Option<String> {
    let is_possible = matches!(error.raw_os_error()?, libc::EACCES | libc::ENOENT);
    let obstacle = obstacle_to_enter(&plan.service.application.directory);
    obstacle.filter(|_| is_possible).map(|obstacle| format!("; {obstacle}"))
}

fn hint_for(error: &io::Error) -> Option<String> {
    match error.raw_os_error()? {
        libc::EAGAIN => {
            let most = getrlimit(Resource::Nproc).current;
            let most = most.map_or("none".to_owned(), |most| most.to_string());
            Some(format!(
                "; a request needs two processes: the limit on this user's processes (RLIMIT_NPROC, \
                 Apache's RLimitNPROC) is {most}"
            ))
        }
        libc::ENOMEM => Some(limit_of_memory().unwrap_or_default()),
        libc::EACCES => Some(
            "; is it a file that this user may execute, on a file system that is \
                              not mounted noexec?"
                .to_owned(),
        ),
        libc::ENOEXEC => Some("; it is not an executable for this machine".to_owned()),
        _ => None,
    }
}

/// The probable reason why a Python ended before it had loaded the worker.
fn why_not_started(how: Option<ExitStatus>, variables: &Variables) -> String {
    const ANOTHER: &str = "cgi2wsgi needs CPython 3.9 or newer: name another with --python";
    let is_set = |name| variables.get_os(name).is_some();
    match how.and_then(|how| how.code()) {
        // Every Python 3 understands the options that cgi2wsgi gives it.
        Some(2) => {
            format!("it does not understand -X utf8 (Python 2 does not); {ANOTHER}")
        }
        Some(0) => format!("it is not a Python; {ANOTHER}"),
        Some(1) if !is_set("PYTHONHOME") && is_set("PYTHONPATH") => format!(
            "PYTHONPATH is set, to {:?}: unset it if its modules are those of another Python",
            variables.get_os("PYTHONPATH").unwrap_or_default()
        ),
        _ => surroundings(variables),
    }
}

/// What to do about the reason that the Python itself has reported.
fn cure(reason: &str) -> String {
    const THERE: &str = "install the one for that Python, or build it there with pip install .";
    let Some((_, said)) = reason.split_once(" cannot load the worker: ") else {
        return "cgi2wsgi needs CPython 3.9 or newer, a usual build: name another with --python, or \
                make the virtual environment with it"
            .to_owned();
    };
    let says = |text: &str| said.contains(text);
    // glibc skips a file for another processor, and then reports that there is no such file.
    let is_of_another_processor = says("wrong ELF class")
        || (said.starts_with('/')
            && said.ends_with("cannot open shared object file: No such file or directory"))
        || says("Exec format error");
    if is_of_another_processor {
        format!("this cgi2wsgi is for {}, and that Python is not: {THERE}", std::env::consts::ARCH)
    } else if says("Error loading shared library") || says("Error relocating") {
        format!("this cgi2wsgi is for glibc, and that Python uses musl, as on Alpine: {THERE}")
    } else if says("GLIBC_") {
        format!("this cgi2wsgi was built on a system with a newer glibc: {THERE}")
    } else if says("failed to map segment") {
        "is it on a file system that is mounted noexec? Nothing there can be run".to_owned()
    } else {
        "install front and worker again, from the same build".to_owned()
    }
}

/// What most often keeps a Python from starting.
fn surroundings(variables: &Variables) -> String {
    if let Some(home) = variables.get_os("PYTHONHOME") {
        return format!(
            "PYTHONHOME is set, to {home:?}: unset it, or let it name where this Python is installed"
        );
    }
    if let Some(limit) = limit_of_memory() {
        return limit.trim_start_matches("; ").to_owned();
    }
    "what it wrote, if anything, is above this line; if it is not a Python, name one with --python"
        .to_owned()
}

fn limit_of_memory() -> Option<String> {
    let (name, most) = [("RLIMIT_AS", Resource::As), ("RLIMIT_DATA", Resource::Data)]
        .into_iter()
        .find_map(|(name, resource)| Some((name, getrlimit(resource).current?)))?;
    Some(format!(
        "; the memory of a process is limited to {} MiB ({name}, ulimit -v, Apache's RLimitMEM): \
         Python needs more, about 64 MiB for a small application",
        most >> 20
    ))
}

#[cfg(test)]
mod tests {
    use super::cure;

    #[test]
    fn the_cure_is_for_what_the_loader_says() {
        let worker = "Python 3.11.2 cannot load the worker: /w/cgi2wsgi_worker-0123.so: ";
        let loaders = "cannot open shared object file: No such file or directory";
        for (said, expected) in [
            (format!("{worker}{loaders}"), "that Python is not"),
            (
                format!("Python 3.9.1 cannot load the worker: libx.so.1: {loaders}"),
                "from the same build",
            ),
            (format!("{worker}wrong ELF class: ELFCLASS64"), "that Python is not"),
            (format!("{worker}libc.so.6: version `GLIBC_2.34' not found"), "newer glibc"),
            (format!("{worker}failed to map segment from shared object"), "noexec"),
            (format!("{worker}invalid ELF header"), "from the same build"),
            (
                "Python 3.11.2 cannot load the worker: Error loading shared library \
                 ld-linux-x86-64.so.2: No such file or directory (needed by /w/w.so)"
                    .to_owned(),
                "uses musl",
            ),
            ("it is Python 3.8.18".to_owned(), "CPython 3.9 or newer"),
        ] {
            assert!(cure(&said).contains(expected), "{said}: {}", cure(&said));
        }
    }
}
