//! The published CLI against one server: every command of daily life. `TESTS_SERVER=temporal` runs it on the real dev server.

use std::sync::LazyLock;

use serde_json::{Value, json};
use tests::{
    cli::{self, Outcome},
    sdk::{Language, Sdk},
    server::Server,
    wait,
};

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::under_test("server"));

/// A worker for the queue `cli`.
static WORKER: LazyLock<Sdk> = LazyLock::new(|| {
    let sdk = Sdk::start(Language::Python);
    sdk.work("cli", SERVER.address(0), "cli");
    sdk
});

fn temporal(command: &str) -> Outcome {
    cli::temporal(SERVER.address(0), &words(command))
}

/// Words of a command line; `'...'` is one.
fn words(command: &str) -> Vec<&str> {
    let quoted = command.split('\'').enumerate();
    quoted
        .flat_map(|(index, part)| if index % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
        .collect()
}

fn start(id: &str, workflow: &str) {
    LazyLock::force(&WORKER);
    let started =
        temporal(&format!("workflow start --type {workflow} --task-queue cli --workflow-id {id} -o json")).json();
    assert_eq!(started["workflowId"], id);
}

fn status(id: &str) -> Value {
    let description = temporal(&format!("workflow describe --workflow-id {id} -o json")).json();
    description["workflowExecutionInfo"]["status"].clone()
}

#[test]
fn execute_waits_for_the_result() {
    LazyLock::force(&WORKER);
    let executed =
        temporal("workflow execute --type Greeting --task-queue cli --workflow-id execute --input '\"Ada\"' -o json");
    let executed = executed.json();
    assert_eq!(executed["status"], "COMPLETED");
    assert_eq!(executed["result"], "Hello, Ada!");
}

#[test]
fn start_signal_query_show() {
    start("counter", "Counter");
    let _ = temporal("workflow signal --workflow-id counter --name add --input 3").ok();
    wait::until_eq(&json!([3]), || {
        temporal("workflow query --workflow-id counter --type total -o json").json()["queryResult"].clone()
    });
    assert_eq!(status("counter"), "WORKFLOW_EXECUTION_STATUS_RUNNING");
    let _ = temporal("workflow signal --workflow-id counter --name finish").ok();
    let result = temporal("workflow result --workflow-id counter -o json").json();
    assert_eq!(result["result"], 3);
    assert_eq!(status("counter"), "WORKFLOW_EXECUTION_STATUS_COMPLETED");
    let shown = temporal("workflow show --workflow-id counter -o json").json();
    let events = shown["events"].as_array().expect("a history");
    assert_eq!(events[0]["eventType"], "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED");
    assert_eq!(events[events.len() - 1]["eventType"], "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED");
}

#[test]
fn cancel_and_terminate() {
    start("cancelled", "Stubborn");
    let _ = temporal("workflow cancel --workflow-id cancelled").ok();
    wait::until_eq(&json!("WORKFLOW_EXECUTION_STATUS_CANCELED"), || status("cancelled"));
    start("terminated", "Counter");
    let _ = temporal("workflow terminate --workflow-id terminated --reason 'no longer needed'").ok();
    assert_eq!(status("terminated"), "WORKFLOW_EXECUTION_STATUS_TERMINATED");
}

#[test]
fn reset_and_delete() {
    start("again", "Counter");
    let _ = temporal("workflow signal --workflow-id again --name add --input 3").ok();
    wait::until_eq(&json!([3]), || {
        temporal("workflow query --workflow-id again --type total -o json").json()["queryResult"].clone()
    });
    let run = |id: &str| {
        let description = temporal(&format!("workflow describe --workflow-id {id} -o json")).json();
        description["workflowExecutionInfo"]["execution"]["runId"].clone()
    };
    let mut before = run("again");
    for target in ["--event-id 4", "--type FirstWorkflowTask", "--type LastWorkflowTask"] {
        let reset = temporal(&format!("workflow reset --workflow-id again {target} --reason 'bad deploy' -o json"));
        let made = reset.json()["runId"].clone();
        assert!(made != before && made == run("again"), "{target}: {made} after {before}");
        // The signal came along, and the workflow goes on from it.
        wait::until_eq(&json!([3]), || {
            temporal("workflow query --workflow-id again --type total -o json").json()["queryResult"].clone()
        });
        before = made;
    }
    let error = temporal("workflow reset --workflow-id again --event-id 999 --reason no").refused();
    assert!(error.contains("Workflow task finish ID must be > 1 && <= workflow last event ID"), "{error}");
    let _ = temporal("workflow reset --workflow-id again --event-id 4 --reason no --reapply-exclude Signal").ok();
    wait::until_eq(&json!([0]), || {
        temporal("workflow query --workflow-id again --type total -o json").json()["queryResult"].clone()
    });

    let _ = temporal("workflow delete --yes --workflow-id again").ok();
    wait::until_eq(&json!(true), || {
        let described = temporal("workflow describe --workflow-id again");
        (!described.success && described.err.contains("workflow not found for ID: again")).into()
    });
    let error = temporal("workflow delete --yes --workflow-id again").refused();
    assert!(error.contains("workflow not found for ID: again"), "{error}");
}

#[test]
fn list_and_count() {
    for id in ["listed-1", "listed-2"] {
        start(id, "Counter");
    }
    let query = "--query 'WorkflowId STARTS_WITH \"listed-\" AND ExecutionStatus = \"Running\"'";
    wait::until_eq(&json!("2"), || temporal(&format!("workflow count {query} -o json")).json()["count"].clone());
    let listed = temporal(&format!("workflow list {query} -o json")).json();
    let ids: Vec<_> =
        listed.as_array().expect("a list").iter().map(|it| it["execution"]["workflowId"].clone()).collect();
    assert_eq!(ids, ["listed-2", "listed-1"]);
}

#[test]
fn unknown_workflow() {
    for command in [
        "describe",
        "show",
        "cancel",
        "terminate",
        "delete --yes",
        "signal --name add",
        "reset --event-id 4 --reason no",
    ] {
        let error = temporal(&format!("workflow {command} --workflow-id nobody")).refused();
        assert!(error.contains("workflow not found for ID: nobody"), "{command}: {error}");
    }
}

#[test]
fn text_output_works_too() {
    start("text", "Counter");
    for (command, expected) in [
        ("workflow describe --workflow-id text", "RootRunId"),
        ("workflow show --workflow-id text", "WorkflowExecutionStarted"),
        ("operator cluster health", "SERVING"),
        ("operator namespace describe --namespace default", "default"),
        ("task-queue describe --task-queue cli", "workflow"),
    ] {
        let text = temporal(command).ok();
        assert!(text.contains(expected), "{command}: {text}");
    }
}

#[test]
fn namespaces() {
    let _ = temporal("operator namespace create --namespace made --retention 24h --description first").ok();
    let error = temporal("operator namespace create --namespace made").refused();
    assert!(error.contains("already exists"), "{error}");
    let _ = temporal("operator namespace update --namespace made --description second --retention 48h").ok();
    let made = temporal("operator namespace describe --namespace made -o json").json();
    assert_eq!(made["namespaceInfo"]["description"], "second");
    assert_eq!(made["config"]["workflowExecutionRetentionTtl"], "172800s");
    let listed = temporal("operator namespace list -o json").json();
    let names = listed.as_array().expect("a list").iter().map(|it| it["namespaceInfo"]["name"].clone());
    assert!(names.clone().any(|name| name == "made"), "{names:?}");
    let error = temporal("operator namespace describe --namespace nowhere").refused();
    assert!(error.contains("Namespace nowhere is not found"), "{error}");
}

#[test]
fn cluster() {
    assert_eq!(temporal("operator cluster health -o json").json(), json!({"status": "SERVING"}));
    let described = temporal("operator cluster describe --detail -o json").json();
    assert_eq!(described["failoverVersionIncrement"], "10");
    let listed = temporal("operator cluster list -o json").json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["clusterName"], described["clusterName"]);
    let system = temporal("operator cluster system -o json").json();
    assert_eq!(system["capabilities"]["internalErrorDifferentiation"], true);
}
