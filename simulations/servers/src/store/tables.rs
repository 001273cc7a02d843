//! What is durable in a cluster: the simulator's store, and beside it what the server's contract asks for more.

use replicator::{
    ids::{NamespaceId, RunId, RunKey, ShardId, WorkflowId, WorkflowKey},
    shard::io::{CommitOutcome, Load, Loaded, RunChange, Transaction, VisibilityWrite},
};
use simulations::store::Store as Rows;
use store::{HistoryError, ScannedRun};

use super::{
    lists::Lists,
    shared::Shared,
    trees::{Room, Trees},
};

/// It.
#[derive(Debug, Default)]
pub struct Tables {
    /// Shards, pointers, runs and queues; of histories what checkers read.
    pub rows: Rows,
    pub(super) trees: Trees,
    pub(super) lists: Lists,
    pub(super) shared: Shared,
}

impl Tables {
    /// Write a transaction if its conditions hold.
    pub(super) fn commit(&mut self, transaction: &Transaction) -> CommitOutcome {
        let outcome = self.rows.check(transaction);
        if outcome != CommitOutcome::Committed {
            return outcome;
        }
        let listed = transaction.visibility.iter().map(|VisibilityWrite::Put(record)| record);
        if listed.clone().any(|record| !self.remains(transaction, &record.run)) {
            return CommitOutcome::ConditionFailed;
        }
        listed.for_each(|record| self.lists.put(record));
        for write in &transaction.runs {
            if matches!(write.change, RunChange::Put { .. }) && write.expected.is_none() {
                self.trees.adopt(&write.run.workflow, write.run.run);
            }
        }
        if let Some(workflow) = workflow(transaction) {
            transaction.history.iter().for_each(|write| self.trees.write(workflow, write));
        }
        for write in &transaction.runs {
            if let RunChange::Delete { branches } = &write.change {
                let RunKey { workflow, run } = &write.run;
                self.lists.remove(workflow.namespace, *run);
                self.trees.delete(workflow, *run, branches);
            }
        }
        self.rows.write(transaction)
    }

    /// Whether a run is stored when a transaction is done.
    fn remains(&self, transaction: &Transaction, run: &RunKey) -> bool {
        match transaction.runs.iter().rev().find(|write| write.run == *run) {
            Some(write) => matches!(write.change, RunChange::Put { .. }),
            None => self.rows.run(run).is_some(),
        }
    }

    /// Answer a read, or take a shard over.
    pub(super) fn load(&mut self, shard: ShardId, load: &Load) -> Loaded {
        match load {
            Load::Branch { workflow, branch, first, end } => {
                match self.trees.read(workflow, branch, *first, *end, Room::of(usize::MAX)) {
                    Ok(page) => Loaded::Branch {
                        batches: page.batches.into_iter().map(|batch| batch.events).collect(),
                        next: page.next,
                    },
                    Err(HistoryError::NotFound) => Loaded::Failed("there is no such stretch of history".into()),
                    Err(HistoryError::DataLoss(text)) => Loaded::Failed(text),
                    Err(HistoryError::Unavailable(cause)) => Loaded::Failed(cause.0),
                }
            }
            load => self.rows.read(shard, load, usize::MAX),
        }
    }

    /// Runs of a namespace in the order of their names.
    pub(super) fn scan(
        &self,
        namespace: NamespaceId,
        after: Option<(&WorkflowId, RunId)>,
        limit: usize,
    ) -> Vec<ScannedRun> {
        let runs = self.rows.runs().filter(|run| run.workflow.namespace == namespace);
        let runs = runs.filter(|run| after.is_none_or(|after| after < (&run.workflow.workflow, run.run)));
        let scanned = |run: &RunKey| {
            let stored = self.rows.run(run)?;
            Some(ScannedRun {
                workflow: run.workflow.workflow.clone(),
                run: run.run,
                record: stored.record,
                state: stored.state,
                is_current: self.rows.current(&run.workflow) == Some(run.run),
            })
        };
        runs.take(limit).filter_map(scanned).collect()
    }
}

/// The one workflow that a transaction concerns, if it concerns one.
fn workflow(transaction: &Transaction) -> Option<&WorkflowKey> {
    let current = transaction.current.as_ref().map(|current| &current.workflow);
    let runs = transaction.runs.iter().map(|write| &write.run.workflow);
    let listed = transaction.visibility.iter().map(|VisibilityWrite::Put(record)| &record.run.workflow);
    current.into_iter().chain(runs).chain(listed).next()
}
