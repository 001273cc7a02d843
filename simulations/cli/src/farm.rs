//! Threads: each takes the next case, runs a world of its own from its beginning to its end, and says what came of it.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use simulations::{checkers::Violation, coverage::Coverage};

use crate::case::Case;

/// A case that was run.
pub(crate) struct Done {
    /// Its place among the cases.
    pub(crate) place: usize,
    pub(crate) case: Case,
    pub(crate) violation: Option<Violation>,
    pub(crate) coverage: Coverage,
    /// Simulated time.
    pub(crate) simulated: Duration,
    pub(crate) happenings: u64,
    pub(crate) hash: u64,
    /// How long that took.
    pub(crate) took: Duration,
}

/// Run cases until there are no more or `heard` says that it is enough. `heard` is told of each in the order in which they
/// end, and may be told of a few more.
pub(crate) fn run(
    jobs: NonZeroUsize,
    cases: impl Iterator<Item = Case> + Send,
    mut heard: impl FnMut(Done) -> anyhow::Result<Enough>,
) -> anyhow::Result<()> {
    let cases = Mutex::new(cases.enumerate());
    let is_enough = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs.get() {
            let (sender, cases, is_enough) = (sender.clone(), &cases, &is_enough);
            scope.spawn(move || {
                while !is_enough.load(Ordering::Relaxed) {
                    let Some((place, case)) = cases.lock().expect("nobody panics with it").next() else { return };
                    // Nobody listens any more when the other end has failed.
                    if sender.send(run_one(place, case)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for done in receiver {
            let enough = heard(done);
            if !matches!(enough, Ok(Enough::No)) {
                is_enough.store(true, Ordering::Relaxed);
            }
            enough?;
        }
        Ok(())
    })
}

/// Whether more is to be run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Enough {
    Yes,
    No,
}

/// One world for each core.
pub(crate) fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn run_one(place: usize, case: Case) -> Done {
    let begin = Instant::now();
    let outcome = case.run(false);
    Done {
        place,
        case,
        violation: outcome.violation,
        coverage: outcome.coverage,
        simulated: outcome.elapsed,
        happenings: outcome.happenings,
        hash: outcome.hash,
        took: begin.elapsed(),
    }
}
