//! Every command that is built, accepted and refused.

use serde_json::{Value, json};

use tests::request::command::{
    activity, cancel, cancel_activity, cancel_timer, complete, continue_as_new, fail, marker, timer,
};

use crate::{compare::compare, side::Side};

fn long(length: usize) -> String {
    "x".repeat(length)
}

/// Each list of commands is the answer to the first task of a workflow of its own.
fn check(script: &str, cases: impl Fn(&Side) -> Vec<(&'static str, Value)>) {
    compare(script, async |side| {
        for (name, commands) in cases(side) {
            side.started_with(name, commands).await;
            side.history(name).await;
            side.describe(name).await;
            let execution = json!({"workflowId": side.id(name)});
            // Off the queue, if it is still there, for the next case.
            let end = json!({"namespace": "default", "workflowExecution": execution, "identity": "client"});
            side.call("TerminateWorkflowExecution", end).await;
        }
    });
}

#[test]
fn closing() {
    check("closing commands", |_| {
        vec![
            ("complete", json!([complete()])),
            ("complete without result", json!([without(complete(), "result")])),
            ("fail", json!([fail()])),
            ("cancel", json!([cancel()])),
            ("continue", json!([continue_as_new(json!({}))])),
        ]
    });
}

#[test]
fn continue_as_new_with_everything() {
    check("continue as new", |side| {
        let queue = format!("{} next", side.script);
        let fields = json!({
            "workflowType": {"name": "next type"},
            "taskQueue": {"name": queue},
            "workflowRunTimeout": "600s",
            "workflowTaskTimeout": "5s",
            "initiator": "CONTINUE_AS_NEW_INITIATOR_WORKFLOW",
            "header": {"fields": {"trace": tests::raw::payload(&json!("header"))}},
            "memo": {"fields": {"note": tests::raw::payload(&json!("memo"))}},
        });
        vec![("full", json!([continue_as_new(fields)]))]
    });
}

#[test]
fn activities_get_their_timeouts() {
    check("timeouts of scheduled activities", |side| {
        let with = |fields: Value| json!([activity("a", &side.script, fields)]);
        vec![
            ("start to close", with(json!({}))),
            ("schedule to close", with(json!({"startToCloseTimeout": null, "scheduleToCloseTimeout": "30s"}))),
            ("longer than all", with(json!({"startToCloseTimeout": "90s", "scheduleToCloseTimeout": "30s"}))),
            ("heartbeat longer", with(json!({"heartbeatTimeout": "90s"}))),
            (
                "all",
                with(
                    json!({"scheduleToStartTimeout": "10s", "scheduleToCloseTimeout": "30s", "heartbeatTimeout": "5s"}),
                ),
            ),
            ("retry policy", with(json!({"retryPolicy": {"initialInterval": "2s", "maximumAttempts": 5}}))),
        ]
    });
}

#[test]
fn activities_refused() {
    check("bad activities", |side| {
        let with = |fields: Value| json!([activity("a", &side.script, fields)]);
        vec![
            ("no attributes", json!([{"commandType": "COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK"}])),
            ("no id", with(json!({"activityId": ""}))),
            ("long id", with(json!({"activityId": long(1001)}))),
            ("no type", with(json!({"activityType": null}))),
            ("long type", with(json!({"activityType": {"name": long(1001)}}))),
            ("no timeout", with(json!({"startToCloseTimeout": null}))),
            ("negative timeout", with(json!({"startToCloseTimeout": "-1s"}))),
            ("negative heartbeat", with(json!({"heartbeatTimeout": "-1s"}))),
            ("long queue", with(json!({"taskQueue": {"name": long(1001)}}))),
            ("system queue", with(json!({"taskQueue": {"name": "/_sys/x/1"}}))),
            ("coefficient", with(json!({"retryPolicy": {"backoffCoefficient": 0.5}}))),
            ("attempts", with(json!({"retryPolicy": {"maximumAttempts": -1}}))),
            ("intervals", with(json!({"retryPolicy": {"initialInterval": "9s", "maximumInterval": "3s"}}))),
            ("timeout type", with(json!({"retryPolicy": {"nonRetryableErrorTypes": ["TemporalTimeout:Nonsense"]}}))),
            ("twice", json!([activity("a", &side.script, json!({})), activity("a", &side.script, json!({}))])),
        ]
    });
}

#[test]
fn timers() {
    check("timer commands", |_| {
        vec![
            ("started", json!([timer("t", "3600s")])),
            ("started and cancelled", json!([timer("t", "3600s"), cancel_timer("t")])),
            ("two", json!([timer("t", "3600s"), timer("u", "1800s")])),
            ("no id", json!([timer("", "3600s")])),
            ("long id", json!([timer(&long(1001), "3600s")])),
            ("negative", json!([timer("t", "-1s")])),
            ("twice", json!([timer("t", "3600s"), timer("t", "3600s")])),
            ("no attributes", json!([{"commandType": "COMMAND_TYPE_START_TIMER"}])),
            ("cancel unknown", json!([cancel_timer("nothing")])),
            ("cancel without id", json!([cancel_timer("")])),
        ]
    });
}

#[test]
fn timer_fires() {
    compare("timer fires", async |side| {
        side.started_with("ticking", json!([timer("t", "0.1s"), timer("u", "3600s")])).await;
        let task = side.workflow_task().await;
        side.complete(&task, json!([cancel_timer("u"), complete()])).await;
        side.history("ticking").await;
    });
}

#[test]
fn timer_that_fired_meanwhile_is_cancelled() {
    compare("cancel a fired timer", async |side| {
        side.started_with("ticking", json!([timer("t", "0.5s")])).await;
        side.call("SignalWorkflowExecution", tests::request::signal(&side.id("ticking"))).await;
        let task = side.workflow_task().await;
        // Buffered, so that only a describe shows it: until the timer is no longer due, nothing else does.
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        side.complete(&task, json!([cancel_timer("t"), complete()])).await;
        side.history("ticking").await;
    });
}

#[test]
fn markers() {
    check("marker commands", |_| {
        vec![
            ("recorded", json!([marker("m")])),
            ("recorded twice", json!([marker("m"), marker("m"), complete()])),
            ("no name", json!([marker("")])),
            ("long name", json!([marker(&long(1001))])),
            ("no attributes", json!([{"commandType": "COMMAND_TYPE_RECORD_MARKER"}])),
        ]
    });
}

#[test]
fn closing_refused() {
    check("bad closing commands", |_| {
        vec![
            ("complete without attributes", json!([{"commandType": "COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION"}])),
            ("fail without attributes", json!([{"commandType": "COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION"}])),
            ("fail without failure", json!([without(fail(), "failure")])),
            ("cancel without attributes", json!([{"commandType": "COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION"}])),
            (
                "continue without attributes",
                json!([{"commandType": "COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION"}]),
            ),
            ("continue with a long type", json!([continue_as_new(json!({"workflowType": {"name": long(1001)}}))])),
            ("continue with a negative timeout", json!([continue_as_new(json!({"workflowRunTimeout": "-1s"}))])),
            ("continue with a long queue", json!([continue_as_new(json!({"taskQueue": {"name": long(1001)}}))])),
            ("after the end", json!([complete(), marker("late")])),
            ("two ends", json!([complete(), fail()])),
            ("no command", json!([{"commandType": "COMMAND_TYPE_UNSPECIFIED"}])),
            ("unknown command", json!([{"commandType": 99}])),
        ]
    });
}

#[test]
fn cancelling_activities() {
    check("cancel activity commands", |side| {
        let scheduled = |commands: Vec<Value>| {
            let mut all = vec![activity("a", &side.script, json!({}))];
            all.extend(commands);
            Value::Array(all)
        };
        vec![
            ("before it started", scheduled(vec![cancel_activity(5)])),
            ("twice", scheduled(vec![cancel_activity(5), cancel_activity(5)])),
            ("no event", scheduled(vec![cancel_activity(0)])),
            ("another event", scheduled(vec![cancel_activity(3)])),
            ("event to come", scheduled(vec![cancel_activity(99)])),
            ("no attributes", scheduled(vec![json!({"commandType": "COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK"})])),
        ]
    });
}

/// The command without a field of its attributes.
fn without(mut command: Value, field: &str) -> Value {
    for attributes in command.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
        if let Some(attributes) = attributes.as_object_mut() {
            attributes.remove(field);
        }
    }
    command
}
