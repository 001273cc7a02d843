//! A history is append-only and without a hole: along every branch event ids follow one another and versions never fall,
//! nothing that was written is ever written again, and only the cluster whose version it is writes under it.

use std::collections::BTreeMap;

use replicator::{
    ids::{BranchId, EventId, RunKey},
    shard::io::Transaction,
    task::{ReplicationTask, TaskKind},
    version::histories::BranchHistory,
    workflow::MutableState,
};

use super::{Checker, Finding, Seen};
use crate::store::Store;

/// The end of each branch in each cluster: its last event and that one's version.
#[derive(Default)]
pub(super) struct Unbroken {
    ends: BTreeMap<(usize, BranchId), (i64, i64)>,
}

impl Checker for Unbroken {
    fn promise(&self) -> &'static str {
        "a history has no hole, its versions never fall, and each is written by its own cluster"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        if let Seen::Restored { cluster, runs, .. } = seen {
            self.ends.retain(|(of, _), _| of != cluster);
            for BranchHistory { branch, versions } in runs.iter().flat_map(|state| state.histories.all()) {
                let last = versions.last();
                self.ends.insert((*cluster, branch.id), (last.event_id.0, last.version.0));
            }
        }
        let Seen::Committed { cluster, transaction, runs, store } = seen else { return Ok(()) };
        for state in *runs {
            for history in state.histories.all() {
                self.follow(*cluster, transaction, store, state, history)?;
            }
        }
        Ok(())
    }
}

impl Unbroken {
    fn follow(
        &mut self,
        cluster: usize,
        transaction: &Transaction,
        store: &Store,
        state: &MutableState,
        history: &BranchHistory,
    ) -> Result<(), Finding> {
        let BranchHistory { branch, versions } = history;
        let before = branch.begin().0 - 1;
        let begin = (before, versions.version_of(EventId(before)).map_or(0, |version| version.0));
        let mut end = *self.ends.get(&(cluster, branch.id)).unwrap_or(&begin);
        for batch in transaction.history.iter().filter(|batch| batch.branch == branch.id) {
            for event in store.written(batch).iter() {
                if event.event_id != end.0 + 1 || event.version < end.1 {
                    let text = format!(
                        "event {} under version {} follows event {} under version {}",
                        event.event_id, event.version, end.0, end.1
                    );
                    return Err(Finding::of(&state.run, text));
                }
                end = (event.event_id, event.version);
                if versions.version_of(EventId(end.0)).is_none_or(|version| version.0 != end.1) {
                    let text = format!("the branch {versions} does not say that it holds {}@{}", end.0, end.1);
                    return Err(Finding::of(&state.run, text));
                }
            }
            born_here(cluster, transaction, &state.run, end.1)?;
        }
        let last = versions.last();
        if (last.event_id.0, last.version.0) != end {
            let text = format!("the state says that {last} is last, the history that {}@{} is", end.0, end.1);
            return Err(Finding::of(&state.run, text));
        }
        self.ends.insert((cluster, branch.id), end);
        Ok(())
    }
}

/// Events that a cluster tells to others are its own, and so is their version.
fn born_here(cluster: usize, transaction: &Transaction, run: &RunKey, version: i64) -> Result<(), Finding> {
    let is_told = transaction
        .tasks
        .iter()
        .any(|task| task.run == *run && matches!(task.kind, TaskKind::Replication(ReplicationTask::History(_))));
    let owner = usize::try_from(version % 10 - 1).ok();
    if is_told && owner != Some(cluster) {
        return Err(Finding::of(run, format!("cluster {cluster} writes under version {version}")));
    }
    Ok(())
}
