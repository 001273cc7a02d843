//! One statement for all that a group writes.
//!
//! A statement by itself is a transaction, so a group is one round trip: what it does to each table is a part of one
//! `WITH`, each part for any number of rows, which come as arrays. The first part locks the shards of the group and counts
//! those that are still owned under the range that the group was decided under; every other part does nothing unless that
//! is all of them. So a host that lost a shard can write nothing, whenever its write was sent, and who takes a shard waits
//! until a write that is under way is done.
//!
//! All parts see the database as it was before the statement, so no two of them may be about the same row; the plan of a
//! group has one change for each.

use std::collections::BTreeMap;

use replicator::ids::{RangeId, ShardId};
use sqlx::postgres::PgArguments;

use super::value::{Kind, bind_column};
use crate::table::{Value, Values};

/// What a group does to one table, for any number of rows.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its text. `{rows}` stands for the rows, as `w`; `{owned}` for whether the shards are still owned.
    pub(crate) text: &'static str,
    /// What follows where rows may be there already, of a part whose rows are hardly ever; else nothing.
    pub(crate) replace: &'static str,
    /// Columns of the rows.
    pub(crate) columns: &'static [(&'static str, Kind)],
}

/// Whether rows that are hardly ever there already may be. To insert a row that may be there costs two records of the
/// log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rows {
    /// They are new; if one is not, the statement fails.
    New,
    /// Those that are there are replaced.
    Any,
}

/// Parts with their rows.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    parts: Vec<(&'static Part, Vec<Value>)>,
}

impl Batch {
    /// Do something for these rows.
    pub(crate) fn add<R>(
        &mut self,
        part: &'static Part,
        rows: impl IntoIterator<Item = R>,
        bind: impl Fn(R, &mut Values),
    ) {
        let mut values = Values::default();
        for row in rows {
            bind(row, &mut values);
        }
        if values.len() > 0 {
            assert_eq!(values.len() % part.columns.len(), 0, "whole rows");
            self.parts.push((part, values.into_iter().collect()));
        }
    }

    /// The statement. It answers how many of the shards are owned; if that is not all of them, it has written nothing.
    pub(crate) fn statement(&self, owned: &BTreeMap<ShardId, RangeId>, rows: Rows) -> (String, PgArguments) {
        let may_replace = rows == Rows::Any;
        let mut arguments = PgArguments::default();
        let shards: Vec<_> = owned.keys().map(|shard| Value::Integer(shard.0.into())).collect();
        let ranges: Vec<_> = owned.values().map(|range| Value::Integer(range.0)).collect();
        let count = i64::try_from(owned.len()).expect("shards are few");
        bind_column(&mut arguments, Kind::Integer, shards.iter());
        bind_column(&mut arguments, Kind::Integer, ranges.iter());
        sqlx::Arguments::add(&mut arguments, count).expect("a number encodes");
        let mut text = String::from(OWNED);
        let mut bound = 3;
        for (number, (part, values)) in self.parts.iter().enumerate() {
            let width = part.columns.len();
            let (mut arrays, mut names) = (Vec::new(), Vec::new());
            for (at, (name, kind)) in part.columns.iter().enumerate() {
                bind_column(&mut arguments, *kind, values.iter().skip(at).step_by(width));
                bound += 1;
                arrays.push(format!("${bound}"));
                names.push(*name);
            }
            let rows = format!("unnest({}) AS w ({})", arrays.join(", "), names.join(", "));
            let replace = if may_replace { part.replace } else { "" };
            let part = part.text.replace("{rows}", &rows).replace("{owned}", "(SELECT count FROM owned) = $3");
            text.push_str(&format!(", p{number} AS ({part}{replace})"));
        }
        text.push_str(" SELECT count FROM owned");
        (text, arguments)
    }
}

/// A row is locked before it is counted, and one that changed meanwhile is looked at again.
const OWNED: &str = "WITH owned AS MATERIALIZED (SELECT count(*) AS count FROM (SELECT 1 FROM shard AS s \
    JOIN unnest($1, $2) AS w (id, range) ON s.id = w.id AND s.range = w.range ORDER BY s.id FOR UPDATE OF s) AS locked)";
