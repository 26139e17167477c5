//! What the system tells of one open descriptor. Only the first bytes of a file are read from it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};

use rustix::fs::{FileType, OFlags, Stat, fcntl_getfl, fstat, major, minor};
use rustix::io::{Errno, FdFlags, fcntl_getfd, pread};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketAddrAny, SocketType, getpeername, getsockname};

use crate::cgi::file_id::FileId;
use crate::system;

/// How a file of `SQLite` begins.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// An open descriptor of this process.
#[derive(Debug, Clone)]
pub(super) struct Descriptor {
    pub(super) number: RawFd,
    pub(super) file: Option<FileId>,
    /// Where its link in `/proc/self/fd` leads to.
    pub(super) target: OsString,
    pub(super) inode: u64,
    pub(super) flags: OFlags,
    pub(super) closes_on_exec: bool,
    /// Its `/proc/self/fdinfo`.
    pub(super) details: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File {
        size: u64,
        has_name: bool,
        is_sqlite: bool,
    },
    Directory,
    BlockDevice,
    CharacterDevice {
        major: u32,
        minor: u32,
    },
    Pipe,
    Socket(Socket),
    /// What has no name in a file system: the target of its link tells what it is.
    Anonymous,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) family: AddressFamily,
    pub(super) kind: SocketType,
    pub(super) listens: bool,
    pub(super) own: Option<Address>,
    pub(super) peer: Option<Address>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Internet(SocketAddr),
    /// A path, or an abstract name behind `@`.
    Unix(String),
    /// For example that of a pair.
    Unnamed,
    Other,
}

/// The descriptor of this number, which other code owns.
pub(super) fn borrowed(number: RawFd) -> ManuallyDrop<OwnedFd> {
    ManuallyDrop::new(system::owned(number))
}

/// The numbers of all descriptors of this process.
pub(super) fn numbers() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    numbers.sort_unstable();
    // The descriptor of the list itself is closed by now.
    numbers.retain(|number| fcntl_getfd(&*borrowed(*number)).is_ok());
    Ok(numbers)
}

impl Descriptor {
    pub(super) fn look(number: RawFd) -> io::Result<Self> {
        let held = borrowed(number);
        let stat = fstat(&*held)?;
        let target = fs::read_link(format!("/proc/self/fd/{number}"))?.into_os_string();
        let flags = fcntl_getfl(&*held)?;
        Ok(Self {
            number,
            file: FileId::from_descriptor(&*held),
            inode: stat.st_ino,
            flags,
            closes_on_exec: fcntl_getfd(&*held)?.contains(FdFlags::CLOEXEC),
            details: fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?,
            kind: Kind::recognize(&held, &stat, flags, target.as_encoded_bytes())?,
            target,
        })
    }

    pub(super) fn is_written(&self) -> bool {
        self.flags & OFlags::RWMODE != OFlags::RDONLY
    }

    pub(super) fn is_read(&self) -> bool {
        self.flags & OFlags::RWMODE != OFlags::WRONLY
    }

    /// Whether it holds a lock: POSIX, of an open file description, flock or a lease.
    pub(super) fn is_locked(&self) -> bool {
        self.details.lines().any(|line| line.starts_with("lock:"))
    }
}

impl Kind {
    fn recognize(held: &OwnedFd, stat: &Stat, flags: OFlags, target: &[u8]) -> io::Result<Self> {
        let has_path = target.starts_with(b"/");
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if has_path => Self::File {
                size: u64::try_from(stat.st_size).unwrap_or_default(),
                has_name: stat.st_nlink > 0,
                is_sqlite: is_sqlite(held, flags),
            },
            FileType::Directory => Self::Directory,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::CharacterDevice => {
                Self::CharacterDevice { major: major(stat.st_rdev), minor: minor(stat.st_rdev) }
            }
            FileType::Fifo => Self::Pipe,
            FileType::Socket => Self::Socket(Socket::inspect(held)?),
            _ => Self::Anonymous,
        })
    }
}

fn is_sqlite(held: &OwnedFd, flags: OFlags) -> bool {
    let mut begin = [0; SQLITE.len()];
    !flags.contains(OFlags::PATH)
        && pread(held, &mut begin, 0) == Ok(begin.len())
        && begin == *SQLITE
}

impl Socket {
    fn inspect(held: &OwnedFd) -> io::Result<Self> {
        let family = socket_domain(held)?;
        let (own, peer) = if family == AddressFamily::UNIX {
            // Also for other kinds than streams: their addresses have the same form.
            let socket = ManuallyDrop::new(UnixStream::from(system::owned(held.as_raw_fd())));
            (socket.local_addr().map(Address::unix), socket.peer_addr().map(Address::unix))
        } else {
            let peer = getpeername(held).and_then(|peer| peer.ok_or(Errno::NOTCONN));
            (
                getsockname(held).map(Address::internet).map_err(io::Error::from),
                peer.map(Address::internet).map_err(io::Error::from),
            )
        };
        Ok(Self {
            family,
            kind: socket_type(held)?,
            listens: socket_acceptconn(held).unwrap_or_default(),
            own: own.ok(),
            peer: match peer {
                Ok(peer) => Some(peer),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
                Err(_) => Some(Address::Other),
            },
        })
    }
}

impl Address {
    fn internet(address: SocketAddrAny) -> Self {
        SocketAddr::try_from(address).map_or(Self::Other, Self::Internet)
    }

    #[expect(clippy::needless_pass_by_value, reason = "what `Result::map` gives")]
    fn unix(address: UnixAddress) -> Self {
        match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => Self::Unix(path.to_string_lossy().into_owned()),
            (_, Some(name)) => Self::Unix(format!("@{}", String::from_utf8_lossy(name))),
            _ => Self::Unnamed,
        }
    }
}
