//! The contract of a store.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{EventId, Life, NamespaceId, RecordVersion, RunId, ShardId, WorkflowId, WorkflowKey},
    shard::io::{CommitOutcome, Load, Loaded, Transaction},
    time::Timestamp,
};
use uuid::Uuid;

use crate::visibility::{Count, Page, VisibilityError};

/// What becomes of a call.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs what a store does in the background. It comes in, like everything that a store wants from the world.
pub type Spawner = Arc<dyn Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync>;

/// The memory of one cluster, shared by all of its shards.
///
/// # Rules
///
/// *Durable, then answered.* What was answered survives the death of the process and of the machine. A memory store
/// keeps every other rule.
///
/// *All or nothing, each for itself.* A transaction is written whole or not at all. Transactions that wait may share
/// one write and one sync of the disk, but never a fate: one that fails its conditions leaves the others as they are.
///
/// ```text
///   commit A ─┐                     ┌─► A Committed
///   commit B ─┼─► one group, fsync ─┼─► B ConditionFailed, nothing of it written
///   commit C ─┘                     └─► C Committed
/// ```
///
/// *Order of checks.* The range id first ([`CommitOutcome::ShardOwnershipLost`]), then the current-run pointer and every
/// record version ([`CommitOutcome::ConditionFailed`]). Members of a group see those before them in the group.
///
/// *Read your writes.* What was answered is seen by every read that begins afterwards.
///
/// *Honest doubt.* [`CommitOutcome::Unknown`] is said only when it is unknown. [`Unavailable`] says that nothing was
/// written and the same call may be made again; the store recovers by itself when the cause is gone.
///
/// # A transaction
///
/// It concerns runs of one workflow, which the core keeps in one slot, and their queues. Its history lies in trees of that
/// workflow; a tree may be older than its run and may outlive it (a reset run shares the tree of the run it came
/// from). A pointer names a stored run: the run it is set to is stored already or written with it (else
/// [`CommitOutcome::ConditionFailed`]), and goes away with the run it names. Replication tasks have a fire time of zero.
/// A visibility record belongs to a stored run.
///
/// # Reading history
///
/// Of the batches at one node the one with the highest transaction counts, and a batch counts only when its `previous` is
/// zero or the transaction of the batch before it (BR-5, BR-6); others are leftovers of writes that lost. What counts must
/// follow without a gap from the first event that was asked for.
///
/// # Deleting
///
/// Deleting a run removes its record, items, visibility record and the branches named. Of a branch that another branch of
/// the tree still reads, what lies below the fork stays; when the last branch of a tree goes, nothing of the tree is left
/// (BR-8).
pub trait Store: Send + Sync + 'static {
    /// Write a transaction, if its conditions hold.
    ///
    /// # Panics
    ///
    /// When the transaction is none by the rules above, so that a broken invariant stops the shard that broke it.
    fn commit(&self, transaction: Transaction) -> Answer<'_, Result<CommitOutcome, Unavailable>>;

    /// Read. [`Load::AcquireShard`] writes too: it raises the range id ([`RangeId::next`], from 0), which fences every
    /// transaction under a lower one, whenever it was sent. [`Load::PeerHistory`] is not for a store and fails. A read that fails is
    /// [`Loaded::Failed`].
    fn load(&self, shard: ShardId, load: Load) -> Answer<'_, Loaded>;

    /// Batches of a branch from the one that holds `first` to before `end`, oldest first, at least one and no more than fit
    /// into `max_events` events. `first` is where a batch begins.
    fn read_history<'a>(
        &'a self,
        shard: ShardId,
        workflow: &'a WorkflowKey,
        branch: &'a Branch,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> Answer<'a, Result<HistoryPage, HistoryError>>;

    /// Batches of a branch that begin in `first` to before `end`, youngest first, at least one and no more than fit into
    /// `max_events` events. `end` is where a batch ends.
    fn read_history_reverse<'a>(
        &'a self,
        shard: ShardId,
        workflow: &'a WorkflowKey,
        branch: &'a Branch,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> Answer<'a, Result<HistoryPage, HistoryError>>;

    /// Runs of a namespace that match a filter ([`crate::visibility::filter`]), open ones first, then by close time, youngest
    /// first. A page size of 0 or above [`crate::visibility::MAX_PAGE_SIZE`] is that. Pages do not shift when runs are
    /// added.
    fn list<'a>(
        &'a self,
        namespace: NamespaceId,
        query: &'a str,
        page_size: usize,
        token: &'a [u8],
    ) -> Answer<'a, Result<Page, VisibilityError>>;

    /// How many runs of a namespace match a filter, in groups if it asks for them.
    fn count<'a>(&'a self, namespace: NamespaceId, query: &'a str) -> Answer<'a, Result<Count, VisibilityError>>;

    /// Runs of a namespace as they rest, in the order of their workflow ids and then of their own, `after` one, at most
    /// `limit`; fewer: there are no more. For whoever compares what two clusters hold: the order is the same in both,
    /// whichever shards they have.
    fn scan<'a>(
        &'a self,
        namespace: NamespaceId,
        after: Option<(&'a WorkflowId, RunId)>,
        limit: usize,
    ) -> Answer<'a, Result<Vec<ScannedRun>, Unavailable>>;

    /// All namespaces, and the number that the next write must name.
    fn namespaces(&self) -> Answer<'_, Result<NamespaceTable, Unavailable>>;

    /// One namespace.
    fn namespace(&self, id: NamespaceId) -> Answer<'_, Result<Option<NamespaceRecord>, Unavailable>>;

    /// Change namespaces if nobody has since `expected` was read (NS-4), and in the same write append to the queue that tells
    /// peers, so that no crash separates the two (NS-30).
    fn write_namespaces(
        &self,
        expected: i64,
        writes: Vec<NamespaceWrite>,
        publish: Vec<Bytes>,
    ) -> Answer<'_, Result<NamespacesWritten, Unavailable>>;

    /// Append to the namespace replication queue. Answers the id of the last message; ids count from 0 without a gap.
    fn publish(&self, messages: Vec<Bytes>) -> Answer<'_, Result<i64, Unavailable>>;

    /// Messages of the namespace replication queue with ids above `after` (-1: all), oldest first, at most `limit`.
    fn published(&self, after: i64, limit: usize) -> Answer<'_, Result<Vec<(i64, Bytes)>, Unavailable>>;

    /// Id of the last message that was ever appended; -1 if there was none.
    fn last_published(&self) -> Answer<'_, Result<i64, Unavailable>>;

    /// How far each cluster has taken the namespace replication queue.
    fn published_acks(&self) -> Answer<'_, Result<BTreeMap<String, i64>, Unavailable>>;

    /// Note that a cluster has taken the namespace replication queue up to and including `id`; never lowers. `None`: the
    /// cluster is gone and holds nothing back.
    fn ack_published<'a>(&'a self, cluster: &'a str, id: Option<i64>) -> Answer<'a, Result<(), Unavailable>>;

    /// Forget messages of the namespace replication queue up to and including `id`.
    fn forget_published(&self, id: i64) -> Answer<'_, Result<(), Unavailable>>;

    /// All cluster records, by name.
    fn clusters(&self) -> Answer<'_, Result<Vec<ClusterRecord>, Unavailable>>;

    /// Write a cluster record if its version is `expected` (`None`: there is none). Answers the version from now on, or
    /// `None` when it was another (CM-9).
    fn put_cluster<'a>(
        &'a self,
        name: &'a str,
        expected: Option<i64>,
        record: Bytes,
    ) -> Answer<'a, Result<Option<i64>, Unavailable>>;

    /// Remove a cluster record. Answers whether there was one.
    fn delete_cluster<'a>(&'a self, name: &'a str) -> Answer<'a, Result<bool, Unavailable>>;

    /// The processes of this cluster that wrote themselves down, by id.
    fn members(&self) -> Answer<'_, Result<Vec<MemberRecord>, Unavailable>>;

    /// Write a process down, in place of what was written of it before.
    fn put_member(&self, member: MemberRecord) -> Answer<'_, Result<(), Unavailable>>;

    /// Forget processes.
    fn remove_members(&self, ids: Vec<Uuid>) -> Answer<'_, Result<(), Unavailable>>;

    /// Which life of the store this is: a copy that was brought back from a backup lives another one than what was copied.
    fn life(&self) -> Answer<'_, Result<Life, Unavailable>>;

    /// Who this cluster is: the id it was first given, and how often it was started, this time included. Called once per
    /// start.
    fn begin_incarnation(&self, fresh: Uuid) -> Answer<'_, Result<Identity, Unavailable>>;

    /// Write what waits and close. Whatever comes later is [`Unavailable`].
    fn close(&self) -> Answer<'_, ()>;
}

/// Nothing was written, nothing is wrong with the call: make it again. The text says what stands in the way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Why a store did not open. Nothing was changed; a person has to act.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failed(pub String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

/// Why history could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HistoryError {
    /// There is no such branch, or it has no events there. It may be gone.
    NotFound,
    /// Events are missing in the middle. A person has to act; the text says which.
    DataLoss(String),
    /// Try again.
    Unavailable(Unavailable),
}

/// A stretch of history.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HistoryPage {
    /// Batches, in the order of the read.
    pub batches: Vec<StoredBatch>,
    /// Where to go on: the next `first`, or in reverse the next `end`. `None`: this was all.
    pub next: Option<EventId>,
}

/// A batch as it rests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredBatch {
    /// Which events.
    pub node: Node,
    /// The events, as first written.
    pub events: Bytes,
}

/// A run as it rests, without its items.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScannedRun {
    /// Its workflow.
    pub workflow: WorkflowId,
    /// Which run of it.
    pub run: RunId,
    /// How often it was written.
    pub record: RecordVersion,
    /// Its record.
    pub state: Bytes,
    /// Whether the workflow's pointer names it.
    pub is_current: bool,
}

/// The place of a batch in its branch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Node {
    /// First event.
    pub first: EventId,
    /// After the last event.
    pub next: EventId,
}

/// A namespace as it rests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamespaceRecord {
    /// Which one.
    pub id: NamespaceId,
    /// The record.
    pub record: Bytes,
    /// Number of the write that wrote it.
    pub notification: i64,
}

/// All namespaces.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NamespaceTable {
    /// Counts the writes of namespaces; what the next write must name.
    pub notification: i64,
    /// By id.
    pub namespaces: Vec<NamespaceRecord>,
}

/// Change of a namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NamespaceWrite {
    /// Add or replace.
    Put(NamespaceId, Bytes),
    /// Remove.
    Delete(NamespaceId),
}

/// What became of a write of namespaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NamespacesWritten {
    /// It is durable.
    Committed {
        /// The number of this write: what the next one must name.
        notification: i64,
    },
    /// Somebody else was first. Nothing was written; read again.
    Conflict,
    /// It may or may not have been written; read again.
    Unknown,
}

/// A cluster as it rests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClusterRecord {
    /// Its name.
    pub name: String,
    /// How often it was written.
    pub version: i64,
    /// The record.
    pub record: Bytes,
}

/// A process of this cluster as it rests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberRecord {
    /// Another one at each start.
    pub id: Uuid,
    /// When it was last written, by its own clock.
    pub heartbeat: Timestamp,
    /// The record.
    pub record: Bytes,
}

/// Who a cluster is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Given once.
    pub id: Uuid,
    /// Starts so far, this one included.
    pub incarnation: i64,
}
