//! The one writer of a database: takes what waits, writes it together, answers.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fs::File,
    future::Future,
    pin::Pin,
    sync::Arc,
};

use futures_util::TryStreamExt as _;
use replicator::ids::{BranchId, RecordVersion, RunId, WorkflowKey};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::Mutex;

use super::{
    script::script,
    statement::{ROWS, Runner, Script, Stopped, tuples},
    value::arguments,
};
use crate::{
    group::{Member, Outcome, Queue, Trouble, TroubleKind, Turn},
    plan::{self, Entry, Line, Numbers, Plan, StoredRun, Tree, View},
    table::{self, Values, column, run::listed, sixteen},
};

/// Reads, decides and writes on the connection, and answers through what it captured.
pub(crate) type Chore = Box<
    dyn for<'c> FnOnce(&'c mut SqliteConnection, &'c mut Runner) -> Pin<Box<dyn Future<Output = Doubt> + Send + 'c>>
        + Send,
>;

/// Whether the connection can be trusted after a chore.
pub(crate) type Doubt = Option<Trouble>;

/// The writer.
pub(crate) struct Writer {
    pub(crate) connection: Arc<Mutex<SqliteConnection>>,
    /// How to connect again; a memory database cannot be connected to twice.
    pub(crate) options: Option<SqliteConnectOptions>,
    pub(crate) queue: Queue<Chore>,
    pub(crate) numbers: Numbers,
    pub(crate) view: View,
    pub(crate) runner: Runner,
    /// Held as long as the database may be written to, so that no other process of ours does.
    pub(crate) lock: Option<File>,
}

impl Writer {
    /// Write until told to close, or until nobody is left to ask.
    pub(crate) async fn run(mut self) {
        while let Some(turn) = self.queue.next().await {
            match turn {
                Turn::Group(group) => self.write(group).await,
                Turn::Chore(chore) => {
                    let connection = self.connection.clone();
                    let mut connection = connection.lock().await;
                    if let Some(trouble) = chore(&mut connection, &mut self.runner).await {
                        self.recover(&mut connection, &trouble).await;
                    }
                }
            }
        }
        if let (Some(_), Ok(connection)) = (&self.options, Arc::try_unwrap(self.connection)) {
            // Brings the log into the tables, so that the next start has none to read.
            let _ = connection.into_inner().close().await;
        }
        drop(self.lock);
        self.queue.closed();
    }

    /// Write a group and answer. When a row of it is at fault, its members are written one by one, so that only the one with
    /// that row fails.
    async fn write(&mut self, group: Vec<Member>) {
        let connection = self.connection.clone();
        let mut connection = connection.lock().await;
        let mut parts = VecDeque::from([group]);
        while let Some(group) = parts.pop_front() {
            match self.attempt(&mut connection, &group).await {
                Ok(outcomes) => {
                    for (member, outcome) in group.into_iter().zip(outcomes) {
                        member.answer(outcome);
                    }
                }
                Err(trouble) => {
                    self.recover(&mut connection, &trouble).await;
                    if trouble.kind == TroubleKind::Rows && group.len() > 1 {
                        parts.extend(group.into_iter().map(|member| vec![member]));
                    } else {
                        tracing::warn!(error = trouble.text, members = group.len(), "a write was not carried out");
                        group.into_iter().for_each(|member| member.refuse(&trouble));
                    }
                }
            }
        }
        self.view.trim();
    }

    async fn attempt(&mut self, connection: &mut SqliteConnection, group: &[Member]) -> Result<Vec<Outcome>, Trouble> {
        self.look_up(connection, group).await.map_err(|error| unwritten(&error))?;
        let trees = self.look_up_trees(connection, group).await.map_err(|error| unwritten(&error))?;
        let mut plan = Plan::default();
        let outcomes = group.iter().map(|member| match member {
            Member::Commit(transaction, _) => {
                Outcome::Commit(plan.admit(&mut self.view, &trees, &mut self.numbers, transaction))
            }
            Member::Acquire(shard, leaps, _) => Outcome::Acquired(plan.acquire(&mut self.view, *shard, *leaps)),
        });
        let outcomes = outcomes.collect();
        write(connection, &mut self.runner, script(plan)).await?;
        Ok(outcomes)
    }

    /// Read what the conditions of a group speak of and the view does not know.
    async fn look_up(&mut self, connection: &mut SqliteConnection, group: &[Member]) -> Result<(), sqlx::Error> {
        let mut shards = BTreeSet::new();
        let mut wanted: Vec<(WorkflowKey, Option<RunId>)> = Vec::new();
        for member in group {
            let (shard, transaction) = match member {
                Member::Commit(transaction, _) => (transaction.shard, Some(transaction)),
                Member::Acquire(shard, ..) => (*shard, None),
            };
            if !self.view.shards.contains_key(&shard) {
                shards.insert(shard);
            }
            let Some((workflow, transaction)) = transaction.and_then(|t| Some((plan::workflow(t)?, t))) else {
                continue;
            };
            let known = self.view.workflows.entry(workflow.clone()).or_default();
            for run in plan::needs(transaction) {
                let is_known = match run {
                    None => known.pointer.is_some(),
                    Some(run) => known.entries.contains_key(&run),
                };
                if !is_known {
                    wanted.push((workflow.clone(), run));
                }
            }
        }
        for shard in shards {
            let read = sqlx::query("SELECT id, range, state FROM shard WHERE id = ?").bind(i64::from(shard.0));
            let row = read.fetch_optional(&mut *connection).await?;
            let row = row.as_ref().map(table::shard::Row::read).transpose()?;
            self.view.shards.insert(shard, row.map(|row| (row.range, row.state)));
        }
        for some in wanted.chunks(ROWS) {
            self.look_up_entries(connection, some).await?;
        }
        Ok(())
    }

    async fn look_up_entries(
        &mut self,
        connection: &mut SqliteConnection,
        wanted: &[(WorkflowKey, Option<RunId>)],
    ) -> Result<(), sqlx::Error> {
        let mut values = Values::default();
        for (at, (workflow, run)) in wanted.iter().enumerate() {
            let key = table::name::Key { workflow: workflow.clone(), run: *run };
            table::Key::bind(&key, values.add(at as i64));
            let known = self.view.workflows.get_mut(workflow).expect("made by the caller");
            match run {
                None => known.pointer = Some(None),
                Some(run) => {
                    known.entries.insert(*run, None);
                }
            }
        }
        let text = format!(
            "WITH want (at, namespace, workflow, run) AS (VALUES {}) \
             SELECT want.at, name.row, run.id, run.record, run.closed, run.started FROM want \
             CROSS JOIN name ON name.namespace = want.namespace AND name.workflow = want.workflow AND name.run = want.run \
             LEFT JOIN run ON run.row = name.row",
            tuples(4, wanted.len())
        );
        let query = sqlx::query_with(AssertSqlSafe(text), arguments(values.into_iter()));
        let mut rows = query.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            let at = column::<i64>(&row, 0)?;
            let (workflow, run) =
                usize::try_from(at).ok().and_then(|at| wanted.get(at)).expect("an index that was bound");
            let known = self.view.workflows.get_mut(workflow).expect("made by the caller");
            let stored = match column::<Option<i64>>(&row, 3)? {
                Some(record) => Some(StoredRun { record: RecordVersion(record), listed: listed(&row, 4)? }),
                None => None,
            };
            match run {
                None => known.pointer = Some(Some(RunId::from_bytes(sixteen(&row, 2)?))),
                Some(run) => {
                    known.entries.insert(*run, Some(Entry { row: column(&row, 1)?, run: stored }));
                }
            }
        }
        Ok(())
    }

    /// Read the branches of the trees that a group deletes from.
    async fn look_up_trees(
        &mut self,
        connection: &mut SqliteConnection,
        group: &[Member],
    ) -> Result<HashMap<i64, Tree>, sqlx::Error> {
        let mut trees: HashMap<i64, Tree> = HashMap::new();
        for member in group {
            let Member::Commit(transaction, _) = member else { continue };
            for row in self.view.trees(transaction) {
                let mut tree = Tree::default();
                let query =
                    sqlx::query("SELECT branch, min(node) FROM node_at WHERE tree = ? GROUP BY branch").bind(row);
                for branch in query.fetch_all(&mut *connection).await? {
                    let line = Line { first: column(&branch, 1)?, ends: BTreeSet::new() };
                    tree.branches.insert(BranchId::from_bytes(sixteen(&branch, 0)?), line);
                }
                if tree.branches.len() > 1 {
                    let ends = "SELECT at.branch, node.next FROM node_at AS at CROSS JOIN node ON node.seq = at.seq \
                                WHERE at.tree = ?";
                    for node in sqlx::query(ends).bind(row).fetch_all(&mut *connection).await? {
                        let line = tree.branches.get_mut(&BranchId::from_bytes(sixteen(&node, 0)?));
                        line.expect("read above").ends.insert(column(&node, 1)?);
                    }
                    let query = sqlx::query("SELECT branch FROM dropped WHERE tree = ?").bind(row);
                    for branch in query.fetch_all(&mut *connection).await? {
                        tree.dropped.insert(BranchId::from_bytes(sixteen(&branch, 0)?));
                    }
                }
                trees.insert(row, tree);
            }
        }
        Ok(trees)
    }

    /// Trust nothing that was known, and if need be connect again.
    async fn recover(&mut self, connection: &mut SqliteConnection, trouble: &Trouble) {
        self.view = View::default();
        if trouble.reconnect
            && let Some(options) = &self.options
        {
            match options.connect().await {
                Ok(fresh) => *connection = fresh,
                Err(error) => tracing::warn!(%error, "the database could not be opened again"),
            }
        }
    }
}

/// Carry out a script, if there is anything to do.
pub(crate) async fn write(
    connection: &mut SqliteConnection,
    runner: &mut Runner,
    script: Script,
) -> Result<(), Trouble> {
    if script.is_empty() {
        return Ok(());
    }
    runner.run(connection, script).await.map_err(|stopped: Stopped| trouble(&stopped.error, stopped.committing))
}

/// A read failed, so nothing was written.
pub(crate) fn unwritten(error: &sqlx::Error) -> Trouble {
    trouble(error, false)
}

fn trouble(error: &sqlx::Error, committing: bool) -> Trouble {
    let code = match error {
        sqlx::Error::Database(cause) => cause.code().and_then(|code| code.parse::<i32>().ok()),
        _ => None,
    };
    // The low byte is the kind of the error, the rest says where.
    let kind = match code.map(|code| code & 0xff) {
        // Busy, locked, full: SQLite says so before the commit is in the log.
        Some(5 | 6 | 13) => TroubleKind::World,
        _ if committing => TroubleKind::Unknown,
        // Out of memory, read-only, interrupted, input or output, cannot open, corrupt, not a database.
        Some(7..=11 | 14 | 26) => TroubleKind::World,
        Some(_) => TroubleKind::Rows,
        // The connection is gone, and the transaction with it.
        None => TroubleKind::World,
    };
    let text = match code.map(|code| code & 0xff) {
        Some(5 | 6) => "the database is locked by another program".to_owned(),
        Some(13) => "the disk that holds the database is full".to_owned(),
        _ => format!("the database does not answer: {error}"),
    };
    Trouble { text, kind, reconnect: code.is_none() || kind == TroubleKind::Unknown }
}
