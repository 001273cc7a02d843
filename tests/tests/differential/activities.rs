//! Activities with a worker: results, failures, retries, heartbeats, cancellation, completion by id.

use serde_json::{Value, json};
use tests::raw::payloads;

use tests::request::{
    command::{activity, cancel_activity, complete},
    merged, signal,
};

use crate::{compare::compare, side::Side};

/// Start a workflow, schedule one activity, take its task.
async fn running(side: &mut Side, name: &str, fields: Value) -> Value {
    let schedule = json!([activity("a", &side.script, fields)]);
    side.started_with(name, schedule).await;
    side.activity_task().await
}

fn respond(task: &Value, fields: Value) -> Value {
    merged(json!({"namespace": "default", "identity": "worker", "taskToken": task["taskToken"]}), fields)
}

fn by_id(side: &Side, name: &str, fields: Value) -> Value {
    let target =
        json!({"namespace": "default", "identity": "elsewhere", "workflowId": side.id(name), "activityId": "a"});
    merged(target, fields)
}

fn failure(fields: Value) -> Value {
    let info = json!({"type": "Type", "details": payloads(&[json!("details")])});
    json!({"failure": {"message": "failed", "source": "test", "applicationFailureInfo": merged(info, fields)}})
}

fn result() -> Value {
    json!({"result": payloads(&[json!("result")])})
}

/// Let the workflow end, and compare what it says.
async fn finish(side: &mut Side, name: &str) {
    let task = side.workflow_task().await;
    side.complete(&task, json!([complete()])).await;
    side.history(name).await;
}

#[test]
fn completed() {
    compare("activity completed", async |side| {
        let task = running(side, "done", json!({})).await;
        side.describe("done").await;
        side.history("done").await;
        side.call("RespondActivityTaskCompleted", respond(&task, result())).await;
        side.call("RespondActivityTaskCompleted", respond(&task, result())).await;
        finish(side, "done").await;
    });
}

#[test]
fn completed_while_a_workflow_task_is_with_a_worker() {
    compare("activity completed, buffered", async |side| {
        let task = running(side, "done", json!({})).await;
        side.call("SignalWorkflowExecution", signal(&side.id("done"))).await;
        let workflow_task = side.workflow_task().await;
        side.call("RespondActivityTaskCompleted", respond(&task, result())).await;
        side.call("SignalWorkflowExecution", merged(signal(&side.id("done")), json!({"requestId": "late"}))).await;
        side.history("done").await;
        side.complete(&workflow_task, json!([])).await;
        side.history("done").await;
    });
}

#[test]
fn failed_for_good() {
    compare("activity failed", async |side| {
        for (name, fields, policy) in [
            ("non-retryable", json!({"nonRetryable": true}), json!({})),
            ("type is listed", json!({}), json!({"nonRetryableErrorTypes": ["Type"]})),
            ("only attempt", json!({}), json!({"maximumAttempts": 1})),
        ] {
            let task = running(side, name, json!({"retryPolicy": policy})).await;
            side.call("RespondActivityTaskFailed", respond(&task, failure(fields))).await;
            finish(side, name).await;
        }
    });
}

#[test]
fn failed_and_tried_again() {
    compare("activity retried", async |side| {
        let policy =
            json!({"retryPolicy": {"initialInterval": "0.1s", "backoffCoefficient": 1.0, "maximumAttempts": 3}});
        let mut task = running(side, "retried", policy).await;
        for _ in 0..2 {
            let details = json!({"lastHeartbeatDetails": payloads(&[json!("progress")])});
            side.call("RespondActivityTaskFailed", respond(&task, merged(failure(json!({})), details))).await;
            task = side.activity_task().await;
            side.describe("retried").await;
        }
        side.call("RespondActivityTaskFailed", respond(&task, failure(json!({})))).await;
        finish(side, "retried").await;
    });
}

#[test]
fn worker_says_when_to_try_again() {
    compare("next retry delay", async |side| {
        let policy = json!({"retryPolicy": {"initialInterval": "3600s", "backoffCoefficient": 1.0}});
        let task = running(side, "retried", policy).await;
        side.call("RespondActivityTaskFailed", respond(&task, failure(json!({"nextRetryDelay": "0.1s"})))).await;
        let task = side.activity_task().await;
        side.call("RespondActivityTaskCompleted", respond(&task, result())).await;
        finish(side, "retried").await;
    });
}

#[test]
fn waiting_for_the_next_attempt() {
    compare("backing off", async |side| {
        let policy = json!({"retryPolicy": {"initialInterval": "3600s", "maximumInterval": "7200s"}});
        let task = running(side, "waiting", policy).await;
        side.call("RespondActivityTaskFailed", respond(&task, failure(json!({})))).await;
        side.describe("waiting").await;
        side.call("RespondActivityTaskCompleted", respond(&task, result())).await;
        side.call("RecordActivityTaskHeartbeat", respond(&task, json!({}))).await;
    });
}

#[test]
fn no_time_for_another_attempt() {
    compare("retry after the deadline", async |side| {
        let policy = json!({"scheduleToCloseTimeout": "60s", "retryPolicy": {"initialInterval": "3600s"}});
        let task = running(side, "late", policy).await;
        side.call("RespondActivityTaskFailed", respond(&task, failure(json!({})))).await;
        finish(side, "late").await;
    });
}

#[test]
fn timeouts() {
    compare("activity timeouts", async |side| {
        for (name, fields) in [
            ("start to close", json!({"startToCloseTimeout": "1s", "retryPolicy": {"maximumAttempts": 1}})),
            ("heartbeat", json!({"heartbeatTimeout": "1s", "retryPolicy": {"maximumAttempts": 1}})),
            ("schedule to close", json!({"scheduleToCloseTimeout": "1s"})),
        ] {
            let task = running(side, name, fields).await;
            finish(side, name).await;
            side.call("RespondActivityTaskCompleted", respond(&task, result())).await;
        }
    });
}

#[test]
fn nobody_takes_it() {
    compare("schedule to start", async |side| {
        let schedule = json!([activity("a", "nobody polls here", json!({"scheduleToStartTimeout": "1s"}))]);
        side.started_with("forgotten", schedule).await;
        finish(side, "forgotten").await;
    });
}

#[test]
fn timed_out_and_tried_again() {
    compare("timeout retried", async |side| {
        let fields = json!({
            "startToCloseTimeout": "1s", "retryPolicy": {"initialInterval": "0.1s", "maximumAttempts": 2},
        });
        let first = running(side, "slow", fields).await;
        let second = side.activity_task().await;
        side.describe("slow").await;
        side.call("RespondActivityTaskCompleted", respond(&first, result())).await;
        side.call("RespondActivityTaskCompleted", respond(&second, result())).await;
        finish(side, "slow").await;
    });
}

#[test]
fn heartbeats() {
    compare("heartbeats", async |side| {
        let task = running(side, "beating", json!({"heartbeatTimeout": "30s"})).await;
        for number in 0..2 {
            let details = json!({"details": payloads(&[json!(number)])});
            side.call("RecordActivityTaskHeartbeat", respond(&task, details)).await;
            side.describe("beating").await;
        }
        let details = json!({"details": payloads(&[json!("by id")])});
        side.call("RecordActivityTaskHeartbeatById", by_id(side, "beating", details)).await;
        side.describe("beating").await;
        side.history("beating").await;
        side.call("RespondActivityTaskCompleted", respond(&task, result())).await;
        side.call("RecordActivityTaskHeartbeat", respond(&task, json!({}))).await;
        finish(side, "beating").await;
    });
}

#[test]
fn cancelled_while_it_runs() {
    compare("activity cancelled", async |side| {
        let task = running(side, "cancelled", json!({})).await;
        side.call("RespondActivityTaskCanceled", respond(&task, json!({}))).await;
        side.call("SignalWorkflowExecution", signal(&side.id("cancelled"))).await;
        let workflow_task = side.workflow_task().await;
        side.complete(&workflow_task, json!([cancel_activity(5)])).await;
        side.describe("cancelled").await;
        side.call("RecordActivityTaskHeartbeat", respond(&task, json!({}))).await;
        let details = json!({"details": payloads(&[json!("stopped")])});
        side.call("RespondActivityTaskCanceled", respond(&task, details)).await;
        finish(side, "cancelled").await;
    });
}

#[test]
fn completed_although_cancelled() {
    compare("completed although cancelled", async |side| {
        for (name, rpc, fields) in [
            ("completes", "RespondActivityTaskCompleted", result()),
            ("fails", "RespondActivityTaskFailed", failure(json!({}))),
        ] {
            let task = running(side, name, json!({})).await;
            side.call("SignalWorkflowExecution", signal(&side.id(name))).await;
            let workflow_task = side.workflow_task().await;
            side.complete(&workflow_task, json!([cancel_activity(5)])).await;
            side.call(rpc, respond(&task, fields)).await;
            finish(side, name).await;
        }
    });
}

#[test]
fn cancelled_before_it_started() {
    compare("cancelled before it started", async |side| {
        let commands = json!([activity("a", "nobody polls here", json!({}))]);
        side.started_with("early", commands).await;
        side.call("SignalWorkflowExecution", signal(&side.id("early"))).await;
        let workflow_task = side.workflow_task().await;
        side.complete(&workflow_task, json!([cancel_activity(5)])).await;
        finish(side, "early").await;
    });
}

#[test]
fn answered_by_id() {
    compare("answered by id", async |side| {
        for (name, rpc, fields) in [
            ("completed", "RespondActivityTaskCompletedById", result()),
            ("failed", "RespondActivityTaskFailedById", failure(json!({"nonRetryable": true}))),
        ] {
            running(side, name, json!({})).await;
            side.call(rpc, by_id(side, name, fields.clone())).await;
            side.call(rpc, by_id(side, name, fields)).await;
            finish(side, name).await;
        }
        running(side, "not to be cancelled", json!({})).await;
        side.call("RespondActivityTaskCanceledById", by_id(side, "not to be cancelled", json!({}))).await;
    });
}

#[test]
fn answered_by_id_before_it_started() {
    compare("by id before the start", async |side| {
        side.started_with("early", json!([activity("a", "nobody polls here", json!({}))])).await;
        side.call("RespondActivityTaskCompletedById", by_id(side, "early", result())).await;
        finish(side, "early").await;
    });
}

#[test]
fn workflow_is_gone() {
    compare("activity of a closed workflow", async |side| {
        let task = running(side, "gone", json!({})).await;
        let end = json!({
            "namespace": "default", "workflowExecution": {"workflowId": side.id("gone")}, "identity": "client",
        });
        side.call("TerminateWorkflowExecution", end).await;
        side.call("RespondActivityTaskCompleted", respond(&task, result())).await;
        side.call("RespondActivityTaskFailed", respond(&task, failure(json!({})))).await;
        side.call("RespondActivityTaskCanceled", respond(&task, json!({}))).await;
        side.call("RecordActivityTaskHeartbeat", respond(&task, json!({}))).await;
        side.call("RespondActivityTaskCompletedById", by_id(side, "gone", result())).await;
        side.history("gone").await;
    });
}

#[test]
fn failures_refused() {
    compare("bad activity failures", async |side| {
        let task = running(side, "odd", json!({})).await;
        side.call("RespondActivityTaskFailed", respond(&task, json!({"failure": {"message": "no kind"}}))).await;
        side.call("RespondActivityTaskFailed", respond(&task, failure(json!({"nextRetryDelay": "-1s"})))).await;
        side.history("odd").await;
        side.describe("odd").await;
    });
}
