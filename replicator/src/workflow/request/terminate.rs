//! Close an open run at once, whatever it is doing.

use alloc::{string::String, vec::Vec};

use proto::temporal::api::{
    common::v1::{Link, Payloads},
    enums::v1::WorkflowTaskFailedCause,
    history::v1::WorkflowExecutionTerminatedEventAttributes,
    workflowservice::v1::TerminateWorkflowExecutionRequest,
};

use super::find;
use crate::{
    history::event::Attributes,
    shard::io::{Failure, Request, Response},
    workflow::{
        EventMeta,
        draft::{Draft, Transition},
        task_failure,
    },
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    terminate: &TerminateWorkflowExecutionRequest,
) -> Result<Response, Failure> {
    let run = find::run_of_chain(draft, request, &terminate.first_execution_run_id)?;
    if !find::is_running(&draft.runs[&run].state) {
        return Err(find::completed());
    }
    let or = |text: &String, default: &str| if text.is_empty() { default.into() } else { text.clone() };
    let order = Order {
        reason: or(&terminate.reason, "terminated by user via frontend"),
        details: terminate.details.clone(),
        identity: or(&terminate.identity, "frontend-service"),
        links: terminate.links.clone(),
    };
    self::terminate(&mut draft.transition(run).expect("the run is loaded"), order);
    Ok(Response::Done)
}

/// Why and by whom a run is terminated.
pub(crate) struct Order {
    pub(crate) reason: String,
    pub(crate) details: Option<Payloads>,
    pub(crate) identity: String,
    pub(crate) links: Vec<Link>,
}

/// Close the run. A started workflow task fails first, so that what waits for it is part of the history.
pub(crate) fn terminate(transition: &mut Transition<'_>, order: Order) {
    make_way(transition);
    let attributes = WorkflowExecutionTerminatedEventAttributes {
        reason: order.reason,
        details: order.details,
        identity: order.identity,
    };
    let meta = EventMeta { links: order.links, ..EventMeta::default() };
    transition.record_with(Attributes::WorkflowExecutionTerminatedEventAttributes(attributes), meta);
}

/// Before the server closes a run: end its started workflow task and write what waits for that.
pub(crate) fn make_way(transition: &mut Transition<'_>) {
    task_failure::end_started(transition, WorkflowTaskFailedCause::ForceCloseCommand, None, SERVER);
    transition.flush_buffered();
}

/// Who the server says it is.
pub(crate) const SERVER: &str = "history-service";

/// Who the server says it is when a run gives way to a reset.
pub(crate) const RESETTER: &str = "history-resetter";
