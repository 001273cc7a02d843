//! One workflow in a shard: its runs, and what waits for them.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    io::{LoadId, TransactionId},
    work::Work,
};
use crate::{ids::RunId, version::VersionHistoryItem, workflow::draft::Run};

/// A workflow. Only a ready slot decides; what arrives meanwhile is parked and taken together.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// What the slot is waiting for.
    pub(super) phase: Phase,
    /// Loaded runs. Empty unless ready or committing.
    pub(super) runs: BTreeMap<RunId, Run>,
    /// The current run, among `runs` when there is one.
    pub(super) current: Option<RunId>,
    /// Runs that were looked for and do not exist, until the parked work is done.
    pub(super) absent: BTreeSet<RunId>,
    /// What waits, oldest first.
    pub(super) parked: VecDeque<Work>,
    /// The last event that was here when events were last fetched from a peer, if that has not helped yet.
    pub(super) fetched_after: Option<Option<VersionHistoryItem>>,
    /// When it was last of use, as a count of the shard's turns.
    pub(super) used: u64,
}

/// What a slot is waiting for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Phase {
    /// Nothing is known of the workflow.
    #[default]
    Empty,
    /// A read is under way.
    Loading(LoadId),
    /// Everything needed is here.
    Ready,
    /// A write is under way; `runs` are as they will be when it succeeds.
    Committing(TransactionId),
}

impl Slot {
    /// Forget what was loaded; it is read again when it is needed. What is parked stays.
    pub(super) fn unload(&mut self) {
        self.phase = Phase::Empty;
        self.runs.clear();
        self.absent.clear();
        self.current = None;
    }

    /// Whether forgetting the slot would lose nothing.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::Empty)
            && self.parked.is_empty()
            && self.runs.values().all(|run| run.queries.is_empty())
    }

    /// A run that must be read before the next piece of work can be decided.
    pub(super) fn missing_run(&self) -> Option<RunId> {
        let run = self.parked.front()?.run()?;
        (!self.runs.contains_key(&run) && !self.absent.contains(&run)).then_some(run)
    }
}
