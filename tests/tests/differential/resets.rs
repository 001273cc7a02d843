//! Resets and deletions.

use serde_json::{Value, json};

use tests::request::{self, command, merged};

use crate::{compare::compare, side::Side};

fn reset(side: &Side, name: &str, finish: i64, fields: Value) -> Value {
    let request = json!({
        "namespace": "default", "workflowExecution": {"workflowId": side.id(name)}, "identity": "client", "reason": "reason",
        "requestId": format!("reset {finish}"), "workflowTaskFinishEventId": finish.to_string(),
    });
    merged(request, fields)
}

fn delete(side: &Side, name: &str, fields: Value) -> Value {
    merged(json!({"namespace": "default", "workflowExecution": {"workflowId": side.id(name)}}), fields)
}

fn signal(side: &Side, name: &str, signal: &str) -> Value {
    merged(request::signal(&side.id(name)), json!({"signalName": signal, "requestId": signal}))
}

/// A run with a timer and an activity, signalled before, between and after its two workflow tasks.
///
/// 1 Started, 2 Scheduled, 3 Started, 4 Completed, 5 TimerStarted, 6 ActivityScheduled, 7 Signaled, 8 Scheduled,
/// 9 Started, 10 Completed, 11 Signaled, 12 Scheduled
async fn worked(side: &mut Side, name: &str) {
    let commands = json!([command::timer("t", "3600s"), command::activity("a", &side.script, json!({}))]);
    side.started_with(name, commands).await;
    side.call("SignalWorkflowExecution", signal(side, name, "one")).await;
    let task = side.workflow_task().await;
    side.complete(&task, json!([])).await;
    side.call("SignalWorkflowExecution", signal(side, name, "two")).await;
}

#[test]
fn a_reset_to_the_first_task() {
    compare("reset to the first task", async |side| {
        worked(side, "first").await;
        let run = side.describe("first").await["workflowExecutionInfo"]["execution"]["runId"].clone();
        side.call("ResetWorkflowExecution", reset(side, "first", 4, json!({}))).await;
        side.history("first").await;
        side.describe("first").await;
        let of_base = json!({"execution": {"runId": run}});
        let base = json!({"namespace": "default", "execution": {"workflowId": side.id("first")}});
        side.step("history of the base", "GetWorkflowExecutionHistory", merged(base.clone(), of_base.clone())).await;
        side.step("describe the base", "DescribeWorkflowExecution", merged(base, of_base)).await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::complete()])).await;
        side.history("first").await;
    });
}

#[test]
fn a_reset_to_a_later_task() {
    compare("reset to a later task", async |side| {
        worked(side, "later").await;
        side.activity_task().await;
        side.call("ResetWorkflowExecution", reset(side, "later", 10, json!({}))).await;
        side.history("later").await;
        side.describe("later").await;
        side.activity_task().await;
    });
}

#[test]
fn a_reset_of_a_task_that_nobody_has() {
    compare("reset of a waiting task", async |side| {
        worked(side, "waiting").await;
        side.call("ResetWorkflowExecution", reset(side, "waiting", 9, json!({}))).await;
        side.history("waiting").await;
    });
}

#[test]
fn a_reset_behind_a_failed_task() {
    compare("reset behind a failure", async |side| {
        side.start("failing").await;
        let task = side.workflow_task().await;
        let failed = json!({"namespace": "default", "taskToken": task["taskToken"], "identity": "worker"});
        side.call("RespondWorkflowTaskFailed", failed).await;
        side.step("while it is repeated", "ResetWorkflowExecution", reset(side, "failing", 5, json!({}))).await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::timer("t", "3600s")])).await;
        side.call("ResetWorkflowExecution", reset(side, "failing", 5, json!({}))).await;
        side.history("failing").await;
    });
}

#[test]
fn a_reset_of_a_run_whose_task_is_with_a_worker() {
    compare("reset under a worker", async |side| {
        worked(side, "busy").await;
        let task = side.workflow_task().await;
        side.call("SignalWorkflowExecution", signal(side, "busy", "three")).await;
        side.call("ResetWorkflowExecution", reset(side, "busy", 10, json!({}))).await;
        side.history("busy").await;
        side.complete(&task, json!([])).await;
    });
}

#[test]
fn a_reset_carries_signals_of_the_chain() {
    compare("reset of a chain", async |side| {
        side.start("chain").await;
        let run = side.describe("chain").await["workflowExecutionInfo"]["execution"]["runId"].clone();
        side.call("SignalWorkflowExecution", signal(side, "chain", "one")).await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::continue_as_new(json!({}))])).await;
        side.call("SignalWorkflowExecution", signal(side, "chain", "two")).await;
        side.workflow_task().await;
        side.call("SignalWorkflowExecution", signal(side, "chain", "three")).await;
        let of_first = json!({"workflowExecution": {"runId": run}});
        side.call("ResetWorkflowExecution", reset(side, "chain", 5, of_first)).await;
        side.history("chain").await;
    });
}

#[test]
fn a_reset_of_a_run_that_is_over_and_of_another_than_the_current_one() {
    compare("reset of closed runs", async |side| {
        worked(side, "closed").await;
        let run = side.describe("closed").await["workflowExecutionInfo"]["execution"]["runId"].clone();
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::complete()])).await;
        side.call("ResetWorkflowExecution", reset(side, "closed", 4, json!({}))).await;
        side.history("closed").await;
        let of_first = json!({"workflowExecution": {"runId": run}});
        side.step("once more", "ResetWorkflowExecution", reset(side, "closed", 10, of_first)).await;
        side.history("closed").await;
    });
}

#[test]
fn what_a_reset_leaves_out() {
    for (name, fields) in [
        ("none", json!({"resetReapplyType": "RESET_REAPPLY_TYPE_NONE"})),
        ("signal", json!({"resetReapplyType": "RESET_REAPPLY_TYPE_SIGNAL"})),
        ("all", json!({"resetReapplyType": "RESET_REAPPLY_TYPE_ALL_ELIGIBLE"})),
        ("no signals", json!({"resetReapplyExcludeTypes": ["RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL"]})),
        ("no updates", json!({"resetReapplyExcludeTypes": ["RESET_REAPPLY_EXCLUDE_TYPE_UPDATE"]})),
        ("no requests", json!({"resetReapplyExcludeTypes": ["RESET_REAPPLY_EXCLUDE_TYPE_CANCEL_REQUEST"]})),
    ] {
        compare(&format!("reset, {name}"), async |side| {
            worked(side, "run").await;
            let cancel = json!({
                "namespace": "default", "workflowExecution": {"workflowId": side.id("run")}, "identity": "client",
                "requestId": "cancel",
            });
            side.call("RequestCancelWorkflowExecution", cancel).await;
            side.call("ResetWorkflowExecution", reset(side, "run", 4, fields.clone())).await;
            side.history("run").await;
        });
    }
}

#[test]
fn bad_resets() {
    compare("bad resets", async |side| {
        worked(side, "run").await;
        for event in [-1, 0, 1, 2, 5, 6, 8, 11, 12, 13, 99] {
            let name = format!("to event {event}");
            side.step(&name, "ResetWorkflowExecution", reset(side, "run", event, json!({}))).await;
        }
        side.start_with("delayed", json!({"workflowStartDelay": "100s"})).await;
        side.call("SignalWorkflowExecution", signal(side, "delayed", "one")).await;
        side.step("of a delayed run", "ResetWorkflowExecution", reset(side, "delayed", 2, json!({}))).await;
        side.step("of nobody", "ResetWorkflowExecution", reset(side, "nobody", 4, json!({}))).await;
        for (name, fields) in [
            ("unknown run", json!({"workflowExecution": {"runId": "11111111-2222-3333-4444-555555555555"}})),
            ("bad run", json!({"workflowExecution": {"runId": "x"}})),
            ("no id", json!({"workflowExecution": {"workflowId": ""}})),
            ("no execution", json!({"workflowExecution": null})),
            ("no request id", json!({"requestId": ""})),
            ("nothing", json!({"requestId": "", "workflowExecution": null, "workflowTaskFinishEventId": null})),
            ("long request id", json!({"requestId": "x".repeat(1001)})),
            ("unknown namespace", json!({"namespace": "nowhere"})),
        ] {
            side.step(name, "ResetWorkflowExecution", reset(side, "run", 4, fields)).await;
        }
        side.history("run").await;
    });
}

#[test]
fn the_same_reset_twice() {
    compare("same reset twice", async |side| {
        worked(side, "run").await;
        let run = side.describe("run").await["workflowExecutionInfo"]["execution"]["runId"].clone();
        let of_first = json!({"workflowExecution": {"runId": run}});
        side.call("ResetWorkflowExecution", reset(side, "run", 4, of_first.clone())).await;
        // The request that started the workflow still finds it.
        side.start("run").await;
        side.step("again", "ResetWorkflowExecution", reset(side, "run", 4, of_first)).await;
    });
}

#[test]
fn deletions() {
    compare("deletions", async |side| {
        side.start("open").await;
        side.call("DeleteWorkflowExecution", delete(side, "open", json!({}))).await;
        let description = json!({"namespace": "default", "execution": {"workflowId": side.id("open")}});
        side.until_refused("DescribeWorkflowExecution", description, "NotFoundFailure").await;
        side.step("again", "DeleteWorkflowExecution", delete(side, "open", json!({}))).await;
        side.history("open").await;
        side.start("open").await;
        for (name, fields) in [
            ("unknown run", json!({"workflowExecution": {"runId": "11111111-2222-3333-4444-555555555555"}})),
            ("bad run", json!({"workflowExecution": {"runId": "x"}})),
            ("no id", json!({"workflowExecution": {"workflowId": ""}})),
            ("no execution", json!({"workflowExecution": null})),
            ("unknown namespace", json!({"namespace": "nowhere"})),
        ] {
            side.step(name, "DeleteWorkflowExecution", delete(side, "open", fields)).await;
        }
        side.step("of nobody", "DeleteWorkflowExecution", delete(side, "nobody", json!({}))).await;
    });
}

#[test]
fn a_reset_run_outlives_its_base() {
    compare("deletion of a base", async |side| {
        worked(side, "run").await;
        let run = side.describe("run").await["workflowExecutionInfo"]["execution"]["runId"].clone();
        side.call("ResetWorkflowExecution", reset(side, "run", 10, json!({}))).await;
        let of_base = json!({"workflowExecution": {"runId": run}});
        side.call("DeleteWorkflowExecution", delete(side, "run", of_base)).await;
        let base = json!({"namespace": "default", "execution": {"workflowId": side.id("run"), "runId": run}});
        side.until_refused("DescribeWorkflowExecution", base, "NotFoundFailure").await;
        side.history("run").await;
    });
}
