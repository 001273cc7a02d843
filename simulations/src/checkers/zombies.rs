//! A run that lost to another one of its workflow is changed by replication alone, until it is ended or current again. It
//! gives nobody work.

use std::collections::BTreeSet;

use replicator::{
    ids::RunKey,
    task::{Category, HistoryTask, ReplicationTask, TaskKind, TransferTask},
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
        if let Seen::Restored { cluster, runs, .. } = seen {
            self.zombies.retain(|(of, _)| of != cluster);
            let zombies = runs.iter().filter(|state| state.execution.phase == Phase::Zombie);
            self.zombies.extend(zombies.map(|state| (*cluster, state.run.clone())));
        }
        let Seen::Committed { cluster, transaction, runs, .. } = seen else { return Ok(()) };
        for state in *runs {
            let key = (*cluster, state.run.clone());
            let is_zombie = state.execution.phase == Phase::Zombie;
            let was_zombie = if is_zombie { !self.zombies.insert(key) } else { self.zombies.remove(&key) };
            // Telling a peer of it anew changes nothing.
            let is_told = transaction.tasks.iter().any(|task| {
                let is_news = |kind: &TaskKind| {
                    matches!(kind, TaskKind::Replication(ReplicationTask::History(stretch)) if stretch.to.is_none())
                };
                task.run == state.run && is_news(&task.kind)
            });
            if was_zombie && is_zombie && is_told {
                return Err(Finding::of(&state.run, format!("cluster {cluster} writes to it")));
            }
            // What it owes to the winner is not its own work.
            let is_owed = |kind: &TaskKind| matches!(kind, TaskKind::Transfer(TransferTask::Reapply));
            let is_work = |task: &&HistoryTask| {
                matches!(task.kind.category(), Category::Transfer | Category::Timer) && !is_owed(&task.kind)
            };
            let mut of_run = transaction.tasks.iter().filter(|task| task.run == state.run);
            if let Some(task) = of_run.find(is_work).filter(|_| is_zombie) {
                return Err(Finding::of(&state.run, format!("cluster {cluster} gives it work: {:?}", task.kind)));
            }
        }
        Ok(())
    }
}
