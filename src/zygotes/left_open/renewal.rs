//! How a child gets for itself what the import left open.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::fs::{
    MemfdFlags, Mode, OFlags, SeekFrom, fstat, ftruncate, memfd_create, open, seek, tell,
};
use rustix::io::{DupFlags, Errno, dup3, pread, pwrite};

use super::descriptor::{Descriptor, borrowed};
use super::mappings::Mapping;
use super::verdict::Finding;
use crate::cgi::file_id::FileId;
use crate::zygotes::memory::{map_over, write_mapped};

/// The flags with which an open file is opened once more. `O_NOFOLLOW` would not follow the link in /proc, and the
/// flags for making a file have had their effect.
const KEPT: OFlags = OFlags::RWMODE
    .union(OFlags::APPEND)
    .union(OFlags::NONBLOCK)
    .union(OFlags::DIRECT)
    .union(OFlags::NOATIME)
    .union(OFlags::SYNC);

/// Makes each number refer to the open file of `by`. With each number is whether it closes on exec.
pub(super) fn put(by: impl AsFd, numbers: &[(RawFd, bool)]) -> io::Result<()> {
    for (number, closes_on_exec) in numbers {
        let flags = if *closes_on_exec { DupFlags::CLOEXEC } else { DupFlags::empty() };
        dup3(&by, &mut borrowed(*number), flags)?;
    }
    Ok(())
}

/// Descriptors of one open file: they share a position in a separate process too.
#[derive(Debug)]
pub(super) struct Group {
    first: Descriptor,
    numbers: Vec<(RawFd, bool)>,
}

impl Group {
    /// Groups descriptors by open file.
    pub(super) fn by_open_file(descriptors: Vec<Descriptor>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for descriptor in descriptors {
            let number = (descriptor.number, descriptor.closes_on_exec);
            match groups.iter_mut().find(|group| group.has(&descriptor)) {
                Some(group) => group.numbers.push(number),
                None => groups.push(Self { first: descriptor, numbers: vec![number] }),
            }
        }
        groups
    }

    /// Whether moving the position of one moves that of the other. Most systems do not allow the call that would tell
    /// (`kcmp`).
    fn has(&self, other: &Descriptor) -> bool {
        if (self.first.file, self.first.flags) != (other.file, other.flags) {
            return false;
        }
        let (one, other) = (borrowed(self.first.number), borrowed(other.number));
        let (Ok(position), Ok(before)) = (tell(&*one), tell(&*other)) else { return false };
        let elsewhere = position ^ 1;
        let is_moved = position == before
            && seek(&*one, SeekFrom::Start(elsewhere)) == Ok(elsewhere)
            && tell(&*other) == Ok(elsewhere);
        let _ = seek(&*one, SeekFrom::Start(position));
        is_moved
    }

    fn number(&self) -> RawFd {
        self.first.number
    }

    fn link(&self) -> String {
        format!("/proc/self/fd/{}", self.number())
    }
}

/// A file that each child opens once more.
#[derive(Debug)]
pub(super) struct Reopened(Group);

impl Reopened {
    pub(super) fn new(group: Group) -> Self {
        Self(group)
    }

    fn open(&self) -> io::Result<OwnedFd> {
        let flags = self.0.first.flags & KEPT;
        let file = open(self.0.link(), flags | OFlags::CLOEXEC, Mode::empty())?;
        if FileId::from_descriptor(&file) == self.0.first.file {
            Ok(file)
        } else {
            Err(io::Error::other(format!("{:?} is now another file", self.0.first.target)))
        }
    }

    /// Whether it is a log that this user may not open any more and that is only appended to: it needs no position.
    pub(super) fn stays_shared(&self) -> bool {
        let file = &self.0.first;
        file.flags.contains(OFlags::APPEND) && !file.is_read() && self.open().is_err()
    }

    /// A finding if it cannot be opened once more.
    pub(super) fn finding(&self) -> Option<Finding> {
        let error = self.open().err()?;
        let what = format!(
            "{:?} open, in which a request cannot have its own position ({error})",
            self.0.first.target
        );
        Some(Finding::new(&what, "close it at the end of the import, or open it in the request"))
    }

    pub(super) fn renew(&self) -> io::Result<()> {
        let file = self.open()?;
        // The zygote's own position, which no child has moved.
        if let Ok(position) = tell(&*borrowed(self.0.number())) {
            seek(&file, SeekFrom::Start(position))?;
        }
        put(&file, &self.0.numbers)
    }
}

/// A file without a name, or memory: each child has a copy of it.
#[derive(Debug)]
pub(super) struct Copy {
    name: OsString,
    inode: u64,
    groups: Vec<Group>,
    mappings: Vec<Mapping>,
}

impl Copy {
    /// The copies for these descriptors and mappings. Descriptors of the same files are taken from `others`.
    pub(super) fn needed_for(
        descriptors: &[Descriptor],
        mappings: &[Mapping],
        others: &mut Vec<Descriptor>,
    ) -> Vec<Self> {
        let mut copies: Vec<Self> = Vec::new();
        let written = mappings.iter().filter(|one| one.is_unnamed() && one.protection.writes);
        let written = written.map(|one| (OsString::from(&one.name), one.inode));
        let names = descriptors.iter().map(|one| (one.target.clone(), one.inode)).chain(written);
        for (name, inode) in names {
            if !copies.iter().any(|copy| copy.is(&name, inode)) {
                copies.push(Self { name, inode, groups: Vec::new(), mappings: Vec::new() });
            }
        }
        for copy in &mut copies {
            let mine = |one: &Descriptor| copy.is(&one.target, one.inode);
            let mut files: Vec<_> = descriptors.iter().filter(|one| mine(one)).cloned().collect();
            files.extend(others.iter().filter(|one| mine(one)).cloned());
            others.retain(|one| !mine(one));
            let mapped = mappings.iter().filter(|one| copy.is(one.name.as_ref(), one.inode));
            copy.mappings = mapped.cloned().collect();
            copy.groups = Group::by_open_file(files);
        }
        copies
    }

    fn is(&self, name: &OsStr, inode: u64) -> bool {
        self.name == name && self.inode == inode
    }

    fn size(&self) -> u64 {
        let of_file = self.groups.first().and_then(|group| fstat(&*borrowed(group.number())).ok());
        let of_file = of_file.and_then(|stat| u64::try_from(stat.st_size).ok());
        let ends = self.mappings.iter().map(|one| one.offset + one.run.length as u64);
        ends.chain(of_file).max().unwrap_or_default()
    }

    pub(super) fn too_large(&self, largest: u64) -> Option<String> {
        let size = self.size();
        (size > largest).then(|| format!("{size} bytes of shared memory open ({:?})", self.name))
    }

    /// A finding if a child could not have a copy.
    pub(super) fn finding(&self) -> Option<Finding> {
        let error = self.copied().err()?;
        let what = format!("{:?} open, which cannot be copied ({error})", self.name);
        Some(Finding::new(&what, "make it in the request"))
    }

    fn copied(&self) -> io::Result<OwnedFd> {
        let memory = memfd_create("cgi2wsgi-copy", MemfdFlags::CLOEXEC)?;
        if let Some(group) = self.groups.first() {
            let file = open(group.link(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            let mut piece = [0; 16 << 10];
            let mut position = 0;
            loop {
                let count = pread(&file, &mut piece, position)?;
                if count == 0 {
                    break;
                }
                position += pwrite(&memory, &piece[..count], position)? as u64;
            }
        } else {
            ftruncate(&memory, self.size())?;
            for mapping in self.mappings.iter().filter(|one| one.protection.reads) {
                write_mapped(&memory, mapping.run, mapping.offset)?;
            }
        }
        Ok(memory)
    }

    pub(super) fn renew(&self) -> io::Result<()> {
        let memory = self.copied()?;
        for mapping in &self.mappings {
            map_over(mapping.run, mapping.protection, &memory, mapping.offset)?;
        }
        for group in &self.groups {
            // Each group has a position and flags of its own.
            let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
            let flags = group.first.flags & KEPT;
            let file = open(path, (flags - OFlags::DIRECT) | OFlags::CLOEXEC, Mode::empty())?;
            match tell(&*borrowed(group.number())) {
                Ok(position) => seek(&file, SeekFrom::Start(position))?,
                Err(Errno::SPIPE) => 0,
                Err(error) => return Err(error.into()),
            };
            put(&file, &group.numbers)?;
        }
        Ok(())
    }
}
