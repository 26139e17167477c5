//! What is done about each kind of descriptor that the import left open: the table of `docs/fork-safety.md`.
//!
//! The rule: a child must see what a separate process would. What such a process shares with others too is harmless.
//! What it would have for itself is renewed in each child. For what cannot be renewed there is a [`Finding`], and the
//! application is started normally.

use std::fmt;

use rustix::fs::OFlags;
use rustix::net::{AddressFamily, SocketType};

use super::descriptor::{Address, Descriptor, Kind, Socket};
use crate::cgi::file_id::FileId;

/// The largest unnamed file, or memory, that a child copies, in bytes: a microsecond or two for each page.
pub(super) const LARGEST_COPY: u64 = 1 << 20;

/// What is done about a descriptor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can be shared.
    Harmless,
    /// Each child opens the file once more.
    Reopen,
    /// Each child has a copy of the file, which has no name.
    Copy,
    /// It is a copy of standard error: each child makes it a copy of its own standard error.
    StandardError,
    /// Each child makes it anew, if it belongs to this process alone; else this is the finding.
    MakeAnew(Finding),
    /// It can be neither shared nor renewed.
    Shared(Finding),
}

/// Why an application is started normally, and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    what: String,
    cure: String,
}

impl Finding {
    pub(super) fn new(what: &str, cure: &str) -> Self {
        Self { what: what.to_owned(), cure: cure.to_owned() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, cure } = self;
        write!(formatter, "the import left {what}, which all requests would share: {cure}")
    }
}

const NAMESPACES: [&str; 8] =
    ["cgroup:[", "ipc:[", "mnt:[", "net:[", "pid:[", "time:[", "user:[", "uts:["];

const CONNECT_LATER: &str =
    "connect in the request, or close the connection at the end of the import";

/// Decides about one descriptor. `standard_error` is that of the import.
pub(super) fn decide(descriptor: &Descriptor, standard_error: Option<FileId>) -> Verdict {
    let target = &descriptor.target;
    let shared = |what: String, cure: &str| Verdict::Shared(Finding::new(&what, cure));
    if descriptor.flags.contains(OFlags::PATH) {
        // It has no position, and nothing can be read from it.
        return Verdict::Harmless;
    }
    if descriptor.is_locked() {
        return shared(format!("{target:?} locked"), "open and lock it in the request");
    }
    if descriptor.flags.bits() & libc::O_ASYNC.unsigned_abs() != 0 {
        return shared(format!("{target:?} open with O_ASYNC"), "open it in the request");
    }
    match &descriptor.kind {
        Kind::File { .. } if descriptor.file == standard_error => Verdict::StandardError,
        Kind::File { has_name: false, size, .. } if descriptor.is_written() => {
            let is_log = !descriptor.is_read() && descriptor.flags.contains(OFlags::APPEND);
            match *size {
                // It cannot be read.
                _ if is_log => Verdict::Harmless,
                size if size <= LARGEST_COPY => Verdict::Copy,
                size => shared(
                    format!("{target:?}, {size} bytes, open for writing"),
                    "make it in the request",
                ),
            }
        }
        Kind::File { is_sqlite: true, .. } if descriptor.is_written() => shared(
            format!("the SQLite database {target:?} open"),
            "close the connection at the end of the import (Django: connections.close_all(), \
             SQLAlchemy: engine.dispose())",
        ),
        Kind::File { .. } | Kind::BlockDevice
            if descriptor.is_written() && !descriptor.flags.contains(OFlags::APPEND) =>
        {
            shared(
                format!("{target:?} open for writing"),
                "open it in the request, or for appending",
            )
        }
        Kind::File { .. } | Kind::BlockDevice | Kind::Directory => Verdict::Reopen,
        Kind::CharacterDevice { major, minor } => match (major, minor) {
            // Memory (null, zero, full, random, urandom), and terminals, except the device that makes one (`ptmx`).
            (1 | 4 | 136..=143, _) | (5, 0 | 1) => Verdict::Harmless,
            _ => shared(format!("the device {target:?} open"), "open it in the request"),
        },
        Kind::Pipe => {
            let finding =
                Finding::new(&format!("a pipe open ({target:?})"), "open it in the request");
            if target.as_encoded_bytes().starts_with(b"/") {
                return Verdict::Shared(finding);
            }
            Verdict::MakeAnew(finding)
        }
        Kind::Socket(socket) => of_socket(socket),
        Kind::Anonymous => of_anonymous(&target.to_string_lossy()),
    }
}

fn of_socket(socket: &Socket) -> Verdict {
    let shared = |what: String, cure: &str| Verdict::Shared(Finding::new(&what, cure));
    let is_internet = matches!(socket.family, AddressFamily::INET | AddressFamily::INET6);
    if socket.listens {
        let own = socket.own.as_ref().unwrap_or(&Address::Other);
        return shared(format!("a listening socket open at {own}"), "listen in the request");
    }
    match &socket.peer {
        Some(Address::Unnamed) => Verdict::MakeAnew(Finding::new(
            "one of a pair of sockets open",
            "make the pair in the request",
        )),
        // Datagrams that are sent do not mix.
        Some(Address::Internet(_) | Address::Unix(_)) | None
            if socket.kind == SocketType::DGRAM
                && (is_internet
                    || (socket.family == AddressFamily::UNIX
                        && matches!(&socket.own, None | Some(Address::Unnamed)))) =>
        {
            Verdict::Harmless
        }
        Some(peer) => shared(format!("a connection to {peer} open"), CONNECT_LATER),
        None => match &socket.own {
            Some(own @ (Address::Internet(_) | Address::Unix(_))) => {
                shared(format!("a socket open at {own}"), "open it in the request")
            }
            _ => shared(
                format!("a socket open (family {})", socket.family.as_raw()),
                "open it in the request",
            ),
        },
    }
}

fn of_anonymous(target: &str) -> Verdict {
    let shared = |what: &str, cure: &str| Verdict::Shared(Finding::new(what, cure));
    match target {
        // Each process reads its own signals.
        "anon_inode:[signalfd]" => Verdict::Harmless,
        // They have no state.
        _ if NAMESPACES.iter().any(|kind| target.starts_with(kind)) => Verdict::Harmless,
        "anon_inode:[eventpoll]" => Verdict::MakeAnew(Finding::new(
            "an event loop open (epoll)",
            "make the loop in the request",
        )),
        "anon_inode:[eventfd]" => {
            Verdict::MakeAnew(Finding::new("an eventfd open", "make it in the request"))
        }
        "anon_inode:inotify" | "anon_inode:[fanotify]" => {
            shared("a watch for file changes open (inotify)", "start the watch in the request")
        }
        "anon_inode:[timerfd]" => shared("a timer open (timerfd)", "set it in the request"),
        "anon_inode:[pidfd]" => {
            shared("a process open (pidfd)", "start the process in the request")
        }
        _ => shared(&format!("{target:?} open"), "open it in the request"),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internet(address) => address.fmt(formatter),
            Self::Unix(name) => write!(formatter, "{name:?}"),
            Self::Unnamed => formatter.write_str("a socket without a name"),
            Self::Other => formatter.write_str("an unknown address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(target: &str, flags: i32, kind: Kind) -> Descriptor {
        Descriptor {
            number: 7,
            file: None,
            target: target.into(),
            inode: 1,
            flags: OFlags::from_bits_retain(flags.unsigned_abs()),
            closes_on_exec: true,
            details: "pos:\t0\nflags:\t0\n".into(),
            kind,
        }
    }

    fn file() -> Kind {
        Kind::File { size: 9, has_name: true, is_sqlite: false }
    }

    fn unnamed(size: u64) -> Kind {
        Kind::File { size, has_name: false, is_sqlite: false }
    }

    /// The verdict on a descriptor that is not standard error.
    fn about(target: &str, flags: i32, kind: Kind) -> Verdict {
        decide(&descriptor(target, flags, kind), FileId::from_descriptor(std::io::stdin()))
    }

    fn found(target: &str, flags: i32, kind: Kind) -> String {
        match about(target, flags, kind) {
            Verdict::Shared(finding) => finding.to_string(),
            other => panic!("{target} is {other:?}"),
        }
    }

    fn socket(family: AddressFamily, kind: SocketType, peer: Option<Address>) -> Socket {
        Socket { family, kind, listens: false, own: Some(Address::Unnamed), peer }
    }

    fn internet() -> Address {
        Address::Internet("127.0.0.1:5432".parse().expect("an address"))
    }

    #[test]
    fn what_is_read_or_appended_to_is_opened_once_more() {
        assert_eq!(about("/a", libc::O_RDONLY, file()), Verdict::Reopen);
        assert_eq!(about("/a", libc::O_WRONLY | libc::O_APPEND, file()), Verdict::Reopen);
        assert_eq!(about("/a", libc::O_RDWR | libc::O_APPEND, file()), Verdict::Reopen);
        assert_eq!(
            about("/a", libc::O_RDONLY | libc::O_DIRECTORY, Kind::Directory),
            Verdict::Reopen
        );
        assert_eq!(about("/a (deleted)", libc::O_RDONLY, unnamed(1 << 30)), Verdict::Reopen);
    }

    #[test]
    fn what_is_written_is_named_with_its_cure() {
        let said = found("/a/Data.fs", libc::O_RDWR, file());
        assert_eq!(
            said,
            "the import left \"/a/Data.fs\" open for writing, which all requests would share: open \
             it in the request, or for appending"
        );
        let database = Kind::File { size: 9, has_name: true, is_sqlite: true };
        assert!(
            found("/a/db", libc::O_RDWR, database).contains("the SQLite database \"/a/db\" open")
        );
        found("/dev/sda", libc::O_WRONLY, Kind::BlockDevice);
    }

    #[test]
    fn a_lock_counts_however_the_file_is_open() {
        let mut locked = descriptor("/a", libc::O_RDONLY, file());
        locked.details += "lock:\t1: FLOCK  ADVISORY  WRITE 7 00:01:1 0 EOF\n";
        assert!(matches!(decide(&locked, None), Verdict::Shared(_)));
    }

    #[test]
    fn what_has_no_name_is_copied_up_to_a_size() {
        assert_eq!(about("/memfd:a (deleted)", libc::O_RDWR, unnamed(LARGEST_COPY)), Verdict::Copy);
        let said = found("/memfd:a (deleted)", libc::O_RDWR, unnamed(LARGEST_COPY + 1));
        assert!(said.contains("1048577 bytes"), "{said}");
        let log = libc::O_WRONLY | libc::O_APPEND;
        assert_eq!(about("/log (deleted)", log, unnamed(1 << 30)), Verdict::Harmless);
    }

    #[test]
    fn of_devices_those_without_a_state_are_shared() {
        for (major, minor) in [(1, 3), (1, 9), (5, 0), (136, 2), (4, 64)] {
            let kind = Kind::CharacterDevice { major, minor };
            assert_eq!(about("/dev/a", libc::O_RDWR, kind), Verdict::Harmless, "{major} {minor}");
        }
        for (major, minor) in [(5, 2), (10, 232), (195, 0), (226, 128)] {
            found("/dev/a", libc::O_RDWR, Kind::CharacterDevice { major, minor });
        }
    }

    #[test]
    fn connections_are_named_by_their_peer_and_datagrams_are_shared() {
        let about = |socket| about("socket:[1]", libc::O_RDWR, Kind::Socket(socket));
        let said = |socket| found("socket:[1]", libc::O_RDWR, Kind::Socket(socket));
        let (inet, unix) = (AddressFamily::INET, AddressFamily::UNIX);
        let (stream, datagram) = (SocketType::STREAM, SocketType::DGRAM);
        let log = || Some(Address::Unix("/dev/log".into()));
        assert!(said(socket(inet, stream, Some(internet()))).contains("to 127.0.0.1:5432 open"));
        assert!(said(socket(unix, stream, log())).contains("to \"/dev/log\" open"));
        assert_eq!(about(socket(inet, datagram, Some(internet()))), Verdict::Harmless);
        assert_eq!(about(socket(inet, datagram, None)), Verdict::Harmless);
        assert_eq!(about(socket(unix, datagram, log())), Verdict::Harmless);
        let pair = about(socket(unix, datagram, Some(Address::Unnamed)));
        assert!(matches!(pair, Verdict::MakeAnew(_)));
        let receives = Socket { own: log(), ..socket(unix, datagram, None) };
        assert!(said(receives).contains("at \"/dev/log\""));
        let listens = Socket { listens: true, own: Some(internet()), ..socket(inet, stream, None) };
        assert!(said(listens).contains("listening socket open at 127.0.0.1:5432"));
        said(socket(AddressFamily::NETLINK, datagram, Some(Address::Other)));
    }

    #[test]
    fn what_is_not_known_is_not_shared() {
        assert_eq!(about("anon_inode:[signalfd]", 2, Kind::Anonymous), Verdict::Harmless);
        assert_eq!(about("net:[4026531840]", 0, Kind::Anonymous), Verdict::Harmless);
        assert_eq!(about("/a", libc::O_PATH, file()), Verdict::Harmless);
        for target in
            ["anon_inode:inotify", "anon_inode:[timerfd]", "anon_inode:[io_uring]", "x:[1]"]
        {
            found(target, 2, Kind::Anonymous);
        }
        for target in ["anon_inode:[eventpoll]", "anon_inode:[eventfd]"] {
            assert!(matches!(about(target, 2, Kind::Anonymous), Verdict::MakeAnew(_)));
        }
        assert!(matches!(about("pipe:[1]", 0, Kind::Pipe), Verdict::MakeAnew(_)));
        found("/a/fifo", 0, Kind::Pipe);
    }
}
