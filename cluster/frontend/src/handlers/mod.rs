//! A handler per method, a file per family: check, ask, answer.

mod cancel;
mod delete;
mod describe;
mod history;
mod namespace;
mod poll;
pub(crate) mod poll_activity;
pub(crate) mod poll_workflow_task;
mod query;
mod reset;
mod respond_activity;
mod respond_workflow_task;
mod signal;
mod start;
mod system;
mod task_queue;
mod task_queue_parts;
mod terminate;
mod visibility;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use replicator::{ids::NamespaceId, namespace::Namespace};

use crate::{answer::Answer, caller::Caller, errors::Error, frontend::Frontend, rpcs::undecodable, validation::Sizes};

/// A call on a namespace.
#[derive(Clone, Copy)]
struct Call<'a> {
    caller: &'a Caller,
    namespace: &'a Arc<Namespace>,
    /// What of a request may be how large.
    sizes: Sizes,
}

impl Call<'_> {
    fn id(&self) -> NamespaceId {
        self.namespace.id
    }
}

/// Decode the request and have it answered.
pub(crate) async fn run(
    frontend: &Frontend,
    caller: &Caller,
    namespace: Option<&Arc<Namespace>>,
) -> Result<Bytes, Error> {
    match namespace {
        Some(namespace) => {
            let sizes = Sizes::of(&frontend.limits, &namespace.name);
            on_namespace(frontend, Call { caller, namespace, sizes }).await
        }
        None => on_cluster(frontend, caller).await,
    }
}

async fn on_cluster(frontend: &Frontend, caller: &Caller) -> Result<Bytes, Error> {
    macro_rules! call {
        ($handler:path) => {
            $handler(frontend, decode(caller)?).await.map(Answer::into_bytes)
        };
    }
    match caller.rpc.name {
        "GetSystemInfo" => call!(system::get_system_info),
        "GetClusterInfo" => call!(system::get_cluster_info),
        "GetSearchAttributes" => call!(system::get_search_attributes),
        "RegisterNamespace" => call!(namespace::register),
        "DescribeNamespace" => call!(namespace::describe),
        "ListNamespaces" => call!(namespace::list),
        "UpdateNamespace" => call!(namespace::update),
        "DeprecateNamespace" => call!(namespace::deprecate),
        name => Err(Error::Internal(format!("{name} has no handler"))),
    }
}

async fn on_namespace(frontend: &Frontend, call: Call<'_>) -> Result<Bytes, Error> {
    macro_rules! call {
        ($handler:path) => {
            $handler(frontend, call, decode(call.caller)?).await.map(Answer::into_bytes)
        };
    }
    match call.caller.rpc.name {
        "StartWorkflowExecution" => call!(start::start),
        "SignalWithStartWorkflowExecution" => call!(start::signal_with_start),
        "SignalWorkflowExecution" => call!(signal::signal),
        "RequestCancelWorkflowExecution" => call!(cancel::request_cancel),
        "TerminateWorkflowExecution" => call!(terminate::terminate),
        "ResetWorkflowExecution" => call!(reset::reset),
        "DeleteWorkflowExecution" => call!(delete::delete),
        "QueryWorkflow" => call!(query::query),
        "DescribeWorkflowExecution" => call!(describe::describe),
        "GetWorkflowExecutionHistory" => call!(history::forward),
        "GetWorkflowExecutionHistoryReverse" => call!(history::reverse),
        "PollWorkflowTaskQueue" => call!(poll_workflow_task::poll),
        "RespondWorkflowTaskCompleted" => call!(respond_workflow_task::completed),
        "RespondWorkflowTaskFailed" => call!(respond_workflow_task::failed),
        "RespondQueryTaskCompleted" => call!(query::completed),
        "PollActivityTaskQueue" => call!(poll_activity::poll),
        "RespondActivityTaskCompleted" => call!(respond_activity::completed),
        "RespondActivityTaskFailed" => call!(respond_activity::failed),
        "RespondActivityTaskCanceled" => call!(respond_activity::canceled),
        "RecordActivityTaskHeartbeat" => call!(respond_activity::heartbeat),
        "RespondActivityTaskCompletedById" => call!(respond_activity::completed_by_id),
        "RespondActivityTaskFailedById" => call!(respond_activity::failed_by_id),
        "RespondActivityTaskCanceledById" => call!(respond_activity::canceled_by_id),
        "RecordActivityTaskHeartbeatById" => call!(respond_activity::heartbeat_by_id),
        "ResetStickyTaskQueue" => call!(task_queue::reset_sticky),
        "ShutdownWorker" => call!(task_queue::shutdown_worker),
        "DescribeTaskQueue" => call!(task_queue::describe),
        "ListTaskQueuePartitions" => call!(task_queue_parts::list),
        "ListWorkflowExecutions" => call!(visibility::list),
        "ListOpenWorkflowExecutions" => call!(visibility::list_open),
        "ListClosedWorkflowExecutions" => call!(visibility::list_closed),
        "ScanWorkflowExecutions" => call!(visibility::scan),
        "CountWorkflowExecutions" => call!(visibility::count),
        name => Err(Error::Internal(format!("{name} has no handler"))),
    }
}

fn decode<R: Message + Default>(caller: &Caller) -> Result<R, Error> {
    R::decode(caller.request.clone()).map_err(undecodable)
}
