//! What many worlds came to together.

use std::time::Duration;

use simulations::{checkers::Violation, coverage::Coverage};

use crate::{case::Case, farm::Done};

/// What many worlds came to together.
#[derive(Default)]
pub(crate) struct Tally {
    /// Every world, by its place.
    pub(crate) worlds: Vec<World>,
    pub(crate) coverage: Coverage,
    pub(crate) took: Duration,
}

/// What one world came to.
pub(crate) struct World {
    pub(crate) place: usize,
    pub(crate) case: Case,
    pub(crate) violation: Option<Violation>,
    pub(crate) simulated: Duration,
    pub(crate) happenings: u64,
    pub(crate) failovers: u64,
    /// Kinds of fault that it knew.
    pub(crate) faults: u64,
    pub(crate) hash: u64,
    pub(crate) took: Duration,
}

/// What the world in the middle knew.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Median {
    pub(crate) happenings: u64,
    pub(crate) failovers: u64,
    pub(crate) faults: u64,
}

/// How fast it went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) seeds_per_minute: f64,
    /// Simulated time in a second of one thread.
    pub(crate) simulated_per_core_second: f64,
}

impl Tally {
    pub(crate) fn add(&mut self, done: Done) {
        self.coverage.add(&done.coverage);
        let counted = |prefix: &'static str| done.coverage.table().filter(move |(what, _)| what.starts_with(prefix));
        self.worlds.push(World {
            place: done.place,
            failovers: counted("path: failover").map(|(_, count)| count).sum(),
            faults: counted("fault: ").filter(|(_, count)| *count > 0).count() as u64,
            case: done.case,
            violation: done.violation,
            simulated: done.simulated,
            happenings: done.happenings,
            hash: done.hash,
            took: done.took,
        });
    }

    /// It is over: `took` is what the whole took, threads side by side.
    pub(crate) fn close(&mut self, took: Duration) {
        self.took = took;
        self.worlds.sort_by_key(|world| world.place);
    }

    /// Worlds in which a promise was broken, in order.
    pub(crate) fn broken(&self) -> impl Iterator<Item = (&World, &Violation)> {
        self.worlds.iter().filter_map(|world| world.violation.as_ref().map(|violation| (world, violation)))
    }

    /// What must be exercised and never happened.
    pub(crate) fn never(&self) -> Vec<&'static str> {
        self.coverage.table().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect()
    }

    /// Stands for everything that happened in all of them.
    pub(crate) fn hash(&self) -> u64 {
        self.worlds.iter().fold(0, |hash, world| hash.rotate_left(7).wrapping_mul(ODD) ^ world.hash)
    }

    pub(crate) fn simulated(&self) -> Duration {
        self.worlds.iter().map(|world| world.simulated).sum()
    }

    pub(crate) fn median(&self) -> Median {
        let middle = |of: fn(&World) -> u64| {
            let mut all: Vec<u64> = self.worlds.iter().map(of).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or(0)
        };
        Median {
            happenings: middle(|world| world.happenings),
            failovers: middle(|world| world.failovers),
            faults: middle(|world| world.faults),
        }
    }

    pub(crate) fn pace(&self) -> Pace {
        let busy: Duration = self.worlds.iter().map(|world| world.took).sum();
        let seconds = |duration: Duration| duration.as_secs_f64().max(f64::MIN_POSITIVE);
        Pace {
            seeds_per_minute: self.worlds.len() as f64 / seconds(self.took) * 60.0,
            simulated_per_core_second: self.simulated().as_secs_f64() / seconds(busy),
        }
    }
}

/// Any odd number with bits all over.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
