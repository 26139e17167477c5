//! Memory that this process shares with the children that it forks.

use std::fs;
use std::io;

use super::verdict::Finding;
use crate::zygotes::memory::{Protection, Run, is_shared_numbers};

/// A mapping of `/proc/self/maps` that is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) run: Run,
    pub(super) protection: Protection,
    pub(super) offset: u64,
    pub(super) inode: u64,
    pub(super) name: String,
}

/// All shared mappings of this process that are not cgi2wsgi's own.
pub(super) fn shared() -> io::Result<Vec<Mapping>> {
    // A file's name may be of any bytes.
    let maps = fs::read("/proc/self/maps")?;
    let maps = String::from_utf8_lossy(&maps);
    let mappings = maps.lines().filter_map(parse);
    Ok(mappings.filter(|mapping| !is_shared_numbers(mapping.run.start)).collect())
}

/// Reads one line; nothing if the mapping is not shared.
fn parse(line: &str) -> Option<Mapping> {
    let mut rest = line;
    let mut field = || {
        let (field, behind) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        rest = behind;
        (!field.is_empty()).then_some(field)
    };
    let (start, end) = field()?.split_once('-')?;
    let permissions = field()?.as_bytes().first_chunk::<4>()?;
    if permissions[3] != b's' {
        return None;
    }
    let offset = u64::from_str_radix(field()?, 16).ok()?;
    let _device = field()?;
    let inode = field()?.parse().ok()?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let length = usize::from_str_radix(end, 16).ok()?.checked_sub(start)?;
    Some(Mapping {
        run: Run { start, length },
        protection: Protection {
            reads: permissions[0] == b'r',
            writes: permissions[1] == b'w',
            executes: permissions[2] == b'x',
        },
        offset,
        inode,
        name: rest.trim_start().to_owned(),
    })
}

impl Mapping {
    /// Whether nobody but this process and its children can reach it: it has no name in a file system.
    pub(super) fn is_unnamed(&self) -> bool {
        let is_gone = self.name.ends_with(" (deleted)") && !self.name.starts_with("/SYSV");
        is_gone || self.name.starts_with("[anon_shmem:")
    }

    /// A finding if a separate process would have this memory for itself and a child cannot. A file that has a name is
    /// the same for all processes that map it.
    pub(super) fn finding(&self) -> Option<Finding> {
        let is_private = self.name.starts_with("/SYSV00000000");
        let is_device = self.name.starts_with("/dev/") && !self.name.starts_with("/dev/shm/");
        let is_nameless = !self.name.starts_with('/');
        let is_shared = self.protection.writes && (is_private || is_device || is_nameless);
        (is_shared && !self.is_unnamed()).then(|| {
            Finding::new(
                &format!("shared memory mapped ({:?})", self.name),
                "map it in the request",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(line: &str) -> Option<Finding> {
        parse(line).and_then(|mapping| mapping.finding())
    }

    #[test]
    fn only_shared_mappings_are_of_interest() {
        assert_eq!(parse("7f00-8000 rw-p 00000000 00:01 7 /a b"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("nonsense"), None);
        let mapping = parse("7000-9000 rw-s 00001000 00:1b 1656         /dev/shm/a b (deleted)");
        let mapping = mapping.expect("it is shared");
        assert_eq!(mapping.run, Run { start: 0x7000, length: 0x2000 });
        assert_eq!((mapping.offset, mapping.inode), (0x1000, 1656));
        assert_eq!(mapping.name, "/dev/shm/a b (deleted)");
        assert!(mapping.protection.writes && !mapping.protection.executes);
        assert!(mapping.is_unnamed());
    }

    #[test]
    fn what_has_a_name_is_the_same_for_every_process() {
        assert_eq!(finding("7000-8000 rw-s 00000000 08:01 9 /srv/data.mdb"), None);
        assert_eq!(finding("7000-8000 rw-s 00000000 00:01 9 /SYSV0000002a (deleted)"), None);
        assert_eq!(finding("7000-8000 r--s 00000000 08:01 9 /dev/dri/card0"), None);
        assert_eq!(finding("7000-8000 rw-s 00000000 00:01 9 /dev/zero (deleted)"), None);
    }

    #[test]
    fn what_cannot_be_copied_is_named() {
        for name in ["/SYSV00000000 (deleted)", "/dev/dri/card0", "anon_inode:[io_uring]"] {
            let found = finding(&format!("7000-8000 rw-s 00000000 00:01 9 {name}"));
            assert!(found.expect(name).to_string().contains(name), "{name}");
        }
    }
}
