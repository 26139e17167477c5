//! Warm start (`--warm`): what must hold when processes die, files change and the surroundings are hostile. The table
//! (`cases/`) shows that warm requests are answered as cold ones are.

mod absent;
mod apache;
mod between;
mod changes;
pub(crate) mod command;
mod directory;
mod endings;
mod first;
mod fork_safety;
mod isolation;
mod left_open;
mod libraries;
mod limits;
mod other_users;
mod polling;
mod refusals;
pub(crate) mod site;
mod soak;
mod steps;
pub(crate) mod surroundings;
mod verbs;
mod which_zygote;

use std::sync::Arc;

use libtest_mimic::Trial;

use crate::harness::command::trials_of;
use crate::harness::world::World;

pub(crate) fn trials(world: &Arc<World>) -> Vec<Trial> {
    let groups = [
        ("warm::steps", steps::TESTS),
        ("warm::endings", endings::TESTS),
        ("warm::changes", changes::TESTS),
        ("warm::polling", polling::TESTS),
        ("warm::first", first::TESTS),
        ("warm::isolation", isolation::TESTS),
        ("warm::directory", directory::TESTS),
        ("warm::libraries", libraries::TESTS),
        ("warm::limits", limits::TESTS),
        ("warm::refusals", refusals::TESTS),
        ("warm::other-users", other_users::TESTS),
        ("warm::soak", soak::TESTS),
        ("warm::apache", apache::TESTS),
        ("warm::which-zygote", which_zygote::TESTS),
    ];
    let mut trials: Vec<Trial> =
        groups.iter().flat_map(|(group, tests)| trials_of(group, tests, world)).collect();
    trials.extend(absent::trials(world));
    trials.extend(verbs::trials(world));
    trials.extend(fork_safety::trials(world));
    trials.extend(left_open::trials(world));
    trials.extend(surroundings::trials(world));
    trials
}
