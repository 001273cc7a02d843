//! A transaction in the making: what requests and tasks of one workflow did so far, before it is closed and written.
//!
//! A [`Draft`] spans all loaded runs of one workflow id, because starting, continuing as new and replacing a run touch two
//! at once. A [`Transition`] is the view on one run. Several requests may go into one draft, so a handler checks first and
//! changes after: one that refuses leaves the draft as it was.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use proto::temporal::api::query::v1::WorkflowQuery;

use super::{MutableState, limits::RunLimits, reset::Base, weight::Stored};
use crate::{
    defects::{Defect, planted},
    entropy::Entropy,
    history::{HistoryBatch, Stretch, Stretches, event::HistoryEvent},
    ids::{EventId, RunId, TaskId, WorkflowKey},
    namespace::Namespace,
    shard::io::{Failure, Reply, Report, RequestId},
    time::Timestamp,
    version::{FailoverVersion, Gap, Topology},
};

/// One transaction on one workflow, in the making.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The workflow.
    pub key: &'a WorkflowKey,
    /// Its namespace, as this shard knows it now.
    pub namespace: &'a Namespace,
    /// The clusters.
    pub topology: &'a Topology,
    /// How large runs may grow, where this cluster decides.
    pub limits: &'a RunLimits,
    /// The moment at which everything in this transaction happens.
    pub now: Timestamp,
    /// Source of ids.
    pub entropy: &'a mut Entropy,
    /// The shard's sequence, for events and tasks.
    pub task_ids: &'a mut TaskIds,
    /// The loaded runs of the workflow. The current one is always among them.
    pub runs: &'a mut BTreeMap<RunId, Box<Run>>,
    /// The current run, as of this draft.
    pub current: &'a mut Option<RunId>,
    /// The current run, as it is stored.
    pub was_current: Option<RunId>,
    /// Runs that were looked for and are not there.
    pub absent: &'a BTreeSet<RunId>,
    /// Whether the store has an older state than it once had: nothing may be written under a version that was in use then.
    pub recovers: bool,
    /// Runs of which a peer was asked what came of them, and after which event.
    pub asked: &'a BTreeMap<RunId, Gap>,
    /// Runs of which something that a peer told is kept apart, and may be applied any moment.
    pub kept: &'a BTreeSet<RunId>,
    /// The highest version that runs of the workflow had which were deleted.
    pub buried: Option<FailoverVersion>,
    /// Stretches of history that were read for this draft.
    pub read: &'a Stretches,
    /// Answers to earlier requests that this transaction brings (buffered queries).
    pub replies: Vec<(RequestId, Reply)>,
    /// What operators are told of it.
    pub reports: Vec<Report>,
}

/// What has to be read before something can be decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Need {
    /// A run of the workflow.
    Run(RunId),
    /// A stretch of history.
    Stretch(Stretch),
}

/// A loaded run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its state, as of the draft.
    pub state: MutableState,
    /// What the draft did to it.
    pub changes: Changes,
    /// How long its rows are.
    pub stored: Stored,
    /// Questions that wait for a workflow task. They are in memory only; losing them is answered UNAVAILABLE.
    pub queries: BTreeMap<String, BufferedQuery>,
}

/// A question that waits for the answer of a workflow task (api 3.11, path B).
#[derive(Clone, Debug)]
pub struct BufferedQuery {
    /// Who asks.
    pub request: RequestId,
    /// The question.
    pub query: WorkflowQuery,
    /// The started workflow task that carries it, if one does.
    pub sent_with: Option<EventId>,
}

/// What a draft did to one run.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Batches that are complete: received ones, or closed early.
    pub batches: Vec<HistoryBatch>,
    /// Batches that are added to branches which are not current, by the index of the branch.
    pub backfill: Vec<(usize, HistoryBatch)>,
    /// Events of the batch that is still open. They have ids and are applied.
    pub events: Vec<HistoryEvent>,
    /// Whether the run did not exist before.
    pub created: bool,
    /// Whether state changed, by an event or without one.
    pub changed: bool,
    /// Whether the change is our own book-keeping, which readers of the run's state transitions need not know of.
    pub uncounted: bool,
    /// Whether something happened that the workflow must be told.
    pub wants_workflow_task: bool,
    /// Activities that changed without an event and must be told to peers.
    pub synced_activities: BTreeSet<EventId>,
    /// Activities of which peers are told again what was told before.
    pub retold_activities: BTreeSet<EventId>,
    /// A run that this one started in the same transaction.
    pub new_run: Option<RunId>,
    /// The run whose history this one shares, when a reset made it in this draft.
    pub base: Option<Base>,
    /// Whether what lists show of the run changed.
    pub visibility: bool,
    /// Whether the run follows another cluster in this draft: nothing is decided here, so no buffered event is flushed
    /// and no workflow task scheduled when the draft closes.
    pub passive: bool,
    /// Whether the tasks of all that is pending are to be looked at, and not only of what changed: with the first change
    /// after a promotion, when the state was rebuilt, or when the run became or ceased to be a zombie. What is missing is
    /// added, what is there stays.
    pub regenerate: bool,
}

/// The shard's sequence of task ids (RT-2).
#[derive(Clone, Debug)]
pub struct TaskIds {
    next: i64,
    end: i64,
}

impl TaskIds {
    /// The sequence of a range: ids of a later range are higher than all of an earlier one.
    #[must_use]
    pub fn of_range(range: crate::ids::RangeId) -> Self {
        Self { next: range.0 << RANGE_BITS, end: (range.0 + 1) << RANGE_BITS }
    }

    /// The next id.
    ///
    /// Panics when the range is used up, which takes 2^24 ids; the shard renews its range well before.
    #[expect(clippy::should_implement_trait, reason = "it ends with the range, not with a None")]
    pub fn next(&mut self) -> TaskId {
        assert!(self.next < self.end, "the range is renewed before its ids run out");
        self.next += 1;
        TaskId(self.next - 1)
    }

    /// The id that the next call will return.
    #[must_use]
    pub fn peek(&self) -> TaskId {
        TaskId(self.next)
    }

    /// How many ids are left in the range.
    #[must_use]
    pub fn left(&self) -> i64 {
        self.end - self.next
    }
}

/// Ids per range, as a power of two: Temporal's, so that ids of both compare alike.
const RANGE_BITS: u32 = 24;

/// One run of a draft.
#[derive(Debug)]
pub struct Transition<'d> {
    /// The run.
    pub run: &'d mut Run,
    /// The moment.
    pub now: Timestamp,
    /// Version that new events get (MU-2): the namespace's, and never below the last event's.
    pub version: FailoverVersion,
    /// The run's namespace.
    pub namespace: &'d Namespace,
    /// How large it may grow.
    pub limits: &'d RunLimits,
    /// Source of ids.
    pub entropy: &'d mut Entropy,
    /// The shard's sequence.
    pub task_ids: &'d mut TaskIds,
}

impl Draft<'_> {
    /// Refuse unless this cluster may write for the namespace (MU-1).
    ///
    /// # Errors
    ///
    /// [`Failure::NotActive`], naming the cluster to ask.
    pub fn require_active(&self) -> Result<(), Failure> {
        if self.namespace.is_active_in(self.topology.current()) || planted(Defect::StandbyDecides) {
            return Ok(());
        }
        Err(self.not_active(self.namespace.active.as_str().into()))
    }

    /// The same for one run: nor may its last event, or an attempt, have a higher version than the namespace has here, for
    /// then another cluster is active and this one has not heard of it (MU-3).
    ///
    /// # Errors
    ///
    /// [`Failure::NotActive`], naming the cluster to ask.
    pub fn require_active_for(&self, run: RunId) -> Result<(), Failure> {
        self.require_active()?;
        let last = self.runs.get(&run).map(|run| run.state.newest_version());
        let ours = self.namespace.failover_version;
        let is_newer = |last: &FailoverVersion| *last > ours && !planted(Defect::NewerRunIsWrittenTo);
        let Some(last) = last.filter(is_newer) else { return Ok(()) };
        let owner = self.topology.owner(last).and_then(|owner| self.topology.name_of(owner));
        Err(self.not_active(owner.map_or_else(String::new, |name| name.as_str().into())))
    }

    fn not_active(&self, active: String) -> Failure {
        let current = self.topology.current().as_str().into();
        Failure::NotActive { namespace: self.namespace.name.clone(), current, active }
    }

    /// The view on a loaded run.
    pub fn transition(&mut self, run: RunId) -> Option<Transition<'_>> {
        let run = self.runs.get_mut(&run)?;
        Some(Transition {
            version: self.namespace.failover_version.max(run.state.last_write_version()),
            run,
            now: self.now,
            namespace: self.namespace,
            limits: self.limits,
            entropy: self.entropy,
            task_ids: self.task_ids,
        })
    }

    /// The named run, or the current one, unless it was deleted.
    #[must_use]
    pub fn resolve(&self, run: Option<RunId>) -> Option<RunId> {
        let is_here = |run: &RunId| self.runs.get(run).is_some_and(|run| !run.state.local.is_deleted);
        run.or(*self.current).filter(is_here)
    }
}
