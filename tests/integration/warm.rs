//! Warm start (`--warm`): what must hold whatever dies, changes or stands in the way. That warm requests are answered as
//! cold ones are is the table's business.

mod apache;
mod between;
mod by_hand;
mod endings;
mod fresh;
mod isolation;
mod limits;
mod other_users;
mod place;
pub(crate) mod site;
mod soak;
mod steps;

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::command_line::trials_of;
use crate::world::World;

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let groups = [
        ("warm::steps", steps::TESTS),
        ("warm::endings", &endings::TESTS[..]),
        ("warm::fresh", &fresh::TESTS[..]),
        ("warm::by-hand", &by_hand::TESTS[..]),
        ("warm::isolation", &isolation::TESTS[..]),
        ("warm::place", &place::TESTS[..]),
        ("warm::limits", &limits::TESTS[..]),
        ("warm::other-users", other_users::TESTS),
        ("warm::soak", &soak::TESTS[..]),
        ("warm::apache", &apache::TESTS[..]),
    ];
    groups.iter().flat_map(|(group, tests)| trials_of(group, tests, world)).collect()
}
