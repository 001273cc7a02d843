//! The whole vocabulary of the seam between a shard and its world.
//!
//! Inputs and outputs are plain data: no channel, no future, no callback. Every store can carry out a [`Transaction`] and
//! answer a [`Load`], the simulator's too; every driver can move the rest.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use bytes::Bytes;
use proto::temporal::{
    api::{
        common::v1::{Payloads, WorkflowExecution},
        failure::v1::Failure as FailureMessage,
        history::v1::HistoryEvent,
        query::v1::{WorkflowQuery, WorkflowQueryResult},
        workflowservice::v1 as api,
    },
    server::api::{adminservice::v1 as admin, replication::v1 as wire},
};

use crate::{
    history::Branch,
    ids::{ClusterId, EventId, Life, RangeId, RecordVersion, RunId, RunKey, ShardId, TaskId, WorkflowKey},
    task::{Category, HistoryTask, TaskKey},
    time::Timestamp,
    version::{FailoverVersion, VersionHistories},
};

pub use super::report::Report;

// ---------------------------------------------------------------------------------------------------------------------
// Requests and replies

/// Identifies a request; its reply names it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

/// What a caller wants of one workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The workflow.
    pub workflow: WorkflowKey,
    /// One run of it; `None` is the current one.
    pub run: Option<RunId>,
    /// What is wanted.
    pub call: Call,
}

/// The calls, in the API's own messages where the API has one. The frontend has checked what a message alone can show;
/// what depends on the run is checked here.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Start a run.
    Start(Box<api::StartWorkflowExecutionRequest>),
    /// Signal the open run, or start one and signal it.
    SignalWithStart(Box<api::SignalWithStartWorkflowExecutionRequest>),
    /// Signal an open run.
    Signal(Box<api::SignalWorkflowExecutionRequest>),
    /// Ask an open run to cancel itself.
    RequestCancel(Box<api::RequestCancelWorkflowExecutionRequest>),
    /// Close an open run.
    Terminate(Box<api::TerminateWorkflowExecutionRequest>),

    /// Remove a run and all that is known of it.
    Delete,
    /// Begin again in the middle of a run, in a run of its own.
    Reset(Box<api::ResetWorkflowExecutionRequest>),

    /// A worker takes a workflow task.
    StartWorkflowTask {
        /// Scheduled event of the task.
        scheduled: EventId,
        /// Names this attempt to take it; the same id gets the same answer.
        request_id: String,
        /// The poll that was matched.
        poll: Box<api::PollWorkflowTaskQueueRequest>,
    },
    /// A worker completes a workflow task.
    CompleteWorkflowTask(TaskClaim, Box<api::RespondWorkflowTaskCompletedRequest>),
    /// A worker could not complete a workflow task.
    FailWorkflowTask(TaskClaim, Box<api::RespondWorkflowTaskFailedRequest>),
    /// Forget the sticky queue.
    ResetSticky,

    /// A worker takes an activity.
    StartActivity {
        /// Scheduled event of the activity.
        scheduled: EventId,
        /// Attempt that was handed to matching.
        attempt: i32,
        /// Names this attempt to take it.
        request_id: String,
        /// The poll that was matched.
        poll: Box<api::PollActivityTaskQueueRequest>,
    },
    /// An activity succeeded.
    CompleteActivity {
        /// Which one.
        activity: ActivityClaim,
        /// Its result.
        result: Option<Payloads>,
        /// Who says so.
        identity: String,
    },
    /// An activity failed.
    FailActivity {
        /// Which one.
        activity: ActivityClaim,
        /// Why.
        failure: Option<Box<FailureMessage>>,
        /// Progress it had made.
        last_heartbeat: Option<Payloads>,
        /// Who says so.
        identity: String,
    },
    /// An activity ended because it was asked to.
    CancelActivity {
        /// Which one.
        activity: ActivityClaim,
        /// What it leaves.
        details: Option<Payloads>,
        /// Who says so.
        identity: String,
    },
    /// An activity is alive.
    HeartbeatActivity {
        /// Which one.
        activity: ActivityClaim,
        /// Progress.
        details: Option<Payloads>,
        /// Who says so.
        identity: String,
    },

    /// Ask the workflow a question.
    Query(Box<api::QueryWorkflowRequest>),
    /// Where the run stands, for whoever reads its history.
    View,
    /// Everything an operator sees of the run.
    Describe,
    /// Which of its branches lost, and whether the run itself did.
    Divergence,
    /// What became of inputs of a branch of the run that lost.
    Fates(Vec<crate::ndc::divergence::Input>),
}

/// What a workflow task's token claims (api 3.7, 3.10).
#[derive(Clone, Debug, PartialEq)]
pub struct TaskClaim {
    /// Scheduled event.
    pub scheduled: EventId,
    /// Started event.
    pub started: EventId,
    /// When it started.
    pub started_time: Timestamp,
    /// Attempt.
    pub attempt: i32,
    /// Version of the task.
    pub version: FailoverVersion,
}

/// Which activity a worker or operator speaks of.
#[derive(Clone, Debug, PartialEq)]
pub enum ActivityClaim {
    /// By task token: this attempt and no other.
    Task {
        /// Scheduled event.
        scheduled: EventId,
        /// Attempt.
        attempt: i32,
        /// Version under which the attempt was started.
        version: FailoverVersion,
    },
    /// By activity id: whichever attempt is current.
    ById(String),
}

/// An answer. It leaves the shard when what it promises is durable.
pub type Reply = Result<Response, Failure>;

/// Successful answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// Nothing to say but that it is done.
    Done,
    /// To [`Call::Start`].
    Started(Box<api::StartWorkflowExecutionResponse>),
    /// To [`Call::Signal`].
    Signaled {
        /// The run that has the signal.
        run: RunId,
    },
    /// To [`Call::SignalWithStart`].
    SignaledWithStart(api::SignalWithStartWorkflowExecutionResponse),
    /// To [`Call::Reset`].
    Reset(api::ResetWorkflowExecutionResponse),
    /// To [`Call::StartWorkflowTask`].
    WorkflowTask(Box<StartedWorkflowTask>),
    /// To [`Call::CompleteWorkflowTask`].
    WorkflowTaskCompleted {
        /// The task that the worker goes on with, if there is one and it asked for it.
        next: Option<Box<StartedWorkflowTask>>,
    },
    /// To [`Call::StartActivity`]; the token is left for the caller to fill.
    ActivityTask(Box<StartedActivity>),
    /// To [`Call::HeartbeatActivity`].
    Heartbeat {
        /// The workflow asked the activity to stop.
        cancel_requested: bool,
    },
    /// To [`Call::Query`]: the worker's answer, or that the query was rejected.
    Queried(Box<api::QueryWorkflowResponse>),
    /// To [`Call::Query`]: nothing is in flight that the answer must wait for, ask a worker directly (api 3.11).
    QueryDirectly(Box<DirectQuery>),
    /// To [`Call::View`].
    View(Box<RunView>),
    /// To [`Call::Describe`].
    Described(Box<api::DescribeWorkflowExecutionResponse>),
    /// To `Shard::skip_quarantined`: the tasks that were there and are gone.
    Skipped(Vec<TaskId>),
    /// To [`Call::Divergence`].
    Divergence(Box<crate::ndc::divergence::View>),
    /// To [`Call::Fates`], in the order of the question.
    Fates(Vec<Option<crate::ndc::divergence::Outcome>>),
}

/// A workflow task in a worker's hands, but for the history that the driver attaches.
#[derive(Clone, Debug, PartialEq)]
pub struct StartedWorkflowTask {
    /// The run as of this task.
    pub view: RunView,
    /// What the token will claim.
    pub claim: TaskClaim,
    /// Type of the workflow.
    pub workflow_type: String,
    /// Queue the workflow was started on.
    pub task_queue: String,
    /// Started event of the last completed task, or none.
    pub previous_started: EventId,
    /// Whether only events after `previous_started` are wanted.
    pub sticky: bool,
    /// When the task was scheduled.
    pub scheduled_time: Timestamp,
    /// Events of a transient task, which no batch holds; they follow the stored ones (api 3.4).
    pub transient: Vec<HistoryEvent>,
    /// Questions to be answered with the completion, by id.
    pub queries: BTreeMap<String, WorkflowQuery>,
}

/// An activity in a worker's hands.
#[derive(Clone, Debug, PartialEq)]
pub struct StartedActivity {
    /// What the worker gets, without the token.
    pub poll: api::PollActivityTaskQueueResponse,
    /// Scheduled event.
    pub scheduled: EventId,
    /// Version under which the attempt was started; part of the token.
    pub version: FailoverVersion,
}

/// A query that goes straight to a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectQuery {
    /// The run it asks.
    pub view: RunView,
    /// Type of the workflow.
    pub workflow_type: String,
    /// Queue the workflow was started on.
    pub task_queue: String,
    /// Started event of the last completed workflow task.
    pub previous_started: EventId,
    /// Queue of the worker that has the run cached, and how long a query may wait there.
    pub sticky: Option<(String, core::time::Duration)>,
}

/// Where a run stands: all that is needed to read its history and to wait for more.
#[derive(Clone, Debug, PartialEq)]
pub struct RunView {
    /// The run.
    pub run: RunKey,
    /// First run of its chain.
    pub first_run: RunId,
    /// Request that started it.
    pub start_request_id: String,
    /// Whether it runs.
    pub is_open: bool,
    /// Public status.
    pub status: i32,
    /// Branches of the run.
    pub histories: VersionHistories,
    /// Id that the next event will get.
    pub next_event_id: EventId,
    /// First event of the last batch: where a reader of the closing event begins.
    pub last_batch: EventId,
    /// Events that no batch holds yet because they belong to a transient workflow task (api 3.12).
    pub transient: Vec<HistoryEvent>,
}

/// Refusals, by what the caller does next. None of them changed anything.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The request is wrong and stays wrong.
    InvalidArgument(String),
    /// There is no such run, task or activity, or it is over.
    NotFound(String),
    /// An open or closed run is in the way of a start.
    AlreadyStarted {
        /// Sentence for people.
        message: String,
        /// Request that started the run in the way.
        start_request_id: String,
        /// That run.
        run: RunId,
        /// First run of its chain.
        first_run: RunId,
    },
    /// The namespace is active in another cluster.
    NotActive {
        /// Name of the namespace.
        namespace: String,
        /// This cluster.
        current: String,
        /// The one to ask.
        active: String,
    },
    /// The run cannot answer yet.
    WorkflowNotReady(String),
    /// The run is in a state that forbids it.
    FailedPrecondition(String),
    /// The worker answered a query with a failure.
    QueryFailed {
        /// Its message.
        message: String,
        /// Its failure.
        failure: Option<Box<FailureMessage>>,
    },
    /// Too much of something; try later.
    ResourceExhausted {
        /// Sentence for people.
        message: String,
        /// `temporal.api.enums.v1.ResourceExhaustedCause`.
        cause: i32,
    },
    /// The shard is another host's. Nothing was done with the request: ask there. A driver says this, and no shard.
    Moved,
    /// Nothing is wrong with the request; try again. Also the honest answer when a write may or may not have happened.
    Unavailable(String),
    /// The call is not built. The text names it.
    Unimplemented(String),
}

// ---------------------------------------------------------------------------------------------------------------------
// Outputs

/// What a shard wants of its world.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Read from the store and answer with `handle_loaded`.
    Load(LoadId, Load),
    /// Write to the store and answer with `handle_commit`.
    Commit(Box<Transaction>),
    /// Answer a request.
    Reply(RequestId, Box<Reply>),
    /// Offer a task to matching. Offers may repeat; matching drops what it already has.
    Dispatch(Dispatch),
    /// A dispatched task is no longer wanted; matching may forget it.
    Withdraw(RunKey, EventId),
    /// Send to the other end of a stream.
    Frame(StreamKey, Box<Frame>),
    /// A run changed, durably; whoever waits for it may look.
    Notify(Notification),
    /// Something that operators count or read.
    Report(Box<Report>),
    /// How far this shard is with handing a namespace over.
    Handover(crate::ids::NamespaceId, super::HandoverProgress),
    /// A namespace is behind what a peer knows; fetch it from there (NS-43).
    RefreshNamespace {
        /// The namespace.
        namespace: crate::ids::NamespaceId,
        /// The peer that knows better.
        from: ClusterId,
    },
}

/// A peer's task that is kept because it could not be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct QuarantinedTask {
    /// Its run; nil ids if it names none.
    pub run: RunKey,
    /// Its number here.
    pub task: TaskId,
    /// Where it was told.
    pub from: StreamKey,
    /// Its number there.
    pub source: TaskId,
    /// The task as it was told: an encoded `temporal.server.api.replication.v1.ReplicationTask`.
    pub told: Bytes,
    /// Why it was not applied; empty for one that waits behind another.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it was tried since the shard was taken.
    pub tries: u32,
}

/// How far a peer's shard is behind this one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// The stream.
    pub stream: StreamKey,
    /// Whether the peer is there.
    pub is_open: bool,
    /// Tasks that it has not acknowledged; `None` when they are more than memory holds.
    pub tasks: Option<usize>,
    /// When the oldest of them was written.
    pub since: Option<Timestamp>,
}

/// What keeps a source from sending more. Each bounds what the peer has to hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// Tasks that it was sent and is not done with.
    Tasks,
    /// Bytes of them.
    Bytes,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tasks, Self::Bytes];

    /// As operators read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tasks => "tasks-in-flight",
            Self::Bytes => "bytes-in-flight",
        }
    }
}

/// A task that waits for a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The run.
    pub run: RunKey,
    /// Scheduled event of the task.
    pub scheduled: EventId,
    /// Attempt.
    pub attempt: i32,
    /// Where it waits.
    pub queue: DispatchQueue,
    /// When the attempt became ready.
    pub scheduled_time: Timestamp,
}

/// The task queue a task waits in.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum DispatchQueue {
    /// Workflow tasks; any worker of the queue.
    Workflow(String),
    /// Workflow tasks; the one worker that has the run cached. The second name is the queue to fall back to.
    Sticky(String, String),
    /// Activity tasks.
    Activity(String),
}

/// A durable change of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The run.
    pub run: RunKey,
    /// Id that its next event will get.
    pub next_event_id: EventId,
    /// Whether it still runs.
    pub is_open: bool,
}

// ---------------------------------------------------------------------------------------------------------------------
// Replication

/// One end of a replication stream: this shard and a shard of a peer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamKey {
    /// The peer.
    pub cluster: ClusterId,
    /// Its shard.
    pub shard: ShardId,
    /// What we do on this stream.
    pub role: StreamRole,
}

/// Direction of a stream. Two clusters that follow each other have one of each between two shards.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum StreamRole {
    /// We have tasks to tell.
    Source,
    /// We dialled, and want to be told.
    Target,
}

/// What travels on a stream, in Temporal's messages (ST-8, ST-9).
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// From source to target: tasks, and how far they reach.
    Tasks(wire::WorkflowReplicationMessages),
    /// From target to source: how far everything is durable.
    Ack(wire::SyncReplicationState),
}

/// What happened to a stream, for `handle_stream`.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEvent {
    /// Both ends are there. As source we go on from the last acknowledged watermark.
    Opened,
    /// The other end is gone. Nothing in flight is known to have arrived.
    Closed,
    /// A frame arrived.
    Frame(Box<Frame>),
}

// ---------------------------------------------------------------------------------------------------------------------
// Storage

/// Identifies a transaction. Transactions of one shard may commit in any order; one workflow has at most one in flight.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TransactionId(pub u64);

/// One atomic, conditional write: all of it or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// Names it in `handle_commit`.
    pub id: TransactionId,
    /// The shard that writes.
    pub shard: ShardId,
    /// Condition: the shard is still owned under this range id, else [`CommitOutcome::ShardOwnershipLost`].
    pub range: RangeId,
    /// The current-run pointer of the workflow, if the transaction is about one.
    pub current: Option<CurrentWrite>,
    /// Runs that change.
    pub runs: Vec<RunWrite>,
    /// Batches that are added.
    pub history: Vec<HistoryWrite>,
    /// Tasks that are added.
    pub tasks: Vec<HistoryTask>,
    /// Tasks that are done.
    pub completed: Vec<(Category, TaskKey)>,
    /// Replication tasks up to and including this one are acknowledged by every peer.
    pub replicated: Option<TaskId>,
    /// Visibility records that change.
    pub visibility: Vec<VisibilityWrite>,
    /// The shard's own record, if it changes.
    pub shard_state: Option<Bytes>,
}

impl Transaction {
    /// A transaction that does nothing yet.
    #[must_use]
    pub fn of(id: TransactionId, shard: ShardId, range: RangeId) -> Self {
        Self {
            id,
            shard,
            range,
            current: None,
            runs: Vec::new(),
            history: Vec::new(),
            tasks: Vec::new(),
            completed: Vec::new(),
            replicated: None,
            visibility: Vec::new(),
            shard_state: None,
        }
    }
}

/// Condition on and change of a workflow's current-run pointer.
#[derive(Clone, Debug, PartialEq)]
pub struct CurrentWrite {
    /// The workflow.
    pub workflow: WorkflowKey,
    /// Condition: the pointer names this run; `None`: there is no pointer. Else [`CommitOutcome::ConditionFailed`].
    pub expected: Option<RunId>,
    /// The pointer afterwards; `None` removes it.
    pub next: Option<RunId>,
}

/// Change of one run's stored state.
#[derive(Clone, Debug, PartialEq)]
pub struct RunWrite {
    /// The run.
    pub run: RunKey,
    /// Condition: the stored record version; `None`: the run must not exist. Else [`CommitOutcome::ConditionFailed`].
    pub expected: Option<RecordVersion>,
    /// What becomes of it.
    pub change: RunChange,
}

/// What becomes of a stored run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunChange {
    /// Replace the record and change some items.
    Put {
        /// Record version from now on.
        record: RecordVersion,
        /// The run's own record.
        state: Bytes,
        /// Pending items that were added or changed.
        upserts: Vec<(ItemKey, Bytes)>,
        /// Pending items that are gone.
        deletes: Vec<ItemKey>,
    },
    /// Remove the run, its items, its visibility record and these branches of history.
    Delete {
        /// Branches of the run.
        branches: Vec<Branch>,
    },
}

/// A row of a run beside its record, so that a write costs what changed and not what is pending.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ItemKey {
    /// What it is.
    pub kind: ItemKind,
    /// Which one: an event id as eight big-endian bytes, or text.
    pub key: Bytes,
}

/// Kinds of items. The numbers are stored.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ItemKind {
    /// How the run was started; written once.
    Start = 1,
    /// A pending activity, by its scheduled event.
    Activity = 2,
    /// A pending timer, by its started event.
    Timer = 3,
    /// The request id of a signal.
    SignalRequest = 4,
    /// Something from a losing branch that the run has, by its origin.
    Reapplied = 5,
    /// What became of an input of a losing branch of the run, by its origin.
    Fate = 16,
}

/// A batch that is added to a branch.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryWrite {
    /// The tree of the branch.
    pub tree: RunId,
    /// The branch that stores the batch.
    pub branch: crate::ids::BranchId,
    /// First event of the batch.
    pub node: EventId,
    /// After its last event.
    pub next: EventId,
    /// The write; of two batches at one node the higher counts (BR-5).
    pub transaction: TaskId,
    /// The write before it on this branch.
    pub previous: TaskId,
    /// The events, as first written.
    pub events: Bytes,
}

/// Change of a visibility record.
#[derive(Clone, Debug, PartialEq)]
pub enum VisibilityWrite {
    /// Add or replace.
    Put(Box<VisibilityRecord>),
}

/// What lists and counts see of a run (api 9.8).
#[derive(Clone, Debug, PartialEq)]
pub struct VisibilityRecord {
    /// The run.
    pub run: RunKey,
    /// Its type.
    pub workflow_type: String,
    /// Queue it was started on.
    pub task_queue: String,
    /// `temporal.api.enums.v1.WorkflowExecutionStatus`.
    pub status: i32,
    /// When it was started.
    pub start_time: Timestamp,
    /// When its first workflow task was or will be ready.
    pub execution_time: Timestamp,
    /// When it closed.
    pub close_time: Option<Timestamp>,
    /// Events; known once it closed.
    pub history_length: i64,
    /// Bytes of history; known once it closed.
    pub history_size: i64,
    /// Transactions; known once it closed.
    pub state_transitions: i64,
    /// Caller's notes: an encoded `temporal.api.common.v1.Memo`.
    pub memo: Bytes,
    /// An encoded `temporal.api.common.v1.SearchAttributes`.
    pub search_attributes: Bytes,
    /// The run that started it as a child.
    pub parent: Option<WorkflowExecution>,
    /// The run at the top of its family.
    pub root: Option<WorkflowExecution>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CommitOutcome {
    /// It is durable.
    Committed,
    /// A run or pointer was not as expected. Nothing was written.
    ConditionFailed,
    /// Another owner has taken the shard. Nothing was written.
    ShardOwnershipLost,
    /// The store cannot write now. Nothing was written; the same transaction may be tried again later.
    Unavailable,
    /// It may or may not have been written.
    Unknown,
}

/// Identifies a read.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LoadId(pub u64);

/// A read.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// Take over the shard: raise its range id and read its record.
    AcquireShard {
        /// The range id is to be above any that was ever given, also to those who wrote what is not in the store any more.
        leaps: bool,
    },
    /// The current-run pointer of a workflow, and the stored state of its current run.
    Current(WorkflowKey),
    /// The stored state of one run.
    Run(RunKey),
    /// Tasks of a queue after `after`, oldest first, at most `limit`.
    Tasks {
        /// The queue.
        category: Category,
        /// Exclusive; `None` is the beginning.
        after: Option<TaskKey>,
        /// At most so many.
        limit: usize,
    },
    /// Replication tasks after `after` with their events, at most `limit`.
    Backlog {
        /// Exclusive.
        after: TaskId,
        /// At most so many.
        limit: usize,
    },
    /// Runs of a namespace after `after`, in the order of workflow id and run id, at most `limit`. Of all shards: whose a
    /// workflow is follows from its id.
    Runs {
        /// The namespace.
        namespace: crate::ids::NamespaceId,
        /// Exclusive; `None` is the beginning.
        after: Option<(crate::ids::WorkflowId, RunId)>,
        /// At most so many.
        limit: usize,
    },
    /// Batches of a branch of ours that make up events `first` to before `end`, oldest first; both lie where batches begin.
    /// At least one batch, and no more than fit into memory at ease.
    Branch {
        /// The workflow that the branch's tree belongs to.
        workflow: WorkflowKey,
        /// The branch.
        branch: Branch,
        /// First event.
        first: EventId,
        /// Exclusive.
        end: EventId,
    },
    /// Events that a peer has and we miss: after `after`, before `before` (either end exclusive; `None` is open).
    PeerHistory {
        /// The peer.
        from: ClusterId,
        /// The run.
        run: RunKey,
        /// Last event that we have.
        after: Option<crate::version::VersionHistoryItem>,
        /// First event that we have again.
        before: Option<crate::version::VersionHistoryItem>,
    },
}

/// What a read found.
#[derive(Clone, Debug, PartialEq)]
pub enum Loaded {
    /// To [`Load::AcquireShard`].
    Shard {
        /// The range id from now on.
        range: RangeId,
        /// The shard's record; empty for a new shard.
        state: Bytes,
        /// Which life of the store this is.
        life: Life,
    },
    /// To [`Load::Current`].
    Current(Option<StoredRun>),
    /// To [`Load::Current`]: the workflow has no run at all, so that none needs to be asked for. A store that cannot tell
    /// says that there is no current one.
    NoRuns,
    /// To [`Load::Run`].
    Run(Option<StoredRun>),
    /// To [`Load::Tasks`]. Fewer than the limit: the queue holds no more.
    Tasks(Vec<HistoryTask>),
    /// To [`Load::Backlog`].
    Backlog(Vec<BacklogTask>),
    /// To [`Load::Runs`]. Fewer than the limit: there are no more.
    Runs(Vec<RunKey>),
    /// To [`Load::Branch`].
    Branch {
        /// The batches, as first written.
        batches: Vec<Bytes>,
        /// First event of what is left to be read; `None`: this was all.
        next: Option<EventId>,
    },
    /// To [`Load::PeerHistory`]: batches, oldest first, with the version history of their branch.
    PeerHistory(Box<admin::GetWorkflowExecutionRawHistoryV2Response>),
    /// The peer says that it has no such run. Nothing is deleted because of it.
    PeerNotFound,
    /// The read failed; it may be tried again.
    Failed(String),
}

/// A run as it rests in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// The run.
    pub run: RunKey,
    /// How often it was written.
    pub record: RecordVersion,
    /// Its record.
    pub state: Bytes,
    /// Its items.
    pub items: Vec<(ItemKey, Bytes)>,
}

/// A replication task with the bytes it speaks of.
#[derive(Clone, Debug, PartialEq)]
pub struct BacklogTask {
    /// The task.
    pub task: HistoryTask,
    /// Its batches; empty when the run is gone or the task has no events.
    pub events: Vec<Bytes>,
    /// First batch of the run that it started.
    pub new_run_events: Option<Bytes>,
}

/// Answers to buffered queries that came with a completion.
pub type QueryResults = BTreeMap<String, WorkflowQueryResult>;
