//! The size of the pipes that a server has made for a request: 64 KiB, if it
//! has not chosen another.

use std::os::fd::AsFd;

/// Beyond so many bytes a body is worth a larger pipe.
pub(super) const LARGE: u64 = 1 << 20;

/// The size of that, in bytes. Beyond it, what is in the pipe does not stay in
/// the processor's cache.
const SIZE: usize = 256 << 10;

/// Makes a pipe larger: whoever writes and whoever reads wait for each other a
/// quarter as often, which is a quarter of the time of a large upload. What is
/// no pipe stays as it is, and so does one where the system refuses.
pub(super) fn enlarge(pipe: impl AsFd) {
    if rustix::pipe::fcntl_getpipe_size(&pipe).is_ok_and(|size| size < SIZE) {
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, SIZE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_becomes_larger_and_never_smaller() {
        let (reader, _writer) = rustix::pipe::pipe().expect("a pipe");
        let size = || rustix::pipe::fcntl_getpipe_size(&reader).expect("a size");
        assert!(size() < SIZE);
        enlarge(&reader);
        assert_eq!(size(), SIZE);
        rustix::pipe::fcntl_setpipe_size(&reader, 2 * SIZE).expect("a size");
        enlarge(&reader);
        assert_eq!(size(), 2 * SIZE, "a server's own choice is larger");
    }
}
