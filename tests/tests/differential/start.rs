//! Starting workflows: what is written, and the policies for an id that is taken.

use serde_json::json;

use tests::request::{self, command, merged};

use crate::compare::compare;

#[test]
fn first_events() {
    compare("first events", async |side| {
        side.start("plain").await;
        side.history("plain").await;
        side.describe("plain").await;
    });
}

#[test]
fn every_field_that_is_kept() {
    compare("every field", async |side| {
        let fields = json!({
            "workflowExecutionTimeout": "3600s",
            "workflowRunTimeout": "1800s",
            "workflowTaskTimeout": "20s",
            "memo": {"fields": {"note": tests::raw::payload(&json!("memo"))}},
            "header": {"fields": {"trace": tests::raw::payload(&json!("header"))}},
            "userMetadata": {"summary": tests::raw::payload(&json!("summary"))},
        });
        side.start_with("full", fields).await;
        side.history("full").await;
        side.describe("full").await;
    });
}

#[test]
fn timeouts_are_capped() {
    compare("capped timeouts", async |side| {
        let fields =
            json!({"workflowExecutionTimeout": "60s", "workflowRunTimeout": "600s", "workflowTaskTimeout": "900s"});
        side.start_with("capped", fields).await;
        side.history("capped").await;
        side.start_with("long task", json!({"workflowTaskTimeout": "900s"})).await;
        side.history("long task").await;
    });
}

#[test]
fn same_request_id_is_the_same_start() {
    compare("same request id", async |side| {
        side.start("one").await;
        side.start("one").await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::complete()])).await;
        side.start("one").await;
        side.history("one").await;
    });
}

#[test]
fn id_of_a_running_workflow() {
    compare("conflict", async |side| {
        side.start("taken").await;
        for policy in ["UNSPECIFIED", "FAIL", "USE_EXISTING", "TERMINATE_EXISTING"] {
            let fields = json!({
                "requestId": policy,
                "workflowIdConflictPolicy": format!("WORKFLOW_ID_CONFLICT_POLICY_{policy}"),
            });
            side.start_with("taken", fields).await;
            side.history("taken").await;
        }
    });
}

#[test]
fn id_of_a_closed_workflow() {
    compare("reuse", async |side| {
        for (end, close) in [("completed", command::complete()), ("failed", command::fail())] {
            for policy in ["ALLOW_DUPLICATE", "ALLOW_DUPLICATE_FAILED_ONLY", "REJECT_DUPLICATE"] {
                let name = format!("{end} {policy}");
                side.started_with(&name, json!([close])).await;
                let fields = json!({
                    "requestId": "again",
                    "workflowIdReusePolicy": format!("WORKFLOW_ID_REUSE_POLICY_{policy}"),
                });
                let again = side.start_with(&name, fields).await;
                if !again.is_null() {
                    // Off the queue, for the next round.
                    side.workflow_task().await;
                }
                side.history(&name).await;
            }
        }
    });
}

#[test]
fn policies_that_exclude_each_other() {
    compare("policy combinations", async |side| {
        for reuse in ["ALLOW_DUPLICATE", "ALLOW_DUPLICATE_FAILED_ONLY", "REJECT_DUPLICATE", "TERMINATE_IF_RUNNING"] {
            for conflict in ["UNSPECIFIED", "FAIL", "USE_EXISTING", "TERMINATE_EXISTING"] {
                let fields = json!({
                    "workflowIdReusePolicy": format!("WORKFLOW_ID_REUSE_POLICY_{reuse}"),
                    "workflowIdConflictPolicy": format!("WORKFLOW_ID_CONFLICT_POLICY_{conflict}"),
                });
                side.start_with(&format!("{reuse} {conflict}"), fields).await;
            }
        }
    });
}

#[test]
fn terminate_if_running() {
    compare("terminate if running", async |side| {
        let first = side.start("replaced").await;
        let fields =
            json!({"requestId": "second", "workflowIdReusePolicy": "WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING"});
        side.start_with("replaced", fields).await;
        side.history("replaced").await;
        let old = json!({"workflowId": side.id("replaced"), "runId": first["runId"]});
        side.call("GetWorkflowExecutionHistory", json!({"namespace": "default", "execution": old})).await;
    });
}

#[test]
fn signal_with_start() {
    compare("signal with start", async |side| {
        let request = request::signal_with_start(&side.id("new"), &side.script);
        side.call("SignalWithStartWorkflowExecution", request.clone()).await;
        side.history("new").await;
        // The same request again, then another one.
        side.call("SignalWithStartWorkflowExecution", request.clone()).await;
        side.call("SignalWithStartWorkflowExecution", merged(request.clone(), json!({"requestId": "second"}))).await;
        side.history("new").await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::complete()])).await;
        let policy =
            json!({"requestId": "third", "workflowIdReusePolicy": "WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE"});
        side.call("SignalWithStartWorkflowExecution", merged(request.clone(), policy)).await;
        side.call("SignalWithStartWorkflowExecution", merged(request, json!({"requestId": "fourth"}))).await;
        side.history("new").await;
    });
}

#[test]
fn signal_with_start_terminates_the_running_one() {
    compare("signal with start, terminate", async |side| {
        side.start("old").await;
        let request = request::signal_with_start(&side.id("old"), &side.script);
        let policy =
            json!({"requestId": "new", "workflowIdConflictPolicy": "WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"});
        side.call("SignalWithStartWorkflowExecution", merged(request, policy)).await;
        side.history("old").await;
    });
}

#[test]
fn run_times_out() {
    compare("run timeout", async |side| {
        side.start_with("short", json!({"workflowRunTimeout": "1s"})).await;
        side.until_last_event("short", "WORKFLOW_EXECUTION_TIMED_OUT").await;
        side.history("short").await;
        side.describe("short").await;
        side.start_with("short chain", json!({"workflowExecutionTimeout": "1s"})).await;
        side.until_last_event("short chain", "WORKFLOW_EXECUTION_TIMED_OUT").await;
        side.history("short chain").await;
    });
}
