//! Reading histories: pages, waits, the close event, backwards.

use serde_json::{Value, json};

use tests::request::{command, merged, signal};

use crate::{compare::compare, side::Side};

fn read(side: &Side, name: &str, fields: Value) -> Value {
    merged(json!({"namespace": "default", "execution": {"workflowId": side.id(name)}}), fields)
}

/// Some batches of events.
async fn prepare(side: &mut Side, name: &str, last: Value) {
    side.started_with(name, json!([command::marker("one"), command::marker("two")])).await;
    side.call("SignalWorkflowExecution", signal(&side.id(name))).await;
    let task = side.workflow_task().await;
    side.complete(&task, json!([command::marker("three"), last])).await;
}

#[test]
fn in_pages() {
    compare("history in pages", async |side| {
        prepare(side, "long", command::complete()).await;
        for rpc in ["GetWorkflowExecutionHistory", "GetWorkflowExecutionHistoryReverse"] {
            let (mut token, mut events, mut pages) = (json!(""), Vec::new(), 0);
            while !token.is_null() {
                let request = read(side, "long", json!({"maximumPageSize": 2, "nextPageToken": token}));
                let page = side.quietly(rpc, request).await;
                events.extend(page["history"]["events"].as_array().cloned().unwrap_or_default());
                token = page["nextPageToken"].clone();
                pages += 1;
            }
            // Meridian counts events where the real server counts batches, so the pages are others.
            side.note(rpc, json!({"events": events, "has many pages": 2 < pages}));
        }
    });
}

#[test]
fn close_event() {
    const CLOSE: &str = "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT";
    compare("close event", async |side| {
        prepare(side, "open", command::timer("t", "3600s")).await;
        let request = read(side, "open", json!({"historyEventFilterType": CLOSE}));
        side.call("GetWorkflowExecutionHistory", request).await;
        prepare(side, "closed", command::complete()).await;
        for wait in [false, true] {
            let request = read(side, "closed", json!({"historyEventFilterType": CLOSE, "waitNewEvent": wait}));
            side.call("GetWorkflowExecutionHistory", request).await;
        }
    });
}

#[test]
fn waiting_for_events() {
    compare("waiting for events", async |side| {
        prepare(side, "open", command::timer("t", "3600s")).await;
        let page = side.call("GetWorkflowExecutionHistory", read(side, "open", json!({"waitNewEvent": true}))).await;
        let next = json!({"waitNewEvent": true, "nextPageToken": page["nextPageToken"]});
        let request = read(side, "open", next);
        let asking = side.clone_for_asking();
        let waiting = tokio::spawn(async move { asking.ask("GetWorkflowExecutionHistory", request).await });
        side.call("SignalWorkflowExecution", merged(signal(&side.id("open")), json!({"requestId": "woken"}))).await;
        side.outcome("the page after", waiting.await.expect("waiting does not panic"));
    });
}

#[test]
fn refused() {
    compare("bad reads", async |side| {
        let first = side.started_with("one", json!([command::marker("m")])).await;
        assert!(first.is_object());
        side.started_with("two", json!([])).await;
        let page = side.call("GetWorkflowExecutionHistory", read(side, "one", json!({"maximumPageSize": 1}))).await;
        let token = page["nextPageToken"].clone();
        for rpc in ["GetWorkflowExecutionHistory", "GetWorkflowExecutionHistoryReverse"] {
            for (what, fields) in [
                ("no execution", json!({"execution": null})),
                ("no workflow id", json!({"execution": {"workflowId": ""}})),
                ("bad run id", json!({"execution": {"runId": "not a uuid"}})),
                ("unknown run", json!({"execution": {"runId": "11111111-2222-3333-4444-555555555555"}})),
                ("unknown workflow", json!({"execution": {"workflowId": "nobody"}})),
                ("unknown namespace", json!({"namespace": "nowhere"})),
                ("bad token", json!({"nextPageToken": "bm90IGEgdG9rZW4="})),
            ] {
                side.step(&format!("{rpc}: {what}"), rpc, read(side, "one", fields)).await;
            }
        }
        let foreign = read(side, "two", json!({"nextPageToken": token}));
        side.step("token of another workflow", "GetWorkflowExecutionHistory", foreign).await;
    });
}
