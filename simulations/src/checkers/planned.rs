//! A failover for which the last active cluster was heard makes no conflict: nothing that was written loses.

use replicator::shard::io::Report;

use super::{Checker, Finding, Seen};

/// Whether both sides of a failover may write in this world.
pub(super) struct Planned {
    may_conflict: bool,
}

impl Planned {
    pub(super) fn new(may_conflict: bool) -> Self {
        Self { may_conflict }
    }
}

impl Checker for Planned {
    fn promise(&self) -> &'static str {
        "a failover that waits for the active cluster makes no conflict"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        match seen {
            Seen::TakenBack => {
                self.may_conflict = true;
                Ok(())
            }
            Seen::Reported { report: Report::Conflict { run, won, lost }, .. } if !self.may_conflict => {
                Err(Finding::of(run, format!("{lost} lost to {won}")))
            }
            _ => Ok(()),
        }
    }
}
