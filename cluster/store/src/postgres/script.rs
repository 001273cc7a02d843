//! What a group does to each table.
//!
//! Where a row may be there already it is replaced, as in every store. A part that is about many rows of one key
//! (`felled`, `emptied`) is about rows that no other part writes: a workflow of which something is deleted has one member
//! in its group.

use std::collections::BTreeMap;

use replicator::task::Category;

use super::{
    statement::{Batch, Part},
    value::Kind::{Bytes, Integer},
};
use crate::{
    plan::Plan,
    table::{Key, Record as _, Values, item, name, run, start, task},
};

/// The parts that write what a plan says.
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
    batch.add(&STATE, plan.states, |(shard, state), values| _ = values.add(i64::from(shard.0)).add(state));
    batch.add(&FORGET, plan.replicated, |(shard, id), values| {
        values.add(i64::from(shard.0)).add(task::number(Category::Replication)).add(id.0);
    });
    let (names, unnamed) = split(plan.names);
    batch.add(&NAME, names, |(key, row), values| name::Row { key, row }.bind(values));
    batch.add(&UNNAME, unnamed, |key, values| key.bind(values));
    let (runs, gone) = split(plan.runs);
    batch.add(&RUN, runs, |(_, row), values| row.bind(values));
    batch.add(&UNRUN, gone, |row, values| run::Key(row).bind(values));
    batch.add(&MOVE, plan.moved, |(row, listed), values| {
        values.add(row).add(listed.closed).add(listed.started);
    });
    let (starts, gone) = split(plan.starts);
    batch.add(&START, starts, |(_, row), values| row.bind(values));
    batch.add(&UNSTART, gone, |row, values| start::Key(row).bind(values));
    let (items, gone) = split(plan.items);
    batch.add(&ITEM, items, |(key, value), values| item::Row { key, value }.bind(values));
    batch.add(&UNITEM, gone, |key, values| key.bind(values));
    let places = plan.nodes.into_iter().map(|(row, at)| ((at.tree, at.branch, at.node, at.transaction), row));
    batch.add(&NODE, places.collect::<BTreeMap<_, _>>(), |((tree, branch, node, transaction), row), values| {
        values.add(tree).id(branch.as_bytes()).add(node).add(transaction);
        values.add(row.next).add(row.previous).add(row.events);
    });
    let (tasks, done) = split(plan.tasks);
    batch.add(&TASK, tasks, |(key, body), values| task::Row { key, body }.bind(values));
    batch.add(&UNTASK, done, |key, values| key.bind(values));
    let (shown, hidden) = split(plan.visibility);
    batch.add(&SHOW, shown, |(_, row), values| row.bind(values));
    batch.add(&HIDE, hidden, |key, values| key.bind(values));
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

const ADOPT: Part = Part {
    text: "DELETE FROM dropped AS t USING {rows} WHERE t.tree = w.tree AND {owned}",
    replace: "",
    columns: &[("tree", Integer)],
};
const EMPTY: Part = Part {
    text: "DELETE FROM item AS t USING {rows} WHERE t.row = w.row AND {owned}",
    replace: "",
    columns: &[("row", Integer)],
};
const FELL: Part = Part {
    text: "DELETE FROM node AS t USING {rows} WHERE t.tree = w.tree AND {owned}",
    replace: "",
    columns: &[("tree", Integer)],
};
const FELL_DROPPED: Part = Part {
    text: "DELETE FROM dropped AS t USING {rows} WHERE t.tree = w.tree AND {owned}",
    replace: "",
    columns: &[("tree", Integer)],
};
const CUT: Part = Part {
    text: "DELETE FROM node AS t USING {rows} \
           WHERE t.tree = w.tree AND t.branch = w.branch AND t.node >= w.node AND {owned}",
    replace: "",
    columns: &[("tree", Integer), ("branch", Bytes), ("node", Integer)],
};
// An update where there is a row already: it wins over a deletion in the same statement.
const DROP: Part = Part {
    text: "INSERT INTO dropped SELECT * FROM {rows} WHERE {owned} \
           ON CONFLICT (tree, branch) DO UPDATE SET branch = excluded.branch",
    replace: "",
    columns: &[("tree", Integer), ("branch", Bytes)],
};
const STATE: Part = Part {
    text: "UPDATE shard AS t SET state = w.state FROM {rows} WHERE t.id = w.id AND {owned}",
    replace: "",
    columns: &[("id", Integer), ("state", Bytes)],
};
const FORGET: Part = Part {
    text: "DELETE FROM task AS t USING {rows} \
           WHERE t.shard = w.shard AND t.category = w.category AND t.fire_time = 0 AND t.id <= w.id AND {owned}",
    replace: "",
    columns: &[("shard", Integer), ("category", Integer), ("id", Integer)],
};

const NAME: Part = Part {
    text: "INSERT INTO name SELECT * FROM {rows} WHERE {owned} \
           ON CONFLICT (namespace, workflow, run) DO UPDATE SET row = excluded.row",
    replace: "",
    columns: &[("namespace", Bytes), ("workflow", Bytes), ("run", Bytes), ("row", Integer)],
};
const UNNAME: Part = Part {
    text: "DELETE FROM name AS t USING {rows} \
           WHERE t.namespace = w.namespace AND t.workflow = w.workflow AND t.run = w.run AND {owned}",
    replace: "",
    columns: &[("namespace", Bytes), ("workflow", Bytes), ("run", Bytes)],
};
const RUN: Part = Part {
    text: "INSERT INTO run SELECT * FROM {rows} WHERE {owned} ON CONFLICT (row) DO UPDATE SET id = excluded.id, \
           record = excluded.record, closed = excluded.closed, started = excluded.started, state = excluded.state",
    replace: "",
    columns: &[
        ("row", Integer),
        ("id", Bytes),
        ("record", Integer),
        ("closed", Integer),
        ("started", Integer),
        ("state", Bytes),
    ],
};
const UNRUN: Part = Part {
    text: "DELETE FROM run AS t USING {rows} WHERE t.row = w.row AND {owned}",
    replace: "",
    columns: &[("row", Integer)],
};
const MOVE: Part = Part {
    text: "UPDATE run AS t SET closed = w.closed, started = w.started FROM {rows} WHERE t.row = w.row AND {owned}",
    replace: "",
    columns: &[("row", Integer), ("closed", Integer), ("started", Integer)],
};
const START: Part = Part {
    text: "INSERT INTO start SELECT * FROM {rows} WHERE {owned} \
           ON CONFLICT (row) DO UPDATE SET key = excluded.key, value = excluded.value",
    replace: "",
    columns: &[("row", Integer), ("key", Bytes), ("value", Bytes)],
};
const UNSTART: Part = Part {
    text: "DELETE FROM start AS t USING {rows} WHERE t.row = w.row AND {owned}",
    replace: "",
    columns: &[("row", Integer)],
};
const ITEM: Part = Part {
    text: "INSERT INTO item SELECT * FROM {rows} WHERE {owned} \
           ON CONFLICT (row, kind, key) DO UPDATE SET value = excluded.value",
    replace: "",
    columns: &[("row", Integer), ("kind", Integer), ("key", Bytes), ("value", Bytes)],
};
const UNITEM: Part = Part {
    text: "DELETE FROM item AS t USING {rows} WHERE t.row = w.row AND t.kind = w.kind AND t.key = w.key AND {owned}",
    replace: "",
    columns: &[("row", Integer), ("kind", Integer), ("key", Bytes)],
};
const NODE: Part = Part {
    text: "INSERT INTO node SELECT * FROM {rows} WHERE {owned}",
    replace: " ON CONFLICT (tree, branch, node, txn) \
              DO UPDATE SET next = excluded.next, previous = excluded.previous, events = excluded.events",
    columns: &[
        ("tree", Integer),
        ("branch", Bytes),
        ("node", Integer),
        ("txn", Integer),
        ("next", Integer),
        ("previous", Integer),
        ("events", Bytes),
    ],
};
const TASK: Part = Part {
    text: "INSERT INTO task SELECT * FROM {rows} WHERE {owned}",
    replace: " ON CONFLICT (shard, category, fire_time, id) DO UPDATE SET body = excluded.body",
    columns: &[("shard", Integer), ("category", Integer), ("fire_time", Integer), ("id", Integer), ("body", Bytes)],
};
const UNTASK: Part = Part {
    text: "DELETE FROM task AS t USING {rows} WHERE t.shard = w.shard AND t.category = w.category \
           AND t.fire_time = w.fire_time AND t.id = w.id AND {owned}",
    replace: "",
    columns: &[("shard", Integer), ("category", Integer), ("fire_time", Integer), ("id", Integer)],
};
const SHOW: Part = Part {
    text: "INSERT INTO visibility SELECT * FROM {rows} WHERE {owned} ON CONFLICT (namespace, closed, started, run) \
           DO UPDATE SET workflow = excluded.workflow, type = excluded.type, queue = excluded.queue, \
           status = excluded.status, execution = excluded.execution, length = excluded.length, size = excluded.size, \
           transitions = excluded.transitions, parent_workflow = excluded.parent_workflow, \
           parent_run = excluded.parent_run, root_workflow = excluded.root_workflow, root_run = excluded.root_run, \
           memo = excluded.memo, search = excluded.search",
    replace: "",
    columns: &[
        ("namespace", Bytes),
        ("closed", Integer),
        ("started", Integer),
        ("run", Bytes),
        ("workflow", Bytes),
        ("type", Bytes),
        ("queue", Bytes),
        ("status", Integer),
        ("execution", Integer),
        ("length", Integer),
        ("size", Integer),
        ("transitions", Integer),
        ("parent_workflow", Bytes),
        ("parent_run", Bytes),
        ("root_workflow", Bytes),
        ("root_run", Bytes),
        ("memo", Bytes),
        ("search", Bytes),
    ],
};
const HIDE: Part = Part {
    text: "DELETE FROM visibility AS t USING {rows} WHERE t.namespace = w.namespace AND t.closed = w.closed \
           AND t.started = w.started AND t.run = w.run AND {owned}",
    replace: "",
    columns: &[("namespace", Bytes), ("closed", Integer), ("started", Integer), ("run", Bytes)],
};
