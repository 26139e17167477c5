//! What an import has left open and all children would share after a fork: descriptors and memory.
//!
//! If each request had a process of its own, it would have its own position in a file, its own lock, its own
//! connection. [`LeftOpen::look`] decides about each of them when the import is over ([`verdict`]): some can be shared,
//! some are renewed in each child, right after the fork ([`LeftOpen::renew`]). For the rest there is a finding, and the
//! application is started normally.
//!
//! Left out: descriptors 0, 1 and 2, which become the request's; Python's objects, which cannot be told from those of a
//! separate process; timers that `timer_create` has made, which most systems do not list.

mod anew;
mod descriptor;
mod mappings;
mod renewal;
mod verdict;

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use self::anew::Anew;
use self::descriptor::{Descriptor, borrowed};
use self::renewal::{Copy, Group, Reopened, put};
use self::verdict::{Finding, LARGEST_COPY, Verdict};
use crate::cgi::file_id::FileId;

/// What the import of this process has left open.
#[derive(Debug, Default)]
pub struct LeftOpen {
    numbers: Vec<(RawFd, Option<FileId>)>,
    findings: Vec<Finding>,
    reopened: Vec<Reopened>,
    copies: Vec<Copy>,
    anew: Vec<Anew>,
    standard_error: Vec<(RawFd, bool)>,
}

impl LeftOpen {
    /// Looks at all descriptors of this process from 3 on, except cgi2wsgi's `own`, and at its memory. To be called
    /// after the import, while standard error is still the import's.
    pub fn look(own: &[RawFd]) -> io::Result<Self> {
        let standard_error = FileId::from_descriptor(rustix::stdio::stderr());
        let mut left = Self::default();
        let mut numbers = descriptor::numbers()?;
        numbers.retain(|number| *number > 2 && !own.contains(number));
        let (mut to_reopen, mut to_copy, mut candidates) = (Vec::new(), Vec::new(), Vec::new());
        let mut inodes = Vec::new();
        for number in numbers {
            let descriptor = Descriptor::look(number)?;
            left.numbers.push((number, descriptor.file));
            inodes.push((number, descriptor.inode));
            match verdict::decide(&descriptor, standard_error) {
                Verdict::Harmless => {}
                Verdict::Reopen => to_reopen.push(descriptor),
                Verdict::Copy => to_copy.push(descriptor),
                Verdict::StandardError => {
                    left.standard_error.push((number, descriptor.closes_on_exec));
                }
                Verdict::MakeAnew(finding) => candidates.push((descriptor, finding)),
                Verdict::Shared(finding) => left.findings.push(finding),
            }
        }
        let (anew, findings) = anew::divide(candidates, &inodes);
        left.anew = anew;
        left.findings.extend(findings);
        let mappings = mappings::shared()?;
        left.findings.extend(mappings.iter().filter_map(mappings::Mapping::finding));
        // A file that is written to here may also have a descriptor for reading, or a mapping.
        let copies = Copy::needed_for(&to_copy, &mappings, &mut to_reopen);
        for copy in &copies {
            if let Some(what) = copy.too_large(LARGEST_COPY) {
                left.findings.push(Finding::new(&what, "make it in the request"));
            }
        }
        left.reopened = Group::by_open_file(to_reopen).into_iter().map(Reopened::new).collect();
        // Opening a file again and closing it releases this process' locks on it. So this is not done if there are
        // findings, such as a lock.
        if left.findings.is_empty() {
            left.reopened.retain(|file| !file.stays_shared());
            left.findings.extend(left.reopened.iter().filter_map(Reopened::finding));
            left.findings.extend(copies.iter().filter_map(Copy::finding));
        }
        left.copies = copies;
        Ok(left)
    }

    /// Whether all of it can be shared as it is.
    pub fn is_harmless(&self) -> bool {
        let Self { findings, reopened, copies, anew, standard_error, .. } = self;
        findings.is_empty()
            && reopened.is_empty()
            && copies.is_empty()
            && anew.is_empty()
            && standard_error.is_empty()
    }

    /// Why the application has to be started normally; all reasons. None: children can have all that they need.
    pub fn findings(&self) -> impl Iterator<Item = String> {
        self.findings.iter().map(ToString::to_string)
    }

    /// To be called in a new child, before the application runs in it: makes what it needs for itself.
    pub fn renew(&self) -> io::Result<()> {
        self.reopened.iter().try_for_each(Reopened::renew)?;
        self.copies.iter().try_for_each(Copy::renew)?;
        // Event loops last: what they wait for is new by then.
        self.anew.iter().try_for_each(Anew::renew)
    }

    /// To be called in a child that has a request: copies of the import's standard error become copies of the
    /// request's.
    pub fn renew_standard_error(&self, standard_error: impl AsFd) -> io::Result<()> {
        put(standard_error, &self.standard_error)
    }

    /// Closes all of it, in a process that will not run the application any more: other processes then can have the
    /// locks, addresses and connections.
    pub fn let_go(&self) -> io::Result<()> {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
        let are_same = self
            .numbers
            .iter()
            .filter(|(number, file)| FileId::from_descriptor(&*borrowed(*number)) == *file);
        let numbers: Vec<_> = are_same.map(|(number, _)| (*number, true)).collect();
        put(OwnedFd::from(null), &numbers)
    }
}
