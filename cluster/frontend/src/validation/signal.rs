//! Signals.

use proto::temporal::api::workflowservice::v1::SignalWorkflowExecutionRequest;

use super::{
    Check,
    limits::{Sizes, blob, links, request_id},
    refuse,
};

/// What is sent; to whom is checked with the execution.
pub(crate) fn signal(request: &SignalWorkflowExecutionRequest, sizes: Sizes) -> Check {
    if request.signal_name.is_empty() {
        return refuse("SignalName is not set on request.");
    }
    if sizes.id < request.signal_name.len() {
        return refuse("SignalName length exceeds limit.");
    }
    request_id(&request.request_id, sizes)?;
    blob(request.input.as_ref(), sizes)?;
    links(&request.links)
}

#[cfg(test)]
mod tests {
    use proto::temporal::api::common::v1::{Payload, Payloads};

    use super::{super::text, *};

    #[test]
    fn signals() {
        let valid = || SignalWorkflowExecutionRequest { signal_name: "paid".into(), ..Default::default() };
        let check = |request: SignalWorkflowExecutionRequest, expected: Option<&str>| {
            assert_eq!(text(signal(&request, Sizes::default())).as_deref(), expected);
        };
        let long = "x".repeat(1001);
        check(valid(), None);
        check(SignalWorkflowExecutionRequest::default(), Some("SignalName is not set on request."));
        check(
            SignalWorkflowExecutionRequest { signal_name: long.clone(), ..valid() },
            Some("SignalName length exceeds limit."),
        );
        check(
            SignalWorkflowExecutionRequest { request_id: long.clone(), ..valid() },
            Some("RequestId length exceeds limit."),
        );
        check(SignalWorkflowExecutionRequest { identity: long, ..valid() }, None);
        let large = Payloads { payloads: vec![Payload { data: vec![0; 3 << 20].into(), ..Default::default() }] };
        check(SignalWorkflowExecutionRequest { input: Some(large), ..valid() }, Some("Blob data size exceeds limit."));
        check(
            SignalWorkflowExecutionRequest { links: vec![Default::default()], ..valid() },
            Some("unsupported link variant"),
        );
    }
}
