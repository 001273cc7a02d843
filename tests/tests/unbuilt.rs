//! What is not built is refused by its name, never ignored: every RPC, every field of a start, every command.

use std::sync::LazyLock;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};
use tests::{
    raw::{self, Client},
    request::{self, merged},
    server::Server,
};
use tonic::Code;

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::meridian("server", 1, &[]));

/// RPCs that are built: those that the product promises, and the older forms of lists.
const RPCS: &[&str] = &[
    "AddOrUpdateRemoteCluster",
    "CountWorkflowExecutions",
    "DeleteWorkflowExecution",
    "DeprecateNamespace",
    "DescribeNamespace",
    "DescribeTaskQueue",
    "DescribeWorkflowExecution",
    "GetClusterInfo",
    "GetSearchAttributes",
    "GetSystemInfo",
    "GetWorkflowExecutionHistory",
    "GetWorkflowExecutionHistoryReverse",
    "ListClosedWorkflowExecutions",
    "ListClusters",
    "ListNamespaces",
    "ListOpenWorkflowExecutions",
    "ListSearchAttributes",
    "ListTaskQueuePartitions",
    "ListWorkflowExecutions",
    "PollActivityTaskQueue",
    "PollWorkflowTaskQueue",
    "QueryWorkflow",
    "RecordActivityTaskHeartbeat",
    "RecordActivityTaskHeartbeatById",
    "RegisterNamespace",
    "RemoveRemoteCluster",
    "RequestCancelWorkflowExecution",
    "ResetStickyTaskQueue",
    "ResetWorkflowExecution",
    "RespondActivityTaskCanceled",
    "RespondActivityTaskCanceledById",
    "RespondActivityTaskCompleted",
    "RespondActivityTaskCompletedById",
    "RespondActivityTaskFailed",
    "RespondActivityTaskFailedById",
    "RespondQueryTaskCompleted",
    "RespondWorkflowTaskCompleted",
    "RespondWorkflowTaskFailed",
    "ScanWorkflowExecutions",
    "ShutdownWorker",
    "SignalWithStartWorkflowExecution",
    "SignalWorkflowExecution",
    "StartWorkflowExecution",
    "TerminateWorkflowExecution",
    "UpdateNamespace",
];

/// Fields of a start that are built, or that ask for something a server may decline (an eager first task).
const FIELDS: &[&str] = &[
    "continued_failure",
    "eager_worker_deployment_options",
    "header",
    "identity",
    "input",
    "last_completion_result",
    "links",
    "memo",
    "namespace",
    "priority",
    "request_eager_execution",
    "request_id",
    "retry_policy",
    "task_queue",
    "user_metadata",
    "workflow_execution_timeout",
    "workflow_id",
    "workflow_id_conflict_policy",
    "workflow_id_reuse_policy",
    "workflow_run_timeout",
    "workflow_start_delay",
    "workflow_task_timeout",
    "workflow_type",
];

/// Commands that are built.
const COMMANDS: &[&str] = &[
    "CANCEL_TIMER",
    "CANCEL_WORKFLOW_EXECUTION",
    "COMPLETE_WORKFLOW_EXECUTION",
    "CONTINUE_AS_NEW_WORKFLOW_EXECUTION",
    "FAIL_WORKFLOW_EXECUTION",
    "MODIFY_WORKFLOW_PROPERTIES",
    "RECORD_MARKER",
    "REQUEST_CANCEL_ACTIVITY_TASK",
    "SCHEDULE_ACTIVITY_TASK",
    "START_TIMER",
    // For one attribute, which SDKs write by themselves; others are refused by name.
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
];

async fn client() -> Client {
    Client::connect(SERVER.address(0)).await.expect("connect")
}

#[tokio::test]
async fn rpcs() {
    let client = client().await;
    for method in raw::rpcs().filter(|method| !RPCS.contains(&method.name())) {
        let refusal = client.call(method.name(), json!({})).await;
        let refusal = refusal.expect_err(method.name());
        assert_eq!(refusal.code, Code::Unimplemented, "{}: {refusal}", method.name());
        assert!(refusal.message.contains(method.name()), "{}: {refusal}", method.name());
    }
}

#[tokio::test]
async fn fields_of_a_start() {
    let client = client().await;
    let start = raw::rpcs().find(|method| method.name() == "StartWorkflowExecution").expect("an RPC");
    for field in start.input().fields().filter(|field| !FIELDS.contains(&field.name())) {
        let good = request::start(&format!("with {}", field.name()), "queue");
        let request = merged(good, json!({field.json_name(): something(&field)}));
        let refusal = client.call("StartWorkflowExecution", request).await.expect_err(field.name());
        assert!([Code::Unimplemented, Code::InvalidArgument].contains(&refusal.code), "{}: {refusal}", field.name());
        assert!(refusal.message.contains(field.name()), "{}: {refusal}", field.name());
    }
}

/// A value of the field's type that says something.
fn something(field: &FieldDescriptor) -> Value {
    let one = match field.kind() {
        Kind::Bool => json!(true),
        Kind::String => json!("* * * * *"),
        Kind::Bytes => json!("eA=="),
        Kind::Enum(kind) => {
            kind.values().find(|value| value.number() != 0).map(|value| value.name().into()).expect("a value")
        }
        Kind::Message(message) if message.full_name() == "google.protobuf.Duration" => json!("1s"),
        Kind::Message(message) => filled(&message),
        _ => json!(1),
    };
    if field.is_list() { json!([one]) } else { one }
}

/// A message with its first field set.
fn filled(message: &MessageDescriptor) -> Value {
    let first = message.fields().next();
    match first {
        Some(field) if field.is_map() => {
            let Kind::Message(entry) = field.kind() else { unreachable!("a map has entries") };
            json!({field.json_name(): {"key": something(&entry.map_entry_value_field())}})
        }
        Some(field) => json!({field.json_name(): something(&field)}),
        None => json!({}),
    }
}

#[tokio::test]
async fn commands() {
    let client = client().await;
    let command = raw::rpcs().find(|method| method.name() == "RespondWorkflowTaskCompleted").expect("an RPC");
    let commands = command.input().get_field_by_name("commands").expect("a field");
    let Kind::Message(command) = commands.kind() else { unreachable!("a message") };
    let Kind::Enum(kind) = command.get_field_by_name("command_type").expect("a field").kind() else {
        unreachable!("an enum")
    };
    for value in kind.values().filter(|value| value.number() != 0) {
        let name = value.name().trim_start_matches("COMMAND_TYPE_");
        if COMMANDS.contains(&name) {
            continue;
        }
        let start = request::start(name, name);
        client.call("StartWorkflowExecution", start).await.unwrap_or_else(|refusal| panic!("start: {refusal}"));
        let poll = json!({"namespace": "default", "taskQueue": {"name": name}});
        let task = client.call("PollWorkflowTaskQueue", poll).await.unwrap_or_else(|refusal| panic!("poll: {refusal}"));
        let answer = json!({
            "namespace": "default", "taskToken": task["taskToken"], "commands": [{"commandType": value.name()}],
        });
        let refusal = client.call("RespondWorkflowTaskCompleted", answer).await.expect_err(name);
        assert!([Code::Unimplemented, Code::InvalidArgument].contains(&refusal.code), "{name}: {refusal}");
        assert!(refusal.message.contains(&camel_case(name)), "{name}: {refusal}");
    }
}

/// `START_TIMER` as `StartTimer`.
fn camel_case(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect()
}
