//! Reset a workflow: begin again in the middle of one of its runs, in a run of its own (api 8.3).

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use proto::temporal::api::{
    enums::v1::{ResetReapplyExcludeType, ResetReapplyType},
    workflowservice::v1::{ResetWorkflowExecutionRequest, ResetWorkflowExecutionResponse},
};

use super::{Handled, find};
use crate::{
    ids::{EventId, RunId},
    shard::io::{Failure, Request, Response},
    workflow::{
        draft::{Draft, Need},
        reset::{self, Order},
    },
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    wanted: &ResetWorkflowExecutionRequest,
) -> Result<Handled, Failure> {
    check_fields(wanted)?;
    let base = find::run(draft, request)?;
    let current = find::run(draft, &Request { run: None, ..request.clone() })?;
    if draft.runs[&current].state.reset_request_id == wanted.request_id && !wanted.request_id.is_empty() {
        return Ok(Handled::Answered(answer(current)));
    }
    let finish = EventId(wanted.workflow_task_finish_event_id);
    if finish <= EventId::FIRST || finish >= draft.runs[&base].state.next_event_id() {
        return Err(Failure::InvalidArgument(
            "Workflow task finish ID must be > 1 && <= workflow last event ID.".into(),
        ));
    }
    let chain = match chain(draft, base, !excludes_signals(wanted)?)? {
        Chain::Here(chain) => chain,
        Chain::Needs(need) => return Ok(Handled::Needs(need)),
        Chain::Unwritten => return Ok(Handled::AfterWrite),
    };
    let stored: Vec<_> = chain.iter().map(|run| (*run, reset::stretch(&draft.runs[run]))).collect();
    let id = draft.entropy.run_id();
    let order = Order { base, finish, reason: &wanted.reason, request_id: &wanted.request_id };
    reset::reset(draft, order, id)?;

    if !excludes_signals(wanted)? {
        reset::give_signals(draft, id, &stored, finish);
    }
    draft.transition(id).expect("it was just created").schedule_workflow_task();
    Ok(Handled::Answered(answer(id)))
}

/// The runs whose inputs the new run is given, or what has to be done before they are known.
enum Chain {
    Here(Vec<RunId>),
    Needs(Need),
    Unwritten,
}

/// The base run and, if their inputs are wanted, the runs that followed it.
fn chain(draft: &Draft<'_>, base: RunId, follows: bool) -> Result<Chain, Failure> {
    let mut chain: Vec<RunId> = Vec::new();
    let mut next = Some(base);
    while let Some(id) = next {
        let Some(run) = draft.runs.get(&id) else {
            // What was kept long enough is gone.
            if draft.absent.contains(&id) {
                break;
            }
            return Ok(Chain::Needs(Need::Run(id)));
        };
        if chain.len() == LONGEST_CHAIN {
            return Err(Failure::FailedPrecondition(format!(
                "more than {LONGEST_CHAIN} runs followed the one to be reset: exclude signals, or reset a later run"
            )));
        }
        if !run.changes.batches.is_empty() || !run.changes.events.is_empty() {
            return Ok(Chain::Unwritten);
        }
        let stretch = reset::stretch(run);
        if !draft.read.contains_key(&stretch) {
            return Ok(Chain::Needs(Need::Stretch(stretch)));
        }
        chain.push(id);
        next = run.state.execution.close().and_then(|close| close.next_run).filter(|_| follows);
    }
    Ok(Chain::Here(chain))
}

/// Whether the caller wants no signals in the new run. Requests to cancel are not for it in any case: who resets a workflow
/// wants it to run.
fn excludes_signals(wanted: &ResetWorkflowExecutionRequest) -> Result<bool, Failure> {
    let unknown = |field: &str| Failure::InvalidArgument(format!("{field} has a value that is not known"));
    #[expect(deprecated, reason = "callers still use it")]
    let reapply = ResetReapplyType::try_from(wanted.reset_reapply_type).map_err(|_| unknown("reset_reapply_type"))?;
    let mut excluded = reapply == ResetReapplyType::None;
    for kind in &wanted.reset_reapply_exclude_types {
        let kind = ResetReapplyExcludeType::try_from(*kind).map_err(|_| unknown("reset_reapply_exclude_types"))?;
        excluded |= kind == ResetReapplyExcludeType::Signal;
    }
    Ok(excluded)
}

/// Refuse fields that are not built.
fn check_fields(wanted: &ResetWorkflowExecutionRequest) -> Result<(), Failure> {
    if wanted.post_reset_operations.is_empty() {
        return Ok(());
    }
    Err(Failure::Unimplemented(String::from("post_reset_operations is not supported")))
}

fn answer(run: RunId) -> Response {
    Response::Reset(ResetWorkflowExecutionResponse { run_id: run.to_string() })
}

/// Histories of so many runs are read and held for one reset.
const LONGEST_CHAIN: usize = 200;
