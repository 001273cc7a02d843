//! Start, signal-with-start, and the policies about runs that are in the way (api 6.7 to 6.10).

use super::world::*;
use crate::{
    shard::io::{Failure, Reply, Response},
    time::duration,
};
use std::string::{String, ToString};

const FAIL: i32 = 1;
const USE_EXISTING: i32 = 2;
const TERMINATE_EXISTING: i32 = 3;

const FAILED_ONLY: i32 = 2;
const REJECT: i32 = 3;
const TERMINATE_IF_RUNNING: i32 = 4;

#[test]
fn a_start_schedules_the_first_workflow_task() {
    let mut world = World::new();
    let reply = world.start_with(|start| start.request_id = "1".to_string());
    assert_eq!(started(&reply), (true, 1, world.run(0).to_string()));
    world.check("Started WftScheduled");
}

#[test]
fn the_same_request_starts_one_run() {
    let mut world = World::started_with(|start| start.request_id = "1".to_string());
    let again = world.start_with(|start| start.request_id = "1".to_string());
    assert_eq!(started(&again), (true, 1, world.run(0).to_string()));
    world.terminate().unwrap();
    let late = world.start_with(|start| start.request_id = "1".to_string());
    assert_eq!(started(&late), (true, 5, world.run(0).to_string()));
    world.check("Started WftScheduled Terminated");
}

#[test]
fn a_start_is_known_in_the_runs_that_follow() {
    let mut world = World::started_with(|start| start.request_id = "1".to_string());
    world.take();
    world.complete([continue_as_new(|_| {})]).unwrap();
    let again = world.start_with(|start| start.request_id = "1".to_string());
    assert_eq!(started(&again), (true, 1, world.run(1).to_string()));
    let other = world.start_with(|start| start.request_id = "2".to_string());
    let shown = |reply| match reply {
        Err(Failure::AlreadyStarted { start_request_id, .. }) => start_request_id,
        other => panic!("{other:?}"),
    };
    let shown = shown(other);
    assert!(uuid::Uuid::parse_str(&shown).is_ok() && shown != world.run(1).to_string(), "{shown} is no caller's");
    world.terminate().unwrap();
    let late = world.start_with(|start| start.request_id = "1".to_string());
    assert_eq!(started(&late), (true, 5, world.run(1).to_string()), "also when the chain is over");
}

#[test]
fn an_open_run_is_in_the_way() {
    let mut world = World::started_with(|start| start.request_id = "1".to_string());
    let run = world.run(0);
    let message = std::format!("Workflow execution is already running. WorkflowId: order-7, RunId: {run}.");
    let refusal = Failure::AlreadyStarted { message, start_request_id: "1".to_string(), run, first_run: run };
    assert_eq!(world.start_with(|_| {}), Err(refusal.clone()));
    assert_eq!(world.start_with(|start| start.workflow_id_conflict_policy = FAIL), Err(refusal));
}

#[test]
fn an_open_run_will_do() {
    let mut world = World::started();
    let reply = world.start_with(|start| start.workflow_id_conflict_policy = USE_EXISTING);
    assert_eq!(started(&reply), (false, 1, world.run(0).to_string()));
    world.check("Started WftScheduled");
}

#[test]
fn an_open_run_gives_way() {
    let mut world = World::started();
    world.take();
    world.signal("1").unwrap();
    let reply = world.start_with(|start| start.workflow_id_conflict_policy = TERMINATE_EXISTING);
    assert_eq!(started(&reply), (true, 1, world.run(1).to_string()));
    world.start_with(|start| start.workflow_id_reuse_policy = TERMINATE_IF_RUNNING).unwrap();
    world.check(
        "Started WftScheduled WftStarted WftFailed Signaled Terminated
         Started WftScheduled Terminated
         Started WftScheduled",
    );
}

#[test]
fn a_closed_run_is_in_the_way_of_those_who_say_so() {
    let mut world = World::taken();
    world.complete([done()]).unwrap();
    let run = world.run(0);
    let finished = |how: &str| std::format!("AlreadyStarted: Workflow execution already finished{how}");
    assert_eq!(
        refusal(world.start_with(|start| start.workflow_id_reuse_policy = REJECT)),
        finished(&std::format!(
            ". WorkflowId: order-7, RunId: {run}. Workflow Id reuse policy: reject duplicate workflow Id."
        ))
    );
    assert_eq!(
        refusal(world.start_with(|start| start.workflow_id_reuse_policy = FAILED_ONLY)),
        finished(&std::format!(
            " successfully. WorkflowId: order-7, RunId: {run}. Workflow Id reuse policy: allow duplicate workflow Id \
             if last run failed."
        ))
    );
    world.start_with(|_| {}).unwrap();
    world.terminate().unwrap();
    world.start_with(|start| start.workflow_id_reuse_policy = FAILED_ONLY).unwrap();
    world.check(
        "Started WftScheduled WftStarted WftCompleted Completed
         Started WftScheduled Terminated
         Started WftScheduled",
    );
}

#[test]
fn policies_that_contradict_each_other_are_refused() {
    let mut world = World::new();
    let reply = world.start_with(|start| {
        start.workflow_id_reuse_policy = TERMINATE_IF_RUNNING;
        start.workflow_id_conflict_policy = USE_EXISTING;
    });
    assert!(refusal(reply).contains("TERMINATE_IF_RUNNING cannot be used together with a WorkflowIDConflictPolicy"));
    let reply = world.start_with(|start| {
        start.workflow_id_reuse_policy = REJECT;
        start.workflow_id_conflict_policy = TERMINATE_EXISTING;
    });
    assert!(refusal(reply).contains("REJECT_DUPLICATE cannot be used together with"));
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    let mut world = World::new();
    let reply = world.start_with(|start| start.cron_schedule = "@daily".to_string());
    assert_eq!(refusal(reply), "Unimplemented: cron_schedule is not supported");
    let reply = world.signal_with_start(|both| both.cron_schedule = "@daily".to_string());
    assert_eq!(refusal(reply), "Unimplemented: cron_schedule is not supported");
}

#[test]
fn nonsense_is_refused() {
    let mut world = World::new();
    let minus = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    assert_eq!(
        refusal(world.start_with(|start| start.workflow_run_timeout = minus)),
        "InvalidArgument: An invalid WorkflowRunTimeoutSeconds is set on request. cause: negative duration"
    );
    assert_eq!(
        refusal(world.start_with(|start| start.retry_policy = attempts(-1))),
        "InvalidArgument: MaximumAttempts cannot be negative on retry policy."
    );
}

#[test]
fn a_delayed_run_sleeps_through_signals_and_wakes_in_time() {
    let mut world = World::started_with(|start| start.workflow_start_delay = seconds(30));
    world.signal("1").unwrap();
    world.check("Started Signaled");
    world.pass(29);
    world.check("Started Signaled");
    world.pass(1);
    world.check("Started Signaled WftScheduled");
}

#[test]
fn a_cancel_request_wakes_a_delayed_run() {
    let mut world = World::started_with(|start| start.workflow_start_delay = seconds(30));
    world.cancel().unwrap();
    world.check("Started CancelRequested WftScheduled");
    world.pass(60);
    world.check("Started CancelRequested WftScheduled");
}

#[test]
fn a_signal_with_start_wakes_a_delayed_run() {
    let mut world = World::started_with(|start| start.workflow_start_delay = seconds(30));
    world.signal_with_start(|_| {}).unwrap();
    world.check("Started Signaled WftScheduled");
}

#[test]
fn a_signal_with_start_starts_and_signals_in_one_transaction() {
    let mut world = World::new();
    let reply = world.signal_with_start(|both| both.request_id = "1".to_string());
    assert!(matches!(&reply, Ok(Response::SignaledWithStart(response)) if response.started));
    // The request repeats: neither a second run nor a second signal.
    let reply = world.signal_with_start(|both| both.request_id = "1".to_string());
    assert!(matches!(&reply, Ok(Response::SignaledWithStart(response)) if !response.started));
    world.check("Started Signaled WftScheduled");
    world.signal_with_start(|both| both.request_id = "2".to_string()).unwrap();
    world.check("Started Signaled WftScheduled Signaled");
}

#[test]
fn a_signal_with_start_may_not_ask_to_fail() {
    let mut world = World::started();
    let reply = world.signal_with_start(|both| both.workflow_id_conflict_policy = FAIL);
    assert!(refusal(reply).contains("WORKFLOW_ID_CONFLICT_POLICY_FAIL is not supported for this operation."));
}

#[test]
fn a_signal_with_start_may_replace_the_run() {
    let mut world = World::started();
    world.signal_with_start(|both| both.workflow_id_conflict_policy = TERMINATE_EXISTING).unwrap();
    world.check(
        "Started WftScheduled Terminated
         Started Signaled WftScheduled",
    );
}

#[test]
fn a_start_says_what_holds() {
    let world = World::started_with(|start| {
        start.workflow_execution_timeout = seconds(100);
        start.retry_policy = attempts(3);
    });
    let start = &world.cluster.state().execution.start;
    assert_eq!(duration(start.attributes.workflow_run_timeout.as_ref()).as_secs(), 100);
    assert_eq!(start.task_timeout().as_secs(), 10);
    assert_eq!(start.execution_expiration().unwrap().since(start.time).as_secs(), 100);
    assert_eq!(duration(start.retry_policy().unwrap().maximum_interval.as_ref()).as_secs(), 100);
    assert_eq!(start.attributes.first_execution_run_id, world.run(0).to_string());
}

fn started(reply: &Reply) -> (bool, i32, String) {
    match reply {
        Ok(Response::Started(response)) => (response.started, response.status, response.run_id.clone()),
        other => panic!("not started: {other:?}"),
    }
}
