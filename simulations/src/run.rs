//! One run: a plan, a world, and what came of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use crate::{
    checkers::{Finding, Violation},
    plan::Plan,
    world::{Outcome, World},
};

/// Run a plan to its end, or to a moment.
///
/// An assertion of the core that fails is a broken promise like any other.
#[must_use]
pub fn run(plan: &Plan, keeps_lines: bool, until: Option<Duration>) -> Outcome {
    let mut world = World::new(plan.clone(), keeps_lines);
    let ended =
        catch_unwind(AssertUnwindSafe(|| while until.is_none_or(|until| world.elapsed() <= until) && world.step() {}));
    let at = world.elapsed();
    let mut outcome = world.end();
    if let Err(panic) = ended {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        outcome.violation =
            Some(Violation { at, promise: "the core keeps its own invariants", finding: Finding::of_all(text) });
    }
    outcome
}
