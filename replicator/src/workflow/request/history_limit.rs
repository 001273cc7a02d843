//! No run may write history without end (api 11.6).

use alloc::{boxed::Box, vec::Vec};

use super::{find::is_running, terminate};
use crate::{
    history::event::{self, HistoryEvent},
    ids::{EventId, RunId},
    shard::io::{Call, Failure, Report},
    workflow::{
        draft::{Draft, Run},
        limits::Measure,
    },
};

/// A run that may be about to grow too large, as it is before a change that may have to be taken back.
pub(crate) struct Guarded {
    run: RunId,
    before: Box<Run>,
    /// Answers that the draft had.
    replies: usize,
}

/// Before a change: what to put back should it be too much. Nothing when the run is far from its limits.
pub(crate) fn guard(draft: &Draft<'_>, id: RunId, commands: usize) -> Option<Guarded> {
    let run = draft.runs.get(&id).filter(|run| is_running(&run.state))?;
    let (state, limits) = (&run.state, draft.limits);
    // Whatever waits may end with the change, and each command may write two events.
    let waiting = state.local.buffered.len() + state.timers.table.len() + 2 * state.activities.table.len();
    let most = i64::try_from(waiting + 2 * commands + ALWAYS).unwrap_or(i64::MAX);
    let count = state.next_event_id().previous().0;
    let may_exceed = limits.history_count.most - count < most || limits.history_size.most < state.local.history_size;
    may_exceed.then(|| Guarded { run: id, before: run.clone(), replies: draft.replies.len() })
}

/// After a change: should the run have too much history, it is terminated instead. A run that the change closed is left alone,
/// because it grows no more.
pub(crate) fn enforce(draft: &mut Draft<'_>, guarded: Guarded) -> Result<(), Failure> {
    let Guarded { run: id, before, replies } = guarded;
    let limits = draft.limits;
    let Some(run) = draft.runs.get(&id).filter(|run| is_running(&run.state) && run.changes.is_touched()) else {
        return Ok(());
    };
    let state = &run.state;
    let count = count(run, before.state.next_event_id());
    let (measure, now) = if limits.history_size.most < state.local.history_size {
        (Measure::Size, state.local.history_size)
    } else if limits.history_count.most < count {
        (Measure::Count, count)
    } else {
        return Ok(());
    };
    draft.runs.insert(id, before);
    draft.replies.truncate(replies);
    let reason = reason(measure);
    let order = terminate::Order {
        reason: reason.into(),
        details: None,
        identity: terminate::SERVER.into(),
        links: Vec::new(),
    };
    let mut transition = draft.transition(id).expect("it was put back");
    terminate::terminate(&mut transition, order);
    let run = transition.run.state.run.clone();
    draft.reports.push(Report::Outgrown { run, measure, now });
    Err(Failure::InvalidArgument(reason.into()))
}

/// Events of the run as they are counted: those that the change, whose first event may be `first`, wrote last because something
/// happened outside the workflow are not, unless a workflow task is scheduled for them. So one event more may be written than
/// the limit says, as in Temporal.
fn count(run: &Run, first: EventId) -> i64 {
    let (state, changes) = (&run.state, &run.changes);
    let last = state.next_event_id().previous().0;
    if changes.wants_workflow_task && state.workflow_task.pending.is_none() && !state.execution.backoff_pending {
        return last + 1;
    }
    let is_from_outside = |event: &&HistoryEvent| {
        first.0 <= event.event_id && event.attributes.as_ref().is_some_and(event::is_bufferable)
    };
    let uncounted = changes.events.iter().rev().take_while(is_from_outside).count();
    last - i64::try_from(uncounted).unwrap_or(i64::MAX)
}

/// How many commands a request carries.
pub(super) fn commands(call: &Call) -> usize {
    match call {
        Call::CompleteWorkflowTask(_, completion) => completion.commands.len(),
        _ => 0,
    }
}

/// Temporal's, because callers and histories show it.
fn reason(measure: Measure) -> &'static str {
    match measure {
        Measure::Size => "Workflow history size exceeds limit.",
        Measure::Count => "Workflow history count exceeds limit.",
    }
}

/// No change writes more events beside those that something waits for, or that it has commands for. Should one do so all the
/// same, it is the next change that the run is terminated for.
const ALWAYS: usize = 16;
