//! What `ps` shows of a zygote and of its waiting children, instead of Python's command line (W8). A child that has a
//! request shows that command line again, as a process started for one request would.
//!
//! Linux shows what stands in the memory of the arguments. A process may write there, and this one does so through
//! `/proc/self/mem`; Python has copied its arguments long before. If that fails, the command line stays.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use cgi2wsgi::handoff::Application;

/// Shows this process as the zygote of an application.
pub(super) fn of_zygote(application: &Application) {
    show(&format!("cgi2wsgi: zygote of {}", application.shown()));
}

/// Shows this process as a child of a zygote, by the zygote's process id.
pub(super) fn of_child(application: &Application, zygote: i32) {
    show(&format!("cgi2wsgi: child of zygote {zygote}, of {}", application.shown()));
}

/// Shows this process as it was started.
pub(super) fn of_request() {
    if let Some(Some(place)) = ARGUMENTS.get() {
        let _ = place.write(&place.before);
    }
}

/// Where the arguments are in memory, and what they were.
static ARGUMENTS: OnceLock<Option<Place>> = OnceLock::new();

struct Place {
    start: u64,
    before: Vec<u8>,
}

impl Place {
    fn find() -> Option<Self> {
        let before = fs::read("/proc/self/cmdline").ok().filter(|before| before.len() > 1)?;
        let numbers = fs::read_to_string("/proc/self/stat").ok()?;
        // arg_start is field 48; the name in field 2 may hold spaces.
        let (_, fields) = numbers.rsplit_once(") ")?;
        let start = fields.split(' ').nth(45)?.parse().ok().filter(|start| *start != 0)?;
        Some(Self { start, before })
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        File::options().write(true).open("/proc/self/mem")?.write_all_at(bytes, self.start)
    }
}

/// Shows as much of a title as there is room for.
fn show(title: &str) {
    let Some(place) = ARGUMENTS.get_or_init(Place::find) else { return };
    // A terminal that shows it would obey control characters.
    let shown = title.chars().map(|c| if c.is_control() { '?' } else { c });
    let mut bytes = shown.collect::<String>().into_bytes();
    bytes.truncate(place.before.len() - 1);
    bytes.resize(place.before.len(), 0);
    let _ = place.write(&bytes);
}
