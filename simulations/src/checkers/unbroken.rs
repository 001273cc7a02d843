//! A history is append-only and without a hole: event ids follow one another, versions never fall, and only the cluster
//! whose version it is writes under it.

use std::collections::BTreeMap;

use replicator::{
    ids::{BranchId, RunKey},
    shard::io::Transaction,
    task::{ReplicationTask, TaskKind},
};

use super::{Checker, Finding, Seen};
use crate::program;

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
        let Seen::Committed { cluster, transaction, runs, .. } = seen else { return Ok(()) };
        for state in *runs {
            let branch = &state.histories.current().branch;
            let begin = (branch.begin().0 - 1, 0);
            let mut end = *self.ends.get(&(*cluster, branch.id)).unwrap_or(&begin);
            for batch in transaction.history.iter().filter(|batch| batch.branch == branch.id) {
                for event in program::events(&batch.events) {
                    if event.event_id != end.0 + 1 || event.version < end.1 {
                        let text = format!(
                            "event {} under version {} follows event {} under version {}",
                            event.event_id, event.version, end.0, end.1
                        );
                        return Err(Finding::of(&state.run, text));
                    }
                    end = (event.event_id, event.version);
                }
                born_here(*cluster, transaction, &state.run, end.1)?;
            }
            let last = state.histories.current().versions.last();
            if (last.event_id.0, last.version.0) != end {
                let text = format!("the state says that {last} is last, the history that {}@{} is", end.0, end.1);
                return Err(Finding::of(&state.run, text));
            }
            self.ends.insert((*cluster, branch.id), end);
        }
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
