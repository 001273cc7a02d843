//! Reads: on connections of their own, beside the writer.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use replicator::{
    history::Branch,
    ids::{BranchId, EventId, NamespaceId, RecordVersion, RunId, RunKey, ShardId, TaskId, WorkflowId, WorkflowKey},
    shard::io::{BacklogTask, ItemKey, ItemKind, Loaded, StoredRun},
    task::{Category, HistoryTask, TaskKey},
    time::Timestamp,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Either, Executor as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::value::arguments;
use crate::{
    HistoryError, HistoryPage, Unavailable,
    page::{self, Wanted},
    select::Statement,
    stored_task,
    table::{self, Malformed, Values, bytes, column, item, node::Found},
};

/// Connections for reads. One that was dropped in the middle of a read is closed, so that none keeps an old picture of
/// the database open.
#[derive(Clone)]
pub(crate) enum Readers {
    /// As many as are at work at a time, opened when first needed.
    File {
        options: Box<SqliteConnectOptions>,
        idle: Arc<std::sync::Mutex<Vec<SqliteConnection>>>,
        permits: Arc<Semaphore>,
    },
    /// A memory database is one connection, which the writer uses too.
    Memory(Arc<Mutex<SqliteConnection>>),
}

/// A connection for one read.
pub(crate) enum Reader {
    File {
        connection: Option<SqliteConnection>,
        idle: Arc<std::sync::Mutex<Vec<SqliteConnection>>>,
        /// Given back after the connection.
        _permit: OwnedSemaphorePermit,
    },
    Memory(OwnedMutexGuard<SqliteConnection>),
}

impl Readers {
    /// A connection, when one is free.
    pub(crate) async fn get(&self) -> Result<Reader, Unavailable> {
        match self {
            Self::Memory(connection) => Ok(Reader::Memory(connection.clone().lock_owned().await)),
            Self::File { options, idle, permits } => {
                let permit =
                    permits.clone().acquire_owned().await.map_err(|_| Unavailable("the store is closed".into()))?;
                let found = idle.lock().expect("never poisoned").pop();
                let connection = match found {
                    Some(connection) => connection,
                    None => options.connect().await.map_err(unavailable)?,
                };
                Ok(Reader::File { connection: Some(connection), idle: idle.clone(), _permit: permit })
            }
        }
    }

    /// Close what is idle and lend nothing more.
    pub(crate) async fn close(&self) {
        if let Self::File { idle, permits, .. } = self {
            permits.close();
            let connections = std::mem::take(&mut *idle.lock().expect("never poisoned"));
            for connection in connections {
                let _ = connection.close().await;
            }
        }
    }
}

impl Reader {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        match self {
            Self::File { connection, .. } => connection.as_mut().expect("until it is given back"),
            Self::Memory(connection) => connection,
        }
    }

    /// The read came to its end.
    pub(crate) fn done(mut self) {
        if let Self::File { connection, idle, .. } = &mut self {
            idle.lock().expect("never poisoned").extend(connection.take());
        }
    }

    /// Rows of several statements, of one moment. The last number of each row is that of its statement.
    async fn all(
        &mut self,
        text: &'static str,
        values: Values,
        mut each: impl FnMut(usize, SqliteRow) -> Result<(), Malformed>,
    ) -> Result<(), sqlx::Error> {
        let mut results = self.connection().fetch_many(sqlx::query_with(text, arguments(values.into_iter())));
        let mut statement = 0;
        while let Some(result) = results.try_next().await? {
            match result {
                Either::Left(_) => statement += 1,
                Either::Right(row) => each(statement, row)?,
            }
        }
        Ok(())
    }
}

/// Say that a read failed.
pub(crate) fn unavailable(error: sqlx::Error) -> Unavailable {
    Unavailable(format!("the database does not answer: {error}"))
}

macro_rules! run {
    () => {
        "SELECT run.row, run.id, run.record, run.closed, run.started, run.state, start.key, start.value \
    FROM name JOIN run ON run.row = name.row LEFT JOIN start ON start.row = run.row \
    WHERE name.namespace = ? AND name.workflow = ? AND name.run = ?; \
    SELECT item.row, item.kind, item.key, item.value FROM name JOIN item ON item.row = name.row \
    WHERE name.namespace = ? AND name.workflow = ? AND name.run = ?"
    };
}

/// Whether there is any run, asked together with the current one: most workflows that are asked for are new.
macro_rules! any {
    () => {
        "; SELECT 1 FROM name JOIN run ON run.row = name.row AND run.id = name.run \
    WHERE name.namespace = ? AND name.workflow = ? LIMIT 1"
    };
}

/// The statements see one moment: in a file by a transaction; a memory database is held by one reader at a time, and a
/// transaction that is left in the middle would be everybody's.
const RUN_IN_FILE: &str = concat!("BEGIN;", run!(), ";COMMIT");
const RUN_IN_MEMORY: &str = run!();
const CURRENT_IN_FILE: &str = concat!("BEGIN;", run!(), any!(), ";COMMIT");
const CURRENT_IN_MEMORY: &str = concat!(run!(), any!());

/// Read the current run of a workflow, or learn that it has none at all.
pub(crate) async fn current(readers: &Readers, workflow: &WorkflowKey) -> Result<Loaded, Unavailable> {
    let (found, has_runs) = find(readers, workflow, None).await?;
    Ok(if found.is_some() || has_runs { Loaded::Current(found) } else { Loaded::NoRuns })
}

/// Read a run with its items.
pub(crate) async fn run(readers: &Readers, run: &RunKey) -> Result<Option<StoredRun>, Unavailable> {
    find(readers, &run.workflow, Some(run.run)).await.map(|(found, _)| found)
}

/// A run, or the current one; of that also whether the workflow has any.
async fn find(
    readers: &Readers,
    workflow: &WorkflowKey,
    run: Option<RunId>,
) -> Result<(Option<StoredRun>, bool), Unavailable> {
    let mut reader = readers.get().await?;
    let text = match (run, &reader) {
        (None, Reader::File { .. }) => CURRENT_IN_FILE,
        (None, Reader::Memory(_)) => CURRENT_IN_MEMORY,
        (Some(_), Reader::File { .. }) => RUN_IN_FILE,
        (Some(_), Reader::Memory(_)) => RUN_IN_MEMORY,
    };
    let key = table::name::Key { workflow: workflow.clone(), run };
    let mut values = Values::default();
    table::Key::bind(&key, &mut values);
    table::Key::bind(&key, &mut values);
    if run.is_none() {
        values.id(workflow.namespace.as_bytes()).add(workflow.workflow.0.clone());
    }
    let (mut found, mut has_runs): (Option<StoredRun>, bool) = (None, false);
    let mut items = Vec::new();
    let read = reader.all(text, values, |_, row| {
        match sqlx::Row::len(&row) {
            1 => {
                has_runs = true;
                return Ok(());
            }
            4 => {
                let row = item::Row::read(&row)?;
                items.push((row.key.item, row.value));
                return Ok(());
            }
            _ => {}
        }
        let stored = table::run::Row::read(&row, 0)?;
        if column::<Option<Bytes>>(&row, 6)?.is_some() {
            items.push((ItemKey { kind: ItemKind::Start, key: bytes(&row, 6)? }, bytes(&row, 7)?));
        }
        let run = RunKey { workflow: workflow.clone(), run: stored.id };
        found = Some(StoredRun { run, record: RecordVersion(stored.record.0), state: stored.state, items: Vec::new() });
        Ok(())
    });
    read.await.map_err(unavailable)?;
    reader.done();
    Ok((found.map(|found| StoredRun { items, ..found }), has_runs))
}

/// Entries that name a run: neither the pointer nor a tree that outlived its run.
const RUNS: &str = "SELECT name.workflow, name.run FROM name JOIN run ON run.row = name.row AND run.id = name.run \
    WHERE name.namespace = ? AND (name.workflow, name.run) > (?, ?) ORDER BY name.workflow, name.run LIMIT ?";

/// Read which runs a namespace has.
pub(crate) async fn runs(
    readers: &Readers,
    namespace: NamespaceId,
    after: Option<(WorkflowId, RunId)>,
    limit: usize,
) -> Result<Vec<RunKey>, Unavailable> {
    let mut reader = readers.get().await?;
    let (workflow, run) = after.map_or((String::new(), Bytes::new()), |(workflow, run)| {
        (workflow.as_str().to_owned(), Bytes::copy_from_slice(run.as_bytes()))
    });
    let mut values = Values::default();
    values.id(namespace.as_bytes()).add(workflow).add(run).add(i64::try_from(limit).unwrap_or(i64::MAX));
    let mut runs = Vec::new();
    let read = reader.all(RUNS, values, |_, row| {
        let workflow = WorkflowKey { namespace, workflow: WorkflowId::from(column::<String>(&row, 0)?) };
        runs.push(RunKey { workflow, run: RunId::from_bytes(table::sixteen(&row, 1)?) });
        Ok(())
    });
    read.await.map_err(unavailable)?;
    reader.done();
    Ok(runs)
}

const TASKS: &str = "SELECT fire_time, id, body FROM task \
    WHERE shard = ? AND category = ? AND (fire_time, id) > (?, ?) ORDER BY fire_time, id LIMIT ?";

/// Read tasks of a queue.
pub(crate) async fn tasks(
    readers: &Readers,
    shard: ShardId,
    category: Category,
    after: Option<TaskKey>,
    limit: usize,
) -> Result<Vec<HistoryTask>, Unavailable> {
    let mut reader = readers.get().await?;
    let after = after.unwrap_or(TaskKey { fire_time: Timestamp(i64::MIN), id: TaskId(i64::MIN) });
    let mut values = Values::default();
    values.add(i64::from(shard.0)).add(table::task::number(category)).add(after.fire_time.0).add(after.id.0);
    values.add(i64::try_from(limit).unwrap_or(i64::MAX));
    let mut tasks = Vec::new();
    let read = reader.all(TASKS, values, |_, row| {
        let (key, body) = table::task::read(&row)?;
        let task = stored_task::decode(category, key, body);
        tasks.push(task.ok_or_else(|| table::malformed(2, "no task of this release"))?);
        Ok(())
    });
    read.await.map_err(unavailable)?;
    reader.done();
    Ok(tasks)
}

/// Read replication tasks with their events.
pub(crate) async fn backlog(
    readers: &Readers,
    shard: ShardId,
    after: TaskId,
    limit: usize,
) -> Result<Vec<BacklogTask>, Unavailable> {
    let after = TaskKey { fire_time: Timestamp::ZERO, id: after };
    let mut backlog = Vec::new();
    for task in tasks(readers, shard, Category::Replication, Some(after), limit).await? {
        let mut found = BacklogTask { task, events: Vec::new(), new_run_events: None };
        if let Some((batch, new_run)) = stored_task::batches(&found.task) {
            let workflow = &found.task.run.workflow;
            let events = batches(readers, workflow, &batch.branch, batch.first, batch.next).await?;
            let new_run = match new_run {
                Some(batch) => {
                    batches(readers, workflow, &batch.branch, batch.first, batch.next).await?.into_iter().next()
                }
                None => None,
            };
            (found.events, found.new_run_events) = (events, new_run);
        }
        backlog.push(found);
    }
    Ok(backlog)
}

/// Read all batches of a stretch; none when the run is gone.
async fn batches(
    readers: &Readers,
    workflow: &WorkflowKey,
    branch: &Branch,
    first: EventId,
    end: EventId,
) -> Result<Vec<Bytes>, Unavailable> {
    let wanted = Wanted { first, end, max_events: usize::MAX, max_bytes: usize::MAX };
    match history(readers, workflow, branch, wanted).await {
        Ok(page) => Ok(page.batches.into_iter().map(|batch| batch.events).collect()),
        Err(HistoryError::NotFound) => Ok(Vec::new()),
        Err(HistoryError::DataLoss(text)) => Err(Unavailable(text)),
        Err(HistoryError::Unavailable(cause)) => Err(cause),
    }
}

const TREE: &str = "SELECT row FROM name WHERE namespace = ? AND workflow = ? AND run = ?";

async fn tree(reader: &mut Reader, workflow: &WorkflowKey, tree: RunId) -> Result<Option<i64>, HistoryError> {
    let key = table::name::Key { workflow: workflow.clone(), run: Some(tree) };
    let mut values = Values::default();
    table::Key::bind(&key, &mut values);
    let query = sqlx::query_with(TREE, arguments(values.into_iter()));
    let row = query.fetch_optional(reader.connection()).await;
    let row = row.and_then(|row| row.map(|row| column(&row, 0)).transpose());
    row.map_err(|error| HistoryError::Unavailable(unavailable(error)))
}

const NODES: &str = "SELECT at.node, at.txn, node.next, node.previous, node.events \
    FROM node_at AS at CROSS JOIN node ON node.seq = at.seq \
    WHERE at.tree = ? AND at.branch = ? AND (at.node, at.txn) > (?, ?) AND at.node < ? ORDER BY at.node, at.txn LIMIT ?";

const NODES_REVERSE: &str = "SELECT at.node, at.txn, node.next, node.previous, node.events \
    FROM node_at AS at CROSS JOIN node ON node.seq = at.seq \
    WHERE at.tree = ? AND at.branch = ? AND at.node >= ? AND (at.node, at.txn) < (?, ?) \
    ORDER BY at.node DESC, at.txn DESC LIMIT ?";

/// A tree, and the connection on which it is read.
struct Read<'r> {
    reader: &'r mut Reader,
    row: i64,
}

impl Read<'_> {
    async fn nodes(&mut self, text: &'static str, values: Values) -> Result<Vec<Found>, Unavailable> {
        let query = sqlx::query_with(text, arguments(values.into_iter()));
        let rows = query.fetch_all(self.reader.connection()).await.map_err(unavailable)?;
        rows.iter().map(Found::read).collect::<Result<_, _>>().map_err(unavailable)
    }
}

impl page::Tree for Read<'_> {
    async fn ascending(
        &mut self,
        branch: BranchId,
        after: (i64, i64),
        end: i64,
        limit: usize,
    ) -> Result<Vec<Found>, Unavailable> {
        let mut values = Values::default();
        values.add(self.row).id(branch.as_bytes()).add(after.0).add(after.1).add(end).add(limit as i64);
        self.nodes(NODES, values).await
    }

    async fn descending(
        &mut self,
        branch: BranchId,
        first: i64,
        before: (i64, i64),
        limit: usize,
    ) -> Result<Vec<Found>, Unavailable> {
        let mut values = Values::default();
        values.add(self.row).id(branch.as_bytes()).add(first).add(before.0).add(before.1).add(limit as i64);
        self.nodes(NODES_REVERSE, values).await
    }
}

/// Batches of a branch, oldest first.
pub(crate) async fn history(
    readers: &Readers,
    workflow: &WorkflowKey,
    branch: &Branch,
    wanted: Wanted,
) -> Result<HistoryPage, HistoryError> {
    let mut reader = readers.get().await.map_err(HistoryError::Unavailable)?;
    let page = match tree(&mut reader, workflow, branch.tree).await? {
        Some(row) => page::forward(&mut Read { reader: &mut reader, row }, branch, wanted).await,
        None => Err(HistoryError::NotFound),
    };
    finish(reader, page)
}

/// Batches of a branch, youngest first.
pub(crate) async fn history_reverse(
    readers: &Readers,
    workflow: &WorkflowKey,
    branch: &Branch,
    wanted: Wanted,
) -> Result<HistoryPage, HistoryError> {
    let mut reader = readers.get().await.map_err(HistoryError::Unavailable)?;
    let page = match tree(&mut reader, workflow, branch.tree).await? {
        Some(row) => page::backward(&mut Read { reader: &mut reader, row }, branch, wanted).await,
        None => Err(HistoryError::NotFound),
    };
    finish(reader, page)
}

/// Give a connection back unless it is in doubt.
fn finish(reader: Reader, page: Result<HistoryPage, HistoryError>) -> Result<HistoryPage, HistoryError> {
    if !matches!(page, Err(HistoryError::Unavailable(_))) {
        reader.done();
    }
    page
}

/// Read whole rows of a table that is never large.
pub(crate) async fn table<T>(
    readers: &Readers,
    text: &'static str,
    values: Values,
    read: impl Fn(&SqliteRow) -> Result<T, Malformed>,
) -> Result<Vec<T>, Unavailable> {
    let mut reader = readers.get().await?;
    let mut rows = Vec::new();
    let all = reader.all(text, values, |_, row| {
        rows.push(read(&row)?);
        Ok(())
    });
    all.await.map_err(unavailable)?;
    reader.done();
    Ok(rows)
}

/// Runs that match, or how many they are: a statement that a filter was translated to.
pub(crate) async fn filtered<T>(
    readers: &Readers,
    statement: Statement,
    read: impl Fn(&SqliteRow) -> Result<T, Malformed>,
) -> Result<Vec<T>, Unavailable> {
    let mut reader = readers.get().await?;
    // Shapes of filters are chosen by callers: they are not kept prepared.
    let values = arguments(statement.values.into_iter());
    let query = sqlx::query_with(AssertSqlSafe(statement.text), values).persistent(false);
    let rows = query.fetch_all(reader.connection()).await.map_err(unavailable)?;
    reader.done();
    rows.iter().map(read).collect::<Result<_, _>>().map_err(unavailable)
}
