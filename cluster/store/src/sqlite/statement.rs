//! Statements over many rows, prepared once.
//!
//! Handing a statement to the connection's thread costs more than most statements do. So rows of one table go in one
//! statement, in the sizes of [`SIZES`], so that there are few texts to prepare; and a group so small that its shape comes
//! back often, which is what a cluster at low load writes, goes in one text altogether.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Either, Executor as _, SqliteConnection};

use super::table::{Key, Record, Values};

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
        for size in SIZES {
            while rows.len() >= size {
                let before = self.values.len();
                rows.by_ref().take(size).for_each(|row| bind(row, &mut self.values));
                self.steps.push((text(size), self.values.len() - before));
            }
        }
    }
}

/// Rows of a statement. Every number is a sum of these.
const SIZES: [usize; 6] = [32, 16, 8, 4, 2, 1];

/// A script of at most so many rows goes in one text: more than any transaction of an ordinary workflow has.
const SMALL: usize = 20;

/// Texts that were put together, at most so many; a prepared text of ten statements takes some 40 KB of memory.
const MAX_SHAPES: usize = 64;

/// Carries out scripts on one connection.
#[derive(Default)]
pub(crate) struct Runner {
    texts: HashMap<Text, Arc<str>>,
    shapes: HashMap<Vec<Text>, Arc<str>>,
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
        let done = if script.rows <= SMALL && self.knows(&script) {
            self.run_at_once(connection, script).await
        } else {
            self.run_in_steps(connection, script).await
        };
        if done.is_err() {
            // Most errors have rolled back already; then this one fails, and that is well.
            let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        }
        done
    }

    fn knows(&self, script: &Script) -> bool {
        self.shapes.len() < MAX_SHAPES || { self.shapes.contains_key(&script.shape()) }
    }

    async fn run_at_once(&mut self, connection: &mut SqliteConnection, script: Script) -> Result<(), Stopped> {
        let shape = script.shape();
        let statements = shape.len() + 2;
        let text = match self.shapes.get(&shape) {
            Some(text) => text.clone(),
            None => {
                let mut text = String::from("BEGIN IMMEDIATE;");
                shape.iter().for_each(|part| text.push_str(&self.text(*part)));
                text.push_str("COMMIT");
                let text: Arc<str> = text.into();
                self.shapes.insert(shape, text.clone());
                text
            }
        };
        let mut done = 0;
        let query = sqlx::query_with(AssertSqlSafe(text), script.values.arguments());
        let mut results = (&mut *connection).fetch_many(query);
        loop {
            match results.try_next().await {
                Ok(Some(Either::Left(_))) => done += 1,
                Ok(Some(Either::Right(_))) => {}
                Ok(None) => {
                    assert_eq!(done, statements, "every statement was carried out");
                    return Ok(());
                }
                Err(error) => return Err(Stopped { error, committing: done + 1 >= statements }),
            }
        }
    }

    async fn run_in_steps(&mut self, connection: &mut SqliteConnection, script: Script) -> Result<(), Stopped> {
        let before = |error| Stopped { error, committing: false };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(before)?;
        let mut values = script.values.pieces();
        for (text, count) in script.steps {
            let query = sqlx::query_with(AssertSqlSafe(self.text(text)), values.take(count));
            query.execute(&mut *connection).await.map_err(before)?;
        }
        let committed = sqlx::query("COMMIT").execute(&mut *connection).await;
        committed.map(|_| ()).map_err(|error| Stopped { error, committing: true })
    }

    fn text(&mut self, text: Text) -> Arc<str> {
        self.texts.entry(text).or_insert_with(|| text.sql().into()).clone()
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
