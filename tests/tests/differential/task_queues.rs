//! Describing task queues, and workers that leave.

use serde_json::{Value, json};

use tests::request::merged;

use crate::compare::compare;

#[test]
fn pollers() {
    compare("pollers", async |side| {
        let describe = json!({"namespace": "default", "taskQueue": {"name": side.script}});
        let workflow = merged(describe.clone(), json!({"taskQueueType": "TASK_QUEUE_TYPE_WORKFLOW"}));
        let activity = merged(describe, json!({"taskQueueType": "TASK_QUEUE_TYPE_ACTIVITY"}));
        side.call("DescribeTaskQueue", workflow.clone()).await;
        side.started_with("one", json!([])).await;
        let who = |answer: &Value| answer["pollers"][0]["identity"].clone();
        side.until("DescribeTaskQueue", workflow, |answer| who(answer) == "worker").await;
        side.call("DescribeTaskQueue", activity).await;
    });
}

#[test]
fn refused() {
    compare("bad descriptions of queues", async |side| {
        for (what, request) in [
            ("no namespace", json!({"taskQueue": {"name": "queue"}})),
            ("unknown namespace", json!({"namespace": "nowhere", "taskQueue": {"name": "queue"}})),
            ("no queue", json!({"namespace": "default"})),
            ("empty queue", json!({"namespace": "default", "taskQueue": {"name": ""}})),
            ("long queue", json!({"namespace": "default", "taskQueue": {"name": "x".repeat(1_001)}})),
        ] {
            side.step(what, "DescribeTaskQueue", request).await;
        }
    });
}

#[test]
fn worker_leaves() {
    compare("shutdown", async |side| {
        let request = json!({
            "namespace": "default", "stickyTaskQueue": "sticky", "identity": "worker", "reason": "done",
        });
        side.call("ShutdownWorker", request.clone()).await;
        side.call("ShutdownWorker", merged(request.clone(), json!({"stickyTaskQueue": ""}))).await;
        side.call("ShutdownWorker", merged(request, json!({"namespace": "nowhere"}))).await;
    });
}
