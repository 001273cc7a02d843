//! A run that lost to another one of its workflow is changed by replication alone, until it is ended or current again.

use std::collections::BTreeSet;

use replicator::{
    ids::RunKey,
    task::{ReplicationTask, TaskKind},
    workflow::execution::Phase,
};

use super::{Checker, Finding, Seen};

/// The zombies of each cluster.
#[derive(Default)]
pub(super) struct Zombies {
    zombies: BTreeSet<(usize, RunKey)>,
}

impl Checker for Zombies {
    fn promise(&self) -> &'static str {
        "a zombie is changed by replication alone"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        let Seen::Committed { cluster, transaction, runs, .. } = seen else { return Ok(()) };
        for state in *runs {
            let key = (*cluster, state.run.clone());
            let is_zombie = state.execution.phase == Phase::Zombie;
            let was_zombie = if is_zombie { !self.zombies.insert(key) } else { self.zombies.remove(&key) };
            let is_told = transaction.tasks.iter().any(|task| {
                task.run == state.run && matches!(task.kind, TaskKind::Replication(ReplicationTask::History(_)))
            });
            if was_zombie && is_zombie && is_told {
                return Err(Finding::of(&state.run, format!("cluster {cluster} writes to it")));
            }
        }
        Ok(())
    }
}
