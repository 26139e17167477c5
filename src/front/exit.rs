//! The exit statuses of this program, and the one end that is none.

/// Exit status: the application failed, the response was cut, or the front had to answer for it.
pub const FAILED: u8 = 1;

/// Exit status: the command line or the set-up is wrong.
pub const MISCONFIGURED: u8 = 2;

/// Ends this process by `signal`, so that whoever started it sees how it ended. Returns only if the signal is blocked
/// or ignored.
pub fn die_of(signal: i32) {
    // SAFETY: the sets and the limit are initialized before they are used, and all of these are valid calls for any
    // signal number; no core of this process is of use to anybody.
    unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(signal, libc::SIG_DFL);
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        libc::raise(signal);
    }
}
