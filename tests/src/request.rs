//! Requests to the public API that many scripts begin with, for [`crate::raw::Client`].

use crate::raw::payloads;
use serde_json::{Value, json};

/// A plain start.
#[must_use]
pub fn start(id: &str, queue: &str) -> Value {
    json!({
        "namespace": "default",
        "workflowId": id,
        "workflowType": {"name": "type"},
        "taskQueue": {"name": queue},
        "input": payloads(&[json!("input")]),
        "identity": "client",
        "requestId": format!("start {id}"),
    })
}

/// A plain signal.
#[must_use]
pub fn signal(id: &str) -> Value {
    json!({
        "namespace": "default",
        "workflowExecution": {"workflowId": id},
        "signalName": "signal",
        "input": payloads(&[json!("signalled")]),
        "identity": "client",
        "requestId": format!("signal {id}"),
    })
}

/// A start and a signal in one.
#[must_use]
pub fn signal_with_start(id: &str, queue: &str) -> Value {
    let signal = json!({"signalName": "signal", "signalInput": payloads(&[json!("signalled")])});
    merged(start(id, queue), signal)
}

/// `base` with the fields of `patch` in place of its own, at every level; null removes one.
#[must_use]
pub fn merged(mut base: Value, patch: Value) -> Value {
    match (&mut base, patch) {
        (Value::Object(fields), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    fields.remove(&key);
                } else {
                    let old = fields.remove(&key).unwrap_or(Value::Null);
                    fields.insert(key, merged(old, value));
                }
            }
            base
        }
        (_, patch) => patch,
    }
}

/// Commands as workers give them.
pub mod command {
    use crate::raw::payloads;
    use serde_json::{Value, json};

    use super::merged;

    /// Schedule an activity on a queue.
    #[must_use]
    pub fn activity(id: &str, queue: &str, fields: Value) -> Value {
        let attributes = json!({
            "activityId": id,
            "activityType": {"name": "activity"},
            "taskQueue": {"name": queue},
            "input": payloads(&[json!(id)]),
            "startToCloseTimeout": "60s",
        });
        json!({
            "commandType": "COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK",
            "scheduleActivityTaskCommandAttributes": merged(attributes, fields),
        })
    }

    /// Ask an activity to stop.
    #[must_use]
    pub fn cancel_activity(scheduled: i64) -> Value {
        json!({
            "commandType": "COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK",
            "requestCancelActivityTaskCommandAttributes": {"scheduledEventId": scheduled.to_string()},
        })
    }

    /// Start a timer.
    #[must_use]
    pub fn timer(id: &str, fires: &str) -> Value {
        json!({
            "commandType": "COMMAND_TYPE_START_TIMER",
            "startTimerCommandAttributes": {"timerId": id, "startToFireTimeout": fires},
        })
    }

    /// Cancel a timer.
    #[must_use]
    pub fn cancel_timer(id: &str) -> Value {
        json!({"commandType": "COMMAND_TYPE_CANCEL_TIMER", "cancelTimerCommandAttributes": {"timerId": id}})
    }

    /// Record a marker.
    #[must_use]
    pub fn marker(name: &str) -> Value {
        json!({
            "commandType": "COMMAND_TYPE_RECORD_MARKER",
            "recordMarkerCommandAttributes": {"markerName": name, "details": {"side": payloads(&[json!("effect")])}},
        })
    }

    /// Complete the workflow.
    #[must_use]
    pub fn complete() -> Value {
        json!({
            "commandType": "COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION",
            "completeWorkflowExecutionCommandAttributes": {"result": payloads(&[json!("result")])},
        })
    }

    /// Fail the workflow.
    #[must_use]
    pub fn fail() -> Value {
        let failure = json!({"message": "failed", "source": "test", "applicationFailureInfo": {"type": "Type"}});
        json!({
            "commandType": "COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION",
            "failWorkflowExecutionCommandAttributes": {"failure": failure},
        })
    }

    /// Close the workflow as canceled.
    #[must_use]
    pub fn cancel() -> Value {
        json!({
            "commandType": "COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION",
            "cancelWorkflowExecutionCommandAttributes": {"details": payloads(&[json!("details")])},
        })
    }

    /// Go on as a new run.
    #[must_use]
    pub fn continue_as_new(fields: Value) -> Value {
        let attributes = json!({"input": payloads(&[json!("next")])});
        json!({
            "commandType": "COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION",
            "continueAsNewWorkflowExecutionCommandAttributes": merged(attributes, fields),
        })
    }
}
