//! What the conditions of a group speak of, read for the view of the writer.

use std::collections::{BTreeSet, HashMap};

use replicator::ids::{BranchId, RangeId, RecordVersion, RunId, ShardId, WorkflowKey};
use sqlx::{AssertSqlSafe, MySqlConnection, mysql::MySqlRow};

use super::{
    statement::{any, filled, marks},
    value::arguments,
};
use crate::{
    plan::{Entry, Line, StoredRun, Tree, View},
    table::{Key as _, Value, Values, bytes, column, name, run::listed, sixteen},
};

/// Lock the rows of shards and read who owns them. What is known of workflows was true under the ranges that are known, and
/// no longer.
pub(crate) async fn shards(
    connection: &mut MySqlConnection,
    view: &mut View,
    wanted: &BTreeSet<ShardId>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = wanted.iter().map(|shard| Value::Integer(shard.0.into())).collect();
    // In the order of the shards, so that two hosts do not wait for each other.
    let text = |rows| {
        format!(
            "SELECT s.id, s.`range`, s.state FROM shard AS s WHERE s.id IN ({}) ORDER BY s.id FOR UPDATE",
            marks(rows)
        )
    };
    let mut owners = HashMap::new();
    for row in &ask(connection, text, &ids, 1).await? {
        owners.insert(ShardId(column(row, 0)?), (RangeId(column(row, 1)?), bytes(row, 2)?));
    }
    for shard in wanted {
        let owner = owners.remove(shard);
        let range = |owner: &Option<(RangeId, _)>| owner.as_ref().map(|(range, _)| *range);
        let known = view.shards.get(shard).map(range);
        if known.is_some_and(|known| known != range(&owner)) {
            view.workflows.clear();
        }
        view.shards.insert(*shard, owner);
    }
    Ok(())
}

/// Read entries of workflows; `None` is the pointer.
pub(crate) async fn entries(
    connection: &mut MySqlConnection,
    view: &mut View,
    wanted: &[(WorkflowKey, Option<RunId>)],
) -> Result<(), sqlx::Error> {
    let mut places = HashMap::new();
    let mut values = Values::default();
    for (workflow, run) in wanted {
        let key = name::Key { workflow: workflow.clone(), run: *run };
        key.bind(&mut values);
        places.insert(
            (
                *workflow.namespace.as_bytes(),
                workflow.workflow.as_str().as_bytes().to_vec(),
                run.map(|run| *run.as_bytes()),
            ),
            (workflow, run),
        );
        let known = view.workflows.entry(workflow.clone()).or_default();
        match run {
            None => known.pointer = Some(None),
            Some(run) => {
                known.entries.insert(*run, None);
            }
        }
    }
    let values: Vec<_> = values.into_iter().collect();
    let text = |rows| format!("{ENTRIES} {}", any("n.namespace = ? AND n.workflow = ? AND n.run = ?", rows));
    for row in &ask(connection, text, &values, 3).await? {
        let run = match bytes(row, 2)?.is_empty() {
            true => None,
            false => Some(sixteen(row, 2)?),
        };
        let place = (sixteen(row, 0)?, bytes(row, 1)?.to_vec(), run);
        let (workflow, run) = places.get(&place).expect("a name that was asked for");
        let known = view.workflows.get_mut(workflow).expect("made above");
        let stored = match column::<Option<i64>>(row, 5)? {
            Some(record) => Some(StoredRun { record: RecordVersion(record), listed: listed(row, 6)? }),
            None => None,
        };
        match run {
            None => known.pointer = Some(Some(RunId::from_bytes(sixteen(row, 4)?))),
            Some(run) => {
                known.entries.insert(*run, Some(Entry { row: column(row, 3)?, run: stored }));
            }
        }
    }
    Ok(())
}

const ENTRIES: &str = "SELECT n.namespace, n.workflow, n.run, n.`row`, r.id, r.record, r.closed, r.started \
    FROM name AS n LEFT JOIN run AS r ON r.`row` = n.`row` WHERE";

/// Read the branches of trees that a group deletes from.
pub(crate) async fn trees(
    connection: &mut MySqlConnection,
    rows: &BTreeSet<i64>,
) -> Result<HashMap<i64, Tree>, sqlx::Error> {
    let mut trees: HashMap<i64, Tree> = rows.iter().map(|row| (*row, Tree::default())).collect();
    for row in &of_trees(connection, LINES, rows).await? {
        let line = Line { first: column(row, 2)?, ends: BTreeSet::new() };
        let tree = trees.entry(column(row, 0)?).or_default();
        tree.branches.insert(BranchId::from_bytes(sixteen(row, 1)?), line);
    }
    let forked: BTreeSet<_> = trees.iter().filter(|(_, tree)| tree.branches.len() > 1).map(|(row, _)| *row).collect();
    for row in &of_trees(connection, ENDS, &forked).await? {
        let tree = trees.entry(column(row, 0)?).or_default();
        let line = tree.branches.entry(BranchId::from_bytes(sixteen(row, 1)?)).or_default();
        line.ends.insert(column(row, 2)?);
    }
    for row in &of_trees(connection, DROPPED, &forked).await? {
        let tree = trees.entry(column(row, 0)?).or_default();
        tree.dropped.insert(BranchId::from_bytes(sixteen(row, 1)?));
    }
    Ok(trees)
}

/// `{trees}` stands for the marks of the trees.
const LINES: &str = "SELECT tree, branch, min(node) FROM node WHERE tree IN ({trees}) GROUP BY tree, branch";
const ENDS: &str = "SELECT tree, branch, next FROM node WHERE tree IN ({trees})";
const DROPPED: &str = "SELECT tree, branch FROM dropped WHERE tree IN ({trees})";

async fn of_trees(
    connection: &mut MySqlConnection,
    text: &'static str,
    trees: &BTreeSet<i64>,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let trees: Vec<_> = trees.iter().copied().map(Value::Integer).collect();
    ask(connection, |rows| text.replace("{trees}", &marks(rows)), &trees, 1).await
}

/// Ask for rows that fit any of some conditions, of so many values each. To ask for one twice is to ask for it once.
async fn ask(
    connection: &mut MySqlConnection,
    text: impl Fn(usize) -> String,
    values: &[Value],
    columns: usize,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let mut found = Vec::new();
    for chunk in values.chunks(columns * CONDITIONS) {
        let rows = chunk.len() / columns;
        let fill = (rows..filled(rows)).flat_map(|_| &chunk[chunk.len() - columns..]);
        let query = sqlx::query_with(AssertSqlSafe(text(filled(rows))), arguments(chunk.iter().chain(fill)));
        found.extend(query.fetch_all(&mut *connection).await?);
    }
    Ok(found)
}

/// Conditions of a statement at most.
const CONDITIONS: usize = 128;
