//! Processes of a test run. Each runs as the unprivileged user, in its own process group. Each wait has a deadline, and
//! each process is ended: whatever happens to the test binary, the kernel ends its children (`PR_SET_PDEATHSIG`). All
//! `unsafe` code of the harness is in this file.

use std::ffi::c_int;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// How long a test waits for anything. A hang is a failure, never a stuck run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a server may take to stop before its whole group is killed.
const STOPPING: Duration = Duration::from_secs(5);

/// The user that servers and applications run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// `www-data`, else `nobody`, when the tests run as root; the current user otherwise.
    pub(crate) fn unprivileged() -> Result<Self> {
        let current = Self::current();
        if current.uid != 0 {
            return Ok(current);
        }
        let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        ["www-data", "nobody"]
            .iter()
            .find_map(|name| Self::listed(&accounts, name))
            .context("the tests run as root and /etc/passwd has neither www-data nor nobody to run servers as")
    }

    pub(crate) fn current() -> Self {
        // SAFETY: both calls take nothing, cannot fail and touch no memory.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        Self { uid, gid }
    }

    fn listed(accounts: &str, name: &str) -> Option<Self> {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse::<u32>);
        Some(Self { uid: ids.next()?.ok()?, gid: ids.next()?.ok()? })
    }
}

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
}

/// What the kernel sends a child when the test binary has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AtParentDeath {
    /// For a server, which ends its own children too.
    Terminate,
    /// For a program that answers one request.
    Kill,
}

/// Which of the descriptors 0, 1 and 2 a process begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Starting {
    Whole,
    WithoutStdin,
    WithoutAny,
}

/// A process that a test started; its whole group is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    name: String,
    end: Option<End>,
}

impl Running {
    /// Starts `command` as `user`.
    pub(crate) fn start(
        command: Command,
        user: &User,
        at_parent_death: AtParentDeath,
    ) -> Result<Self> {
        Self::start_as(command, user, at_parent_death, Starting::Whole)
    }

    /// Starts `command` as `user`, perhaps without some of the three standard descriptors.
    pub(crate) fn start_as(
        mut command: Command,
        user: &User,
        at_parent_death: AtParentDeath,
        starting: Starting,
    ) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.process_group(0);
        if *user != User::current() {
            // The standard library also empties the supplementary groups.
            command.gid(user.gid).uid(user.uid);
        }
        let parent = std::process::id();
        let signal = match at_parent_death {
            AtParentDeath::Terminate => libc::SIGTERM,
            AtParentDeath::Kill => libc::SIGKILL,
        };
        // SAFETY: the closure runs between fork and exec and makes system calls only.
        unsafe {
            command.pre_exec(move || {
                heed_every_signal();
                follow_parent(parent, signal)?;
                close_some(starting)
            });
        }
        let child =
            start_from_lasting_thread(command).with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name, end: None })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How the process ended, or nothing while it runs.
    ///
    /// The process stays a zombie until this is dropped, so that no other group can get its group's number.
    pub(crate) fn ended(&mut self) -> Result<Option<End>> {
        if self.end.is_none() {
            self.end = peek_end(self.child.id())
                .with_context(|| format!("cannot ask how {} is", self.name))?;
        }
        Ok(self.end)
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<End> {
        let what = format!("the end of {}", self.name);
        until(patience, &what, || self.ended())
    }

    /// The process ID.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone.
    pub(crate) fn signal(&self, signal: c_int) -> Result<()> {
        send(self.pid(), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    fn pid(&self) -> c_int {
        c_int::try_from(self.child.id()).expect("the kernel's process numbers fit")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.ended(), Ok(None)) && send(self.pid(), libc::SIGTERM).is_ok() {
            let _ = self.wait(STOPPING);
        }
        let _ = send(-self.pid(), libc::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Repeats `attempt` until it returns a value; after `patience` the error names `what`.
pub(crate) fn until<T>(
    patience: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = attempt()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {} s for {what}, which did not come", patience.as_secs());
        }
        // The pause between two attempts.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a descriptor has something to read, or its other end is closed.
pub(crate) fn wait_readable(descriptor: BorrowedFd, deadline: Instant) -> Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut asked =
            libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let milliseconds = c_int::try_from(left.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: `asked` is one valid pollfd that outlives the call.
        let ready = unsafe { libc::poll(&raw mut asked, 1, milliseconds) };
        match ready {
            1.. => return Ok(()),
            0 => bail!("nothing more came within {} s: it hangs", PATIENCE.as_secs()),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error).context("cannot poll");
                }
            }
        }
    }
}

/// Makes the child end when the test binary ends, even if that happened before this call.
fn follow_parent(parent: u32, signal: c_int) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number; getppid takes nothing.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, signal) != 0 {
            return Err(io::Error::last_os_error());
        }
        if u32::try_from(libc::getppid()) != Ok(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
    }
    Ok(())
}

/// Resets all signals, as a server does. Tests that run in the background, or under `nohup`, ignore SIGINT or SIGHUP,
/// and a child would inherit that.
fn heed_every_signal() {
    for signal in 1..32 {
        // SAFETY: SIG_DFL is valid for every signal but SIGKILL and SIGSTOP, which the call refuses.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn close_some(starting: Starting) -> io::Result<()> {
    let closed: &[c_int] = match starting {
        Starting::Whole => &[],
        Starting::WithoutStdin => &[0],
        Starting::WithoutAny => &[0, 1, 2],
    };
    for descriptor in closed {
        // SAFETY: this is the child before exec, where nothing uses the standard descriptors any more.
        if unsafe { libc::close(*descriptor) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Switches a pipe's end to `O_NONBLOCK`, for all processes that share it.
pub(crate) fn non_blocking(descriptor: BorrowedFd) -> Result<()> {
    let number = descriptor.as_raw_fd();
    // SAFETY: fcntl reads and sets the flags of a descriptor that is open as long as it is borrowed.
    let outcome = unsafe {
        match libc::fcntl(number, libc::F_GETFL) {
            -1 => -1,
            flags => libc::fcntl(number, libc::F_SETFL, flags | libc::O_NONBLOCK),
        }
    };
    ensure!(outcome != -1, "cannot make a pipe non-blocking: {}", io::Error::last_os_error());
    Ok(())
}

/// How a child ended; it stays a zombie.
fn peek_end(pid: u32) -> io::Result<Option<End>> {
    let mut report = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `report` is writable memory of the right size, and all zeroes are a valid siginfo_t; si_pid and
    // si_status are the members that waitid fills.
    let (pid_of_report, code, status) = unsafe {
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_PID, pid, report.as_mut_ptr(), options) != 0 {
            return Err(io::Error::last_os_error());
        }
        let report = report.assume_init();
        (report.si_pid(), report.si_code, report.si_status())
    };
    Ok(match (pid_of_report, code) {
        (0, _) => None,
        (_, libc::CLD_EXITED) => Some(End::Code(status)),
        _ => Some(End::Signal(status)),
    })
}

fn send(pid: c_int, signal: c_int) -> io::Result<()> {
    // SAFETY: kill takes two numbers; the target is an unreaped child of ours or its group.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The processes that have loaded this file.
pub(crate) fn loaded_by(file: &Path) -> Result<Vec<c_int>> {
    let entries = fs::read_dir("/proc").context("cannot read /proc")?.flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let name = file.to_str().context("the path is not UTF-8")?;
    // The maps of a process that has ended, or is another user's, cannot be read.
    let has_loaded = |pid: &c_int| {
        fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains(name))
    };
    Ok(numbers.filter(has_loaded).collect())
}

/// Whether a process has left the session of the process that started it.
pub(crate) fn leads_session(pid: c_int) -> bool {
    // SAFETY: getsid takes a number.
    unsafe { libc::getsid(pid) == pid }
}

/// Asks a process to end; it may have ended already.
pub(crate) fn terminate(pid: c_int) {
    let _ = send(pid, libc::SIGTERM);
}

/// Sends a signal to a process that is not a child of the tests, such as a zygote.
pub(crate) fn kill(pid: c_int, signal: c_int) -> Result<()> {
    ensure!(pid > 1, "{pid} is not one process");
    match send(pid, signal) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            Err(error).with_context(|| format!("cannot signal {pid}"))
        }
        _ => Ok(()),
    }
}

/// Does something with the rights of `user`, in a new thread, because the thread cannot regain its own rights.
pub(crate) fn as_user<T: Send>(user: &User, action: impl FnOnce() -> T + Send) -> Result<T> {
    let user = user.clone();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            if user != User::current() {
                // SAFETY: the system call, unlike the C library's function, changes this thread alone.
                let result = unsafe { libc::syscall(libc::SYS_setresuid, -1, user.uid, -1) };
                ensure!(result == 0, "cannot be {user:?}: {}", io::Error::last_os_error());
            }
            Ok(action())
        });
        thread.join().map_err(|_| anyhow::anyhow!("the thread of {} panicked", "another user"))?
    })
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// Forks from a thread that lives as long as the test binary: `PR_SET_PDEATHSIG` acts when the parent *thread* ends,
/// and the threads of libtest-mimic end before the run does.
fn start_from_lasting_thread(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, outcome) = mpsc::channel();
    let gone = |_| io::Error::other("the thread that starts processes is gone");
    orders
        .lock()
        .map_err(|_| io::Error::other("the thread that starts processes panicked"))?
        .send((command, answer))
        .map_err(|_| io::Error::other("the thread that starts processes is gone"))?;
    outcome.recv().map_err(gone)?
}
