//! When a zygote forks the child that takes another child's place at the socket.

use std::time::Duration;

/// How long a fork waits for the end of the only request. On two processors a fork, and the pages that the new child
/// touches, take a third of the time of a short request.
pub const ALONE: Duration = Duration::from_millis(20);

/// How long the next fork waits, if `waiting` children wait for a request and the others have had theirs for the times
/// in `taken`. Nothing: it is due now.
///
/// It waits only if a child waits for the next request and no second request has come lately: after a second one more
/// will come.
pub fn delay(waiting: usize, taken: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut lately = taken.filter_map(|age| ALONE.checked_sub(age)).filter(|left| !left.is_zero());
    match (waiting, lately.next(), lately.next()) {
        (1.., Some(left), None) => Some(left),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(waiting: usize, taken: &[u64]) -> Option<Duration> {
        delay(waiting, taken.iter().map(|age| Duration::from_millis(*age)))
    }

    #[test]
    fn a_fork_waits_for_the_end_of_the_only_request() {
        assert_eq!(after(1, &[0]), Some(ALONE));
        assert_eq!(after(1, &[5]), Some(Duration::from_millis(15)));
        assert_eq!(after(3, &[60_000, 5, 20]), Some(Duration::from_millis(15)));
    }

    #[test]
    fn a_fork_is_due_where_no_child_waits_or_the_request_takes_long_or_has_ended() {
        assert_eq!(after(0, &[0]), None);
        assert_eq!(after(1, &[20]), None);
        assert_eq!(after(1, &[]), None);
    }

    #[test]
    fn a_fork_is_due_where_a_second_request_has_come() {
        assert_eq!(after(1, &[5, 0]), None);
        assert_eq!(after(2, &[0, 1, 2]), None);
    }
}
