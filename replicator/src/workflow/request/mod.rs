//! What callers and workers ask of one workflow: a file per request.
//!
//! A handler checks first and changes after. Two refusals come with a change all the same, because the change is the
//! answer to the mistake: a bad completion fails its workflow task, and one that took too long times it out. Whatever
//! was changed, by a refused request or not, stands by itself and is written when the draft closes.

mod buffered;
mod cancel;
mod cancel_activity;
mod complete_activity;
mod complete_workflow_task;
mod delete;
mod divergence;
mod fail_activity;
mod fail_workflow_task;
pub(super) mod find;
mod heartbeat;
mod history_limit;
mod queries;
mod query;
mod reset;
mod reset_sticky;
mod signal;
mod signal_with_start;
mod start;
mod start_activity;
mod start_workflow_task;
pub(crate) mod terminate;
pub mod unsupported;
pub mod view;

pub(crate) use buffered::enforce_limit;
pub(super) use complete_workflow_task::record_transient;
pub(super) use fail_activity::decide as decide_activity;
pub(super) use find::is_running;
pub(super) use history_limit::{enforce, guard};
pub(crate) use queries::settle;
pub use start::check as check_start;
pub(super) use start::{Timeouts, json_string, normal_queue};
pub(super) use start_workflow_task::start as start_pending;
pub(super) use terminate::{SERVER, make_way};

use alloc::boxed::Box;

use super::{
    describe,
    draft::{Draft, Need},
    failover,
};
use crate::shard::io::{Call, Failure, Request, RequestId, Response};

/// What became of a request that was not refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Handled {
    /// It is answered.
    Answered(Response),
    /// The answer comes later, through the replies of a draft.
    Later,
    /// This has to be read first. The request itself changed nothing.
    Needs(Need),
    /// What the draft did so far has to be written first.
    AfterWrite,
}

/// Answer a request, or change what it asks for.
///
/// # Errors
///
/// The refusal. See the module for whether anything changed.
pub fn handle(draft: &mut Draft<'_>, id: RequestId, request: &Request) -> Result<Handled, Failure> {
    match &request.call {
        Call::Query(query) => {
            let answer = query::handle(draft, id, request, query)?;
            return Ok(answer.map_or(Handled::Later, Handled::Answered));
        }
        Call::View => return view::handle(draft, request).map(Handled::Answered),
        Call::Divergence => return divergence::handle(draft, request).map(Handled::Answered),
        Call::Fates(inputs) => return divergence::fates(draft, request, inputs).map(Handled::Answered),
        Call::Describe => {
            let run = find::run(draft, request)?;
            let response = describe::describe(&draft.runs[&run].state, draft.namespace, draft.now);
            return Ok(Handled::Answered(Response::Described(Box::new(response))));
        }
        _ => draft.require_active()?,
    }
    for run in [draft.resolve(request.run), *draft.current].into_iter().flatten() {
        draft.require_active_for(run)?;
    }
    if let Some(mut transition) = draft.resolve(request.run).and_then(|run| draft.transition(run)) {
        failover::on_version_change(&mut transition);
    }
    let before = *draft.current;
    let guarded = draft.resolve(request.run).and_then(|run| guard(draft, run, history_limit::commands(&request.call)));
    let answer = change(draft, request);
    let outgrown = guarded.and_then(|guarded| enforce(draft, guarded).err());
    for run in [draft.resolve(request.run), before, *draft.current].into_iter().flatten() {
        enforce_limit(draft, run);
        settle(draft, run);
    }
    outgrown.map_or(answer, Err)
}

fn change(draft: &mut Draft<'_>, request: &Request) -> Result<Handled, Failure> {
    if let Call::Reset(wanted) = &request.call {
        return reset::handle(draft, request, wanted);
    }
    let response = match &request.call {
        Call::Start(start) => start::handle(draft, start),
        Call::SignalWithStart(both) => signal_with_start::handle(draft, both),
        Call::Signal(signal) => signal::handle(draft, request, signal),
        Call::RequestCancel(cancel) => cancel::handle(draft, request, cancel),
        Call::Delete => delete::handle(draft, request),
        Call::Terminate(terminate) => terminate::handle(draft, request, terminate),
        Call::StartWorkflowTask { scheduled, request_id, poll } => {
            start_workflow_task::handle(draft, request, *scheduled, request_id, poll)
        }
        Call::CompleteWorkflowTask(claim, completion) => {
            complete_workflow_task::handle(draft, request, claim, completion)
        }
        Call::FailWorkflowTask(claim, failure) => fail_workflow_task::handle(draft, request, claim, failure),
        Call::ResetSticky => reset_sticky::handle(draft, request),
        Call::StartActivity { scheduled, attempt, request_id, poll } => {
            start_activity::handle(draft, request, *scheduled, *attempt, request_id, poll)
        }
        Call::CompleteActivity { activity, result, identity } => {
            complete_activity::handle(draft, request, activity, result.as_ref(), identity)
        }
        Call::FailActivity { activity, failure, last_heartbeat, identity } => {
            let report = fail_activity::Report { failure: failure.as_deref(), last_heartbeat: last_heartbeat.as_ref() };
            fail_activity::handle(draft, request, activity, report, identity)
        }
        Call::CancelActivity { activity, details, identity } => {
            cancel_activity::handle(draft, request, activity, details.as_ref(), identity)
        }
        Call::HeartbeatActivity { activity, details, identity: _ } => {
            heartbeat::handle(draft, request, activity, details.as_ref())
        }
        Call::Query(_) | Call::View | Call::Describe | Call::Divergence | Call::Fates(_) | Call::Reset(_) => {
            unreachable!("they were answered above")
        }
    };
    response.map(Handled::Answered)
}
