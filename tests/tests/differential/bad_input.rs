//! Malformed requests, a table per RPC: every row is a good request with something changed.

use serde_json::{Value, json};
use tests::raw::payloads;

use tests::request::{self, command, merged};

use crate::{compare::compare, side::Side};

const UNKNOWN_RUN: &str = "11111111-2222-3333-4444-555555555555";

fn long() -> String {
    "x".repeat(1_001)
}

/// A payload above the limit of 2 MiB.
fn too_large() -> Value {
    payloads(&[json!("x".repeat((2 << 20) + 1))])
}

/// Send the rows, then look at what they may not have touched.
async fn check(side: &mut Side, rpc: &str, good: Value, rows: &[(&str, Value)]) {
    for (what, change) in rows {
        side.step(&format!("{rpc}: {what}"), rpc, merged(good.clone(), change.clone())).await;
    }
    side.step_with_bytes(&format!("{rpc}: no message"), rpc, b"\xff\xff\xff").await;
}

/// An open workflow with an activity at a worker, whose workflow task and activity task are the answer.
async fn fixture(side: &mut Side) -> (Value, Value) {
    let scheduled = json!([command::activity("a", &side.script, json!({}))]);
    side.started_with("fixture", scheduled).await;
    let activity = side.activity_task().await;
    side.call("SignalWorkflowExecution", request::signal(&side.id("fixture"))).await;
    (side.workflow_task().await, activity)
}

/// Rows that every RPC with a namespace has.
fn namespaces() -> Vec<(&'static str, Value)> {
    vec![
        ("no namespace", json!({"namespace": ""})),
        ("unknown namespace", json!({"namespace": "nowhere"})),
        ("long namespace", json!({"namespace": long()})),
    ]
}

/// Rows that every RPC with an execution in `field` has.
fn executions(field: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("no execution", json!({field: null})),
        ("no workflow id", json!({field: {"workflowId": ""}})),
        ("long workflow id", json!({field: {"workflowId": long()}})),
        ("unknown workflow", json!({field: {"workflowId": "nobody"}})),
        ("bad run id", json!({field: {"runId": "not a uuid"}})),
        ("unknown run", json!({field: {"runId": UNKNOWN_RUN}})),
    ]
}

/// Rows that every RPC with a task token has.
fn tokens() -> Vec<(&'static str, Value)> {
    vec![
        ("no token", json!({"taskToken": ""})),
        ("garbage token", json!({"taskToken": "bm90IGEgdG9rZW4="})),
        ("other namespace than the token's", json!({"namespace": "temporal-system"})),
        ("unknown namespace", json!({"namespace": "nowhere"})),
    ]
}

fn starts() -> Vec<(&'static str, Value)> {
    vec![
        ("no workflow id", json!({"workflowId": ""})),
        ("long workflow id", json!({"workflowId": long()})),
        ("no type", json!({"workflowType": null})),
        ("empty type", json!({"workflowType": {"name": ""}})),
        ("long type", json!({"workflowType": {"name": long()}})),
        ("no queue", json!({"taskQueue": null})),
        ("empty queue", json!({"taskQueue": {"name": ""}})),
        ("long queue", json!({"taskQueue": {"name": long()}})),
        ("system queue", json!({"taskQueue": {"name": "/_sys/x/1"}})),
        ("long request id", json!({"requestId": long()})),
        ("long identity", json!({"identity": long()})),
        ("negative execution timeout", json!({"workflowExecutionTimeout": "-1s"})),
        ("negative run timeout", json!({"workflowRunTimeout": "-1s"})),
        ("negative task timeout", json!({"workflowTaskTimeout": "-1s"})),
        ("coefficient below 1", json!({"retryPolicy": {"backoffCoefficient": 0.5}})),
        ("negative attempts", json!({"retryPolicy": {"maximumAttempts": -1}})),
        ("negative interval", json!({"retryPolicy": {"initialInterval": "-1s"}})),
        ("intervals crossed", json!({"retryPolicy": {"initialInterval": "9s", "maximumInterval": "3s"}})),
        ("bad cron", json!({"cronSchedule": "every now and then"})),
        ("cron and delay", json!({"cronSchedule": "* * * * *", "workflowStartDelay": "1s"})),
        ("negative delay", json!({"workflowStartDelay": "-1s"})),
        ("unknown search attribute", json!({"searchAttributes": {"indexedFields": {"Nonsense": payload()}}})),
        ("system search attribute", json!({"searchAttributes": {"indexedFields": {"WorkflowId": payload()}}})),
        ("negative priority", json!({"priority": {"priorityKey": -1}})),
        ("negative fairness", json!({"priority": {"fairnessWeight": -1.0}})),
        ("input above the limit", json!({"input": too_large()})),
        ("memo above the limit", json!({"memo": {"fields": {"note": too_large()["payloads"][0]}}})),
    ]
}

fn payload() -> Value {
    tests::raw::payload(&json!("value"))
}

#[test]
fn start() {
    compare("bad starts", async |side| {
        let good = request::start(&side.id("refused"), &side.script);
        check(side, "StartWorkflowExecution", good, &[namespaces(), starts()].concat()).await;
        side.describe("refused").await;
    });
}

#[test]
fn signal_with_start() {
    compare("bad signals with start", async |side| {
        let good = request::signal_with_start(&side.id("refused"), &side.script);
        let own = vec![
            ("no signal name", json!({"signalName": ""})),
            ("long signal name", json!({"signalName": long()})),
            ("signal above the limit", json!({"signalInput": too_large()})),
            ("conflict policy", json!({"workflowIdConflictPolicy": "WORKFLOW_ID_CONFLICT_POLICY_FAIL"})),
        ];
        check(side, "SignalWithStartWorkflowExecution", good, &[namespaces(), starts(), own].concat()).await;
        side.describe("refused").await;
    });
}

#[test]
fn signal() {
    compare("bad signals", async |side| {
        fixture(side).await;
        let good = request::signal(&side.id("fixture"));
        let own = vec![
            ("no name", json!({"signalName": ""})),
            ("long name", json!({"signalName": long()})),
            ("long request id", json!({"requestId": long()})),
            ("input above the limit", json!({"input": too_large()})),
        ];
        check(side, "SignalWorkflowExecution", good, &[namespaces(), executions("workflowExecution"), own].concat())
            .await;
        side.history("fixture").await;
    });
}

#[test]
fn cancel_and_terminate() {
    compare("bad ends", async |side| {
        fixture(side).await;
        for rpc in ["RequestCancelWorkflowExecution", "TerminateWorkflowExecution"] {
            let good = json!({"namespace": "default", "workflowExecution": {"workflowId": side.id("fixture")}});
            let own = vec![
                ("first run is no id", json!({"firstExecutionRunId": "not a uuid"})),
                ("first run of another chain", json!({"firstExecutionRunId": UNKNOWN_RUN})),
            ];
            check(side, rpc, good, &[namespaces(), executions("workflowExecution"), own].concat()).await;
        }
        let long = json!({"namespace": "default", "workflowExecution": {"workflowId": "nobody"}, "requestId": long()});
        side.step("long request id", "RequestCancelWorkflowExecution", long).await;
        side.history("fixture").await;
    });
}

#[test]
fn describe_and_read() {
    compare("bad reads of executions", async |side| {
        fixture(side).await;
        for rpc in ["DescribeWorkflowExecution", "ResetStickyTaskQueue"] {
            let good = json!({"namespace": "default", "execution": {"workflowId": side.id("fixture")}});
            check(side, rpc, good, &[namespaces(), executions("execution")].concat()).await;
        }
    });
}

#[test]
fn polls() {
    compare("bad polls", async |side| {
        for rpc in ["PollWorkflowTaskQueue", "PollActivityTaskQueue"] {
            let good = json!({"namespace": "default", "taskQueue": {"name": side.script}, "identity": "worker"});
            let own = vec![
                ("no queue", json!({"taskQueue": null})),
                ("empty queue", json!({"taskQueue": {"name": ""}})),
                ("long queue", json!({"taskQueue": {"name": long()}})),
                ("long identity", json!({"identity": long()})),
            ];
            check(side, rpc, good, &[namespaces(), own].concat()).await;
        }
    });
}

#[test]
fn workflow_task_answers() {
    compare("bad answers to workflow tasks", async |side| {
        let (task, activity) = fixture(side).await;
        let good = json!({"namespace": "default", "identity": "worker", "taskToken": task["taskToken"]});
        let own = vec![
            ("token of an activity", json!({"taskToken": activity["taskToken"]})),
            ("long identity", json!({"identity": long()})),
        ];
        check(side, "RespondWorkflowTaskFailed", good.clone(), &tokens()).await;
        check(side, "RespondWorkflowTaskCompleted", good, &[tokens(), own].concat()).await;
        side.history("fixture").await;
    });
}

#[test]
fn activity_task_answers() {
    compare("bad answers to activity tasks", async |side| {
        let (task, activity) = fixture(side).await;
        for rpc in [
            "RespondActivityTaskCompleted",
            "RespondActivityTaskFailed",
            "RespondActivityTaskCanceled",
            "RecordActivityTaskHeartbeat",
        ] {
            let good = json!({"namespace": "default", "identity": "worker", "taskToken": activity["taskToken"]});
            let own = vec![
                ("token of a workflow task", json!({"taskToken": task["taskToken"]})),
                ("long identity", json!({"identity": long()})),
            ];
            check(side, rpc, good, &[tokens(), own].concat()).await;
            side.history("fixture").await;
        }
    });
}

#[test]
fn activity_task_answers_by_id() {
    compare("bad answers by id", async |side| {
        fixture(side).await;
        for rpc in [
            "RespondActivityTaskCompletedById",
            "RespondActivityTaskFailedById",
            "RespondActivityTaskCanceledById",
            "RecordActivityTaskHeartbeatById",
        ] {
            let good = json!({"namespace": "default", "workflowId": side.id("fixture"), "activityId": "a"});
            let own = vec![
                ("no activity id", json!({"activityId": ""})),
                ("unknown activity", json!({"activityId": "b"})),
                ("unknown workflow", json!({"workflowId": "nobody"})),
                ("bad run id", json!({"runId": "not a uuid"})),
                ("unknown run", json!({"runId": UNKNOWN_RUN})),
                ("long identity", json!({"identity": long()})),
            ];
            check(side, rpc, good, &[namespaces(), own].concat()).await;
            side.history("fixture").await;
        }
    });
}

#[test]
fn results_above_the_limit() {
    compare("large results", async |side| {
        let (_, activity) = fixture(side).await;
        let respond = json!({"namespace": "default", "taskToken": activity["taskToken"], "result": too_large()});
        side.call("RespondActivityTaskCompleted", respond).await;
        side.history("fixture").await;
    });
}

#[test]
fn heartbeats_above_the_limit() {
    compare("large heartbeats", async |side| {
        let (_, activity) = fixture(side).await;
        let respond = json!({"namespace": "default", "taskToken": activity["taskToken"], "details": too_large()});
        side.call("RecordActivityTaskHeartbeat", respond).await;
        side.history("fixture").await;
    });
}

#[test]
fn commands_above_the_limit() {
    compare("large commands", async |side| {
        let large = json!({"result": too_large()});
        let commands =
            json!([merged(command::complete(), json!({"completeWorkflowExecutionCommandAttributes": large}))]);
        side.started_with("large result", commands).await;
        side.history("large result").await;
        let commands = json!([command::activity("a", &side.script, json!({"input": too_large()}))]);
        side.started_with("large input", commands).await;
        side.history("large input").await;
    });
}

#[test]
fn requests_above_the_limit_of_grpc() {
    compare("large messages", async |side| {
        let input = payloads(&[json!("x".repeat(5 << 20))]);
        side.start_with("refused", json!({"input": input})).await;
        side.describe("refused").await;
    });
}
