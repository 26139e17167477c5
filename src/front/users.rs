//! Users of this machine, as messages name them.

use std::fs::File;
use std::io::Read;

/// The user this process runs as, for messages.
pub fn this_user() -> String {
    format!("user {}", shown(rustix::process::geteuid().as_raw()))
}

/// A user's name and number, or the number alone.
pub fn shown(number: u32) -> String {
    const LONGEST: u64 = 1 << 20;
    let mut accounts = String::new();
    if let Ok(file) = File::open("/etc/passwd") {
        let _ = file.take(LONGEST).read_to_string(&mut accounts);
    }
    match name_of(number, &accounts) {
        Some(name) => format!("{name} ({number})"),
        None => number.to_string(),
    }
}

fn name_of(number: u32, accounts: &str) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_name_where_the_system_knows_one() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:\n";
        assert_eq!(name_of(1000, accounts), Some("ann"));
        assert_eq!(name_of(0, accounts), Some("root"));
        assert_eq!(name_of(1, accounts), None);
    }
}
