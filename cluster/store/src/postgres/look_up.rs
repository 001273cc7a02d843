//! What the conditions of a group speak of, read for the view of the writer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use replicator::ids::{BranchId, RangeId, RecordVersion, RunId, ShardId, WorkflowKey};
use sqlx::{PgConnection, postgres::PgArguments};

use super::value::{Kind, bind_column};
use crate::{
    plan::{Entry, Line, StoredRun, Tree, View},
    table::{Key as _, Value, Values, bytes, column, name, run::listed, sixteen},
};

/// Read who owns shards. What is known of workflows was true under the ranges that are known, and no longer.
pub(crate) async fn shards(
    connection: &mut PgConnection,
    view: &mut View,
    wanted: BTreeMap<ShardId, Option<RangeId>>,
) -> Result<(), sqlx::Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = wanted.keys().map(|shard| Value::Integer(shard.0.into())).collect();
    let mut arguments = PgArguments::default();
    bind_column(&mut arguments, Kind::Integer, ids.iter());
    let found = sqlx::query_with(SHARDS, arguments).fetch_all(connection).await?;
    let mut owners = HashMap::new();
    for row in &found {
        owners.insert(ShardId(column(row, 0)?), (RangeId(column(row, 1)?), bytes(row, 2)?));
    }
    for (shard, known) in wanted {
        let owner = owners.remove(&shard);
        if known.is_some() && known != owner.as_ref().map(|(range, _)| *range) {
            view.workflows.clear();
        }
        view.shards.insert(shard, owner);
    }
    Ok(())
}

const SHARDS: &str = "SELECT s.id, s.range, s.state FROM unnest($1) AS w (id) JOIN shard AS s ON s.id = w.id";

/// Read entries of workflows; `None` is the pointer.
pub(crate) async fn entries(
    connection: &mut PgConnection,
    view: &mut View,
    wanted: &[(WorkflowKey, Option<RunId>)],
) -> Result<(), sqlx::Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut values = Values::default();
    for (at, (workflow, run)) in wanted.iter().enumerate() {
        name::Key { workflow: workflow.clone(), run: *run }.bind(values.add(at as i64));
        let known = view.workflows.entry(workflow.clone()).or_default();
        match run {
            None => known.pointer = Some(None),
            Some(run) => {
                known.entries.insert(*run, None);
            }
        }
    }
    let values: Vec<_> = values.into_iter().collect();
    let mut arguments = PgArguments::default();
    for (at, kind) in [Kind::Integer, Kind::Bytes, Kind::Bytes, Kind::Bytes].into_iter().enumerate() {
        bind_column(&mut arguments, kind, values.iter().skip(at).step_by(4));
    }
    for row in &sqlx::query_with(ENTRIES, arguments).fetch_all(connection).await? {
        let at = column::<i64>(row, 0)?;
        let (workflow, run) = usize::try_from(at).ok().and_then(|at| wanted.get(at)).expect("an index that was bound");
        let known = view.workflows.get_mut(workflow).expect("made above");
        let stored = match column::<Option<i64>>(row, 3)? {
            Some(record) => Some(StoredRun { record: RecordVersion(record), listed: listed(row, 4)? }),
            None => None,
        };
        match run {
            None => known.pointer = Some(Some(RunId::from_bytes(sixteen(row, 2)?))),
            Some(run) => {
                known.entries.insert(*run, Some(Entry { row: column(row, 1)?, run: stored }));
            }
        }
    }
    Ok(())
}

const ENTRIES: &str = "SELECT w.at, n.row, r.id, r.record, r.closed, r.started \
    FROM unnest($1, $2, $3, $4) AS w (at, namespace, workflow, run) \
    JOIN name AS n ON n.namespace = w.namespace AND n.workflow = w.workflow AND n.run = w.run \
    LEFT JOIN run AS r ON r.row = n.row";

/// Read the branches of trees that a group deletes from.
pub(crate) async fn trees(
    connection: &mut PgConnection,
    rows: BTreeSet<i64>,
) -> Result<HashMap<i64, Tree>, sqlx::Error> {
    let mut trees: HashMap<i64, Tree> = rows.iter().map(|row| (*row, Tree::default())).collect();
    if rows.is_empty() {
        return Ok(trees);
    }
    for row in &ask(connection, LINES, &rows).await? {
        let line = Line { first: column(row, 2)?, ends: BTreeSet::new() };
        let tree = trees.entry(column(row, 0)?).or_default();
        tree.branches.insert(BranchId::from_bytes(sixteen(row, 1)?), line);
    }
    let forked: BTreeSet<_> = trees.iter().filter(|(_, tree)| tree.branches.len() > 1).map(|(row, _)| *row).collect();
    if forked.is_empty() {
        return Ok(trees);
    }
    for row in &ask(connection, ENDS, &forked).await? {
        let tree = trees.entry(column(row, 0)?).or_default();
        let line = tree.branches.entry(BranchId::from_bytes(sixteen(row, 1)?)).or_default();
        line.ends.insert(column(row, 2)?);
    }
    for row in &ask(connection, DROPPED, &forked).await? {
        let tree = trees.entry(column(row, 0)?).or_default();
        tree.dropped.insert(BranchId::from_bytes(sixteen(row, 1)?));
    }
    Ok(trees)
}

async fn ask(
    connection: &mut PgConnection,
    text: &'static str,
    trees: &BTreeSet<i64>,
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    let trees: Vec<_> = trees.iter().copied().map(Value::Integer).collect();
    let mut arguments = PgArguments::default();
    bind_column(&mut arguments, Kind::Integer, trees.iter());
    sqlx::query_with(text, arguments).fetch_all(connection).await
}

const LINES: &str = "SELECT n.tree, n.branch, min(n.node) FROM unnest($1) AS w (tree) \
    JOIN node AS n ON n.tree = w.tree GROUP BY n.tree, n.branch";
const ENDS: &str = "SELECT n.tree, n.branch, n.next FROM unnest($1) AS w (tree) JOIN node AS n ON n.tree = w.tree";
const DROPPED: &str = "SELECT d.tree, d.branch FROM unnest($1) AS w (tree) JOIN dropped AS d ON d.tree = w.tree";
