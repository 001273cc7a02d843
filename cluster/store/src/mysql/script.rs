//! What a group does to each table. Where a row may be there already it is replaced, as in every store.

use std::collections::BTreeMap;

use replicator::task::Category;

use super::statement::{Batch, Part};
use crate::{
    plan::Plan,
    table::{Key, Record as _, Values, item, name, run, start, task},
};

/// The parts that write what a plan says. What goes goes before anything is put.
pub(crate) fn batch(plan: Plan) -> Batch {
    let mut batch = Batch::default();
    let number = |number: i64, values: &mut Values| _ = values.add(number);
    batch.add(&ADOPT, plan.adopted, number);
    batch.add(&EMPTY, plan.emptied, number);
    batch.add(&FELL, plan.felled.iter().copied(), number);
    batch.add(&FELL_DROPPED, plan.felled, number);
    batch.add(&CUT, plan.cut, |((tree, branch), from), values| {
        values.add(tree).id(branch.as_bytes()).add(from);
    });
    batch.add(&DROP, plan.dropped, |row, values| row.bind(values));
    batch.add(&STATE, plan.states, |(shard, state), values| _ = values.add(state).add(i64::from(shard.0)));
    batch.add(&FORGET, plan.replicated, |(shard, id), values| {
        values.add(i64::from(shard.0)).add(task::number(Category::Replication)).add(id.0);
    });
    let (names, unnamed) = split(plan.names);
    batch.add(&UNNAME, unnamed, |key, values| key.bind(values));
    batch.add(&NAME, names, |(key, row), values| name::Row { key, row }.bind(values));
    let (runs, gone) = split(plan.runs);
    batch.add(&UNRUN, gone, |row, values| run::Key(row).bind(values));
    batch.add(&RUN, runs, |(_, row), values| row.bind(values));
    batch.add(&MOVE, plan.moved, |(row, listed), values| {
        values.add(listed.closed).add(listed.started).add(row);
    });
    let (starts, gone) = split(plan.starts);
    batch.add(&UNSTART, gone, |row, values| start::Key(row).bind(values));
    batch.add(&START, starts, |(_, row), values| row.bind(values));
    let (items, gone) = split(plan.items);
    batch.add(&UNITEM, gone, |key, values| key.bind(values));
    batch.add(&ITEM, items, |(key, value), values| item::Row { key, value }.bind(values));
    let places = plan.nodes.into_iter().map(|(row, at)| ((at.tree, at.branch, at.node, at.transaction), row));
    batch.add(&NODE, places.collect::<BTreeMap<_, _>>(), |((tree, branch, node, transaction), row), values| {
        values.add(tree).id(branch.as_bytes()).add(node).add(transaction);
        values.add(row.next).add(row.previous).add(row.events);
    });
    let (tasks, done) = split(plan.tasks);
    batch.add(&UNTASK, done, |key, values| key.bind(values));
    batch.add(&TASK, tasks, |(key, body), values| task::Row { key, body }.bind(values));
    let (shown, hidden) = split(plan.visibility);
    batch.add(&HIDE, hidden, |key, values| key.bind(values));
    batch.add(&SHOW, shown, |(_, row), values| row.bind(values));
    batch
}

/// What is put, and what goes.
fn split<K, V>(rows: impl IntoIterator<Item = (K, Option<V>)>) -> (Vec<(K, V)>, Vec<K>) {
    let (mut put, mut gone) = (Vec::new(), Vec::new());
    for (key, value) in rows {
        match value {
            Some(value) => put.push((key, value)),
            None => gone.push(key),
        }
    }
    (put, gone)
}

const ADOPT: Part = Part::Delete { table: "dropped", which: "tree = ?", columns: 1 };
const EMPTY: Part = Part::Delete { table: "item", which: "`row` = ?", columns: 1 };
const FELL: Part = Part::Delete { table: "node", which: "tree = ?", columns: 1 };
const FELL_DROPPED: Part = Part::Delete { table: "dropped", which: "tree = ?", columns: 1 };
const CUT: Part = Part::Delete { table: "node", which: "tree = ? AND branch = ? AND node >= ?", columns: 3 };
const DROP: Part = Part::Put { table: "dropped", columns: 2, replace: "branch = VALUES(branch)" };
const STATE: Part = Part::Each { text: "UPDATE shard SET state = ? WHERE id = ?", columns: 2 };
const FORGET: Part =
    Part::Delete { table: "task", which: "shard = ? AND category = ? AND fire_time = 0 AND id <= ?", columns: 3 };
const NAME: Part = Part::Put { table: "name", columns: 4, replace: "`row` = VALUES(`row`)" };
const UNNAME: Part = Part::Delete { table: "name", which: "namespace = ? AND workflow = ? AND run = ?", columns: 3 };
const RUN: Part = Part::Put {
    table: "run",
    columns: 6,
    replace: "id = VALUES(id), record = VALUES(record), closed = VALUES(closed), started = VALUES(started), \
              state = VALUES(state)",
};
const UNRUN: Part = Part::Delete { table: "run", which: "`row` = ?", columns: 1 };
const MOVE: Part = Part::Each { text: "UPDATE run SET closed = ?, started = ? WHERE `row` = ?", columns: 3 };
const START: Part = Part::Put { table: "start", columns: 3, replace: "`key` = VALUES(`key`), value = VALUES(value)" };
const UNSTART: Part = Part::Delete { table: "start", which: "`row` = ?", columns: 1 };
const ITEM: Part = Part::Put { table: "item", columns: 4, replace: "value = VALUES(value)" };
const UNITEM: Part = Part::Delete { table: "item", which: "`row` = ? AND kind = ? AND `key` = ?", columns: 3 };
const NODE: Part = Part::Put {
    table: "node",
    columns: 7,
    replace: "next = VALUES(next), previous = VALUES(previous), events = VALUES(events)",
};
const TASK: Part = Part::Put { table: "task", columns: 5, replace: "body = VALUES(body)" };
const UNTASK: Part =
    Part::Delete { table: "task", which: "shard = ? AND category = ? AND fire_time = ? AND id = ?", columns: 4 };
const SHOW: Part = Part::Put {
    table: "visibility",
    columns: 18,
    replace: "workflow = VALUES(workflow), type = VALUES(type), queue = VALUES(queue), status = VALUES(status), \
              execution = VALUES(execution), length = VALUES(length), size = VALUES(size), \
              transitions = VALUES(transitions), parent_workflow = VALUES(parent_workflow), \
              parent_run = VALUES(parent_run), root_workflow = VALUES(root_workflow), root_run = VALUES(root_run), \
              memo = VALUES(memo), search = VALUES(search)",
};
const HIDE: Part =
    Part::Delete { table: "visibility", which: "namespace = ? AND closed = ? AND started = ? AND run = ?", columns: 4 };
