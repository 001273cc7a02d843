//! How groups are written to PostgreSQL.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use replicator::{
    ids::{RangeId, ShardId},
    shard::io::CommitOutcome,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgArguments};
use tokio::time::{Instant, timeout};

use super::{
    look_up,
    options::Options,
    script,
    statement::Rows,
    trouble::{self, silent, unwritten, written},
    value::{Kind, bind_column},
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
    connection: Option<(PgConnection, Instant)>,
    numbers: Numbers,
    /// Row numbers that are left of those that were drawn.
    left: i64,
    view: View,
}

/// Row numbers that are drawn at a time; the step of the sequence.
const DRAWN: i64 = 65_536;

/// How often a group is decided anew because a shard of it changed hands meanwhile.
const TRIES: usize = 4;

impl Writer {
    pub(crate) fn new(options: Options) -> Self {
        let numbers = Numbers { row: 0, seq: 0 };
        Self { options, connection: None, numbers, left: 0, view: View::default() }
    }

    /// Connect, so that whoever opens the store learns what stands in the way.
    pub(crate) async fn open(&mut self) -> Result<(), Failed> {
        let opened = self.connection().await.map(drop);
        opened.map_err(|trouble| Failed(format!("{} cannot be opened: {}", self.options, trouble.text)))
    }

    /// Decide a group by what is known and write it if that is still true.
    async fn attempt(&mut self, group: &[Member]) -> Result<Option<Vec<Outcome>>, Trouble> {
        self.look_up(group).await?;
        let trees = group.iter().filter_map(Member::transaction).flat_map(|transaction| self.view.trees(transaction));
        let trees = trees.collect::<BTreeSet<_>>();
        let (patience, connection) = self.connection().await?;
        let trees = reading(patience, look_up::trees(connection, trees)).await?;
        let mut plan = Plan::default();
        let mut owned = BTreeMap::new();
        let mut outcomes = Vec::new();
        for transaction in group.iter().filter_map(Member::transaction) {
            let before = self.numbers.row;
            let outcome = plan.admit(&mut self.view, &trees, &mut self.numbers, transaction);
            self.left -= self.numbers.row - before;
            if outcome != CommitOutcome::ShardOwnershipLost {
                owned.insert(transaction.shard, transaction.range);
            }
            outcomes.push(Outcome::Commit(outcome));
        }
        if owned.is_empty() {
            return Ok(Some(outcomes));
        }
        let batch = script::batch(plan);
        let (text, arguments) = batch.statement(&owned, Rows::New);
        let rows = match self.execute(text, arguments).await {
            Err(trouble) if trouble.kind == TroubleKind::Rows => {
                let (text, arguments) = batch.statement(&owned, Rows::Any);
                self.execute(text, arguments).await?
            }
            done => done?,
        };
        let count = rows.first().map(|row| row.integer(0)).transpose().map_err(|error| written(&error))?.flatten();
        let is_owned = count.is_some_and(|count| usize::try_from(count) == Ok(owned.len()));
        Ok(is_owned.then_some(outcomes))
    }

    /// Read what the conditions of a group speak of and the view does not know.
    async fn look_up(&mut self, group: &[Member]) -> Result<(), Trouble> {
        let mut shards = BTreeMap::new();
        let mut needed = 0;
        for transaction in group.iter().filter_map(Member::transaction) {
            let known = self.view.shards.get(&transaction.shard);
            let range = known.and_then(|owner| owner.as_ref().map(|(range, _)| *range));
            if range != Some(transaction.range) {
                shards.insert(transaction.shard, range);
            }
        }
        let (patience, connection) = connect(&mut self.connection, &self.options).await?;
        reading(patience, look_up::shards(connection, &mut self.view, shards)).await?;
        let mut wanted = Vec::new();
        for transaction in group.iter().filter_map(Member::transaction) {
            let Some(workflow) = plan::workflow(transaction) else { continue };
            let known = self.view.workflows.entry(workflow.clone()).or_default();
            for run in plan::needs(transaction) {
                needed += 1;
                let is_known = match run {
                    None => known.pointer.is_some(),
                    Some(run) => known.entries.contains_key(&run),
                };
                if !is_known {
                    wanted.push((workflow.clone(), run));
                }
            }
        }
        reading(patience, look_up::entries(connection, &mut self.view, &wanted)).await?;
        self.draw(needed).await
    }

    /// See that there are numbers for so many rows.
    async fn draw(&mut self, needed: i64) -> Result<(), Trouble> {
        if needed <= self.left {
            return Ok(());
        }
        if needed > DRAWN {
            let text = format!("a group of writes is about {needed} rows");
            return Err(Trouble { text, kind: TroubleKind::World, reconnect: false });
        }
        let (patience, connection) = self.connection().await?;
        let drawn = sqlx::query("SELECT nextval('row_number')").fetch_one(connection);
        let row = reading(patience, drawn).await?;
        self.numbers.row = column::<i64>(&row, 0).map_err(|error| unwritten(&error))? - 1;
        self.left = DRAWN;
        Ok(())
    }

    /// Carry out one statement that writes and commits by itself.
    async fn execute(&mut self, text: String, arguments: PgArguments) -> Result<Vec<sqlx::postgres::PgRow>, Trouble> {
        let (patience, connection) = self.connection().await?;
        // All rows are taken: the commit comes behind the last of them.
        let done = sqlx::query_with(AssertSqlSafe(text), arguments).fetch_all(connection);
        match timeout(patience, done).await {
            Ok(done) => done.map_err(|error| written(&error)),
            Err(_) => Err(silent(TroubleKind::Unknown)),
        }
    }

    async fn connection(&mut self) -> Result<(Duration, &mut PgConnection), Trouble> {
        connect(&mut self.connection, &self.options).await
    }
}

impl Hand for Writer {
    async fn acquire(&mut self, group: &[Member]) -> Result<Vec<Outcome>, Trouble> {
        let times = wanted(group);
        let ids: Vec<_> = times.keys().map(|shard| Value::Integer(shard.0.into())).collect();
        let times: Vec<_> = times.values().copied().map(Value::Integer).collect();
        let mut arguments = PgArguments::default();
        bind_column(&mut arguments, Kind::Integer, ids.iter());
        bind_column(&mut arguments, Kind::Integer, times.iter());
        let rows = self.execute(ACQUIRE.into(), arguments).await?;
        self.view.workflows.clear();
        let mut taken = BTreeMap::new();
        for row in &rows {
            let read = || Ok((ShardId(column(row, 0)?), RangeId(column(row, 1)?), bytes(row, 2)?));
            let (shard, range, state) = read().map_err(|error| unwritten(&error))?;
            self.view.shards.insert(shard, Some((range, state.clone())));
            taken.insert(shard, (range, state));
        }
        Ok(acquired(group, &taken))
    }

    async fn commit(&mut self, group: &[Member]) -> Result<Vec<Outcome>, Trouble> {
        for _ in 0..TRIES {
            if let Some(outcomes) = self.attempt(group).await? {
                return Ok(outcomes);
            }
            // Somebody took a shard: look again who owns what.
            self.view = View::default();
        }
        let text = "shards of the group change hands again and again".into();
        Err(Trouble { text, kind: TroubleKind::World, reconnect: false })
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

/// The connection, a new one if there is none or it is too old.
async fn connect<'c>(
    slot: &'c mut Option<(PgConnection, Instant)>,
    options: &Options,
) -> Result<(Duration, &'c mut PgConnection), Trouble> {
    let is_old = |since: &Instant| options.max_lifetime.is_some_and(|lifetime| since.elapsed() > lifetime);
    let kept = slot.take().filter(|(_, since)| !is_old(since));
    let connection = match kept {
        Some(kept) => kept,
        None => {
            let refused = |text| Trouble { text, kind: TroubleKind::World, reconnect: true };
            let failed = |text| refused(format!("the database does not answer: {text}"));
            let mut connection = trouble::connect(&options.writing()).await.map_err(failed)?;
            reading(options.patience(), super::prepare(&mut connection)).await?;
            if options.exclusive {
                take(&mut connection, options).await?;
            }
            (connection, Instant::now())
        }
    };
    Ok((options.patience(), &mut slot.insert(connection).0))
}

/// Be the only one. The server waits for a process that has just ended, as long as it may wait for anything.
async fn take(connection: &mut PgConnection, options: &Options) -> Result<(), Trouble> {
    let taken = sqlx::query("SELECT pg_advisory_lock($1)").bind(WRITER).execute(connection);
    let in_use =
        |_| Trouble { text: "it is in use by another process".into(), kind: TroubleKind::World, reconnect: true };
    reading(options.patience(), taken).await.map(drop).map_err(in_use)
}

/// Whoever has a database for itself holds this.
const WRITER: i64 = 0x4d72_646f;

/// Wait for a read.
async fn reading<T>(patience: Duration, read: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Trouble> {
    match timeout(patience, read).await {
        Ok(read) => read.map_err(|error| unwritten(&error)),
        Err(_) => Err(silent(TroubleKind::World)),
    }
}

/// Rows are locked in the order of the shards, so that two hosts that take many do not wait for each other.
const ACQUIRE: &str = "INSERT INTO shard AS s SELECT w.id, w.times, '' FROM unnest($1, $2) AS w (id, times) ORDER BY w.id \
    ON CONFLICT (id) DO UPDATE SET range = s.range + excluded.range RETURNING s.id, s.range, s.state";
