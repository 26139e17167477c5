//! How a process that runs a server is recognized: it listens on a TCP socket, and its main thread waits in a server's
//! function. Sockets are read from `/proc`: a process whose sockets cannot be read does not count as a server.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use rustix::process::Pid;

/// The state of a socket that listens, as `/proc/net/tcp` has it.
const LISTEN: &str = "0A";

/// Functions in which servers wait, in any package.
const FUNCTIONS: [&str; 6] =
    ["accept", "run_app", "run_forever", "run_simple", "runserver", "serve_forever"];

/// Packages that are servers: any of their functions counts.
const SERVERS: [&str; 12] = [
    "bjoern",
    "cheroot",
    "cherrypy",
    "daphne",
    "eventlet",
    "gunicorn",
    "hypercorn",
    "meinheld",
    "tornado",
    "twisted",
    "uvicorn",
    "waitress",
];

/// Whether a server waits in this function of this top-level package. The import of a server package does not count.
pub fn is_in_a_server(function: &str, package: &str) -> bool {
    FUNCTIONS.contains(&function) || (function != "<module>" && SERVERS.contains(&package))
}

/// Whether this process listens on a TCP socket. Its children are not examined.
pub fn listens(process: Pid) -> bool {
    let place = PathBuf::from(format!("/proc/{}", process.as_raw_pid()));
    let descriptors = std::fs::read_dir(place.join("fd")).into_iter().flatten().flatten();
    let sockets: Vec<u64> = descriptors
        .filter_map(|entry| socket(std::fs::read_link(entry.path()).ok()?.to_str()?))
        .collect();
    !sockets.is_empty()
        && ["net/tcp", "net/tcp6"].into_iter().any(|table| {
            let lines = File::open(place.join(table)).map(|file| BufReader::new(file).lines());
            let mut listeners = lines.into_iter().flatten().flatten();
            listeners.any(|line| listener(&line).is_some_and(|inode| sockets.contains(&inode)))
        })
}

/// The inode of a descriptor that is a socket: `socket:[4026]`.
fn socket(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The inode in a line of `/proc/net/tcp`, if that socket listens.
fn listener(line: &str) -> Option<u64> {
    let mut columns = line.split_ascii_whitespace();
    (columns.nth(3)? == LISTEN).then_some(())?;
    columns.nth(5)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = |state| {
            format!(
                "   0: 0100007F:1388 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 \
                 4026 1 0000000000000000 100 0 0 10 0"
            )
        };
        assert_eq!(listener(&line("0A")), Some(4026));
        assert_eq!(listener(&line("01")), None);
        assert_eq!(listener("  sl  local_address rem_address   st tx_queue rx_queue"), None);
        assert_eq!(listener(""), None);
        assert_eq!(socket("socket:[4026]"), Some(4026));
        assert_eq!(socket("/dev/null"), None);
    }

    #[test]
    fn a_server_is_known_by_its_functions_and_its_package() {
        assert!(is_in_a_server("serve_forever", "shop") && is_in_a_server("wait", "waitress"));
        assert!(!is_in_a_server("<module>", "waitress") && !is_in_a_server("main", "shop"));
    }

    #[test]
    fn a_process_with_such_a_socket_listens() {
        let me = rustix::process::getpid();
        let _listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        assert!(listens(me));
    }
}
