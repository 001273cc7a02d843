//! Mutable state: the summary of a run, derived from its events.
//!
//! [`MutableState::apply`] (in `apply.rs`) is its only writer, whether the event was born here or came from another
//! cluster. What no event records lies in three places that say so: the attempts of activities (replicated by
//! SyncActivity), the start of a transient workflow task, and [`Local`], which never leaves the cluster.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use super::{
    activity::Activities,
    contents::Contents,
    execution::Execution,
    lineage::Lineage,
    outstanding::Outstanding,
    reapplied::{Origin, Owed, Reapplied},
    signal::Signals,
    table::Table,
    timer::Timers,
    workflow_task::WorkflowTasks,
};
use crate::{
    history::event::HistoryEvent,
    ids::{EventId, RecordVersion, RunId, RunKey, TaskId},
    ndc::divergence::{GaveWay, Outcome},
    time::Timestamp,
    version::{FailoverVersion, VersionHistories},
};

/// The summary of one run. Each sub-state owns its fields; this type only routes.
#[derive(Clone, Debug, PartialEq)]
pub struct MutableState {
    /// The run.
    pub run: RunKey,
    /// How it was started, whether it is open, how it closed.
    pub execution: Execution,
    /// The workflow task and the streak of attempts it belongs to.
    pub workflow_task: WorkflowTasks,
    /// Activities that were scheduled and have not closed.
    pub activities: Activities,
    /// Timers that were started and have not fired.
    pub timers: Timers,
    /// Signals, as far as they must be recognised again.
    pub signals: Signals,
    /// Inputs of losing branches that the run has.
    pub reapplied: Reapplied,
    /// Where events come from that were written in other runs, if a reset made this one.
    pub lineage: Lineage,
    /// Request that made the run by a reset; the same request gets the same run. Carried to peers beside the events.
    pub reset_request_id: String,
    /// Task id of the last event, as the cluster that wrote it drew it: orders runs of one version (ND-13).
    pub clock: TaskId,
    /// Branches of the run; the state summarises the current one.
    pub histories: VersionHistories,
    /// What only this cluster knows.
    pub local: Local,
}

/// State that is stored with the run and never leaves the cluster. Not part of the digest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Local {
    /// Events that wait for the started workflow task to end, without ids (api 3.6).
    pub buffered: Vec<HistoryEvent>,
    /// Bytes of history written so far on the current branch.
    pub history_size: i64,
    /// Transactions so far.
    pub state_transitions: i64,
    /// Tasks of this run that rest in the shard's queues.
    pub outstanding: Outstanding,
    /// How often the run was stored.
    pub record: RecordVersion,
    /// Id of the last transaction that appended to the current branch; the next one names it (BR-5).
    pub last_append: TaskId,
    /// What losing branches owe to the workflow's current run.
    pub owed: Owed,
    /// What became of inputs of branches of the run that lost, as far as it was decided here.
    pub fates: Table<Origin, Outcome>,
    /// The run that this one gave way to.
    pub gave_way: Option<GaveWay>,
    /// When another branch was last made current.
    pub resolved: Option<Timestamp>,
    /// What stands for the events of each branch, as stored.
    pub contents: Contents,
    /// [`MutableState::digest`], as stored.
    pub digest: u64,
    /// The run that the last reset of this one made.
    pub reset_run: Option<RunId>,
    /// Whether a caller had the run deleted. It is gone for callers; a task removes it.
    pub is_deleted: bool,
    /// Queue that the last worker asked to be used first, and for how long.
    pub sticky: Option<Sticky>,
}

/// A worker that has the run in its cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Sticky {
    /// Its own queue.
    pub task_queue: String,
    /// How long a task may wait there.
    pub schedule_to_start: core::time::Duration,
}

impl MutableState {
    /// Id that the next event will get.
    #[must_use]
    pub fn next_event_id(&self) -> EventId {
        self.histories.current().versions.last().event_id.next()
    }

    /// Version of the last event.
    #[must_use]
    pub fn last_write_version(&self) -> FailoverVersion {
        self.histories.current().versions.last().version
    }

    /// The highest version that anything of the run was changed under, attempts of activities included, of which no event
    /// tells.
    #[must_use]
    pub fn newest_version(&self) -> FailoverVersion {
        let attempts = self.activities.table.versions().map(|(_, highest)| highest);
        attempts.into_iter().fold(self.last_write_version(), FailoverVersion::max)
    }

    /// Whether the run still runs.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.execution.is_open()
    }
}

/// Search attributes and memo: ordered maps of payloads.
pub type Payloads = BTreeMap<String, proto::temporal::api::common::v1::Payload>;
