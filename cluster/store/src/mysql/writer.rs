//! How groups are written to MariaDB.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use replicator::ids::{RangeId, ShardId};
use sqlx::{Connection as _, Executor as _, MySqlConnection};
use tokio::time::{Instant, timeout};

use super::{
    look_up,
    options::Options,
    prepare, script,
    trouble::{self, before, silent, uncommitted, unwritten},
    value::arguments,
};
use crate::{
    Failed,
    group::{Member, Outcome, Trouble, TroubleKind},
    plan::{self, Numbers, Plan, View},
    server::writer::{Hand, acquired, wanted},
    table::{Columns as _, Value, bytes, column},
};

/// The hand of the writer.
pub(crate) struct Writer {
    options: Options,
    connection: Option<(MySqlConnection, Instant)>,
    numbers: Numbers,
    /// Row numbers that are left of those that were drawn.
    left: i64,
    view: View,
}

/// Row numbers that are drawn at a time.
const DRAWN: i64 = 65_536;

impl Writer {
    pub(crate) fn new(options: Options) -> Self {
        let numbers = Numbers { row: 0, seq: 0 };
        Self { options, connection: None, numbers, left: 0, view: View::default() }
    }

    /// Connect, so that whoever opens the store learns what stands in the way.
    pub(crate) async fn open(&mut self) -> Result<(), Failed> {
        let failed = |text: &str| Failed(format!("{} cannot be opened: {text}", self.options));
        let (patience, connection) =
            connect(&mut self.connection, &self.options).await.map_err(|trouble| failed(&trouble.text))?;
        let row = before(patience, sqlx::query(FORGETFUL).fetch_one(connection)).await;
        let row = row.map_err(|trouble| failed(&trouble.text))?;
        match row.integer(0) {
            Ok(Some(0)) => Ok(()),
            Ok(_) => Err(failed(FORGETS)),
            Err(error) => Err(failed(&trouble::text(&error))),
        }
    }

    /// Take shards and say what their rows hold then.
    async fn take(
        &mut self,
        times: &BTreeMap<ShardId, i64>,
    ) -> Result<BTreeMap<ShardId, (RangeId, bytes::Bytes)>, Trouble> {
        let (patience, connection) = connect(&mut self.connection, &self.options).await?;
        before(patience, connection.execute("START TRANSACTION")).await?;
        let mut taken = BTreeMap::new();
        for (shard, times) in times {
            let values = [Value::Integer(shard.0.into()), Value::Integer(*times)];
            let put = sqlx::query_with(ACQUIRE, arguments(&values)).execute(&mut *connection);
            before(patience, put).await?;
            let read = sqlx::query_with(TAKEN, arguments(&values[..1])).fetch_one(&mut *connection);
            let row = before(patience, read).await?;
            let read = || Ok((RangeId(column(&row, 0)?), bytes(&row, 1)?));
            taken.insert(*shard, read().map_err(|error| unwritten(&error))?);
        }
        commit(patience, connection).await?;
        Ok(taken)
    }

    /// Decide a group and write what holds, in one transaction.
    async fn write(&mut self, group: &[Member]) -> Result<Vec<Outcome>, Trouble> {
        self.draw(group).await?;
        let (patience, connection) = connect(&mut self.connection, &self.options).await?;
        before(patience, connection.execute("START TRANSACTION")).await?;
        let transactions = || group.iter().filter_map(Member::transaction);
        let shards: BTreeSet<_> = transactions().map(|transaction| transaction.shard).collect();
        before(patience, look_up::shards(connection, &mut self.view, &shards)).await?;
        let mut unknown = Vec::new();
        for transaction in transactions() {
            let Some(workflow) = plan::workflow(transaction) else { continue };
            let known = self.view.workflows.entry(workflow.clone()).or_default();
            for run in plan::needs(transaction) {
                let is_known = match run {
                    None => known.pointer.is_some(),
                    Some(run) => known.entries.contains_key(&run),
                };
                if !is_known {
                    unknown.push((workflow.clone(), run));
                }
            }
        }
        before(patience, look_up::entries(connection, &mut self.view, &unknown)).await?;
        let trees: BTreeSet<_> = transactions().flat_map(|transaction| self.view.trees(transaction)).collect();
        let trees = before(patience, look_up::trees(connection, &trees)).await?;
        let mut plan = Plan::default();
        let mut outcomes = Vec::new();
        for transaction in transactions() {
            let drawn = self.numbers.row;
            outcomes.push(Outcome::Commit(plan.admit(&mut self.view, &trees, &mut self.numbers, transaction)));
            self.left -= self.numbers.row - drawn;
        }
        let batch = script::batch(plan);
        if batch.is_empty() {
            before(patience, connection.execute("ROLLBACK")).await?;
        } else {
            before(patience, batch.carry_out(connection)).await?;
            commit(patience, connection).await?;
        }
        Ok(outcomes)
    }

    /// See that there are numbers for the rows of a group.
    async fn draw(&mut self, group: &[Member]) -> Result<(), Trouble> {
        let needed = group.iter().filter_map(Member::transaction).map(|transaction| plan::needs(transaction).len());
        let needed = i64::try_from(needed.sum::<usize>()).unwrap_or(i64::MAX);
        if needed <= self.left {
            return Ok(());
        }
        if needed > DRAWN {
            let text = format!("a group of writes is about {needed} rows");
            return Err(Trouble { text, kind: TroubleKind::World, reconnect: false });
        }
        let (patience, connection) = connect(&mut self.connection, &self.options).await?;
        let step = [Value::Integer(DRAWN)];
        before(patience, sqlx::query_with(DRAW, arguments(&step)).execute(&mut *connection)).await?;
        let row = before(patience, sqlx::query(DRAWN_UP_TO).fetch_one(connection)).await?;
        self.numbers.row = column::<i64>(&row, 0).map_err(|error| unwritten(&error))? - DRAWN;
        self.left = DRAWN;
        Ok(())
    }

    /// Leave nothing of a transaction that failed: no lock, and nothing that the next one would commit.
    async fn undo(&mut self, mut trouble: Trouble) -> Trouble {
        let Some((connection, _)) = self.connection.as_mut().filter(|_| !trouble.reconnect) else { return trouble };
        trouble.reconnect = before(self.options.patience(), connection.execute("ROLLBACK")).await.is_err();
        trouble
    }
}

impl Hand for Writer {
    async fn acquire(&mut self, group: &[Member]) -> Result<Vec<Outcome>, Trouble> {
        let taken = match self.take(&wanted(group)).await {
            Ok(taken) => taken,
            Err(trouble) => return Err(self.undo(trouble).await),
        };
        self.view.workflows.clear();
        for (shard, (range, state)) in &taken {
            self.view.shards.insert(*shard, Some((*range, state.clone())));
        }
        Ok(acquired(group, &taken))
    }

    async fn commit(&mut self, group: &[Member]) -> Result<Vec<Outcome>, Trouble> {
        match self.write(group).await {
            Ok(outcomes) => Ok(outcomes),
            Err(trouble) => Err(self.undo(trouble).await),
        }
    }

    fn forget(&mut self, reconnect: bool) {
        self.view = View::default();
        if reconnect {
            self.connection = None;
        }
    }

    fn trim(&mut self) {
        self.view.trim();
    }

    async fn close(mut self) {
        if let Some((connection, _)) = self.connection.take() {
            let _ = timeout(self.options.patience(), connection.close()).await;
        }
    }
}

/// Commit. From here on a connection that breaks leaves it unknown what was written.
async fn commit(patience: Duration, connection: &mut MySqlConnection) -> Result<(), Trouble> {
    match timeout(patience, connection.execute("COMMIT")).await {
        Ok(committed) => committed.map(drop).map_err(|error| uncommitted(&error)),
        Err(_) => Err(silent(TroubleKind::Unknown)),
    }
}

/// The connection, a new one if there is none or it is too old.
async fn connect<'c>(
    slot: &'c mut Option<(MySqlConnection, Instant)>,
    options: &Options,
) -> Result<(Duration, &'c mut MySqlConnection), Trouble> {
    let is_old = |since: &Instant| options.max_lifetime.is_some_and(|lifetime| since.elapsed() > lifetime);
    let kept = slot.take().filter(|(_, since)| !is_old(since));
    let connection = match kept {
        Some(kept) => kept,
        None => {
            let refused = |text| Trouble { text, kind: TroubleKind::World, reconnect: true };
            let failed = |text| refused(format!("the database does not answer: {text}"));
            let mut connection = trouble::connect(&options.connecting()).await.map_err(failed)?;
            before(options.patience(), prepare(&mut connection, options.statement_timeout)).await?;
            if options.exclusive {
                be_alone(&mut connection, options).await?;
            }
            (connection, Instant::now())
        }
    };
    Ok((options.patience(), &mut slot.insert(connection).0))
}

/// Be the only one. The server waits for a process that has just ended, as long as it may wait for anything. The lock goes
/// with the connection.
async fn be_alone(connection: &mut MySqlConnection, options: &Options) -> Result<(), Trouble> {
    let seconds = [Value::Integer(i64::try_from(options.statement_timeout.as_secs()).unwrap_or(1).max(1) - 1)];
    let taken = sqlx::query_with(ALONE, arguments(&seconds)).fetch_one(connection);
    let row = before(options.patience(), taken).await?;
    let in_use =
        || Trouble { text: "it is in use by another process".into(), kind: TroubleKind::World, reconnect: true };
    match row.integer(0) {
        Ok(Some(1)) => Ok(()),
        _ => Err(in_use()),
    }
}

const ALONE: &str = "SELECT CAST(GET_LOCK(CONCAT('meridian ', MD5(DATABASE())), ?) AS SIGNED)";

/// Whether the server may lose what it has answered.
const FORGETFUL: &str =
    "SELECT CAST(@@innodb_flush_log_at_trx_commit <> 1 OR (@@log_bin AND @@sync_binlog <> 1) AS SIGNED)";

const FORGETS: &str = "its server may forget what it has committed; set innodb_flush_log_at_trx_commit = 1, and \
                       sync_binlog = 1 where there is a binary log";

const ACQUIRE: &str = "INSERT INTO shard VALUES (?, ?, '') ON DUPLICATE KEY UPDATE `range` = `range` + VALUES(`range`)";
const TAKEN: &str = "SELECT `range`, state FROM shard WHERE id = ?";

const DRAW: &str = "UPDATE drawn SET last = LAST_INSERT_ID(last + ?)";
const DRAWN_UP_TO: &str = "SELECT CAST(LAST_INSERT_ID() AS SIGNED)";
