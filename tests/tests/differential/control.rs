//! Signals, cancel requests and termination.

use serde_json::{Value, json};
use tests::raw::payloads;

use tests::request::{self, command, merged};

use crate::{compare::compare, side::Side};

fn cancel(side: &Side, name: &str, fields: Value) -> Value {
    let request = json!({
        "namespace": "default", "workflowExecution": {"workflowId": side.id(name)}, "identity": "client", "reason": "reason",
        "requestId": "cancel",
    });
    merged(request, fields)
}

fn terminate(side: &Side, name: &str, fields: Value) -> Value {
    let request = json!({
        "namespace": "default", "workflowExecution": {"workflowId": side.id(name)}, "identity": "client", "reason": "reason",
        "details": payloads(&[json!("details")]),
    });
    merged(request, fields)
}

#[test]
fn signals_before_the_first_task() {
    compare("signals before the first task", async |side| {
        side.start("waiting").await;
        for number in 0..3 {
            let fields = json!({"requestId": number.to_string()});
            side.call("SignalWorkflowExecution", merged(request::signal(&side.id("waiting")), fields)).await;
        }
        side.history("waiting").await;
    });
}

#[test]
fn signal_with_the_same_request_id_counts_once() {
    compare("same signal twice", async |side| {
        side.start("waiting").await;
        side.call("SignalWorkflowExecution", request::signal(&side.id("waiting"))).await;
        side.call("SignalWorkflowExecution", request::signal(&side.id("waiting"))).await;
        side.history("waiting").await;
    });
}

#[test]
fn signals_are_buffered_while_a_task_is_with_a_worker() {
    compare("buffered signals", async |side| {
        side.start("busy").await;
        let task = side.workflow_task().await;
        for number in 0..3 {
            let fields = json!({"requestId": number.to_string()});
            side.call("SignalWorkflowExecution", merged(request::signal(&side.id("busy")), fields)).await;
        }
        side.history("busy").await;
        side.complete(&task, json!([command::timer("t", "3600s")])).await;
        side.history("busy").await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::complete()])).await;
        side.history("busy").await;
    });
}

#[test]
fn signal_after_the_end() {
    compare("signal after the end", async |side| {
        side.started_with("closed", json!([command::complete()])).await;
        side.call("SignalWorkflowExecution", request::signal(&side.id("closed"))).await;
        side.call("SignalWorkflowExecution", request::signal(&side.id("never started"))).await;
        side.history("closed").await;
    });
}

#[test]
fn signal_without_name_of_the_run_reaches_the_current_one() {
    compare("signal to a run", async |side| {
        let first = side.started_with("chain", json!([command::continue_as_new(json!({}))])).await;
        assert!(first.is_object());
        side.call("SignalWorkflowExecution", request::signal(&side.id("chain"))).await;
        side.history("chain").await;
    });
}

#[test]
fn cancel_is_asked_for_once() {
    compare("cancel twice", async |side| {
        side.start("cancelled").await;
        side.call("RequestCancelWorkflowExecution", cancel(side, "cancelled", json!({}))).await;
        side.call("RequestCancelWorkflowExecution", cancel(side, "cancelled", json!({}))).await;
        side.call("RequestCancelWorkflowExecution", cancel(side, "cancelled", json!({"requestId": "another"}))).await;
        side.history("cancelled").await;
        side.describe("cancelled").await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([command::cancel()])).await;
        side.history("cancelled").await;
        side.describe("cancelled").await;
        side.call("RequestCancelWorkflowExecution", cancel(side, "cancelled", json!({}))).await;
        side.call("RequestCancelWorkflowExecution", cancel(side, "never started", json!({}))).await;
    });
}

#[test]
fn cancel_names_the_first_run_of_the_chain() {
    compare("cancel a chain", async |side| {
        let first = side.start("chain").await;
        let chain = json!({"firstExecutionRunId": first["runId"]});
        let other = json!({"firstExecutionRunId": "11111111-2222-3333-4444-555555555555"});
        side.call("RequestCancelWorkflowExecution", cancel(side, "chain", other)).await;
        side.call("RequestCancelWorkflowExecution", cancel(side, "chain", chain)).await;
        side.history("chain").await;
    });
}

#[test]
fn terminate_closes_at_once() {
    compare("terminate", async |side| {
        side.start("ended").await;
        let task = side.workflow_task().await;
        side.call("TerminateWorkflowExecution", terminate(side, "ended", json!({}))).await;
        side.history("ended").await;
        side.describe("ended").await;
        side.complete(&task, json!([command::complete()])).await;
        side.call("TerminateWorkflowExecution", terminate(side, "ended", json!({}))).await;
        side.call("TerminateWorkflowExecution", terminate(side, "never started", json!({}))).await;
    });
}

#[test]
fn terminate_without_reason_or_identity() {
    compare("terminate, bare", async |side| {
        side.start("ended").await;
        let fields = json!({"reason": "", "identity": "", "details": null});
        side.call("TerminateWorkflowExecution", terminate(side, "ended", fields)).await;
        side.history("ended").await;
    });
}
