//! What `/proc` tells of processes: whether one is still the same, its
//! children, and how much memory they have together.

use std::fs::{self, File};
use std::io::Read;

/// More than a process can be started with, in bytes.
const LARGEST_ENVIRONMENT: u64 = 8 << 20;

/// An amount of memory, and how it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In bytes.
    pub bytes: u64,
    /// Whether pages that processes share are counted once (PSS). If not, the system does not report that, and this is
    /// the sum of what each process has (RSS).
    pub is_proportional: bool,
}

/// When a process was started, in ticks since the start of the system. Together with its number this identifies one
/// process for ever. Nothing: it has ended.
pub fn started(pid: u32) -> Option<u64> {
    started_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The 22nd field of `/proc/PID/stat`, unless the process is a zombie.
fn started_in(stat: &str) -> Option<u64> {
    // The second field is a name, in which anything can stand.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The numbers of all processes that there are.
pub fn all() -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The effective user of a process.
pub fn owner(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().nth(1)?.parse().ok()
}

/// A variable of the environment that a process was started with, if this user
/// may read it.
pub fn variable(pid: u32, name: &str) -> Option<Vec<u8>> {
    let mut variables = variables(pid)?.into_iter();
    variables.find_map(|(of, value)| (of == name.as_bytes()).then_some(value))
}

/// The whole environment that a process was started with, if this user may read it.
pub fn variables(pid: u32) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    let mut environment = Vec::new();
    file.take(LARGEST_ENVIRONMENT).read_to_end(&mut environment).ok()?;
    let pair = |variable: &[u8]| {
        let at = variable.iter().position(|byte| *byte == b'=')?;
        Some((variable[..at].to_vec(), variable[at + 1..].to_vec()))
    };
    Some(environment.split(|byte| *byte == 0).filter_map(pair).collect())
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    if let Ok(listed) = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) {
        return listed.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    }
    // Not every kernel is built with the list.
    let parent = format!(" {pid} ");
    let is_child = |candidate: &u32| {
        let stat = fs::read_to_string(format!("/proc/{candidate}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.get(1..).is_some_and(|rest| rest.starts_with(&parent))
    };
    all().into_iter().filter(is_child).collect()
}

/// The memory of these processes together; those that have ended have none.
pub fn memory(pids: impl IntoIterator<Item = u32>) -> Memory {
    let mut memory = Memory { bytes: 0, is_proportional: true };
    for pid in pids {
        let kibibytes = match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            Ok(text) => field(&text, "Pss:"),
            Err(_) => None,
        };
        let kibibytes = kibibytes.or_else(|| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let resident = field(&status, "VmRSS:")?;
            memory.is_proportional = false;
            Some(resident)
        });
        memory.bytes += kibibytes.unwrap_or_default() << 10;
    }
    memory
}

/// The number behind `name` in text of lines such as `Pss:   1234 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_whatever_its_name_is() {
        let stat = "42 (a) b) R (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 5";
        assert_eq!(started_in(stat), Some(98765));
        assert_eq!(started_in(&stat.replace(") S ", ") Z ")), None, "it has ended");
        assert_eq!(started_in("42 (cut"), None);
    }

    #[test]
    fn the_variables_and_the_user_of_a_process_are_found() {
        let me = std::process::id();
        let path = std::env::var_os("PATH").map(std::ffi::OsString::into_encoded_bytes);
        assert_eq!(variable(me, "PATH"), path);
        assert_eq!(variable(me, "PAT"), None);
        assert_eq!(owner(me), Some(rustix::process::geteuid().as_raw()));
        assert!(all().contains(&me));
    }

    #[test]
    fn this_process_has_a_start_and_memory_and_its_child_is_found() {
        let me = std::process::id();
        assert!(started(me).is_some());
        assert!(memory([me]).bytes > 100 << 10);
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("cat is everywhere");
        // Threads of this process have children of their own.
        let of_all_threads = || {
            fs::read_dir("/proc/self/task").expect("threads").flatten().any(|thread| {
                let listed = fs::read_to_string(thread.path().join("children"));
                listed.is_ok_and(|text| text.split(' ').any(|pid| pid == child.id().to_string()))
            })
        };
        let known = of_all_threads() || children(me).contains(&child.id());
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert!(known);
        assert_eq!(started(child.id()), None, "it is gone");
    }

    #[test]
    fn numbers_are_read_from_lines_of_the_kernel() {
        let text = "Rss:                2000 kB\nPss:                1234 kB\nPss_Dirty: 1 kB\n";
        assert_eq!(field(text, "Pss:"), Some(1234));
        assert_eq!(field(text, "Swap:"), None);
    }
}
