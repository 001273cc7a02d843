//! Runs that grow beyond what they may, on servers with small limits.

use std::sync::LazyLock;

use serde_json::{Value, json};
use tests::{
    raw::{Client, payloads},
    request::{
        self,
        command::{activity, complete, marker, timer},
        merged,
    },
    server::Server,
};

use crate::{compare::compare_on, side::Side};

/// Events that a run may have.
const MOST_EVENTS: u64 = 12;

static SERVERS: LazyLock<[Server; 2]> = LazyLock::new(|| {
    let settings = [
        ("limit.historyCount.error", MOST_EVENTS),
        ("limit.historyCount.suggestContinueAsNew", 5),
        ("limit.historySize.error", 20_000),
        ("limit.numPendingActivities.error", 2),
    ];
    let servers = Server::both_with_settings("limits", &settings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // What one of them has from the start.
    runtime.block_on(async {
        let client = Client::connect(servers[0].address(0)).await.expect("connect");
        let request = json!({"namespace": "default", "workflowExecutionRetentionPeriod": "86400s"});
        let _ = client.call("RegisterNamespace", request).await;
    });
    servers
});

fn check(script: &str, run: impl AsyncFn(&mut Side)) {
    compare_on(&SERVERS, script, run);
}

async fn signal(side: &mut Side, name: &str, number: u64) -> Value {
    let request = merged(request::signal(&side.id(name)), json!({"requestId": format!("signal {number}")}));
    side.call("SignalWorkflowExecution", request).await
}

#[test]
fn signals_beyond_the_count() {
    check("too many signals", async |side| {
        side.start("waiting").await;
        for number in 0..MOST_EVENTS {
            signal(side, "waiting", number).await;
        }
        side.history("waiting").await;

        side.started_with("idle", json!([])).await;
        for number in 0..MOST_EVENTS {
            signal(side, "idle", number).await;
        }
        side.history("idle").await;

        for (name, count) in [("one left", 7), ("two left", 6)] {
            let markers: Vec<_> = (0..count).map(|number| marker(&number.to_string())).collect();
            side.started_with(name, json!(markers)).await;
            signal(side, name, 0).await;
            side.history(name).await;
        }
    });
}

#[test]
fn cancel_requests_and_activities_beyond_the_count() {
    check("too many ends", async |side| {
        let queue = side.script.clone();
        let commands = async |side: &mut Side, name: &str, markers: usize| {
            let markers = (0..markers).map(|number| marker(&number.to_string()));
            let commands: Vec<_> = markers.chain([activity("a", &queue, json!({}))]).collect();
            side.started_with(name, json!(commands)).await;
        };
        for (name, markers) in [("one left", 6), ("none left", 7)] {
            commands(side, name, markers).await;
            let task = side.activity_task().await;
            let done = json!({"namespace": "default", "taskToken": task["taskToken"], "identity": "worker"});
            side.call("RespondActivityTaskCompleted", done).await;
            side.history(name).await;
        }
        commands(side, "cancelled", 7).await;
        let execution = json!({"workflowId": side.id("cancelled")});
        let request = json!({"namespace": "default", "workflowExecution": execution, "requestId": "cancel"});
        side.call("RequestCancelWorkflowExecution", request).await;
        side.history("cancelled").await;
    });
}

#[test]
fn a_completion_beyond_the_count() {
    check("too many commands", async |side| {
        let markers: Vec<_> = (0..MOST_EVENTS).map(|number| marker(&number.to_string())).collect();
        side.started_with("markers", json!(markers)).await;
        side.history("markers").await;

        side.start("kept").await;
        let task = side.workflow_task().await;
        signal(side, "kept", 0).await;
        side.complete(&task, json!(markers)).await;
        side.history("kept").await;
        side.describe("kept").await;

        // A run that closes grows no more.
        let closing = [&markers[..9], &[complete()]].concat();
        side.started_with("closing", json!(closing)).await;
        side.history("closing").await;
    });
}

#[test]
fn a_timer_beyond_the_count() {
    check("too late a timer", async |side| {
        let markers: Vec<_> = (0..7).map(|number| marker(&number.to_string())).collect();
        let commands = [&markers[..], &[timer("t", "1s")]].concat();
        side.started_with("timer", json!(commands)).await;
        side.until_last_event("timer", "WORKFLOW_EXECUTION_TERMINATED").await;
        side.history("timer").await;
    });
}

#[test]
fn a_history_that_is_too_large() {
    check("too large", async |side| {
        let large = json!({"input": payloads(&[json!("x".repeat(30_000))])});
        side.start_with("large", large).await;
        signal(side, "large", 0).await;
        signal(side, "large", 1).await;
        let request = json!({"namespace": "default", "execution": {"workflowId": side.id("large")}});
        let history = side.quietly("GetWorkflowExecutionHistory", request).await;
        let events = history["history"]["events"].as_array().cloned().unwrap_or_default();
        side.note("all but the start", json!(events[1..]));
    });
}

#[test]
fn activities_beyond_what_may_be_pending() {
    check("too many activities", async |side| {
        let queue = side.script.clone();
        let activities: Vec<_> = ["a", "b", "c"].map(|id| activity(id, &queue, json!({}))).into();
        side.started_with("three", json!(activities)).await;
        side.history("three").await;
        let execution = json!({"workflowId": side.id("three")});
        let end = json!({"namespace": "default", "workflowExecution": execution, "identity": "client"});
        side.call("TerminateWorkflowExecution", end).await;
        side.started_with("two", json!(activities[..2])).await;
        side.history("two").await;
        side.describe("two").await;
    });
}

#[test]
fn continuing_as_new_is_suggested() {
    check("suggested", async |side| {
        side.start("grown").await;
        for number in 0..4 {
            signal(side, "grown", number).await;
        }
        let task = side.workflow_task().await;
        side.complete(&task, json!([])).await;
        side.history("grown").await;
    });
}
