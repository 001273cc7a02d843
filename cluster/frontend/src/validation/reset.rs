//! Resets.

use proto::temporal::api::workflowservice::v1::ResetWorkflowExecutionRequest;
use replicator::ids::{NamespaceId, RunId, WorkflowKey};

use super::{
    execution,
    limits::{Sizes, request_id},
};
use crate::errors::Error;

/// Which run is reset. To which event it can be is for the run to say.
pub(crate) fn reset(
    namespace: NamespaceId,
    request: &ResetWorkflowExecutionRequest,
    sizes: Sizes,
) -> Result<(WorkflowKey, Option<RunId>), Error> {
    let named = execution(namespace, request.workflow_execution.as_ref())?;
    if request.request_id.is_empty() {
        return Err(Error::invalid("RequestId is not set on request."));
    }
    request_id(&request.request_id, sizes)?;
    Ok(named)
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::common::v1::WorkflowExecution;
    use tonic::Status;

    use super::*;

    #[test]
    fn resets() {
        let check = |request: ResetWorkflowExecutionRequest, expected: Option<&str>| {
            let refused = reset(NamespaceId::from_bytes([7; 16]), &request, Sizes::default()).err();
            assert_eq!(refused.map(|error| Status::from(error).message().to_owned()).as_deref(), expected);
        };
        let execution = Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() });
        let valid = || ResetWorkflowExecutionRequest {
            workflow_execution: execution.clone(),
            request_id: "r".into(),
            ..Default::default()
        };
        check(valid(), None);
        check(
            ResetWorkflowExecutionRequest { workflow_execution: None, ..valid() },
            Some("Execution is not set on request."),
        );
        check(
            ResetWorkflowExecutionRequest { request_id: String::new(), ..valid() },
            Some("RequestId is not set on request."),
        );
        check(
            ResetWorkflowExecutionRequest { request_id: "x".repeat(1001), ..valid() },
            Some("RequestId length exceeds limit."),
        );
    }
}
