//! What `ps` shows of a zygote and of its children, in place of the words that Python was started with (W8).
//!
//! Linux shows what stands where the arguments were. A process may write there, and this one does so through
//! `/proc/self/mem`; Python has copied its arguments long before. Where that cannot be done, the words stay.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use cgi2wsgi::handoff::Application;

/// Shows this process as the zygote of an application.
pub(super) fn of_zygote(application: &Application) {
    let _ = show(&format!("cgi2wsgi: zygote of {}", application.shown()));
}

/// Shows this process as a child of a zygote, by the zygote's number.
pub(super) fn of_child(application: &Application, zygote: i32) {
    let _ = show(&format!("cgi2wsgi: child of zygote {zygote}, of {}", application.shown()));
}

/// Shows as much of a title as there is room for.
fn show(title: &str) -> Option<()> {
    let numbers = fs::read_to_string("/proc/self/stat").ok()?;
    // arg_start and arg_end, the fields 48 and 49; the name in the second may hold spaces.
    let (_, fields) = numbers.rsplit_once(") ")?;
    let mut places = fields.split(' ').skip(45).map(str::parse::<u64>);
    let (start, end) = (places.next()?.ok()?, places.next()?.ok()?);
    let room = usize::try_from(end.checked_sub(start)?).ok().filter(|room| *room > 1)?;
    // A terminal may show it.
    let shown = title.chars().map(|c| if c.is_control() { '?' } else { c });
    let mut bytes = shown.collect::<String>().into_bytes();
    bytes.truncate(room - 1);
    bytes.resize(room, 0);
    File::options().write(true).open("/proc/self/mem").ok()?.write_all_at(&bytes, start).ok()
}
