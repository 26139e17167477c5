//! What faulthandler writes about the main thread of a process that hangs.

use crate::listening::is_in_a_server;

/// One line of the traceback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) function: String,
}

impl Frame {
    /// The innermost frame first. faulthandler writes the main thread last.
    pub(super) fn of_main_thread(errors: &str) -> Vec<Self> {
        let thread = errors.rfind("(most recent call first):").map_or("", |at| &errors[at..]);
        let frame = |line: &str| {
            let rest = line.trim().strip_prefix("File \"")?;
            let (file, rest) = rest.rsplit_once("\", line ")?;
            let (line, function) = rest.split_once(" in ")?;
            Some(Self {
                file: file.to_owned(),
                line: line.parse().ok()?,
                function: function.to_owned(),
            })
        };
        thread.lines().filter_map(frame).collect()
    }
}

/// Whether the main thread waits in a server.
pub(super) fn is_server(frames: &[Frame]) -> bool {
    frames.iter().any(|Frame { file, function, .. }| {
        let package = file.split("-packages/").nth(1).and_then(|path| path.split('/').next());
        is_in_a_server(function, package.unwrap_or_default()) || file.ends_with("socketserver.py")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_thread_of_a_hang_is_read() {
        let errors = "Timeout (0:00:01)!\nThread 0x1 (most recent call first):\n  File \"/a.py\", line 1 in f\n\
                      Thread 0x2 (most recent call first):\n  File \"/s/app.py\", line 9 in <module>\n  File \"<string>\", line 1 in main\n";
        let expected = [("/s/app.py", 9, "<module>"), ("<string>", 1, "main")];
        let expected = expected.map(|(file, line, function)| Frame {
            file: file.to_owned(),
            line,
            function: function.to_owned(),
        });
        assert_eq!(Frame::of_main_thread(errors), expected);
    }
}
