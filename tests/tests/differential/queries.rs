//! Queries: direct ones, ones that wait for the running workflow task, and refusals.

use serde_json::{Value, json};
use tests::raw::payloads;

use tests::request::{self, command};

use crate::{compare::compare, side::Side};

fn query(side: &Side, name: &str) -> Value {
    json!({
        "namespace": "default",
        "execution": {"workflowId": side.id(name)},
        "query": {"queryType": "state", "queryArgs": payloads(&[json!("argument")])},
    })
}

/// Ask, and have `answer` complete the query task that comes of it.
async fn ask(side: &mut Side, name: &str, answer: Value) {
    let request = query(side, name);
    let asking = side.clone_for_asking();
    let asked = tokio::spawn(async move { asking.query(request).await });
    let task = side.workflow_task().await;
    let complete = json!({"namespace": "default", "taskToken": task["taskToken"]});
    side.call("RespondQueryTaskCompleted", request::merged(complete, answer)).await;
    side.outcome("QueryWorkflow", asked.await.expect("asking does not panic"));
}

fn answered() -> Value {
    json!({"completedType": "QUERY_RESULT_TYPE_ANSWERED", "queryResult": payloads(&[json!("answer")])})
}

#[test]
fn between_workflow_tasks() {
    compare("direct query", async |side| {
        side.started_with("idle", json!([])).await;
        ask(side, "idle", answered()).await;
        side.history("idle").await;
    });
}

#[test]
fn of_a_closed_workflow() {
    compare("query after the end", async |side| {
        side.started_with("closed", json!([command::complete()])).await;
        ask(side, "closed", answered()).await;
        let condition = json!({"queryRejectCondition": "QUERY_REJECT_CONDITION_NOT_OPEN"});
        let request = request::merged(query(side, "closed"), condition);
        side.call("QueryWorkflow", request).await;
        side.started_with("failed", json!([command::fail()])).await;
        let condition = json!({"queryRejectCondition": "QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY"});
        let request = request::merged(query(side, "failed"), condition);
        side.call("QueryWorkflow", request).await;
    });
}

#[test]
fn that_the_worker_fails() {
    compare("failed query", async |side| {
        side.started_with("idle", json!([])).await;
        let failed = json!({
            "completedType": "QUERY_RESULT_TYPE_FAILED", "errorMessage": "no such query",
            "failure": {"message": "no such query", "source": "test", "applicationFailureInfo": {"type": "Type"}},
        });
        ask(side, "idle", failed).await;
    });
}

#[test]
fn with_the_next_workflow_task() {
    compare("query with a task", async |side| {
        side.started_with("busy", json!([])).await;
        side.call("SignalWorkflowExecution", request::signal(&side.id("busy"))).await;
        let request = query(side, "busy");
        let asking = side.clone_for_asking();
        let asked = tokio::spawn(async move { asking.query(request).await });
        let task = task_with_query(side).await;
        let ids = task["queries"].as_object().into_iter().flat_map(|queries| queries.keys());
        let answer = json!({"resultType": "QUERY_RESULT_TYPE_ANSWERED", "answer": payloads(&[json!("answer")])});
        let results: serde_json::Map<_, _> = ids.map(|id| (id.clone(), answer.clone())).collect();
        side.complete_with(&task, json!([]), json!({"queryResults": results})).await;
        side.outcome("QueryWorkflow", asked.await.expect("asking does not panic"));
    });
}

/// Take workflow tasks until one carries the query; the first may have left before it came.
async fn task_with_query(side: &mut Side) -> Value {
    loop {
        let poll = json!({"namespace": "default", "taskQueue": {"name": side.script}, "identity": "worker"});
        let task = side.quietly("PollWorkflowTaskQueue", poll).await;
        if let Some(queries) = task["queries"].as_object() {
            side.note("queries", queries.values().cloned().collect());
            return task;
        }
        let again = json!({"taskToken": task["taskToken"], "forceCreateNewWorkflowTask": true});
        side.quietly("RespondWorkflowTaskCompleted", again).await;
    }
}

#[test]
fn refused() {
    compare("bad queries", async |side| {
        side.started_with("idle", json!([])).await;
        for (what, fields) in [
            ("no query", json!({"query": null})),
            ("no type", json!({"query": {"queryType": ""}})),
            ("no execution", json!({"execution": null})),
            ("no workflow id", json!({"execution": {"workflowId": ""}})),
            ("bad run id", json!({"execution": {"runId": "not a uuid"}})),
            ("unknown run", json!({"execution": {"runId": "11111111-2222-3333-4444-555555555555"}})),
            ("unknown workflow", json!({"execution": {"workflowId": "nobody"}})),
            ("unknown namespace", json!({"namespace": "nowhere"})),
        ] {
            let request = request::merged(query(side, "idle"), fields);
            side.step(&format!("QueryWorkflow: {what}"), "QueryWorkflow", request).await;
        }
    });
}

#[test]
fn answer_to_nothing() {
    compare("answer to nothing", async |side| {
        side.started_with("idle", json!([])).await;
        ask(side, "idle", answered()).await;
        for token in ["", "bm90IGEgdG9rZW4="] {
            let complete = json!({"namespace": "default", "taskToken": token});
            side.call("RespondQueryTaskCompleted", request::merged(complete, answered())).await;
        }
    });
}
