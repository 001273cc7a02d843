//! Lists and counts: filters accepted and refused, order, pages.

use serde_json::{Value, json};
use tests::wait;

use tests::request::command;

use crate::{compare::compare, side::Side};

/// Workflows of different kinds and ends, all visible.
async fn prepare(side: &mut Side) {
    for (name, close) in
        [("completed", command::complete()), ("failed", command::fail()), ("cancelled", command::cancel())]
    {
        side.started_with(name, json!([close])).await;
    }
    side.started_with("continued", json!([command::continue_as_new(json!({"workflowType": {"name": "other"}}))])).await;
    for name in ["open", "open too"] {
        side.start(name).await;
    }
    let all = json!({"namespace": "default", "query": format!("TaskQueue = '{}'", side.script)});
    let closed =
        json!({"namespace": "default", "query": format!("TaskQueue = '{}' AND CloseTime IS NOT NULL", side.script)});
    wait::until_async("visibility", async || {
        let counts = [&all, &closed].map(|request| side.quietly("CountWorkflowExecutions", request.clone()));
        let [all, closed] = counts;
        let seen = (all.await["count"].clone(), closed.await["count"].clone());
        if seen == (json!("7"), json!("4")) { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Ids of what a filter finds, sorted where no order is asked for, and the count.
async fn find(side: &mut Side, filter: &str) {
    let query = format!("TaskQueue = '{}' AND ({filter})", side.script);
    let request = json!({"namespace": "default", "query": query});
    let outcome = side.clone_for_asking().ask("ListWorkflowExecutions", request.clone()).await;
    side.outcome(&format!("list {filter}"), outcome.map(|found| names(&found)));
    side.step(&format!("count {filter}"), "CountWorkflowExecutions", request).await;
}

fn names(found: &Value) -> Value {
    let executions = found["executions"].as_array().cloned().unwrap_or_default();
    executions.into_iter().map(|it| json!([it["execution"]["workflowId"], it["status"]])).collect()
}

#[test]
fn filters() {
    compare("filters", async |side| {
        prepare(side).await;
        for filter in [
            "ExecutionStatus = 'Running'",
            "ExecutionStatus != 'Running'",
            "ExecutionStatus IN ('Completed', 'Failed')",
            "ExecutionStatus NOT IN ('Completed', 'Failed')",
            "ExecutionStatus = 1",
            "WorkflowType = 'other'",
            "WorkflowType = 'type' AND ExecutionStatus = 'ContinuedAsNew'",
            "WorkflowType = 'other' OR ExecutionStatus = 'Failed'",
            "WorkflowType = \"other\"",
            "`WorkflowType` = 'other'",
            "WorkflowId = ''",
            "WorkflowId STARTS_WITH 'filters open'",
            "WorkflowId > 'filters d'",
            "WorkflowId BETWEEN 'filters a' AND 'filters g'",
            "StartTime > '2020-01-01T00:00:00Z'",
            "StartTime < '2020-01-01T00:00:00Z'",
            "StartTime BETWEEN '2020-01-01T00:00:00Z' AND '2120-01-01T00:00:00Z'",
            "StartTime > 1577836800000000000",
            "CloseTime IS NULL",
            "CloseTime IS NOT NULL",
            "CloseTime > '2020-01-01T00:00:00Z'",
            "ExecutionTime >= '2020-01-01T00:00:00Z'",
            "HistoryLength > 4",
            "HistoryLength = 5",
            "HistoryLength IN (5, 6)",
            "ExecutionDuration > 0",
            "ExecutionDuration < '1h'",
            "ParentWorkflowId IS NULL",
            "RootWorkflowId = 'filters open'",
            "(WorkflowType = 'type' AND (ExecutionStatus = 'Running' OR ExecutionStatus = 'Failed'))",
            "NOT (WorkflowType = 'other')",
        ] {
            find(side, filter).await;
        }
    });
}

#[test]
fn filters_refused() {
    compare("bad filters", async |side| {
        for query in [
            "nonsense",
            "WorkflowType",
            "WorkflowType =",
            "WorkflowType = other",
            "Nonsense = 'x'",
            "workflowtype = 'x'",
            "WorkflowType LIKE 'x%'",
            "WorkflowType = 'x' LIMIT 3",
            "WorkflowType = 'x' GROUP BY Nonsense",
            "ExecutionStatus = 'Walking'",
            "ExecutionStatus = 99",
            "StartTime > 'yesterday'",
            "HistoryLength > 'many'",
            "HistoryLength STARTS_WITH 'x'",
            "COUNT(*) > 1",
            "WorkflowType = 'x'; DROP TABLE executions",
            "WorkflowType IN ()",
            "((WorkflowType = 'x')",
            "NamespaceId = 'x'",
        ] {
            for rpc in ["ListWorkflowExecutions", "CountWorkflowExecutions"] {
                side.step(&format!("{rpc}: {query}"), rpc, json!({"namespace": "default", "query": query})).await;
            }
        }
        for (what, fields) in [
            ("no namespace", json!({})),
            ("unknown namespace", json!({"namespace": "nowhere"})),
            ("bad token", json!({"namespace": "default", "nextPageToken": "bm90IGEgdG9rZW4="})),
        ] {
            side.step(what, "ListWorkflowExecutions", fields).await;
        }
    });
}

#[test]
fn order_by() {
    compare("order by", async |side| {
        for order in ["StartTime", "StartTime DESC", "CloseTime ASC", "WorkflowId"] {
            let query = format!("WorkflowType = 'never started' ORDER BY {order}");
            side.step(order, "ListWorkflowExecutions", json!({"namespace": "default", "query": query})).await;
        }
    });
}

#[test]
fn pages() {
    compare("pages of a list", async |side| {
        prepare(side).await;
        let mut token = json!("");
        for _ in 0..10 {
            let request = json!({
                "namespace": "default", "query": format!("TaskQueue = '{}'", side.script), "pageSize": 2,
                "nextPageToken": token,
            });
            let page = side.quietly("ListWorkflowExecutions", request).await;
            side.note("page", names(&page));
            token = page["nextPageToken"].clone();
            if token.is_null() {
                break;
            }
        }
    });
}

#[test]
fn groups() {
    compare("groups", async |side| {
        prepare(side).await;
        let query = format!("TaskQueue = '{}' GROUP BY ExecutionStatus", side.script);
        side.call("CountWorkflowExecutions", json!({"namespace": "default", "query": query})).await;
    });
}

#[test]
fn what_a_list_says() {
    compare("entries of a list", async |side| {
        prepare(side).await;
        for name in ["completed", "open"] {
            let query = format!("WorkflowId = '{}'", side.id(name));
            side.call("ListWorkflowExecutions", json!({"namespace": "default", "query": query})).await;
        }
    });
}
