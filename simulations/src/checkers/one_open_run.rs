//! At most one run of a workflow id is open in a cluster, at every durable moment, and it is the one that the id names.

use std::collections::{BTreeMap, BTreeSet};

use replicator::{
    ids::{RunId, RunKey, WorkflowKey},
    shard::io::RunChange,
    workflow::execution::Phase,
};

use super::{Checker, Finding, Seen};

/// The open runs of each cluster's workflows.
#[derive(Default)]
pub(super) struct OneOpenRun {
    open: BTreeMap<(usize, WorkflowKey), BTreeSet<RunId>>,
}

impl Checker for OneOpenRun {
    fn promise(&self) -> &'static str {
        "at most one run of a workflow is open"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        if let Seen::Restored { cluster, runs, .. } = seen {
            self.open.retain(|(of, _), _| of != cluster);
            for state in runs.iter().filter(|state| state.execution.phase == Phase::Running) {
                self.open.entry((*cluster, state.run.workflow.clone())).or_default().insert(state.run.run);
            }
        }
        let Seen::Committed { cluster, transaction, runs, store } = seen else { return Ok(()) };
        for state in *runs {
            let open = self.open.entry((*cluster, state.run.workflow.clone())).or_default();
            // A zombie is open to replication alone, and not open here.
            match state.execution.phase {
                Phase::Running => open.insert(state.run.run),
                Phase::Zombie | Phase::Closed(_) => open.remove(&state.run.run),
            };
        }
        for write in transaction.runs.iter().filter(|write| matches!(write.change, RunChange::Delete { .. })) {
            self.open.entry((*cluster, write.run.workflow.clone())).or_default().remove(&write.run.run);
        }
        let Some(first) = transaction.runs.first() else { return Ok(()) };
        let workflow = &first.run.workflow;
        let open = &self.open[&(*cluster, workflow.clone())];
        let run = |run: &RunId| RunKey { workflow: workflow.clone(), run: *run };
        if let Some(second) = open.iter().nth(1) {
            return Err(Finding::of(&run(second), format!("{} runs are open: {open:?}", open.len())));
        }
        match open.first() {
            Some(open) if store.current(workflow) != Some(*open) => {
                Err(Finding::of(&run(open), format!("it is open, and the id names {:?}", store.current(workflow))))
            }
            _ => Ok(()),
        }
    }
}
