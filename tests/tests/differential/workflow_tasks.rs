//! The life of workflow tasks: sticky queues, failures, timeouts, heartbeats, stale tokens.

use serde_json::{Value, json};

use tests::request::{self, command};

use crate::{compare::compare, side::Side};

async fn fail(side: &mut Side, task: &Value, cause: &str) {
    let request = json!({
        "namespace": "default", "identity": "worker", "taskToken": task["taskToken"],
        "cause": format!("WORKFLOW_TASK_FAILED_CAUSE_{cause}"),
        "failure": {"message": "does not compute", "source": "test", "applicationFailureInfo": {"type": "Type"}},
    });
    side.call("RespondWorkflowTaskFailed", request).await;
}

#[test]
fn answered_with_nothing() {
    compare("no commands", async |side| {
        side.started_with("idle", json!([])).await;
        side.history("idle").await;
        side.describe("idle").await;
        side.call("SignalWorkflowExecution", request::signal(&side.id("idle"))).await;
        side.workflow_task().await;
        side.history("idle").await;
    });
}

#[test]
fn only_the_first_failure_is_recorded() {
    compare("failed tasks", async |side| {
        side.start("failing").await;
        // From the fourth attempt on the timeout has jitter.
        for _ in 0..2 {
            let task = side.workflow_task().await;
            fail(side, &task, "WORKFLOW_WORKER_UNHANDLED_FAILURE").await;
            side.history("failing").await;
            side.describe("failing").await;
        }
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::complete()])).await;
        side.history("failing").await;
    });
}

#[test]
fn signal_between_failures() {
    compare("signal between failures", async |side| {
        side.start("failing").await;
        for _ in 0..2 {
            let task = side.workflow_task().await;
            fail(side, &task, "NON_DETERMINISTIC_ERROR").await;
        }
        side.call("SignalWorkflowExecution", request::signal(&side.id("failing"))).await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::complete()])).await;
        side.history("failing").await;
    });
}

#[test]
fn task_times_out() {
    compare("task timeout", async |side| {
        side.start_with("slow", json!({"workflowTaskTimeout": "1s"})).await;
        let late = side.workflow_task().await;
        let task = side.workflow_task().await;
        side.complete(&late, json!([command::complete()])).await;
        side.complete(&task, json!([command::complete()])).await;
        side.history("slow").await;
    });
}

#[test]
fn the_next_task_comes_with_the_answer() {
    compare("inline task", async |side| {
        side.start("busy").await;
        let task = side.workflow_task().await;
        let fields = json!({"returnNewWorkflowTask": true, "forceCreateNewWorkflowTask": true});
        let answer = side.complete_with(&task, json!([command::marker("m")]), fields).await;
        side.history("busy").await;
        side.complete(&answer["workflowTask"], json!([command::complete()])).await;
        side.history("busy").await;
    });
}

#[test]
fn sticky_task_has_only_what_is_new() {
    compare("sticky", async |side| {
        let sticky = format!("{} sticky", side.script);
        side.start("cached").await;
        let task = side.workflow_task().await;
        let attributes = json!({"stickyAttributes": {
            "workerTaskQueue": {"name": sticky, "kind": "TASK_QUEUE_KIND_STICKY", "normalName": side.script},
            "scheduleToStartTimeout": "10s",
        }});
        // A sticky queue counts only while somebody polls it.
        let poll = json!({
            "namespace": "default", "identity": "worker",
            "taskQueue": {"name": sticky, "kind": "TASK_QUEUE_KIND_STICKY", "normalName": side.script},
        });
        side.complete_with(&task, json!([command::timer("t", "0.3s")]), attributes).await;
        let task = side.call("PollWorkflowTaskQueue", poll).await;
        side.complete(&task, json!([command::complete()])).await;
        side.history("cached").await;
    });
}

#[test]
fn reset_sticky() {
    compare("reset sticky", async |side| {
        side.start("cached").await;
        let task = side.workflow_task().await;
        let attributes = json!({"stickyAttributes": {
            "workerTaskQueue": {"name": "gone", "kind": "TASK_QUEUE_KIND_STICKY", "normalName": side.script},
            "scheduleToStartTimeout": "60s",
        }});
        side.complete_with(&task, json!([]), attributes).await;
        let execution = json!({"namespace": "default", "execution": {"workflowId": side.id("cached")}});
        side.call("ResetStickyTaskQueue", execution).await;
        side.call("SignalWorkflowExecution", request::signal(&side.id("cached"))).await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::complete()])).await;
        side.history("cached").await;
        for name in ["cached", "never started"] {
            let execution = json!({"namespace": "default", "execution": {"workflowId": side.id(name)}});
            side.call("ResetStickyTaskQueue", execution).await;
        }
    });
}

#[test]
fn stale_tokens() {
    compare("stale tokens", async |side| {
        side.start("one").await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([])).await;
        side.complete(&task, json!([])).await;
        fail(side, &task, "UNSPECIFIED").await;
        side.call("SignalWorkflowExecution", request::signal(&side.id("one"))).await;
        let next = side.workflow_task().await;
        side.complete(&task, json!([command::complete()])).await;
        side.complete(&next, json!([command::complete()])).await;
        side.complete(&next, json!([command::complete()])).await;
        side.history("one").await;
    });
}

#[test]
fn end_with_unseen_signals_is_refused() {
    compare("unhandled command", async |side| {
        for (name, close) in [
            ("complete", command::complete()),
            ("fail", command::fail()),
            ("cancel", command::cancel()),
            ("continue", command::continue_as_new(json!({}))),
        ] {
            side.start(name).await;
            let task = side.workflow_task().await;
            side.call("SignalWorkflowExecution", request::signal(&side.id(name))).await;
            side.complete(&task, json!([command::marker("lost"), close])).await;
            side.history(name).await;
            let task = side.workflow_task().await;
            side.complete(&task, json!([command::complete()])).await;
            side.history(name).await;
        }
    });
}

#[test]
fn failed_because_the_answer_was_too_large() {
    compare("message too large", async |side| {
        side.start("huge").await;
        let task = side.workflow_task().await;
        fail(side, &task, "GRPC_MESSAGE_TOO_LARGE").await;
        side.history("huge").await;
    });
}

#[test]
fn what_the_worker_says_of_itself_is_kept() {
    compare("metadata of completions", async |side| {
        side.start("told").await;
        let task = side.workflow_task().await;
        let fields = json!({
            "binaryChecksum": "checksum",
            "sdkMetadata": {"coreUsedFlags": [1, 2], "langUsedFlags": [3], "sdkName": "test", "sdkVersion": "1.2.3"},
            "meteringMetadata": {"nonfirstLocalActivityExecutionAttempts": 4},
        });
        side.complete_with(&task, json!([command::complete()]), fields).await;
        side.history("told").await;
    });
}
