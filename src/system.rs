//! System calls that no safe function of a library covers: processes and signals by number, and descriptors of which
//! only the number is known. All `unsafe` of the front is here.
//!
//! Left out: what a caller decides. Each function is one or two calls, and says when it may be used.

#[cfg(feature = "front")]
use std::alloc::{GlobalAlloc, Layout};
#[cfg(feature = "front")]
use std::cell::UnsafeCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
#[cfg(feature = "front")]
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[cfg(feature = "front")]
use dlmalloc::Dlmalloc;
use rustix::process::{Pid, Signal};

/// In which process a fork returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// This is the new process.
    Child,
    /// This is the old process, and this is its child.
    Parent(Pid),
}

/// Forks. Only for a process that has one thread: then the child may call everything that its parent may.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: there is no other thread that could hold a lock.
    match unsafe { libc::fork() } {
        0 => Ok(Fork::Child),
        pid => positive(pid).map(Fork::Parent),
    }
}

/// Waits for the end of a child of this process.
pub fn wait_for(child: Pid) -> io::Result<ExitStatus> {
    loop {
        match wait(child.as_raw_pid(), 0) {
            Ok(ended) => return Ok(ended.map_or_else(ExitStatus::default, |(_, status)| status)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// How `child` has ended, if it has; for `None`, how any child of this process has.
pub fn try_wait(child: Option<Pid>) -> io::Result<Option<(Pid, ExitStatus)>> {
    wait(child.map_or(-1, Pid::as_raw_pid), libc::WNOHANG)
}

fn wait(pid: i32, flags: i32) -> io::Result<Option<(Pid, ExitStatus)>> {
    let mut status = 0;
    // SAFETY: waits for children of this process only.
    match unsafe { libc::waitpid(pid, &raw mut status, flags) } {
        0 => Ok(None),
        pid => positive(pid).map(|pid| Some((pid, ExitStatus::from_raw(status)))),
    }
}

/// The process that a system call returned, or its error.
fn positive(pid: i32) -> io::Result<Pid> {
    let pid = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw);
    pid.ok_or_else(io::Error::last_os_error)
}

/// Sends a signal of any number. A process that is gone is no error.
pub fn kill(pid: Pid, number: i32) {
    // SAFETY: kill has no preconditions.
    unsafe { libc::kill(pid.as_raw_pid(), number) };
}

/// A signal of this number, for functions that take no number.
pub fn signal(number: i32) -> Option<Signal> {
    let is_free = (35..=64).contains(&number);
    // SAFETY: a real-time signal that no C library keeps for itself.
    Signal::from_named_raw(number)
        .or_else(|| is_free.then(|| unsafe { Signal::from_raw_unchecked(number) }))
}

/// Becomes another user with these groups, irrevocably. Only for a process of root that has one thread.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let done = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: the list is as long as it says; the calls have no other preconditions.
    unsafe {
        done(libc::setgroups(groups.len(), groups.as_ptr()))?;
        done(libc::setgid(gid))?;
        done(libc::setuid(uid))
    }
}

/// What a signal does to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// What the system does by default.
    Default,
    /// Nothing.
    Ignored,
    /// It calls a function.
    Handled,
}

/// What a signal does.
pub fn disposition(number: i32) -> Disposition {
    // SAFETY: a zeroed sigaction is a valid one to be written to.
    let handler = unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(number, std::ptr::null(), &raw mut action);
        action.sa_sigaction
    };
    match handler {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignored,
        _ => Disposition::Handled,
    }
}

/// Ignores a signal from now on, or gives it its default action.
pub fn set_ignored(number: i32, is_ignored: bool) {
    let disposition = if is_ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: both are valid dispositions.
    unsafe { libc::signal(number, disposition) };
}

/// The blocked signals, signal 1 as the lowest bit.
pub fn signal_mask() -> u64 {
    // SAFETY: the call initializes the set.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set);
        (1..=64)
            .filter(|signal| libc::sigismember(&raw const set, *signal) == 1)
            .fold(0, |mask, signal| mask | 1 << (signal - 1))
    }
}

/// Blocks exactly the signals of `mask`.
pub fn set_signal_mask(mask: u64) {
    let set = set_of((1..=64).filter(|signal| mask >> (signal - 1) & 1 == 1));
    // SAFETY: the set is a valid one.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
}

/// Blocks these signals and gives a descriptor from which they are read, closed on exec and non-blocking.
pub fn signal_descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    let before = signal_mask();
    let set = set_of(signals.iter().copied());
    // SAFETY: the set is a valid one, and the descriptor is new.
    unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        let descriptor = libc::signalfd(-1, &raw const set, flags);
        if descriptor >= 0 {
            return Ok(OwnedFd::from_raw_fd(descriptor));
        }
    }
    let error = io::Error::last_os_error();
    set_signal_mask(before);
    Err(error)
}

fn set_of(signals: impl Iterator<Item = i32>) -> libc::sigset_t {
    // SAFETY: sigemptyset initializes the set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// Ends this process by a signal, so that its parent sees how it ended. Returns only if that is not possible.
pub fn die_of(number: i32) {
    // SAFETY: the limit is initialized, and the calls are valid for any signal; no core of this process is of use.
    unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
    }
    set_ignored(number, false);
    set_signal_mask(signal_mask() & !(1 << (number - 1)));
    // SAFETY: raise has no preconditions.
    unsafe { libc::raise(number) };
}

/// Ends this process at once, without running exit handlers.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit does not return.
    unsafe { libc::_exit(status) }
}

/// Sets a variable of this process' environment. To be used while there is no other thread.
pub fn set_variable(name: &str, value: &str) {
    // SAFETY: there is no other thread that could read the environment.
    unsafe { std::env::set_var(name, value) };
}

/// Removes a variable of this process' environment. To be used while there is no other thread.
pub fn remove_variable(name: &str) {
    // SAFETY: as above.
    unsafe { std::env::remove_var(name) };
}

/// Flushes all streams of the C library.
pub fn flush_streams() {
    // SAFETY: fflush(NULL) flushes every stream.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// The interval timers of this process (`setitimer`, `alarm`), which no child inherits.
#[derive(Debug)]
pub struct IntervalTimers(Vec<(i32, libc::itimerval)>);

impl IntervalTimers {
    /// Stops them. Returns the time that each running timer had left.
    pub fn stop() -> Self {
        let which = [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF];
        let timers = which.map(|which| {
            // SAFETY: zeroes stop a timer, and are a valid value to be written to.
            unsafe {
                let stopped = std::mem::zeroed::<libc::itimerval>();
                let mut left = std::mem::zeroed::<libc::itimerval>();
                libc::setitimer(which, &raw const stopped, &raw mut left);
                (which, left)
            }
        });
        let runs = |left: &libc::itimerval| left.it_value.tv_sec != 0 || left.it_value.tv_usec != 0;
        Self(timers.into_iter().filter(|(_, left)| runs(left)).collect())
    }

    /// Starts them in this process with the time that was left.
    pub fn start(&self) {
        for (which, left) in &self.0 {
            // SAFETY: the value is one that the system gave.
            unsafe { libc::setitimer(*which, left, std::ptr::null_mut()) };
        }
    }
}

/// Sets close-on-exec on every descriptor from 3 on, and clears it on those in `kept`.
pub fn keep_only_on_exec(kept: &[RawFd]) {
    const CLOSE_ON_EXEC: libc::c_uint = 4;
    // SAFETY: flags of descriptors of this process are changed.
    let is_done =
        unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_ON_EXEC) == 0 };
    if !is_done {
        // Linux before 5.11.
        let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        for number in numbers.filter(|number: &RawFd| *number > 2) {
            // SAFETY: as above.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    for number in kept {
        // SAFETY: as above.
        unsafe { libc::fcntl(*number, libc::F_SETFD, 0) };
    }
}

/// An error if the system does not let code be run from `file`. Maps it as a dynamic loader does.
pub fn expect_executable(file: impl AsFd) -> io::Result<()> {
    const PAGE: usize = 4096;
    let protection = libc::PROT_READ | libc::PROT_EXEC;
    let descriptor = file.as_fd().as_raw_fd();
    // SAFETY: maps a page at no address in particular that is never read, and gives it back.
    unsafe {
        let none = std::ptr::null_mut();
        let page = libc::mmap(none, PAGE, protection, libc::MAP_PRIVATE, descriptor, 0);
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        libc::munmap(page, PAGE);
    }
    Ok(())
}

/// Closes the descriptor of this number. To be used when nothing that still runs refers to it.
pub fn close(number: RawFd) {
    // SAFETY: a number that is not open is an error, which is ignored.
    unsafe { libc::close(number) };
}

/// Closes a descriptor whose owner is never dropped, as in a forked child.
pub fn close_borrowed(descriptor: impl AsFd) {
    close(descriptor.as_fd().as_raw_fd());
}

/// The descriptor of a number that was opened for this process, and that nothing else refers to.
pub fn owned(number: RawFd) -> OwnedFd {
    // SAFETY: it was opened for the caller.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Another descriptor of the same open file, closed on exec; an error if `number` is not open.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a number that is not open is an error; else the new descriptor has no other owner.
    unsafe {
        let copy = libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3);
        if copy < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(copy)) }
    }
}

/// The memory allocator of an executable that starts no thread. musl's own allocator makes a system call or two for the
/// first allocation of each size, and a start has thirty sizes; dlmalloc takes memory from the system 64 KiB at a time.
/// With a lock around it, as the crate has it, a warm request took a tenth more time: a front calls it 1,900 times.
///
/// If a second thread allocates after all, the process is aborted.
#[cfg(feature = "front")]
pub struct OneThreadAllocator {
    heap: UnsafeCell<Dlmalloc>,
    /// The place of [`HERE`] in the thread that allocates; 0 before the first allocation.
    thread: AtomicUsize,
}

#[cfg(feature = "front")]
thread_local! {
    /// Each thread has it at another address.
    static HERE: u8 = const { 0 };
}

#[cfg(feature = "front")]
impl OneThreadAllocator {
    /// Without memory.
    #[expect(clippy::new_without_default, reason = "it is for a static")]
    pub const fn new() -> Self {
        Self { heap: UnsafeCell::new(Dlmalloc::new()), thread: AtomicUsize::new(0) }
    }

    fn is_own_thread(&self) -> bool {
        let here = HERE.with(|here| std::ptr::from_ref(here).addr());
        let thread = self.thread.load(Relaxed);
        thread == here
            || (thread == 0 && self.thread.compare_exchange(0, here, Relaxed, Relaxed).is_ok())
    }

    fn heap(&self) -> *mut Dlmalloc {
        if !self.is_own_thread() {
            std::process::abort();
        }
        self.heap.get()
    }
}

// SAFETY: one thread alone gets a pointer to the heap.
#[cfg(feature = "front")]
unsafe impl Sync for OneThreadAllocator {}

// SAFETY: dlmalloc keeps the contract. It calls nothing that allocates, and no signal handler of the front does, so no
// two references to the heap are in use at once.
#[cfg(feature = "front")]
unsafe impl GlobalAlloc for OneThreadAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { (*self.heap()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { (*self.heap()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above; the block is from here.
        unsafe { (*self.heap()).free(block, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; the block is from here.
        unsafe { (*self.heap()).realloc(block, layout.size(), layout.align(), size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_what_it_was_set_to() {
        // The mask is this thread's.
        let before = signal_mask();
        set_signal_mask(1 << (libc::SIGUSR1 - 1) | 1 << 63);
        assert_eq!(signal_mask(), 1 << (libc::SIGUSR1 - 1) | 1 << 63);
        set_signal_mask(before);
        assert_eq!(signal_mask(), before);
    }

    #[test]
    fn a_number_that_is_not_open_has_no_copy() {
        assert!(duplicate(-1).is_err());
        let null = std::fs::File::open("/dev/null").expect("everybody can");
        let copy = duplicate(null.as_raw_fd()).expect("it is open");
        assert_ne!(copy.as_raw_fd(), null.as_raw_fd());
    }

    #[test]
    fn signals_with_and_without_a_name_are_known() {
        assert_eq!(signal(libc::SIGKILL), Some(Signal::KILL));
        assert!(signal(61).is_some());
        assert!(signal(0).is_none() && signal(33).is_none() && signal(65).is_none());
    }

    #[cfg(feature = "front")]
    #[test]
    fn one_thread_alone_allocates() {
        let allocator = OneThreadAllocator::new();
        let layout = Layout::from_size_align(100, 64).expect("a layout");
        // SAFETY: the block is used as it was asked for, and given back once.
        unsafe {
            let block = allocator.alloc_zeroed(layout);
            assert!(block.addr().is_multiple_of(64) && (0..100).all(|at| *block.add(at) == 0));
            block.write(7);
            let block = allocator.realloc(block, layout, 5000);
            assert_eq!(block.read(), 7);
            allocator.dealloc(block, Layout::from_size_align(5000, 64).expect("a layout"));
        }
        assert!(allocator.is_own_thread());
        assert!(!std::thread::scope(|scope| {
            scope.spawn(|| allocator.is_own_thread()).join().expect("it ends")
        }));
    }
}
