//! What was acknowledged is there, once, on every cluster: nothing is lost, nothing is doubled.

use std::collections::BTreeMap;

use proto::temporal::api::history::v1::history_event::Attributes;
use replicator::{
    ids::{EventId, RunId, RunKey, WorkflowKey},
    workflow::MutableState,
};

use super::{Checker, Fact, Finding, Seen};
use crate::{program, store::Store, trace::name};

/// Everything that anybody was told.
#[derive(Default)]
pub(super) struct Acknowledged {
    facts: Vec<Fact>,
}

/// What the histories of a cluster say.
#[derive(Default)]
struct Told {
    /// Runs that a request started; of a chain, its first.
    starts: BTreeMap<(WorkflowKey, String), Vec<RunId>>,
    /// Events by which a run has a request's signal.
    signals: BTreeMap<(RunKey, String), usize>,
    tasks: BTreeMap<(RunKey, i64), usize>,
    activities: BTreeMap<(RunKey, i64), usize>,
}

impl Checker for Acknowledged {
    fn promise(&self) -> &'static str {
        "what was acknowledged is there, and once"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        if let Seen::Acknowledged { fact } = seen {
            self.facts.push((*fact).clone());
        }
        Ok(())
    }

    fn rest(&mut self, stores: &[&Store]) -> Result<(), Finding> {
        for (cluster, store) in stores.iter().enumerate() {
            let told = Told::by(store)?;
            self.facts.iter().try_for_each(|fact| told.check(fact, name(cluster)))?;
            if let Some(((run, request), count)) = told.signals.iter().find(|(_, count)| **count > 1) {
                return Err(Finding::of(run, format!("it has the signal of {request} {count} times")));
            }
            if let Some(((workflow, request), runs)) = told.starts.iter().find(|(_, runs)| runs.len() > 1) {
                let run = RunKey { workflow: workflow.clone(), run: runs[0] };
                return Err(Finding::of(&run, format!("{request} started {} runs", runs.len())));
            }
        }
        Ok(())
    }
}

impl Told {
    fn by(store: &Store) -> Result<Self, Finding> {
        let mut told = Self::default();
        for run in store.runs() {
            let stored = store.run(run).expect("it was just listed");
            let state = MutableState::decode(stored).map_err(|_| Finding::of(run, "it cannot be read".into()))?;
            if state.execution.start.first_run == run.run {
                let key = (run.workflow.clone(), state.execution.start.request_id.clone());
                told.starts.entry(key).or_default().push(run.run);
            }
            let branch = &state.histories.current().branch;
            for batch in store.history(branch, EventId::FIRST, state.next_event_id()) {
                for event in program::events(&batch) {
                    told.hear(run, event.attributes);
                }
            }
        }
        Ok(told)
    }

    fn hear(&mut self, run: &RunKey, attributes: Option<Attributes>) {
        match attributes {
            Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal)) => {
                *self.signals.entry((run.clone(), signal.request_id)).or_default() += 1;
            }
            Some(Attributes::WorkflowTaskCompletedEventAttributes(task)) => {
                *self.tasks.entry((run.clone(), task.scheduled_event_id)).or_default() += 1;
            }
            Some(Attributes::ActivityTaskCompletedEventAttributes(activity)) => {
                *self.activities.entry((run.clone(), activity.scheduled_event_id)).or_default() += 1;
            }
            _ => {}
        }
    }

    fn check(&self, fact: &Fact, cluster: &str) -> Result<(), Finding> {
        let (run, count, what) = match fact {
            Fact::Started { workflow, request_id, run } => {
                let runs = self.starts.get(&(workflow.clone(), request_id.clone()));
                let count = runs.map_or(0, |runs| runs.iter().filter(|known| *known == run).count());
                (RunKey { workflow: workflow.clone(), run: *run }, count, format!("start by {request_id}"))
            }
            Fact::Signaled { workflow, request_id, run } => {
                let run = RunKey { workflow: workflow.clone(), run: *run };
                let count = self.signals.get(&(run.clone(), request_id.clone())).copied().unwrap_or(0);
                (run, count, format!("signal of {request_id}"))
            }
            Fact::WorkflowTaskCompleted { run, scheduled } => {
                let count = self.tasks.get(&(run.clone(), scheduled.0)).copied().unwrap_or(0);
                (run.clone(), count, format!("completion of workflow task {scheduled}"))
            }
            Fact::ActivityCompleted { run, scheduled } => {
                let count = self.activities.get(&(run.clone(), scheduled.0)).copied().unwrap_or(0);
                (run.clone(), count, format!("completion of activity {scheduled}"))
            }
        };
        if count == 1 {
            return Ok(());
        }
        Err(Finding::of(&run, format!("the acknowledged {what} is there {count} times in {cluster}")))
    }
}
