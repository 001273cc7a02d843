//! What stores over a database server have in common, whichever server it is.
//!
//! Several hosts may use one database. Each has one writer, and everything that waits for it at one moment shares its next
//! write (`writer`); how that is written is each database's own. Reads have connections of their own (`read`), as has what
//! shards share (`shared`). Their statements are the same for every database, but for the little that [`Database`]
//! translates: marks are `$1`, types are `BIGINT` and `BYTEA`, and rows are compared as rows.

use std::{collections::BTreeMap, fmt, future::Future};

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{EventId, Life, NamespaceId, RunId, ShardId, WorkflowId, WorkflowKey},
    shard::io::{CommitOutcome, Load, Loaded, Transaction},
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

mod address;
mod options;
mod read;
pub(crate) mod schema;
pub(crate) mod shared;
pub(crate) mod writer;

pub use self::address::{Address, Tls};
use self::writer::Never;
pub(crate) use self::{address::CONNECT_TIMEOUT, options::Options};
use crate::{
    Answer, ClusterRecord, HistoryError, HistoryPage, Identity, MemberRecord, NamespaceRecord, NamespaceTable,
    NamespaceWrite, NamespacesWritten, ScannedRun, Store, Unavailable,
    group::{Job, Member, Trouble},
    page::{self, HISTORY_BYTES, Wanted},
    plan,
    select::{Dialect, Statement},
    table::{self, Columns, Malformed, Values},
    visibility::{
        Count, Page, VisibilityError,
        listing::{Counting, Listing},
    },
};

/// The connections beside the writer.
pub(crate) trait Database: Clone + Send + Sync + 'static {
    /// A row that was read.
    type Row: Columns;

    /// A connection that changes something.
    type Connection: Connection;

    /// How filters are said.
    const DIALECT: &'static Dialect;

    /// Ask for rows with one statement, which sees one moment.
    fn ask<T: Send>(
        &self,
        text: &'static str,
        values: Values,
        read: impl Fn(&Self::Row) -> Result<T, Malformed> + Send,
    ) -> impl Future<Output = Result<Vec<T>, Unavailable>> + Send;

    /// The same for a statement that a filter was translated to. Shapes of filters are chosen by callers: they are not kept
    /// prepared.
    fn filtered<T: Send>(
        &self,
        statement: Statement,
        read: impl Fn(&Self::Row) -> Result<T, Malformed> + Send,
    ) -> impl Future<Output = Result<Vec<T>, Unavailable>> + Send;

    /// A statement that says where the database lies, as a number that is another one for a copy elsewhere.
    const PLACE: &'static str;

    /// Begin a transaction.
    fn begin(&self) -> impl Future<Output = Result<Self::Connection, Trouble>> + Send;

    /// Close all connections.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// A transaction. One that is dropped is rolled back.
pub(crate) trait Connection: Send {
    /// A row that was read.
    type Row: Columns;

    /// Ask for rows.
    fn ask<T: Send>(
        &mut self,
        text: &'static str,
        values: Values,
        read: impl Fn(&Self::Row) -> Result<T, Malformed> + Send,
    ) -> impl Future<Output = Result<Vec<T>, Trouble>> + Send;

    /// Change something; answers how many rows.
    fn execute(&mut self, text: &'static str, values: Values) -> impl Future<Output = Result<u64, Trouble>> + Send;

    /// Make it durable.
    fn commit(self) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Leave everything as it was.
    fn roll_back(self) -> impl Future<Output = ()> + Send;
}

/// A store over a database server.
#[derive(Clone)]
pub struct ServerStore<D> {
    jobs: mpsc::Sender<Job<Never>>,
    database: D,
    life: Life,
}

impl<D> ServerStore<D> {
    pub(crate) fn new(jobs: mpsc::Sender<Job<Never>>, database: D, life: Life) -> Self {
        Self { jobs, database, life }
    }
}

#[expect(private_bounds, reason = "only databases of this crate are opened")]
impl<D: Database> ServerStore<D> {
    /// Take a shard.
    async fn acquire(&self, shard: ShardId, leaps: bool) -> Result<Loaded, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Member(Member::Acquire(shard, leaps, reply))).await.map_err(|_| closed())?;
        let (range, state) = answer.await.map_err(|_| closed())??;
        Ok(Loaded::Shard { range, state, life: self.life })
    }
}

impl<D> fmt::Debug for ServerStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerStore").finish_non_exhaustive()
    }
}

fn closed() -> Unavailable {
    Unavailable("the store is closed".into())
}

impl<D: Database> Store for ServerStore<D> {
    fn commit(&self, transaction: Transaction) -> Answer<'_, Result<CommitOutcome, Unavailable>> {
        plan::validate(&transaction);
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let member = Member::Commit(Box::new(transaction), reply);
            self.jobs.send(Job::Member(member)).await.map_err(|_| closed())?;
            // A writer that died did so at a moment that nobody knows.
            answer.await.unwrap_or(Ok(CommitOutcome::Unknown))
        })
    }

    fn load(&self, shard: ShardId, load: Load) -> Answer<'_, Loaded> {
        Box::pin(async move {
            let loaded = match load {
                Load::AcquireShard { leaps } => self.acquire(shard, leaps).await,
                Load::Current(workflow) => read::current(&self.database, &workflow).await,
                Load::Run(run) => read::run(&self.database, &run).await.map(Loaded::Run),
                Load::Tasks { category, after, limit } => {
                    read::tasks(&self.database, shard, category, after, limit).await.map(Loaded::Tasks)
                }
                Load::Backlog { after, limit } => {
                    read::backlog(&self.database, shard, after, limit).await.map(Loaded::Backlog)
                }
                Load::Runs { namespace, after, limit } => {
                    read::runs(&self.database, namespace, after, limit).await.map(Loaded::Runs)
                }
                Load::Branch { workflow, branch, first, end } => {
                    let wanted = Wanted { first, end, max_events: usize::MAX, max_bytes: HISTORY_BYTES };
                    page::loaded(read::history(&self.database, &workflow, &branch, wanted).await)
                }
                Load::PeerHistory { .. } => Err(Unavailable("a store has no peers".into())),
            };
            loaded.unwrap_or_else(|cause| Loaded::Failed(cause.0))
        })
    }

    fn read_history<'a>(
        &'a self,
        _shard: ShardId,
        workflow: &'a WorkflowKey,
        branch: &'a Branch,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> Answer<'a, Result<HistoryPage, HistoryError>> {
        let wanted = Wanted { first, end, max_events, max_bytes: HISTORY_BYTES };
        Box::pin(read::history(&self.database, workflow, branch, wanted))
    }

    fn read_history_reverse<'a>(
        &'a self,
        _shard: ShardId,
        workflow: &'a WorkflowKey,
        branch: &'a Branch,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> Answer<'a, Result<HistoryPage, HistoryError>> {
        let wanted = Wanted { first, end, max_events, max_bytes: HISTORY_BYTES };
        Box::pin(read::history_reverse(&self.database, workflow, branch, wanted))
    }

    fn list<'a>(
        &'a self,
        namespace: NamespaceId,
        query: &'a str,
        page_size: usize,
        token: &'a [u8],
    ) -> Answer<'a, Result<Page, VisibilityError>> {
        Box::pin(async move {
            let (listing, statement) = Listing::parse(D::DIALECT, namespace, query, page_size, token)?;
            let rows = self.database.filtered(statement, table::visibility::Row::read).await;
            Ok(listing.page(rows.map_err(VisibilityError::Unavailable)?))
        })
    }

    fn count<'a>(&'a self, namespace: NamespaceId, query: &'a str) -> Answer<'a, Result<Count, VisibilityError>> {
        Box::pin(async move {
            let (counting, statement) = Counting::parse(D::DIALECT, namespace, query)?;
            let rows = self.database.filtered(statement, Counting::read).await;
            Ok(counting.count(rows.map_err(VisibilityError::Unavailable)?))
        })
    }

    fn scan<'a>(
        &'a self,
        namespace: NamespaceId,
        after: Option<(&'a WorkflowId, RunId)>,
        limit: usize,
    ) -> Answer<'a, Result<Vec<ScannedRun>, Unavailable>> {
        Box::pin(read::scan(&self.database, namespace, after, limit))
    }

    fn namespaces(&self) -> Answer<'_, Result<NamespaceTable, Unavailable>> {
        Box::pin(shared::namespaces(&self.database))
    }

    fn namespace(&self, id: NamespaceId) -> Answer<'_, Result<Option<NamespaceRecord>, Unavailable>> {
        Box::pin(shared::namespace(&self.database, id))
    }

    fn write_namespaces(
        &self,
        expected: i64,
        writes: Vec<NamespaceWrite>,
        publish: Vec<Bytes>,
    ) -> Answer<'_, Result<NamespacesWritten, Unavailable>> {
        Box::pin(shared::write_namespaces(&self.database, expected, writes, publish))
    }

    fn publish(&self, messages: Vec<Bytes>) -> Answer<'_, Result<i64, Unavailable>> {
        Box::pin(shared::publish(&self.database, messages))
    }

    fn published(&self, after: i64, limit: usize) -> Answer<'_, Result<Vec<(i64, Bytes)>, Unavailable>> {
        Box::pin(shared::published(&self.database, after, limit))
    }

    fn last_published(&self) -> Answer<'_, Result<i64, Unavailable>> {
        Box::pin(shared::last_published(&self.database))
    }

    fn published_acks(&self) -> Answer<'_, Result<BTreeMap<String, i64>, Unavailable>> {
        Box::pin(shared::published_acks(&self.database))
    }

    fn ack_published<'a>(&'a self, cluster: &'a str, id: Option<i64>) -> Answer<'a, Result<(), Unavailable>> {
        Box::pin(shared::ack_published(&self.database, cluster, id))
    }

    fn forget_published(&self, id: i64) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(shared::forget_published(&self.database, id))
    }

    fn clusters(&self) -> Answer<'_, Result<Vec<ClusterRecord>, Unavailable>> {
        Box::pin(shared::clusters(&self.database))
    }

    fn put_cluster<'a>(
        &'a self,
        name: &'a str,
        expected: Option<i64>,
        record: Bytes,
    ) -> Answer<'a, Result<Option<i64>, Unavailable>> {
        Box::pin(shared::put_cluster(&self.database, name, expected, record))
    }

    fn delete_cluster<'a>(&'a self, name: &'a str) -> Answer<'a, Result<bool, Unavailable>> {
        Box::pin(shared::delete_cluster(&self.database, name))
    }

    fn members(&self) -> Answer<'_, Result<Vec<MemberRecord>, Unavailable>> {
        Box::pin(shared::members(&self.database))
    }

    fn put_member(&self, member: MemberRecord) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(shared::put_member(&self.database, member))
    }

    fn remove_members(&self, ids: Vec<Uuid>) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(shared::remove_members(&self.database, ids))
    }

    fn life(&self) -> Answer<'_, Result<Life, Unavailable>> {
        Box::pin(std::future::ready(Ok(self.life)))
    }

    fn begin_incarnation(&self, fresh: Uuid) -> Answer<'_, Result<Identity, Unavailable>> {
        Box::pin(shared::begin_incarnation(&self.database, fresh))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let (done, closed) = oneshot::channel();
            if self.jobs.send(Job::Close(done)).await.is_ok() {
                let _ = closed.await;
            }
            self.database.close().await;
        })
    }
}
