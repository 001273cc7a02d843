//! What matching is offered for a task of the transfer queue.

use super::{MutableState, activity::Activity, workflow_task::WorkflowTask};
use crate::{
    shard::io::{Dispatch, DispatchQueue},
    task::{HistoryTask, TaskKind, TransferTask},
};

/// The offer, or `None` when the task is stale: what it speaks of is over, started, or another attempt.
#[must_use]
pub fn dispatch(state: &MutableState, task: &HistoryTask) -> Option<Dispatch> {
    let TaskKind::Transfer(transfer) = task.kind else { return None };
    if !super::request::is_running(state) {
        return None;
    }
    let (scheduled, attempt, version) = match transfer {
        TransferTask::Workflow { scheduled, attempt } | TransferTask::Activity { scheduled, attempt } => {
            (scheduled, attempt, task.version)
        }
        TransferTask::Reapply | TransferTask::Delete => return None,
    };
    let (queue, scheduled_time) = match transfer {
        TransferTask::Workflow { .. } => {
            let waits = |pending: &&WorkflowTask| {
                let is_named = pending.scheduled == scheduled && pending.attempt == attempt;
                is_named && pending.version == version && pending.started.is_none()
            };
            let pending = state.workflow_task.pending.as_ref().filter(waits)?;
            (workflow_queue(state, pending), pending.scheduled_time)
        }
        TransferTask::Reapply | TransferTask::Delete => return None,
        TransferTask::Activity { .. } => {
            let waits = |activity: &&Activity| {
                let is_named = activity.attempt == attempt && activity.version == version;
                is_named && activity.started.is_none() && !activity.is_closing
            };
            let activity = state.activities.table.get(&scheduled).filter(waits)?;
            let queue = activity.attributes.task_queue.as_ref().map_or("", |queue| &queue.name);
            (DispatchQueue::Activity(queue.into()), activity.scheduled_time)
        }
    };
    Some(Dispatch { run: state.run.clone(), scheduled, attempt, queue, scheduled_time })
}

/// Whether a run still wants what was to be offered.
#[must_use]
pub fn is_wanted(state: &MutableState, offer: &Dispatch) -> bool {
    let is_open = super::request::is_running(state);
    let waits_for = match &offer.queue {
        DispatchQueue::Activity(_) => {
            let activity = state.activities.table.get(&offer.scheduled);
            activity.filter(|activity| activity.started.is_none() && !activity.is_closing).map(|a| a.attempt)
        }
        DispatchQueue::Workflow(_) | DispatchQueue::Sticky(..) => {
            let pending = state.workflow_task.pending.as_ref();
            pending.filter(|task| task.scheduled == offer.scheduled && task.started.is_none()).map(|task| task.attempt)
        }
    };
    is_open && waits_for == Some(offer.attempt)
}

/// The queue of the worker that has the run cached, or any worker's.
fn workflow_queue(state: &MutableState, task: &WorkflowTask) -> DispatchQueue {
    let normal = state.execution.start.task_queue();
    match &state.local.sticky {
        Some(sticky) if task.sticky => DispatchQueue::Sticky(sticky.task_queue.clone(), normal.into()),
        _ => DispatchQueue::Workflow(normal.into()),
    }
}
