//! The queues hold exactly the tasks that runs say they have there: none outlives its reason, none is missing.

use std::collections::{BTreeMap, BTreeSet};

use replicator::{
    ids::{RunKey, ShardId},
    task::{Category, HistoryTask, TaskKey},
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
        if let Seen::Restored { cluster, store, .. } = seen {
            self.by_run.retain(|(of, _), _| of != cluster);
            self.runs.retain(|(of, _), _| of != cluster);
            store.tasks().for_each(|(shard, task)| self.add(*cluster, shard, task));
        }
        let Seen::Committed { cluster, transaction, runs, .. } = seen else { return Ok(()) };
        transaction.tasks.iter().for_each(|task| self.add(*cluster, transaction.shard, task));
        for (category, key) in &transaction.completed {
            let place = (transaction.shard, *category, *key);
            if let Some(run) = self.runs.remove(&(*cluster, place)) {
                self.by_run.entry((*cluster, run)).or_default().remove(&place);
            }
        }
        for state in *runs {
            let held = self.by_run.get(&(*cluster, state.run.clone())).cloned().unwrap_or_default();
            let needed: BTreeSet<Place> =
                state.outstanding().map(|(category, key)| (transaction.shard, category, key)).collect();
            if held != needed {
                let (extra, missing) = (held.difference(&needed).next(), needed.difference(&held).next());
                let text = format!("cluster {cluster}: a queue holds {extra:?} for nothing, or misses {missing:?}");
                return Err(Finding::of(&state.run, text));
            }
        }
        Ok(())
    }
}

impl Tasks {
    fn add(&mut self, cluster: usize, shard: ShardId, task: &HistoryTask) {
        let category = task.kind.category();
        if matches!(category, Category::Transfer | Category::Timer | Category::Divergence) {
            let place = (shard, category, task.key);
            self.by_run.entry((cluster, task.run.clone())).or_default().insert(place);
            self.runs.insert((cluster, place), task.run.clone());
        }
    }
}
