//! Workers are only offered what a run wants done now. A zombie offers nothing.

use replicator::{
    shard::io::{Dispatch, DispatchQueue},
    workflow::{MutableState, execution::Phase},
};

use super::{Checker, Finding, Seen};

/// Needs no model: the store says what the run wants.
pub(super) struct Dispatched;

impl Checker for Dispatched {
    fn promise(&self) -> &'static str {
        "workers are offered what a run wants done, and nothing of a zombie"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        let Seen::Dispatched { cluster, dispatch, store } = seen else { return Ok(()) };
        let found = |text: String| Finding::of(&dispatch.run, format!("cluster {cluster} offers {text}"));
        let stored = store.run(&dispatch.run).ok_or_else(|| found("a task of a run that it does not have".into()))?;
        let state = MutableState::decode(stored).map_err(|_| found("a task of a run that cannot be read".into()))?;
        if state.execution.phase != Phase::Running {
            return Err(found(format!("a task of a run that is {:?}", state.execution.phase)));
        }
        if !is_wanted(&state, dispatch) {
            return Err(found(format!("{:?} {}, which is not pending", dispatch.queue, dispatch.scheduled)));
        }
        Ok(())
    }
}

fn is_wanted(state: &MutableState, dispatch: &Dispatch) -> bool {
    match dispatch.queue {
        DispatchQueue::Activity(_) => {
            state.activities.table.get(&dispatch.scheduled).is_some_and(|activity| activity.attempt == dispatch.attempt)
        }
        DispatchQueue::Workflow(_) | DispatchQueue::Sticky(..) => {
            state.workflow_task.pending.as_ref().is_some_and(|task| task.scheduled == dispatch.scheduled)
        }
    }
}
