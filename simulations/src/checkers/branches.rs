//! Branches of a run part from each other: none is the beginning of another, or what belongs on one was put on two.

use super::{Checker, Finding, Seen};

/// Needs no model: the run says what its branches are.
pub(super) struct Branches;

impl Checker for Branches {
    fn promise(&self) -> &'static str {
        "no branch of a run is the beginning of another"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        let Seen::Committed { cluster, runs, .. } = seen else { return Ok(()) };
        for state in *runs {
            let branches = state.histories.all();
            for (index, one) in branches.iter().enumerate() {
                let end = one.versions.last();
                let goes_on = |other: &usize| *other != index && branches[*other].versions.contains(end);
                if let Some(other) = (0..branches.len()).find(goes_on) {
                    let text = format!("cluster {cluster}: branch {index} ends at {end}, where branch {other} goes on");
                    return Err(Finding::of(&state.run, text));
                }
            }
        }
        Ok(())
    }
}
