//! The store over PostgreSQL, 15 and later.
//!
//! Several hosts may use one database. Each has one writer, and everything that waits for it at one moment shares its next
//! statement, which is a transaction by itself (`writer`, `script`, `statement`). The statement does nothing unless every
//! shard of it is still owned under the range that it was decided under, so what the writer remembers of workflows is true
//! for as long as its writes are carried out. Reads have connections of their own (`read`), as has what shards share
//! (`shared`).

use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{EventId, NamespaceId, RunId, ShardId, WorkflowId, WorkflowKey},
    shard::io::{CommitOutcome, Load, Loaded, Transaction},
};
use sqlx::{Executor as _, PgConnection, postgres::PgPoolOptions};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use uuid::Uuid;

mod options;
pub mod schema;
mod value;

mod look_up;
mod read;
mod script;
mod shared;
mod statement;
mod trouble;
mod writer;

pub use self::options::{Address, MAX_CONNECTIONS, Options, STATEMENT_TIMEOUT, Tls};
use self::{
    read::Readers,
    writer::{Never, Writer},
};
use crate::{
    Answer, ClusterRecord, Failed, HistoryError, HistoryPage, Identity, MemberRecord, NamespaceRecord, NamespaceTable,
    NamespaceWrite, NamespacesWritten, ScannedRun, Spawner, Store, Unavailable,
    group::{self, Job, Member, Queue},
    page::{self, HISTORY_BYTES, Wanted},
    plan,
    select::Dialect,
    table,
    visibility::{
        Count, Page, VisibilityError,
        listing::{Counting, Listing},
    },
};

/// Open a database whose tables are prepared ([`schema::setup`]), and start its writer on `spawner`.
///
/// # Errors
///
/// The database cannot be reached, its tables are missing, of another program, or of a version that this one does not know,
/// or somebody else has it for himself.
pub async fn open(options: &Options, spawner: &Spawner) -> Result<PostgresStore, Failed> {
    schema::known(options, schema::inspect(options).await?)?;
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections.saturating_sub(1).max(1))
        .acquire_timeout(options::CONNECT_TIMEOUT)
        .idle_timeout(IDLE)
        .max_lifetime(options.max_lifetime)
        // One that broke says so by itself, and is replaced.
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(prepare(connection)))
        .connect_lazy_with(options.reading());
    let (jobs, queue) = mpsc::channel(group::QUEUE);
    let mut writer = Writer::new(options.clone(), Queue::new(queue));
    writer.open().await?;
    spawner(Box::pin(writer.run()));
    Ok(PostgresStore { jobs, readers: Readers { pool, patience: options.patience() } })
}

/// See that a commit on this connection is durable before it is answered, whatever the database does for others.
async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let text =
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
    connection.execute(text).await.map(drop)
}

/// The store.
#[derive(Clone)]
pub struct PostgresStore {
    jobs: mpsc::Sender<Job<Never>>,
    readers: Readers,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);

const DIALECT: Dialect = Dialect {
    numbered: true,
    join: "JOIN",
    run_id: "convert_to(substr(encode(v.run, 'hex'), 1, 8) || '-' || substr(encode(v.run, 'hex'), 9, 4) || '-' \
             || substr(encode(v.run, 'hex'), 13, 4) || '-' || substr(encode(v.run, 'hex'), 17, 4) || '-' \
             || substr(encode(v.run, 'hex'), 21), 'UTF8')",
};

fn closed() -> Unavailable {
    Unavailable("the store is closed".into())
}

impl Store for PostgresStore {
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
                Load::AcquireShard => {
                    let (reply, answer) = oneshot::channel();
                    let sent = self.jobs.send(Job::Member(Member::Acquire(shard, reply))).await;
                    match sent {
                        Ok(()) => answer.await.map_err(|_| closed()),
                        Err(_) => Err(closed()),
                    }
                }
                Load::Current(workflow) => read::current(&self.readers, &workflow).await,
                Load::Run(run) => read::run(&self.readers, &run).await.map(Loaded::Run),
                Load::Tasks { category, after, limit } => {
                    read::tasks(&self.readers, shard, category, after, limit).await.map(Loaded::Tasks)
                }
                Load::Backlog { after, limit } => {
                    read::backlog(&self.readers, shard, after, limit).await.map(Loaded::Backlog)
                }
                Load::Runs { namespace, after, limit } => {
                    read::runs(&self.readers, namespace, after, limit).await.map(Loaded::Runs)
                }
                Load::Branch { workflow, branch, first, end } => {
                    let wanted = Wanted { first, end, max_events: usize::MAX, max_bytes: HISTORY_BYTES };
                    page::loaded(read::history(&self.readers, &workflow, &branch, wanted).await)
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
        Box::pin(read::history(&self.readers, workflow, branch, wanted))
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
        Box::pin(read::history_reverse(&self.readers, workflow, branch, wanted))
    }

    fn list<'a>(
        &'a self,
        namespace: NamespaceId,
        query: &'a str,
        page_size: usize,
        token: &'a [u8],
    ) -> Answer<'a, Result<Page, VisibilityError>> {
        Box::pin(async move {
            let (listing, statement) = Listing::parse(&DIALECT, namespace, query, page_size, token)?;
            let rows = self.readers.filtered(statement, table::visibility::Row::read).await;
            Ok(listing.page(rows.map_err(VisibilityError::Unavailable)?))
        })
    }

    fn count<'a>(&'a self, namespace: NamespaceId, query: &'a str) -> Answer<'a, Result<Count, VisibilityError>> {
        Box::pin(async move {
            let (counting, statement) = Counting::parse(&DIALECT, namespace, query)?;
            let rows = self.readers.filtered(statement, Counting::read).await;
            Ok(counting.count(rows.map_err(VisibilityError::Unavailable)?))
        })
    }

    fn scan<'a>(
        &'a self,
        namespace: NamespaceId,
        after: Option<(&'a WorkflowId, RunId)>,
        limit: usize,
    ) -> Answer<'a, Result<Vec<ScannedRun>, Unavailable>> {
        Box::pin(read::scan(&self.readers, namespace, after, limit))
    }

    fn namespaces(&self) -> Answer<'_, Result<NamespaceTable, Unavailable>> {
        Box::pin(shared::namespaces(&self.readers))
    }

    fn namespace(&self, id: NamespaceId) -> Answer<'_, Result<Option<NamespaceRecord>, Unavailable>> {
        Box::pin(shared::namespace(&self.readers, id))
    }

    fn write_namespaces(
        &self,
        expected: i64,
        writes: Vec<NamespaceWrite>,
        publish: Vec<Bytes>,
    ) -> Answer<'_, Result<NamespacesWritten, Unavailable>> {
        Box::pin(shared::write_namespaces(&self.readers, expected, writes, publish))
    }

    fn publish(&self, messages: Vec<Bytes>) -> Answer<'_, Result<i64, Unavailable>> {
        Box::pin(shared::publish(&self.readers, messages))
    }

    fn published(&self, after: i64, limit: usize) -> Answer<'_, Result<Vec<(i64, Bytes)>, Unavailable>> {
        Box::pin(shared::published(&self.readers, after, limit))
    }

    fn last_published(&self) -> Answer<'_, Result<i64, Unavailable>> {
        Box::pin(shared::last_published(&self.readers))
    }

    fn published_acks(&self) -> Answer<'_, Result<BTreeMap<String, i64>, Unavailable>> {
        Box::pin(shared::published_acks(&self.readers))
    }

    fn ack_published<'a>(&'a self, cluster: &'a str, id: Option<i64>) -> Answer<'a, Result<(), Unavailable>> {
        Box::pin(shared::ack_published(&self.readers, cluster, id))
    }

    fn forget_published(&self, id: i64) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(shared::forget_published(&self.readers, id))
    }

    fn clusters(&self) -> Answer<'_, Result<Vec<ClusterRecord>, Unavailable>> {
        Box::pin(shared::clusters(&self.readers))
    }

    fn put_cluster<'a>(
        &'a self,
        name: &'a str,
        expected: Option<i64>,
        record: Bytes,
    ) -> Answer<'a, Result<Option<i64>, Unavailable>> {
        Box::pin(shared::put_cluster(&self.readers, name, expected, record))
    }

    fn delete_cluster<'a>(&'a self, name: &'a str) -> Answer<'a, Result<bool, Unavailable>> {
        Box::pin(shared::delete_cluster(&self.readers, name))
    }

    fn members(&self) -> Answer<'_, Result<Vec<MemberRecord>, Unavailable>> {
        Box::pin(shared::members(&self.readers))
    }

    fn put_member(&self, member: MemberRecord) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(shared::put_member(&self.readers, member))
    }

    fn remove_members(&self, ids: Vec<Uuid>) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(shared::remove_members(&self.readers, ids))
    }

    fn begin_incarnation(&self, fresh: Uuid) -> Answer<'_, Result<Identity, Unavailable>> {
        Box::pin(shared::begin_incarnation(&self.readers, fresh))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let (done, closed) = oneshot::channel();
            if self.jobs.send(Job::Close(done)).await.is_ok() {
                let _ = closed.await;
            }
            let _ = timeout(self.readers.patience, self.readers.pool.close()).await;
        })
    }
}
