//! Statements over many rows, prepared once.
//!
//! Handing a text to the connection's thread costs more than most statements do. So rows of one table go in one statement,
//! up to [`ROWS`] of them; the transaction begins with the first text and is committed with the last; and a group so small
//! that its shape comes back often, which is what a cluster at low load writes, goes in one text altogether.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Either, Executor as _, SqliteConnection, sqlite::SqliteArguments};

use super::value;
use crate::table::{Key, Record, Values};

/// Statements to be carried out in order.
#[derive(Default)]
pub(crate) struct Script {
    /// Statements, each with the number of its values.
    steps: Vec<(Text, usize)>,
    values: Values,
    rows: usize,
}

/// What a statement does; with the number of its rows this is its text.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Text {
    Put { table: &'static str, columns: usize, rows: usize },
    Delete { table: &'static str, key: &'static str, columns: usize, rows: usize },
    Fixed(&'static str),
}

impl Script {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Add or replace rows.
    pub(crate) fn put<R: Record>(&mut self, rows: impl ExactSizeIterator<Item = R>) {
        self.chunks(rows, |rows| Text::Put { table: R::TABLE, columns: R::COLUMNS, rows }, |row, into| row.bind(into));
    }

    /// Remove the rows with these keys.
    pub(crate) fn delete<K: Key>(&mut self, keys: impl ExactSizeIterator<Item = K>) {
        let text = |rows| Text::Delete { table: K::TABLE, key: K::KEY, columns: K::COLUMNS, rows };
        self.chunks(keys, text, |key, into| key.bind(into));
    }

    /// Write what a map says: a value is put, `None` is deleted.
    pub(crate) fn apply<K: Key + Clone, V, R: Record>(
        &mut self,
        rows: BTreeMap<K, Option<V>>,
        row: impl Fn(K, V) -> R,
    ) {
        let (mut puts, mut deletes) = (Vec::new(), Vec::new());
        for (key, value) in rows {
            match value {
                Some(value) => puts.push(row(key, value)),
                None => deletes.push(key),
            }
        }
        self.delete(deletes.into_iter());
        self.put(puts.into_iter());
    }

    /// Do something else.
    pub(crate) fn add(&mut self, text: &'static str, bind: impl FnOnce(&mut Values)) {
        let before = self.values.len();
        bind(&mut self.values);
        self.rows += 1;
        self.steps.push((Text::Fixed(text), self.values.len() - before));
    }

    fn shape(&self) -> Vec<Text> {
        self.steps.iter().map(|(text, _)| *text).collect()
    }

    fn chunks<T>(
        &mut self,
        mut rows: impl ExactSizeIterator<Item = T>,
        text: impl Fn(usize) -> Text,
        bind: impl Fn(T, &mut Values),
    ) {
        self.rows += rows.len();
        while rows.len() > 0 {
            let (size, before) = (rows.len().min(ROWS), self.values.len());
            rows.by_ref().take(size).for_each(|row| bind(row, &mut self.values));
            self.steps.push((text(size), self.values.len() - before));
        }
    }
}

/// Rows of a statement at most. Each number is a text of its own, so there are not many more texts than tables times this.
pub(crate) const ROWS: usize = 32;

/// A script of at most so many rows goes in one text: more than any transaction of an ordinary workflow has.
const SMALL: usize = 20;

/// Scripts that go in one text, at most so many; a prepared text of ten statements takes some 40 KB of memory.
const MAX_SHAPES: usize = 64;

/// Carries out scripts on one connection.
#[derive(Default)]
pub(crate) struct Runner {
    texts: HashMap<Piece, Arc<str>>,
    /// How many of the texts are whole scripts of several statements.
    shapes: usize,
}

/// Statements that are handed over together.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Piece {
    begins: bool,
    statements: Vec<Text>,
    commits: bool,
}

/// A script that was not carried out.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// What the database said.
    pub(crate) error: sqlx::Error,
    /// Whether it was the commit that failed; before it, nothing is written for sure.
    pub(crate) committing: bool,
}

impl Runner {
    /// Carry out a script in one transaction. When it stops, the transaction is rolled back.
    pub(crate) async fn run(&mut self, connection: &mut SqliteConnection, script: Script) -> Result<(), Stopped> {
        let done = self.run_pieces(connection, script).await;
        if done.is_err() {
            // Most errors have rolled back already; then this one fails, and that is well.
            let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        }
        done
    }

    async fn run_pieces(&mut self, connection: &mut SqliteConnection, script: Script) -> Result<(), Stopped> {
        let size = if self.is_handed_over_whole(&script) { script.steps.len() } else { 1 };
        let pieces = script.steps.len().div_ceil(size);
        let mut values = script.values.into_iter();
        for (at, steps) in script.steps.chunks(size).enumerate() {
            let statements = steps.iter().map(|(text, _)| *text).collect();
            let piece = Piece { begins: at == 0, statements, commits: at + 1 == pieces };
            let count = steps.iter().map(|(_, count)| count).sum();
            self.run_piece(connection, piece, value::arguments(values.by_ref().take(count))).await?;
        }
        Ok(())
    }

    fn is_handed_over_whole(&mut self, script: &Script) -> bool {
        if script.rows > SMALL || script.steps.len() == 1 {
            return false;
        }
        let whole = Piece { begins: true, statements: script.shape(), commits: true };
        if self.texts.contains_key(&whole) {
            return true;
        }
        let has_room = self.shapes < MAX_SHAPES;
        self.shapes += usize::from(has_room);
        has_room
    }

    async fn run_piece(
        &mut self,
        connection: &mut SqliteConnection,
        piece: Piece,
        values: SqliteArguments,
    ) -> Result<(), Stopped> {
        let (statements, commits) = (piece.count(), piece.commits);
        let text = match self.texts.get(&piece) {
            Some(text) => text.clone(),
            None => {
                let text: Arc<str> = piece.sql().into();
                self.texts.insert(piece, text.clone());
                text
            }
        };
        let mut done = 0;
        let query = sqlx::query_with(AssertSqlSafe(text), values);
        let mut results = (&mut *connection).fetch_many(query);
        loop {
            match results.try_next().await {
                Ok(Some(Either::Left(_))) => done += 1,
                Ok(Some(Either::Right(_))) => {}
                Ok(None) => {
                    assert_eq!(done, statements, "every statement was carried out");
                    return Ok(());
                }
                Err(error) => return Err(Stopped { error, committing: commits && done + 1 >= statements }),
            }
        }
    }
}

impl Piece {
    /// Number of its statements.
    fn count(&self) -> usize {
        usize::from(self.begins) + self.statements.len() + usize::from(self.commits)
    }

    fn sql(&self) -> String {
        let mut sql = String::from(if self.begins { "BEGIN IMMEDIATE;" } else { "" });
        self.statements.iter().for_each(|statement| sql.push_str(&statement.sql()));
        sql.push_str(if self.commits { "COMMIT" } else { "" });
        sql
    }
}

impl Text {
    fn sql(self) -> String {
        match self {
            Self::Put { table, columns, rows } => {
                format!("INSERT OR REPLACE INTO {table} VALUES {};", tuples(columns, rows))
            }
            Self::Delete { table, key, columns, rows: 1 } => {
                format!("DELETE FROM {table} WHERE {key} = {};", tuples(columns, 1))
            }
            Self::Delete { table, key, columns, rows } => {
                format!("DELETE FROM {table} WHERE {key} IN (VALUES {});", tuples(columns, rows))
            }
            Self::Fixed(text) => format!("{text};"),
        }
    }
}

/// `(?,?),(?,?)`.
pub(crate) fn tuples(columns: usize, rows: usize) -> String {
    let tuple = format!("({})", vec!["?"; columns].join(","));
    vec![tuple; rows].join(",")
}
