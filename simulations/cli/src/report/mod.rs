//! What a run of many seeds came to, in the languages of those who read it.

pub(crate) mod annotations;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod text;

use crate::tally::World;

/// The command that shows a world again.
pub(crate) fn replays(world: &World) -> String {
    format!("simulate replay {}", world.case.name())
}
