//! The store over SQLite: one file, or memory.
//!
//! One connection writes, on a task of its own, and everything that waits for it at one moment shares its next write and
//! fsync (`writer`, `script`, `statement`); reads have connections of their own (`read`). The tables are laid out for few
//! pages a write.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    future::Future,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{EventId, Life, NamespaceId, RunId, ShardId, WorkflowId, WorkflowKey},
    shard::io::{CommitOutcome, Load, Loaded, Transaction},
};
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use uuid::Uuid;

mod read;
mod scan;
pub(crate) mod schema;
mod script;
mod statement;
pub(crate) mod value;

mod writer;

use self::{
    read::Readers,
    statement::{Runner, Script},
    writer::{Chore, Writer, unwritten},
};
use crate::{
    Answer, ClusterRecord, Failed, HistoryError, HistoryPage, Identity, MemberRecord, NamespaceRecord, NamespaceTable,
    NamespaceWrite, NamespacesWritten, ScannedRun, Spawner, Store, Unavailable,
    group::{self, Job, Member, Queue, Trouble, TroubleKind},
    page::{self, HISTORY_BYTES, Wanted},
    plan::{self, Numbers, View},
    select::Dialect,
    table::{self, Values, column, counter::Counter, message},
    visibility::{
        Count, Page, VisibilityError,
        listing::{Counting, Listing},
    },
};

/// Where a database is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// In a file, which is made if there is none. Beside it lie SQLite's log and a lock file.
    File(PathBuf),
    /// In memory, until the store is dropped.
    Memory,
}

/// What may be chosen of a database. The default is what `examples/commits.rs` measured as best.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tuning {
    /// Bytes of a page; only counts when the file is made. A commit writes whole pages, so small ones make small writes,
    /// and large ones hold more rows that are written together.
    pub page_bytes: u32,
    /// Pages after which the log is brought into the tables. Between two of these, a page that many transactions write is
    /// written to the tables once, so a long log saves most of that; and it is read again after a crash.
    pub checkpoint_pages: u32,
    /// Pages that the tables may have; a write that would need more is unavailable.
    pub max_pages: Option<u32>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { page_bytes: PAGE_BYTES, checkpoint_pages: CHECKPOINT_PAGES, max_pages: None }
    }
}

/// Open a database, prepare its tables, and start its writer on `spawner`.
///
/// # Errors
///
/// The file is not ours, is newer than this program, is in use by another process, or cannot be read or written.
pub async fn open(location: &Location, spawner: &Spawner) -> Result<SqliteStore, Failed> {
    open_tuned(location, &Tuning::default(), spawner).await
}

/// The same, with a tuning of one's own.
///
/// # Errors
///
/// As [`open`].
pub async fn open_tuned(location: &Location, tuning: &Tuning, spawner: &Spawner) -> Result<SqliteStore, Failed> {
    let (mut connection, options, lock) = match location {
        Location::File(path) => {
            let lock = lock(path)?;
            let (connection, options) = connect(path, tuning).await?;
            (connection, Some(options), Some(lock))
        }
        Location::Memory => {
            let options = quiet(SqliteConnectOptions::new().in_memory(true));
            let mut connection =
                options.connect().await.map_err(|error| Failed(format!("memory cannot be opened: {error}")))?;
            schema::migrate(&mut connection, schema::Found::Empty, Path::new("memory")).await?;
            (connection, None, None)
        }
    };
    let place = match location {
        Location::File(path) => place(path)?,
        Location::Memory => 0,
    };
    let life = life(&mut connection, place)
        .await
        .map_err(|trouble| Failed(format!("the database cannot say which life it lives: {}", trouble.text)))?;
    let numbers = numbers(&mut connection)
        .await
        .map_err(|error| Failed(format!("the tables of the database cannot be read: {error}")))?;
    let connection = Arc::new(Mutex::new(connection));
    let readers = match &options {
        None => Readers::Memory(connection.clone()),
        Some(options) => Readers::File {
            options: Box::new(options.clone().read_only(true)),
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(READERS)),
        },
    };
    let (jobs, queue) = mpsc::channel(group::QUEUE);
    let (view, runner) = (View::default(), Runner::default());
    let queue = Queue::new(queue);
    spawner(Box::pin(Writer { connection, options, queue, numbers, view, runner, lock }.run()));
    Ok(SqliteStore { jobs, readers, life })
}

/// The store.
#[derive(Clone)]
pub struct SqliteStore {
    jobs: mpsc::Sender<Job<Chore>>,
    readers: Readers,
    life: Life,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

const DIALECT: Dialect = Dialect {
    numbered: false,
    join: "CROSS JOIN",
    run_id: "lower(substr(hex(v.run), 1, 8) || '-' || substr(hex(v.run), 9, 4) || '-' || substr(hex(v.run), 13, 4) \
             || '-' || substr(hex(v.run), 17, 4) || '-' || substr(hex(v.run), 21))",
};

/// Connections that read beside the writer; each is a thread with a page cache.
const READERS: usize = 3;

/// How long a lock of another program is waited for; what waits is then unavailable, and the next write tries again.
const BUSY: Duration = Duration::from_secs(1);

/// See [`Tuning::checkpoint_pages`]: 16 MiB, which are read again in a tenth of a second after a crash. Measured: 4 MiB write
/// a tenth more, 64 MiB nothing less.
const CHECKPOINT_PAGES: u32 = 8192;

/// A log that grew beyond this, because a reader held it open, is cut back when it is begun anew.
const LOG_BYTES: u32 = 64 << 20;

/// See [`Tuning::page_bytes`]. Measured, KB written for a workflow of seven transactions, at 1, 10 and 50 workflows at a time:
/// pages of 1024 bytes 89, 38, 24; of 2048 121, 50, 27; of 4096 195, 73, 34; of 8192 345, 119, 48. The work is much the same
/// from 2048 on; below, ordinary rows no longer fit into a page.
const PAGE_BYTES: u32 = 2048;

/// Texts that a connection keeps prepared: those of the tables with every number of rows.
const PREPARED: usize = 768;

fn quiet(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .disable_statement_logging()
        .foreign_keys(false)
        .busy_timeout(BUSY)
        .statement_cache_capacity(PREPARED)
        // Results of a text are waited for together.
        .row_buffer_size(128)
        .pragma("temp_store", "memory")
}

fn lock(path: &Path) -> Result<File, Failed> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |error: std::io::Error| Failed(format!("{} cannot be opened: {error}", path.display()));
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Failed(format!("{} is in use by another process", path.display())))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

async fn connect(path: &Path, tuning: &Tuning) -> Result<(SqliteConnection, SqliteConnectOptions), Failed> {
    let failed = |error: sqlx::Error| Failed(format!("{} cannot be opened: {error}", path.display()));
    let plain = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).disable_statement_logging();
    let found = if path.exists() {
        let mut connection = plain.clone().connect().await.map_err(failed)?;
        let found = schema::inspect(&mut connection, path).await?;
        connection.close().await.map_err(failed)?;
        found
    } else {
        schema::Found::Empty
    };
    let mut options = quiet(plain.create_if_missing(true))
        .page_size(tuning.page_bytes)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", tuning.checkpoint_pages.to_string())
        .pragma("journal_size_limit", LOG_BYTES.to_string());
    if let Some(pages) = tuning.max_pages {
        options = options.pragma("max_page_count", pages.to_string());
    }
    let mut connection = options.clone().connect().await.map_err(failed)?;
    schema::migrate(&mut connection, found, path).await?;
    Ok((connection, options.create_if_missing(false)))
}

/// Where a file lies, as a number that is another one for a copy beside it.
fn place(path: &Path) -> Result<i64, Failed> {
    let failed = |error: std::io::Error| Failed(format!("{} cannot be looked at: {error}", path.display()));
    let file = std::fs::metadata(path).map_err(failed)?;
    // Not every file system knows when a file was made.
    let made = file.created().ok().and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
    let name = format!("{}/{}/{}", file.dev(), file.ino(), made.as_nanos());
    Ok(farmhash::hash64(name.as_bytes()).cast_signed() | 1)
}

/// The life of a database; another one if it lies elsewhere than it was last seen, for then it is a copy.
async fn life(connection: &mut SqliteConnection, place: i64) -> Result<Life, Trouble> {
    let before = counter(connection, Counter::Place, 0).await?;
    let mut life = counter(connection, Counter::Life, 1).await?;
    if before != place {
        if before != 0 {
            life += 1;
            tracing::warn!(life, "the database is another file than before: it is taken for a backup");
        }
        let mut script = Script::default();
        put_counter(&mut script, Counter::Life, life);
        put_counter(&mut script, Counter::Place, place);
        writer::write(connection, &mut Runner::default(), script).await?;
    }
    Ok(Life::counted(life))
}

/// A file was brought back from a backup: count another life. Answers its number.
///
/// # Errors
///
/// It is not there, is not ours, is in use, or cannot be written.
pub async fn restored(path: &Path) -> Result<i64, Failed> {
    if !path.exists() {
        return Err(Failed(format!("{} is not there", path.display())));
    }
    let _lock = lock(path)?;
    let (mut connection, _) = connect(path, &Tuning::default()).await?;
    let failed = |trouble: Trouble| Failed(format!("{} cannot be changed: {}", path.display(), trouble.text));
    let life = counter(&mut connection, Counter::Life, 1).await.map_err(failed)? + 1;
    let mut script = Script::default();
    put_counter(&mut script, Counter::Life, life);
    put_counter(&mut script, Counter::Place, place(path)?);
    writer::write(&mut connection, &mut Runner::default(), script).await.map_err(failed)?;
    let closed = connection.close().await;
    closed.map_err(|error| Failed(format!("{} cannot be closed: {error}", path.display())))?;
    Ok(life)
}

async fn numbers(connection: &mut SqliteConnection) -> Result<Numbers, sqlx::Error> {
    let text = "SELECT max(ifnull((SELECT max(row) FROM run), 0), ifnull((SELECT max(tree) FROM node_at), 0)), \
                ifnull((SELECT max(seq) FROM node), 0)";
    let row = sqlx::query(text).fetch_one(connection).await?;
    Ok(Numbers { row: column(&row, 0)?, seq: column(&row, 1)? })
}

fn closed() -> Unavailable {
    Unavailable("the store is closed".into())
}

/// What a chore comes to: an answer, or why there is none.
type Done<'c, T> = Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 'c>>;

impl SqliteStore {
    /// Take a shard, in the life that the store has now.
    async fn acquire(&self, shard: ShardId, leaps: bool) -> Result<Loaded, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Member(Member::Acquire(shard, leaps, reply))).await.map_err(|_| closed())?;
        let (range, state) = answer.await.map_err(|_| closed())??;
        Ok(Loaded::Shard { range, state, life: self.life })
    }

    /// Let the writer do something alone.
    async fn chore<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection, &'c mut Runner) -> Done<'c, T> + Send + 'static,
    ) -> Result<Result<T, Trouble>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let chore: Chore = Box::new(move |connection, runner| {
            Box::pin(async move {
                let done = work(connection, runner).await;
                let doubt = done.as_ref().err().cloned();
                let _ = reply.send(done);
                doubt
            })
        });
        self.jobs.send(Job::Chore(chore)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }

    /// The same for what may safely be done twice: doubt is an invitation to do it again.
    async fn repeatable<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection, &'c mut Runner) -> Done<'c, T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.chore(work).await?.map_err(|trouble| Unavailable(trouble.text))
    }
}

impl Store for SqliteStore {
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
            let rows = read::filtered(&self.readers, statement, table::visibility::Row::read).await;
            Ok(listing.page(rows.map_err(VisibilityError::Unavailable)?))
        })
    }

    fn count<'a>(&'a self, namespace: NamespaceId, query: &'a str) -> Answer<'a, Result<Count, VisibilityError>> {
        Box::pin(async move {
            let (counting, statement) = Counting::parse(&DIALECT, namespace, query)?;
            let rows = read::filtered(&self.readers, statement, Counting::read).await;
            Ok(counting.count(rows.map_err(VisibilityError::Unavailable)?))
        })
    }

    fn scan<'a>(
        &'a self,
        namespace: NamespaceId,
        after: Option<(&'a WorkflowId, RunId)>,
        limit: usize,
    ) -> Answer<'a, Result<Vec<ScannedRun>, Unavailable>> {
        Box::pin(scan::runs(&self.readers, namespace, after, limit))
    }

    fn namespaces(&self) -> Answer<'_, Result<NamespaceTable, Unavailable>> {
        Box::pin(async move {
            // The number comes with every row, and alone when there is none, so that both are of one moment.
            let text = "SELECT counted.value, namespace.id, namespace.notification, namespace.record \
                        FROM (SELECT ifnull((SELECT value FROM counter WHERE counter = 1), 0) AS value) AS counted \
                        LEFT JOIN namespace ON true ORDER BY namespace.id";
            let rows = read::table(&self.readers, text, Values::default(), |row| {
                let record = match column::<Option<Bytes>>(row, 1)? {
                    Some(_) => Some(table::namespace::read(row, 1)?),
                    None => None,
                };
                Ok((column::<i64>(row, 0)?, record))
            });
            let rows = rows.await?;
            let notification = rows.first().map_or(0, |(notification, _)| *notification);
            Ok(NamespaceTable { notification, namespaces: rows.into_iter().filter_map(|(_, record)| record).collect() })
        })
    }

    fn namespace(&self, id: NamespaceId) -> Answer<'_, Result<Option<NamespaceRecord>, Unavailable>> {
        Box::pin(async move {
            let text = "SELECT id, notification, record FROM namespace WHERE id = ?";
            let mut values = Values::default();
            values.id(id.as_bytes());
            let rows = read::table(&self.readers, text, values, |row| table::namespace::read(row, 0)).await?;
            Ok(rows.into_iter().next())
        })
    }

    fn write_namespaces(
        &self,
        expected: i64,
        writes: Vec<NamespaceWrite>,
        publish: Vec<Bytes>,
    ) -> Answer<'_, Result<NamespacesWritten, Unavailable>> {
        Box::pin(async move {
            let done = self.chore(move |connection, runner| {
                Box::pin(async move {
                    let before = counter(connection, Counter::Notification, 0).await?;
                    if before != expected {
                        return Ok(NamespacesWritten::Conflict);
                    }
                    let notification = before + 1;
                    let mut script = Script::default();
                    put_counter(&mut script, Counter::Notification, notification);
                    for write in writes {
                        match write {
                            NamespaceWrite::Put(id, record) => {
                                script.put([NamespaceRecord { id, record, notification }].into_iter());
                            }
                            NamespaceWrite::Delete(id) => {
                                script.add("DELETE FROM namespace WHERE id = ?", |values| _ = values.id(id.as_bytes()));
                            }
                        }
                    }
                    let last = counter(connection, Counter::LastMessage, -1).await?;
                    append(&mut script, last, publish);
                    writer::write(connection, runner, script).await?;
                    Ok(NamespacesWritten::Committed { notification })
                })
            });
            match done.await? {
                Ok(written) => Ok(written),
                Err(trouble) if trouble.kind == TroubleKind::Unknown => Ok(NamespacesWritten::Unknown),
                Err(trouble) => Err(Unavailable(trouble.text)),
            }
        })
    }

    fn publish(&self, messages: Vec<Bytes>) -> Answer<'_, Result<i64, Unavailable>> {
        Box::pin(self.repeatable(move |connection, runner| {
            Box::pin(async move {
                let last = counter(connection, Counter::LastMessage, -1).await?;
                let mut script = Script::default();
                let last = append(&mut script, last, messages);
                writer::write(connection, runner, script).await?;
                Ok(last)
            })
        }))
    }

    fn published(&self, after: i64, limit: usize) -> Answer<'_, Result<Vec<(i64, Bytes)>, Unavailable>> {
        Box::pin(async move {
            let text = "SELECT id, message FROM message WHERE id > ? ORDER BY id LIMIT ?";
            let mut values = Values::default();
            values.add(after).add(i64::try_from(limit).unwrap_or(i64::MAX));
            let rows = read::table(&self.readers, text, values, message::Row::read).await?;
            Ok(rows.into_iter().map(|row| (row.id, row.message)).collect())
        })
    }

    fn last_published(&self) -> Answer<'_, Result<i64, Unavailable>> {
        Box::pin(async move {
            let text = "SELECT value FROM counter WHERE counter = 2";
            let rows = read::table(&self.readers, text, Values::default(), |row| column(row, 0)).await?;
            Ok(rows.first().copied().unwrap_or(-1))
        })
    }

    fn published_acks(&self) -> Answer<'_, Result<BTreeMap<String, i64>, Unavailable>> {
        Box::pin(async move {
            let text = "SELECT cluster, id FROM message_ack";
            let rows = read::table(&self.readers, text, Values::default(), message::Ack::read).await?;
            Ok(rows.into_iter().map(|ack| (ack.cluster, ack.id)).collect())
        })
    }

    fn ack_published<'a>(&'a self, cluster: &'a str, id: Option<i64>) -> Answer<'a, Result<(), Unavailable>> {
        let cluster = cluster.to_owned();
        Box::pin(self.repeatable(move |connection, runner| {
            Box::pin(async move {
                let mut script = Script::default();
                match id {
                    Some(id) => script.add(
                        "INSERT INTO message_ack VALUES (?, ?) \
                         ON CONFLICT (cluster) DO UPDATE SET id = max(id, excluded.id)",
                        |values| _ = values.add(cluster).add(id),
                    ),
                    None => script.add("DELETE FROM message_ack WHERE cluster = ?", |values| _ = values.add(cluster)),
                }
                writer::write(connection, runner, script).await
            })
        }))
    }

    fn forget_published(&self, id: i64) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(self.repeatable(move |connection, runner| {
            Box::pin(async move {
                let mut script = Script::default();
                script.add("DELETE FROM message WHERE id <= ?", |values| _ = values.add(id));
                writer::write(connection, runner, script).await
            })
        }))
    }

    fn clusters(&self) -> Answer<'_, Result<Vec<ClusterRecord>, Unavailable>> {
        Box::pin(async move {
            let text = "SELECT name, version, record FROM cluster ORDER BY name";
            read::table(&self.readers, text, Values::default(), table::cluster::read).await
        })
    }

    fn put_cluster<'a>(
        &'a self,
        name: &'a str,
        expected: Option<i64>,
        record: Bytes,
    ) -> Answer<'a, Result<Option<i64>, Unavailable>> {
        let name = name.to_owned();
        Box::pin(self.repeatable(move |connection, runner| {
            Box::pin(async move {
                let read = sqlx::query("SELECT version FROM cluster WHERE name = ?").bind(name.clone());
                let row = read.fetch_optional(&mut *connection).await.map_err(|error| unwritten(&error))?;
                let before = row.map(|row| column::<i64>(&row, 0)).transpose();
                let before = before.map_err(|error| unwritten(&error))?;
                if before != expected {
                    return Ok(None);
                }
                let version = before.unwrap_or(0) + 1;
                let mut script = Script::default();
                script.put([ClusterRecord { name, version, record }].into_iter());
                writer::write(connection, runner, script).await?;
                Ok(Some(version))
            })
        }))
    }

    fn delete_cluster<'a>(&'a self, name: &'a str) -> Answer<'a, Result<bool, Unavailable>> {
        let name = name.to_owned();
        Box::pin(self.repeatable(move |connection, runner| {
            Box::pin(async move {
                let read = sqlx::query("SELECT 1 FROM cluster WHERE name = ?").bind(name.clone());
                let row = read.fetch_optional(&mut *connection).await.map_err(|error| unwritten(&error))?;
                let mut script = Script::default();
                script.add("DELETE FROM cluster WHERE name = ?", |values| _ = values.add(name));
                writer::write(connection, runner, script).await?;
                Ok(row.is_some())
            })
        }))
    }

    fn members(&self) -> Answer<'_, Result<Vec<MemberRecord>, Unavailable>> {
        Box::pin(async move {
            let text = "SELECT id, heartbeat, record FROM member ORDER BY id";
            read::table(&self.readers, text, Values::default(), table::member::read).await
        })
    }

    fn put_member(&self, member: MemberRecord) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(self.repeatable(move |connection, runner| {
            Box::pin(async move {
                let mut script = Script::default();
                script.put([member].into_iter());
                writer::write(connection, runner, script).await
            })
        }))
    }

    fn remove_members(&self, ids: Vec<Uuid>) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(self.repeatable(move |connection, runner| {
            Box::pin(async move {
                let mut script = Script::default();
                for id in ids {
                    script.add("DELETE FROM member WHERE id = ?", |values| _ = values.id(id.as_bytes()));
                }
                writer::write(connection, runner, script).await
            })
        }))
    }

    fn life(&self) -> Answer<'_, Result<Life, Unavailable>> {
        Box::pin(std::future::ready(Ok(self.life)))
    }

    fn begin_incarnation(&self, fresh: Uuid) -> Answer<'_, Result<Identity, Unavailable>> {
        Box::pin(self.repeatable(move |connection, runner| {
            Box::pin(async move {
                let read = sqlx::query("SELECT value FROM counter WHERE counter = 4");
                let row = read.fetch_optional(&mut *connection).await.map_err(|error| unwritten(&error))?;
                let id = row.map(|row| table::sixteen(&row, 0)).transpose().map_err(|error| unwritten(&error))?;
                let id = id.map_or(fresh, Uuid::from_bytes);
                let incarnation = counter(connection, Counter::Incarnation, 0).await? + 1;
                let mut script = Script::default();
                put_counter(&mut script, Counter::Incarnation, incarnation);
                script.add("INSERT OR REPLACE INTO counter VALUES (4, ?)", |values| _ = values.id(id.as_bytes()));
                writer::write(connection, runner, script).await?;
                Ok(Identity { id, incarnation })
            })
        }))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let (done, closed) = oneshot::channel();
            if self.jobs.send(Job::Close(done)).await.is_ok() {
                let _ = closed.await;
            }
            self.readers.close().await;
        })
    }
}

async fn counter(connection: &mut SqliteConnection, counter: Counter, fresh: i64) -> Result<i64, Trouble> {
    let read = sqlx::query("SELECT value FROM counter WHERE counter = ?").bind(counter.number());
    let row = read.fetch_optional(connection).await.map_err(|error| unwritten(&error))?;
    row.map_or(Ok(fresh), |row| column(&row, 0).map_err(|error| unwritten(&error)))
}

fn put_counter(script: &mut Script, counter: Counter, value: i64) {
    script.put([table::counter::Row { counter: counter.number(), value }].into_iter());
}

/// Append messages after `last`; answers the new last.
fn append(script: &mut Script, last: i64, messages: Vec<Bytes>) -> i64 {
    if messages.is_empty() {
        return last;
    }
    let rows: Vec<_> = (last + 1..).zip(messages).map(|(id, message)| message::Row { id, message }).collect();
    let last = rows.last().map_or(last, |row| row.id);
    put_counter(script, Counter::LastMessage, last);
    script.put(rows.into_iter());
    last
}
