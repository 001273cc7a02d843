//! Outcomes of activities.
//!
//! A worker whose result is too large cannot do anything about an error, so it gets none: the activity fails, for a reason
//! that its workflow can see (api B 45, B 46).

use prost::Message;
use proto::temporal::api::{
    common::v1::Payloads,
    failure::v1::{Failure, ServerFailureInfo, failure::FailureInfo},
};
use replicator::ids::{NamespaceId, RunId, WorkflowKey};

use super::{
    Check,
    limits::{Sizes, identity},
    refuse,
};
use crate::errors::Error;

/// Which activity somebody without its token speaks of (api 5.10).
pub(crate) fn by_id(
    namespace: NamespaceId,
    workflow_id: &str,
    run_id: &str,
    activity_id: &str,
    who: &str,
    sizes: Sizes,
) -> Result<(WorkflowKey, Option<RunId>), Error> {
    if workflow_id.is_empty() {
        // It would be an activity that runs by itself.
        return Err(Error::invalid("WorkflowId is not set on request."));
    }
    let run = match run_id {
        "" => None,
        text => Some(RunId::parse(text).map_err(|_| Error::invalid("RunId is not valid UUID."))?),
    };
    if activity_id.is_empty() {
        return Err(Error::invalid("ActivityId is not set on request."));
    }
    identity(who, sizes)?;
    Ok((WorkflowKey { namespace, workflow: workflow_id.into() }, run))
}

/// A failure must be one of an application.
pub(crate) fn activity_failure(failure: Option<&Failure>) -> Check {
    match failure.map(|failure| &failure.failure_info) {
        None | Some(Some(FailureInfo::ApplicationFailureInfo(_))) => Ok(()),
        Some(_) => refuse("Failure must have ApplicationFailureInfo."),
    }
}

/// What stands in for payloads that are too large, with this text; `None` when they are not.
pub(crate) fn fail_too_large(text: &str, payloads: Option<&Payloads>, sizes: Sizes) -> Option<Failure> {
    payloads.filter(|payloads| sizes.blob < payloads.encoded_len()).map(|_| too_large(text, None))
}

/// What stands in for a failure that is too large; `None` when it is not.
pub(crate) fn shrink(failure: Option<&Failure>, sizes: Sizes) -> Option<Failure> {
    let failure = failure.filter(|failure| sizes.blob < failure.encoded_len())?;
    let mut message = failure.message.clone();
    message.truncate(message.floor_char_boundary(KEPT_TEXT));
    let cause = Failure { message, source: failure.source.clone(), ..Default::default() };
    Some(too_large("Failure exceeds size limit.", Some(cause)))
}

fn too_large(text: &str, cause: Option<Failure>) -> Failure {
    Failure {
        message: text.into(),
        cause: cause.map(Box::new),
        failure_info: Some(FailureInfo::ServerFailureInfo(ServerFailureInfo { non_retryable: true })),
        ..Default::default()
    }
}

/// Text of the failure in place of a result.
pub(crate) const RESULT_TOO_LARGE: &str = "Complete result exceeds size limit.";

/// Text of the failure in place of progress.
pub(crate) const HEARTBEAT_TOO_LARGE: &str = "Heartbeat details exceed size limit.";

/// Text of the failure in place of what a cancelled activity leaves.
pub(crate) const CANCEL_TOO_LARGE: &str = "Cancel details exceed size limit.";

/// How much of the text of an oversized failure is kept.
const KEPT_TEXT: usize = 4096;

#[cfg(test)]
mod tests {
    use proto::temporal::api::{
        common::v1::Payload,
        failure::v1::{ApplicationFailureInfo, TimeoutFailureInfo},
    };
    use tonic::Status;

    use super::{super::text, *};

    fn usual() -> Sizes {
        Sizes::default()
    }

    #[test]
    fn activities_by_id() {
        let check = |workflow: &str, run: &str, activity: &str, who: &str, expected: Option<&str>| {
            let outcome = by_id(NamespaceId::from_bytes([7; 16]), workflow, run, activity, who, usual());
            let found = outcome.err().map(|error| Status::from(error).message().to_owned());
            assert_eq!(found.as_deref(), expected);
        };
        check("w", "", "a", "", None);
        check("w", "00000000-0000-4000-8000-000000000001", "a", "", None);
        check("", "", "a", "", Some("WorkflowId is not set on request."));
        check("w", "not-a-uuid", "a", "", Some("RunId is not valid UUID."));
        check("w", "", "", "", Some("ActivityId is not set on request."));
        check("w", "", "a", &"x".repeat(1001), Some("Identity length exceeds limit."));
    }

    #[test]
    fn failures_are_of_applications() {
        let check = |info: Option<FailureInfo>, expected: Option<&str>| {
            let failure = Failure { failure_info: info, ..Default::default() };
            assert_eq!(text(activity_failure(Some(&failure))).as_deref(), expected);
        };
        let refused = Some("Failure must have ApplicationFailureInfo.");
        assert_eq!(text(activity_failure(None)), None);
        check(None, refused);
        check(Some(FailureInfo::TimeoutFailureInfo(TimeoutFailureInfo::default())), refused);
        check(Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo::default())), None);
    }

    #[test]
    fn what_is_too_large_is_replaced() {
        let payloads = |len| Payloads { payloads: vec![Payload { data: vec![0; len].into(), ..Default::default() }] };
        assert_eq!(fail_too_large(RESULT_TOO_LARGE, Some(&payloads(10)), usual()), None);
        assert_eq!(fail_too_large(RESULT_TOO_LARGE, None, usual()), None);
        let failure = fail_too_large(RESULT_TOO_LARGE, Some(&payloads(usual().blob)), usual()).unwrap();
        assert_eq!(failure.message, RESULT_TOO_LARGE);
        let info = ServerFailureInfo { non_retryable: true };
        assert_eq!(failure.failure_info, Some(FailureInfo::ServerFailureInfo(info)));

        assert_eq!(shrink(Some(&Failure { message: "small".into(), ..Default::default() }), usual()), None);
        let large = Failure { message: "é".repeat(usual().blob), source: "PythonSDK".into(), ..Default::default() };
        let failure = shrink(Some(&large), usual()).unwrap();
        assert_eq!(failure.message, "Failure exceeds size limit.");
        let cause = failure.cause.unwrap();
        assert_eq!((cause.message.len(), cause.source.as_str()), (4096, "PythonSDK"));
    }
}
