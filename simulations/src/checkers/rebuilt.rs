//! What is stored of a run is what its history makes of it: replayed event by event beside the store, the two are equal
//! after every transaction.

use std::collections::BTreeMap;

use replicator::{ids::RunKey, workflow::MutableState};

use super::{Checker, Finding, Seen};
use crate::store::Events;

/// Runs as their histories alone make them.
#[derive(Default)]
pub(super) struct Rebuilt {
    states: BTreeMap<(usize, RunKey), MutableState>,
}

impl Checker for Rebuilt {
    fn promise(&self) -> &'static str {
        "a run's state is what its history makes of it"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        if let Seen::Restored { cluster, .. } = seen {
            self.states.retain(|(of, _), _| of != cluster);
        }
        let Seen::Committed { cluster, transaction, runs, store } = seen else { return Ok(()) };
        for stored in *runs {
            let key = (*cluster, stored.run.clone());
            let broken = |text: String| Finding::of(&stored.run, text);
            let branch = &stored.histories.current().branch;
            // On another branch than before, all of it is replayed.
            if self.states.get(&key).is_some_and(|state| state.histories.current().branch != *branch) {
                self.states.remove(&key);
            }
            let batches: Vec<Events> = if self.states.contains_key(&key) {
                let of_branch = transaction.history.iter().filter(|batch| batch.branch == branch.id);
                of_branch.map(|batch| store.written(batch)).collect()
            } else {
                store.events(branch, replicator::ids::EventId::FIRST, stored.next_event_id()).cloned().collect()
            };
            for events in batches {
                let first = replicator::ids::EventId(events.first().map_or(0, |event| event.event_id));
                for event in events.iter() {
                    let applied = match self.states.get_mut(&key) {
                        Some(state) => state.apply(event, first),
                        None => {
                            let request_id = stored.execution.start.request_id.clone();
                            MutableState::begin(stored.run.clone(), branch.clone(), request_id, event)
                                .map(|state| drop(self.states.insert(key.clone(), state)))
                        }
                    };
                    applied.map_err(|error| broken(format!("its history does not apply: {error}")))?;
                }
            }
            let Some(rebuilt) = self.states.get(&key) else { return Err(broken("it has no history".into())) };
            if let Some(part) = difference(rebuilt, stored) {
                return Err(broken(format!("its {part} is not what its history makes of it")));
            }
        }
        Ok(())
    }
}

/// The first part of the state in which the two differ. What no event records is left out: attempts of activities, and
/// attempts of a workflow task after the first.
fn difference(rebuilt: &MutableState, stored: &MutableState) -> Option<&'static str> {
    let task = |state: &MutableState| {
        let pending = state.workflow_task.pending.clone().filter(|task| !task.is_transient());
        pending.map(|task| (task.scheduled, task.version, task.started.map(|start| start.event)))
    };
    let activities = |state: &MutableState| state.activities.table.keys().copied().collect::<Vec<_>>();
    // How long a closed run is kept is each cluster's own affair.
    let close = |state: &MutableState| {
        state.execution.close().map(|close| (close.status, close.time, close.event, close.version, close.next_run))
    };
    let parts = [
        ("start", rebuilt.execution.start == stored.execution.start),
        ("close", close(rebuilt) == close(stored)),
        ("request to cancel", rebuilt.execution.cancel_requested == stored.execution.cancel_requested),
        ("backoff", rebuilt.execution.backoff_pending == stored.execution.backoff_pending),
        ("set of timers", rebuilt.timers.table.keys().eq(stored.timers.table.keys())),
        ("count of signals", rebuilt.signals.count == stored.signals.count),
        ("set of signals", rebuilt.signals.requests.keys().eq(stored.signals.requests.keys())),
        ("set of activities", activities(rebuilt) == activities(stored)),
        ("workflow task", task(rebuilt) == task(stored)),
        ("last workflow task", rebuilt.workflow_task.last_completed == stored.workflow_task.last_completed),
        ("version history", rebuilt.histories.current().versions == stored.histories.current().versions),
    ];
    parts.into_iter().find(|(_, is_equal)| !is_equal).map(|(part, _)| part)
}
