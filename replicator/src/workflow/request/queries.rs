//! Questions that wait for a workflow task (api 3.11, path B).
//!
//! They wait in memory. A question goes along with the next task that starts; its answer comes with the completion. When
//! a completion leaves no task behind, whoever asks is told to ask a worker directly.

use alloc::{
    boxed::Box,
    collections::BTreeMap,
    string::{String, ToString},
};

use proto::temporal::api::{
    enums::v1::QueryResultType,
    query::v1::{WorkflowQuery, WorkflowQueryResult},
    workflowservice::v1::QueryWorkflowResponse,
};

use super::query;
use crate::{
    ids::{EventId, RunId},
    shard::io::{Failure, QueryResults, Reply, RequestId, Response},
    workflow::draft::{BufferedQuery, Draft, Run, Transition},
};

/// Keep a question for the next workflow task.
pub(super) fn buffer(transition: &mut Transition<'_>, request: RequestId, query: WorkflowQuery) {
    let id = transition.entropy.uuid().to_string();
    transition.run.queries.insert(id, BufferedQuery { request, query, sent_with: None });
}

/// The task that was just started carries all questions.
pub(super) fn send(run: &mut Run) {
    let started = started_event(run);
    for query in run.queries.values_mut() {
        query.sent_with = started;
    }
}

/// The questions that the started task carries.
pub(super) fn sent(run: &Run) -> BTreeMap<String, WorkflowQuery> {
    let started = started_event(run);
    let carried = run.queries.iter().filter(|(_, query)| query.sent_with.is_some() && query.sent_with == started);
    carried.map(|(id, query)| (id.clone(), query.query.clone())).collect()
}

/// Take the answers that came with a completion. Questions without an answer wait on.
pub(super) fn answer(run: &mut Run, results: &QueryResults, replies: &mut alloc::vec::Vec<(RequestId, Reply)>) {
    for (id, result) in results {
        // The answer to a question that nobody asks any more is no mistake.
        if let Some(query) = run.queries.remove(id) {
            replies.push((query.request, reply(result)));
        }
    }
    for query in run.queries.values_mut() {
        query.sent_with = None;
    }
}

/// Release the questions that no workflow task will answer.
pub(crate) fn settle(draft: &mut Draft<'_>, run: RunId) {
    let Some(entry) = draft.runs.get_mut(&run) else { return };
    if entry.queries.is_empty() || (entry.state.is_open() && entry.state.workflow_task.pending.is_some()) {
        return;
    }
    let released = core::mem::take(&mut entry.queries);
    let state = &entry.state;
    draft.replies.extend(released.into_values().map(|waiting| {
        let reply = query::check_ready(state).map(|()| Response::QueryDirectly(Box::new(query::direct(state))));
        (waiting.request, reply)
    }));
}

fn started_event(run: &Run) -> Option<EventId> {
    let task = run.state.workflow_task.pending.as_ref()?;
    task.started.as_ref().map(|start| start.event)
}

fn reply(result: &WorkflowQueryResult) -> Reply {
    if result.result_type() == QueryResultType::Answered {
        let response =
            QueryWorkflowResponse { query_result: result.answer.clone(), ..QueryWorkflowResponse::default() };
        return Ok(Response::Queried(Box::new(response)));
    }
    Err(Failure::QueryFailed { message: result.error_message.clone(), failure: result.failure.clone().map(Box::new) })
}
