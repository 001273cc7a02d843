//! Reads of what runs leave, on connections of their own beside the writer.

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{BranchId, EventId, NamespaceId, RecordVersion, RunId, RunKey, ShardId, TaskId, WorkflowId, WorkflowKey},
    shard::io::{BacklogTask, Loaded, StoredRun},
    task::{Category, HistoryTask, TaskKey},
    time::Timestamp,
};

use super::Database;
use crate::{
    HistoryError, HistoryPage, ScannedRun, Unavailable,
    page::{self, Wanted},
    stored_task,
    table::{self, Key as _, Values, bytes, column, item, name, node::Found, sixteen},
};

/// The record of a run, how it was started, its items, and, where the current one is asked for, whether the workflow has
/// any run: rows of `part, run, record, kind, key, value`.
const RUN: &str = "WITH n AS (SELECT m.row FROM name AS m WHERE m.namespace = $1 AND m.workflow = $2 AND m.run = $3) \
    SELECT CAST(0 AS BIGINT) AS part, r.id, r.record, CAST(NULL AS BIGINT), CAST(NULL AS BYTEA), r.state \
    FROM n JOIN run AS r ON r.row = n.row \
    UNION ALL SELECT 1, NULL, NULL, 1, s.key, s.value FROM n JOIN start AS s ON s.row = n.row \
    UNION ALL SELECT 1, NULL, NULL, i.kind, i.key, i.value FROM n JOIN item AS i ON i.row = n.row \
    UNION ALL (SELECT 2, NULL, NULL, NULL, NULL, NULL FROM name AS o JOIN run AS r ON r.row = o.row AND r.id = o.run \
    WHERE length($3) = 0 AND o.namespace = $1 AND o.workflow = $2 LIMIT 1)";

/// Read the current run of a workflow, or learn that it has none at all.
pub(crate) async fn current<D: Database>(database: &D, workflow: &WorkflowKey) -> Result<Loaded, Unavailable> {
    let (found, has_runs) = find(database, workflow, None).await?;
    Ok(if found.is_some() || has_runs { Loaded::Current(found) } else { Loaded::NoRuns })
}

/// Read a run with its items.
pub(crate) async fn run<D: Database>(database: &D, run: &RunKey) -> Result<Option<StoredRun>, Unavailable> {
    find(database, &run.workflow, Some(run.run)).await.map(|(found, _)| found)
}

/// A run, or the current one; of that also whether the workflow has any.
async fn find<D: Database>(
    database: &D,
    workflow: &WorkflowKey,
    run: Option<RunId>,
) -> Result<(Option<StoredRun>, bool), Unavailable> {
    let mut values = Values::default();
    name::Key { workflow: workflow.clone(), run }.bind(&mut values);
    let (mut found, mut items, mut has_runs) = (None, Vec::new(), false);
    let rows = database.ask(RUN, values, |row| {
        Ok(match column::<i64>(row, 0)? {
            0 => {
                let run = RunKey { workflow: workflow.clone(), run: RunId::from_bytes(sixteen(row, 1)?) };
                let (record, state) = (RecordVersion(column(row, 2)?), bytes(row, 5)?);
                Piece::Run(StoredRun { run, record, state, items: Vec::new() })
            }
            1 => Piece::Item(item::read(row, 3)?, bytes(row, 5)?),
            _ => Piece::Another,
        })
    });
    for piece in rows.await? {
        match piece {
            Piece::Run(run) => found = Some(run),
            Piece::Item(key, value) => items.push((key, value)),
            Piece::Another => has_runs = true,
        }
    }
    Ok((found.map(|found: StoredRun| StoredRun { items, ..found }), has_runs))
}

/// A row of [`RUN`].
enum Piece {
    Run(StoredRun),
    Item(replicator::shard::io::ItemKey, Bytes),
    Another,
}

/// Entries that name a run: neither the pointer nor a tree that outlived its run.
const RUNS: &str = "SELECT n.workflow, n.run FROM name AS n JOIN run AS r ON r.row = n.row AND r.id = n.run \
    WHERE n.namespace = $1 AND (n.workflow, n.run) > ($2, $3) ORDER BY n.workflow, n.run LIMIT $4";

/// Read which runs a namespace has.
pub(crate) async fn runs<D: Database>(
    database: &D,
    namespace: NamespaceId,
    after: Option<(WorkflowId, RunId)>,
    limit: usize,
) -> Result<Vec<RunKey>, Unavailable> {
    let after = after.as_ref().map(|(workflow, run)| (workflow, *run));
    let runs = database.ask(RUNS, place(namespace, after, limit), |row| {
        let workflow = WorkflowKey { namespace, workflow: WorkflowId::from(column::<String>(row, 0)?) };
        Ok(RunKey { workflow, run: RunId::from_bytes(sixteen(row, 1)?) })
    });
    runs.await
}

/// A name may stand for a tree whose run is gone; the pointer of a workflow is the name with an empty run.
const SCAN: &str = "SELECT n.workflow, n.run, r.record, r.state, \
    CASE WHEN c.row = n.row THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END \
    FROM name AS n JOIN run AS r ON r.row = n.row \
    LEFT JOIN name AS c ON c.namespace = n.namespace AND c.workflow = n.workflow AND c.run = '' \
    WHERE n.namespace = $1 AND (n.workflow, n.run) > ($2, $3) AND n.run <> '' ORDER BY n.workflow, n.run LIMIT $4";

/// Read the runs of a namespace as they rest, in the order of their names.
pub(crate) async fn scan<D: Database>(
    database: &D,
    namespace: NamespaceId,
    after: Option<(&WorkflowId, RunId)>,
    limit: usize,
) -> Result<Vec<ScannedRun>, Unavailable> {
    let runs = database.ask(SCAN, place(namespace, after, limit), |row| {
        Ok(ScannedRun {
            workflow: WorkflowId::from(column::<String>(row, 0)?),
            run: RunId::from_bytes(sixteen(row, 1)?),
            record: RecordVersion(column(row, 2)?),
            state: bytes(row, 3)?,
            is_current: column(row, 4)?,
        })
    });
    runs.await
}

/// A place in the order of names.
fn place(namespace: NamespaceId, after: Option<(&WorkflowId, RunId)>, limit: usize) -> Values {
    let (workflow, run) =
        after.map_or(("", Bytes::new()), |(workflow, run)| (workflow.as_str(), Bytes::copy_from_slice(run.as_bytes())));
    let mut values = Values::default();
    values.id(namespace.as_bytes()).add(workflow).add(run).add(number(limit));
    values
}

fn number(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

const TASKS: &str = "SELECT fire_time, id, body FROM task \
    WHERE shard = $1 AND category = $2 AND (fire_time, id) > ($3, $4) ORDER BY fire_time, id LIMIT $5";

/// Read tasks of a queue.
pub(crate) async fn tasks<D: Database>(
    database: &D,
    shard: ShardId,
    category: Category,
    after: Option<TaskKey>,
    limit: usize,
) -> Result<Vec<HistoryTask>, Unavailable> {
    let after = after.unwrap_or(TaskKey { fire_time: Timestamp(i64::MIN), id: TaskId(i64::MIN) });
    let mut values = Values::default();
    values.add(i64::from(shard.0)).add(table::task::number(category)).add(after.fire_time.0).add(after.id.0);
    values.add(number(limit));
    let tasks = database.ask(TASKS, values, |row| {
        let (key, body) = table::task::read(row)?;
        stored_task::decode(category, key, body).ok_or_else(|| table::malformed(2, "no task of this release"))
    });
    tasks.await
}

/// Read replication tasks with their events.
pub(crate) async fn backlog<D: Database>(
    database: &D,
    shard: ShardId,
    after: TaskId,
    limit: usize,
) -> Result<Vec<BacklogTask>, Unavailable> {
    let after = TaskKey { fire_time: Timestamp::ZERO, id: after };
    let mut backlog = Vec::new();
    for task in tasks(database, shard, Category::Replication, Some(after), limit).await? {
        let mut found = BacklogTask { task, events: Vec::new(), new_run_events: None };
        if let Some((batch, new_run)) = stored_task::batches(&found.task) {
            let workflow = &found.task.run.workflow;
            let events = batches(database, workflow, &batch.branch, batch.first, batch.next).await?;
            let new_run = match new_run {
                Some(batch) => {
                    batches(database, workflow, &batch.branch, batch.first, batch.next).await?.into_iter().next()
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
async fn batches<D: Database>(
    database: &D,
    workflow: &WorkflowKey,
    branch: &Branch,
    first: EventId,
    end: EventId,
) -> Result<Vec<Bytes>, Unavailable> {
    let wanted = Wanted { first, end, max_events: usize::MAX, max_bytes: usize::MAX };
    match history(database, workflow, branch, wanted).await {
        Ok(page) => Ok(page.batches.into_iter().map(|batch| batch.events).collect()),
        Err(HistoryError::NotFound) => Ok(Vec::new()),
        Err(HistoryError::DataLoss(text)) => Err(Unavailable(text)),
        Err(HistoryError::Unavailable(cause)) => Err(cause),
    }
}

const NODES: &str = "SELECT n.node, n.txn, n.next, n.previous, n.events FROM name AS t JOIN node AS n ON n.tree = t.row \
    WHERE t.namespace = $1 AND t.workflow = $2 AND t.run = $3 AND n.branch = $4 AND (n.node, n.txn) > ($5, $6) \
    AND n.node < $7 ORDER BY n.node, n.txn LIMIT $8";

const NODES_REVERSE: &str = "SELECT n.node, n.txn, n.next, n.previous, n.events \
    FROM name AS t JOIN node AS n ON n.tree = t.row \
    WHERE t.namespace = $1 AND t.workflow = $2 AND t.run = $3 AND n.branch = $4 AND n.node >= $5 \
    AND (n.node, n.txn) < ($6, $7) ORDER BY n.node DESC, n.txn DESC LIMIT $8";

/// A tree by its name.
struct Read<'r, D> {
    database: &'r D,
    tree: name::Key,
}

impl<D> Read<'_, D> {
    fn values(&self, branch: BranchId) -> Values {
        let mut values = Values::default();
        self.tree.bind(&mut values);
        values.id(branch.as_bytes());
        values
    }
}

impl<D: Database> page::Tree for Read<'_, D> {
    async fn ascending(
        &mut self,
        branch: BranchId,
        after: (i64, i64),
        end: i64,
        limit: usize,
    ) -> Result<Vec<Found>, Unavailable> {
        let mut values = self.values(branch);
        values.add(after.0).add(after.1).add(end).add(number(limit));
        self.database.ask(NODES, values, Found::read).await
    }

    async fn descending(
        &mut self,
        branch: BranchId,
        first: i64,
        before: (i64, i64),
        limit: usize,
    ) -> Result<Vec<Found>, Unavailable> {
        let mut values = self.values(branch);
        values.add(first).add(before.0).add(before.1).add(number(limit));
        self.database.ask(NODES_REVERSE, values, Found::read).await
    }
}

/// Batches of a branch, oldest first.
pub(crate) async fn history<D: Database>(
    database: &D,
    workflow: &WorkflowKey,
    branch: &Branch,
    wanted: Wanted,
) -> Result<HistoryPage, HistoryError> {
    let tree = name::Key { workflow: workflow.clone(), run: Some(branch.tree) };
    page::forward(&mut Read { database, tree }, branch, wanted).await
}

/// Batches of a branch, youngest first.
pub(crate) async fn history_reverse<D: Database>(
    database: &D,
    workflow: &WorkflowKey,
    branch: &Branch,
    wanted: Wanted,
) -> Result<HistoryPage, HistoryError> {
    let tree = name::Key { workflow: workflow.clone(), run: Some(branch.tree) };
    page::backward(&mut Read { database, tree }, branch, wanted).await
}
