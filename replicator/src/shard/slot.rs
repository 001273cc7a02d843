//! One workflow in a shard: its runs, and what waits for them.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::String,
    vec::Vec,
};

use bytes::Bytes;

use super::{
    io::{Load, LoadId, TransactionId},
    work::{Told, Work},
};
use crate::{
    history::{HistoryBatch, Stretch, Stretches},
    ids::{EventId, RunId, WorkflowKey},
    version::Gap,
    workflow::draft::Run,
};

/// A workflow. Only a ready slot decides; what arrives meanwhile is parked and taken together.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// What the slot is waiting for.
    pub(super) phase: Phase,
    /// Loaded runs. Empty unless ready or committing. In boxes, because a map makes room for eleven where there is one.
    pub(super) runs: BTreeMap<RunId, Box<Run>>,
    /// The current run, among `runs` when there is one.
    pub(super) current: Option<RunId>,
    /// Runs that were looked for and do not exist, until the parked work is done.
    pub(super) absent: BTreeSet<RunId>,
    /// A run that what waits first was found to need.
    pub(super) wanted: Option<RunId>,
    /// What waits, oldest first.
    pub(super) parked: VecDeque<Work>,
    /// Events that are being fetched from a peer, by run, with what was told of the run and waits for them.
    /// Oldest first.
    pub(super) fetching: BTreeMap<RunId, VecDeque<Told>>,
    /// The gap for which events were last fetched, by run, if that has not helped yet.
    pub(super) fetched: BTreeMap<RunId, Gap>,
    /// A stretch of history that is being read, and what of it is here.
    pub(super) reading: Option<Reading>,
    /// Stretches of history that were read for what waits first.
    pub(super) read: Stretches,
    /// A write or a read of it failed, and what waits is tried again when the shard's list of retries says so.
    pub(super) rests: bool,
    /// When it was last of use, as a count of uses.
    pub(super) used: u64,
    /// What it weighed when it was last weighed.
    pub(super) weighed: usize,
}

/// A stretch of history that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    /// The workflow it belongs to.
    pub(super) workflow: WorkflowKey,
    /// All of it.
    pub(super) stretch: Stretch,
    /// What of it is here.
    pub(super) batches: Vec<HistoryBatch>,
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
        self.wanted = None;
        self.current = None;
        self.reading = None;
        self.read.clear();
    }

    /// About how many bytes it takes, and its place among the others. What is parked and fetched does not count: its bounds are
    /// elsewhere.
    pub(super) fn weight(&self, key: &WorkflowKey) -> usize {
        let runs: usize = self.runs.values().map(|run| run.weight()).sum();
        2 * (size_of::<WorkflowKey>() + size_of::<Self>()) + key.workflow.0.len() + runs
    }

    /// Forget runs that are over and that others have followed, when there are many: a workflow that goes on for ever has no
    /// end of them. They are read again when they are asked for.
    pub(super) fn forget_predecessors(&mut self) {
        if self.runs.len() <= MAX_RUNS {
            return;
        }
        let current = self.current;
        let goes_on = |run: &Run| run.state.is_open() || !run.queries.is_empty();
        self.runs.retain(|id, run| Some(*id) == current || goes_on(run));
    }

    /// Whether forgetting the slot would lose nothing.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::Empty)
            && self.parked.is_empty()
            && self.fetching.is_empty()
            && self.runs.values().all(|run| run.queries.is_empty())
    }

    /// A run that must be read before the next piece of work can be decided.
    pub(super) fn missing_run(&self) -> Option<RunId> {
        self.missing_for(self.parked.front()?)
    }

    /// A run that must be read before this can be decided.
    pub(super) fn missing_for(&self, work: &Work) -> Option<RunId> {
        work.runs()
            .into_iter()
            .chain(self.wanted)
            .find(|run| !self.runs.contains_key(run) && !self.absent.contains(run))
    }

    /// Ask for a stretch of history that was found missing.
    pub(super) fn begin_read(&mut self, workflow: &WorkflowKey, stretch: Stretch) -> Load {
        let load = load(workflow, &stretch, stretch.first);
        self.reading = Some(Reading { workflow: workflow.clone(), stretch, batches: Vec::new() });
        load
    }

    /// Some batches of the stretch were read. What else is to be read of it.
    pub(super) fn read_on(&mut self, batches: &[Bytes], next: Option<EventId>) -> Result<Option<Load>, String> {
        let reading = self.reading.as_mut().ok_or("an answer to another question")?;
        for bytes in batches {
            let batch = HistoryBatch::received(bytes.clone()).map_err(|_| "events are no batch")?;
            let expected = reading.batches.last().map_or(reading.stretch.first, |last| last.last().next());
            if batch.first() != expected {
                return Err(format!("events from {expected} are missing"));
            }
            reading.batches.push(batch);
        }
        let end = reading.batches.last().map_or(reading.stretch.first, |last| last.last().next());
        match next {
            Some(next) if next == end && !batches.is_empty() && end < reading.stretch.end => {
                Ok(Some(load(&reading.workflow, &reading.stretch, next)))
            }
            _ if end != reading.stretch.end => Err(format!("events from {end} are missing")),
            _ => {
                let Reading { stretch, batches, .. } = self.reading.take().expect("looked at above");
                self.read.insert(stretch, batches);
                Ok(None)
            }
        }
    }

    /// What was asked for and is not under way any more: let it wait for its turn, and ask again then.
    pub(super) fn forget_fetches(&mut self) {
        self.fetched.clear();
        for waiting in core::mem::take(&mut self.fetching).into_values() {
            for told in waiting.into_iter().rev() {
                self.parked.push_front(Work::Incoming(Box::new(told)));
            }
        }
    }
}

/// Runs of a workflow in memory.
const MAX_RUNS: usize = 4;

fn load(workflow: &WorkflowKey, stretch: &Stretch, first: EventId) -> Load {
    Load::Branch { workflow: workflow.clone(), branch: stretch.branch.clone(), first, end: stretch.end }
}
