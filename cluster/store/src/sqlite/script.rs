//! The statements that write what a group comes to.

use std::collections::BTreeMap;

use replicator::task::Category;

use super::statement::Script;
use crate::{
    plan::Plan,
    table::{Values, item, name, run, start, task},
};

/// The statements that write the rows.
pub(crate) fn script(plan: Plan) -> Script {
    let mut script = Script::default();
    for row in plan.adopted {
        script.add("DELETE FROM dropped WHERE tree = ?", |values| _ = values.add(row));
    }
    for row in plan.emptied {
        script.add("DELETE FROM item WHERE row = ?", |values| _ = values.add(row));
    }
    for tree in plan.felled {
        script.add(FELL_NODES, |values| _ = values.add(tree));
        script.add("DELETE FROM node_at WHERE tree = ?", |values| _ = values.add(tree));
        script.add("DELETE FROM dropped WHERE tree = ?", |values| _ = values.add(tree));
    }
    for ((tree, branch), from) in plan.cut {
        let bind = |values: &mut Values| _ = values.add(tree).id(branch.as_bytes()).add(from);
        script.add(CUT_NODES, bind);
        script.add("DELETE FROM node_at WHERE tree = ? AND branch = ? AND node >= ?", bind);
    }
    script.put(plan.dropped.into_iter().collect::<Vec<_>>().into_iter());
    for (shard, range) in plan.ranges {
        script.add(TAKE_SHARD, |values| _ = values.add(i64::from(shard.0)).add(range.0));
    }
    for (shard, state) in plan.states {
        let bind = |values: &mut Values| _ = values.add(state).add(i64::from(shard.0));
        script.add("UPDATE shard SET state = ? WHERE id = ?", bind);
    }
    for (shard, id) in plan.replicated {
        let category = task::number(Category::Replication);
        script.add(FORGET_TASKS, |values| _ = values.add(i64::from(shard.0)).add(category).add(id.0));
    }
    script.apply(plan.names, |key, row| name::Row { key, row });
    script.apply(keyed(plan.runs, run::Key), |_, row| row);
    for (row, listed) in plan.moved {
        let bind = |values: &mut Values| _ = values.add(listed.closed).add(listed.started).add(row);
        script.add("UPDATE run SET closed = ?, started = ? WHERE row = ?", bind);
    }
    script.apply(keyed(plan.starts, start::Key), |_, row| row);
    script.apply(plan.items, |key, value| item::Row { key, value });
    let (nodes, places): (Vec<_>, Vec<_>) = plan.nodes.into_iter().unzip();
    script.put(nodes.into_iter());
    script.put(places.into_iter());
    script.apply(plan.tasks, |key, body| task::Row { key, body });
    script.apply(plan.visibility, |_, row| row);
    script
}

const FELL_NODES: &str = "DELETE FROM node WHERE seq IN (SELECT seq FROM node_at WHERE tree = ?)";
const CUT_NODES: &str =
    "DELETE FROM node WHERE seq IN (SELECT seq FROM node_at WHERE tree = ? AND branch = ? AND node >= ?)";
const TAKE_SHARD: &str = "INSERT INTO shard VALUES (?, ?, x'') ON CONFLICT (id) DO UPDATE SET range = excluded.range";
const FORGET_TASKS: &str = "DELETE FROM task WHERE shard = ? AND category = ? AND fire_time = 0 AND id <= ?";

fn keyed<K: Ord, V>(rows: BTreeMap<i64, V>, key: fn(i64) -> K) -> BTreeMap<K, V> {
    rows.into_iter().map(|(row, value)| (key(row), value)).collect()
}
