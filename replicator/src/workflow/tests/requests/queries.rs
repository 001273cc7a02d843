//! Questions: asked directly, or along with a workflow task (api 3.11).

use super::world::*;
use crate::{
    ids::EventId,
    shard::io::{Call, Failure, Reply, Response},
};
use proto::temporal::api::{
    query::v1::WorkflowQueryResult,
    workflowservice::v1::{QueryWorkflowRequest, QueryWorkflowResponse},
};
use std::string::ToString;

#[test]
fn an_idle_workflow_is_asked_directly() {
    let mut world = World::taken();
    world.complete_with(|completion| completion.sticky_attributes = sticky("mine")).unwrap();
    let (_, reply) = world.query();
    let Some(Ok(Response::QueryDirectly(direct))) = reply else { panic!("{reply:?}") };
    assert_eq!(direct.sticky.unwrap().0, "mine");
    assert_eq!((direct.previous_started, direct.view.next_event_id), (EventId(3), EventId(5)));
}

#[test]
fn a_busy_workflow_answers_with_its_task() {
    let mut world = World::started();
    let (asked, reply) = world.query();
    assert_eq!(reply, None);
    let queries = world.take().queries;
    let (id, query) = queries.first_key_value().unwrap();
    assert_eq!(query.query_type, "state");
    world.complete_with(|completion| completion.query_results = [(id.clone(), answered("fine"))].into()).unwrap();
    assert_eq!(world.late[&asked], answer("fine"));
    world.check("Started WftScheduled WftStarted WftCompleted");
}

#[test]
fn a_worker_may_fail_to_answer() {
    let mut world = World::started();
    let (asked, _) = world.query();
    let queries = world.take().queries;
    let result =
        WorkflowQueryResult { result_type: 2, error_message: "no such query".to_string(), ..Default::default() };
    let results = queries.keys().map(|id| (id.clone(), result.clone()));
    world.complete_with(|completion| completion.query_results = results.collect()).unwrap();
    assert_eq!(world.late[&asked], Err(Failure::QueryFailed { message: "no such query".to_string(), failure: None }));
}

#[test]
fn a_task_that_runs_does_not_see_the_question() {
    let mut world = World::taken();
    let (asked, reply) = world.query();
    assert_eq!(reply, None);
    world.complete([]).unwrap();
    assert!(matches!(world.late[&asked], Ok(Response::QueryDirectly(_))), "nothing is left to wait for");
}

#[test]
fn a_question_moves_on_to_the_next_task() {
    let mut world = World::taken();
    let (asked, _) = world.query();
    let reply = world.complete_with(|completion| {
        completion.force_create_new_workflow_task = true;
        completion.return_new_workflow_task = true;
    });
    let Ok(Response::WorkflowTaskCompleted { next: Some(next) }) = reply else { panic!("{reply:?}") };
    let results = next.queries.keys().map(|id| (id.clone(), answered("fine")));
    world.complete_with(|completion| completion.query_results = results.collect()).unwrap();
    assert_eq!(world.late[&asked], answer("fine"));
}

#[test]
fn a_task_that_fails_takes_no_question_with_it() {
    let mut world = World::started();
    world.query();
    assert_eq!(world.take().queries.len(), 1);
    world.fail_task().unwrap();
    assert_eq!(world.take().queries.len(), 1);
}

#[test]
fn one_question_may_wait() {
    let mut world = World::started();
    world.query();
    let (_, reply) = world.query();
    assert!(matches!(reply, Some(Err(Failure::ResourceExhausted { .. }))));
}

#[test]
fn a_closed_workflow_is_asked_directly() {
    let mut world = World::taken();
    world.complete([done()]).unwrap();
    assert!(matches!(world.query().1, Some(Ok(Response::QueryDirectly(_)))));
}

#[test]
fn questions_that_nobody_can_answer() {
    let mut delayed = World::started_with(|start| start.workflow_start_delay = seconds(30));
    assert_eq!(refusal(delayed.query().1.unwrap()), "WorkflowNotReady: Workflow task is not scheduled yet.");
    let mut failing = World::taken();
    failing.fail_task().unwrap();
    failing.take();
    failing.fail_task().unwrap();
    assert_eq!(
        refusal(failing.query().1.unwrap()),
        "WorkflowNotReady: Unable to query workflow due to Workflow Task in failed state."
    );
    let mut closed = World::started();
    let (waiting, _) = closed.query();
    closed.terminate().unwrap();
    let text = "WorkflowNotReady: Workflow execution closed before WorkflowTaskStarted event";
    assert_eq!(refusal(closed.query().1.unwrap()), text);
    assert_eq!(refusal(closed.late[&waiting].clone()), text);
}

#[test]
fn a_question_may_be_rejected() {
    let mut world = World::taken();
    world.complete([done()]).unwrap();
    let mut ask = |query_reject_condition| {
        let query = Some(Default::default());
        let call = Call::Query(QueryWorkflowRequest { query, query_reject_condition, ..Default::default() }.into());
        world.ask_run(CURRENT, call).unwrap()
    };
    assert!(matches!(ask(1), Ok(Response::QueryDirectly(_))));
    assert!(matches!(ask(2), Ok(Response::Queried(response)) if response.query_rejected.unwrap().status == 2));
    assert!(matches!(ask(3), Ok(Response::QueryDirectly(_))));
}

fn answer(text: &'static str) -> Reply {
    let response = QueryWorkflowResponse { query_result: Some(payloads(text)), ..Default::default() };
    Ok(Response::Queried(response.into()))
}
