//! One worker gets an attempt: what was started for one is not started for another, unless another cluster was promoted in
//! between, or the branch lost on which it was.

use std::collections::BTreeMap;

use replicator::{
    ids::{BranchId, EventId, RunKey},
    version::FailoverVersion,
};

use super::{Checker, Finding, Seen};

/// Who got each attempt, by its cluster.
#[derive(Default)]
pub(super) struct Granted {
    holders: BTreeMap<(usize, Attempt), String>,
}

/// An attempt of an activity or of a workflow task.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Attempt {
    /// The run.
    pub run: RunKey,
    /// What scheduled it.
    pub scheduled: EventId,
    /// Which attempt.
    pub attempt: i32,
    /// The version under which it was started.
    pub version: FailoverVersion,
    /// The run's branch then. What was started on one that lost was not.
    pub branch: BranchId,
}

impl Checker for Granted {
    fn promise(&self) -> &'static str {
        "an attempt is given to one worker"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        if let Seen::Restored { cluster, lost, .. } = seen {
            // What nobody else knows of begins anew.
            self.holders.retain(|(of, attempt), _| of != cluster || !lost.contains(&attempt.run.workflow));
        }
        let Seen::Granted { cluster, attempt, request_id } = seen else { return Ok(()) };
        let holder = self.holders.entry((*cluster, (*attempt).clone())).or_insert_with(|| (*request_id).to_owned());
        if holder == request_id {
            return Ok(());
        }
        let Attempt { run, scheduled, attempt, version, .. } = attempt;
        let text =
            format!("attempt {attempt} of {scheduled} under {version} is given to {request_id}, and was to {holder}");
        Err(Finding::of(run, text))
    }
}
