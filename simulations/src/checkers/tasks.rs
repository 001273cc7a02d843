//! The queues hold exactly the tasks that runs say they have there: none outlives its reason, none is missing.

use std::collections::{BTreeMap, BTreeSet};

use replicator::{
    ids::{RunKey, ShardId},
    task::{Category, TaskKey},
    workflow::MutableState,
};

use super::{Checker, Finding, Seen};

type Place = (ShardId, Category, TaskKey);

/// What each cluster's queues hold, by run.
#[derive(Default)]
pub(super) struct Tasks {
    by_run: BTreeMap<(usize, RunKey), BTreeSet<Place>>,
    runs: BTreeMap<(usize, Place), RunKey>,
}

impl Checker for Tasks {
    fn promise(&self) -> &'static str {
        "queues hold the tasks that runs need, and no others"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        let Seen::Committed { cluster, transaction, runs, .. } = seen else { return Ok(()) };
        let is_of_runs = |category| matches!(category, Category::Transfer | Category::Timer | Category::Divergence);
        for task in transaction.tasks.iter().filter(|task| is_of_runs(task.kind.category())) {
            let place = (transaction.shard, task.kind.category(), task.key);
            self.by_run.entry((*cluster, task.run.clone())).or_default().insert(place);
            self.runs.insert((*cluster, place), task.run.clone());
        }
        for (category, key) in &transaction.completed {
            let place = (transaction.shard, *category, *key);
            if let Some(run) = self.runs.remove(&(*cluster, place)) {
                self.by_run.entry((*cluster, run)).or_default().remove(&place);
            }
        }
        for state in *runs {
            let held = self.by_run.get(&(*cluster, state.run.clone())).cloned().unwrap_or_default();
            let needed: BTreeSet<Place> =
                outstanding(state).map(|(category, key)| (transaction.shard, category, key)).collect();
            if held != needed {
                let (extra, missing) = (held.difference(&needed).next(), needed.difference(&held).next());
                let text = format!("cluster {cluster}: a queue holds {extra:?} for nothing, or misses {missing:?}");
                return Err(Finding::of(&state.run, text));
            }
        }
        Ok(())
    }
}

/// Tasks that a run says rest in the queues.
fn outstanding(state: &MutableState) -> impl Iterator<Item = (Category, TaskKey)> {
    let of_activities = state
        .activities
        .table
        .iter()
        .filter_map(|(_, activity)| activity.task)
        .map(|task| (if task.is_retry { Category::Timer } else { Category::Transfer }, task.key));
    state.local.outstanding.all().chain(of_activities)
}
