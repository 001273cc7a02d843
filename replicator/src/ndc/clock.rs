//! Which of two runs of a workflow came later (ND-13).

use crate::{history::HistoryBatch, ids::TaskId, version::FailoverVersion, workflow::MutableState};

/// How far a run has come: the version of its last event, then the number that its cluster drew for it.
///
/// Numbers are only compared under one version, and one version is written by one cluster, whose shard draws numbers in
/// the order of its writes (ND-14). A run's clock never goes back: events are appended, and a branch only gives way to
/// one of a higher version. So clusters that know the same events agree on which run is the latest, whatever came first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RunClock {
    /// Version of the last event.
    pub version: FailoverVersion,
    /// Its task id.
    pub task: TaskId,
}

impl RunClock {
    /// Of a run, on its current branch.
    #[must_use]
    pub fn of(state: &MutableState) -> Self {
        Self { version: state.last_write_version(), task: state.clock }
    }

    /// Of the event that began a run: its first, or the reset that made it.
    #[must_use]
    pub fn of_start(state: &MutableState) -> Self {
        if let Some(reset) = state.lineage.begin(state.run.run) {
            return Self { version: reset.version, task: reset.clock };
        }
        let start = &state.execution.start;
        Self { version: start.version, task: start.clock }
    }

    /// Of a run whose current branch ends with this batch.
    #[must_use]
    pub fn after(batch: &HistoryBatch) -> Self {
        let task = batch.events().last().map_or(0, |event| event.task_id);
        Self { version: batch.version(), task: TaskId(task) }
    }
}
