//! One seed, from its beginning to its end.

use std::{collections::BTreeMap, time::Duration};

use simulations::checkers::Violation;

use crate::{network::Trace, plan::Plan, world::World};

/// What came of a world.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The promise that was broken, if any.
    pub violation: Option<Violation>,
    /// What went over the network.
    pub trace: Trace,
    /// Simulated time.
    pub elapsed: Duration,
    /// What was exercised, and how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// What happened, and when.
    pub story: Vec<(Duration, String)>,
}

/// Play the world of a seed.
///
/// A process plays one, on a thread of its own: tokio numbers and seeds things for as long as the process lives, and the
/// standard library keeps what it drew for as long as the thread does.
///
/// # Panics
///
/// When the system has no memory for a runtime.
#[must_use]
pub fn run(seed: u64) -> Outcome {
    chance::pin(seed);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    let outcome = runtime.block_on(async {
        let world = World::new(Plan::of(seed));
        world.play().await;
        Outcome {
            violation: world.ledger.violation(),
            trace: world.network.trace(),
            elapsed: world.ledger.elapsed(),
            counts: world.ledger.counts(),
            story: world.ledger.story(),
        }
    });
    // Whatever still goes on is of no interest, and ends with the process.
    std::mem::forget(runtime);
    outcome
}
