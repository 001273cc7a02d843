//! The one place where a refusal becomes a gRPC status.
//!
//! Clients go by the code and by the type of the detail, hardly ever by the text (api 0.2). A status carries its detail
//! twice over: as `grpc-status` and `grpc-message` for whoever reads those, and in `grpc-status-details-bin` as a
//! `google.rpc.Status` with one `Any` from `temporal.api.errordetails.v1`.

use prost::{Message, Name};
use proto::{
    google::rpc,
    temporal::api::{
        enums::v1::{NamespaceState, ResourceExhaustedCause, ResourceExhaustedScope},
        errordetails::v1 as detail,
    },
};
use replicator::shard::io::Failure;
use tonic::{Code, Status, metadata::MetadataValue};
use uuid::Uuid;

/// Why a call is not answered.
#[derive(Clone, Debug)]
pub enum Error {
    /// A refusal of the core's kind, whether the core said it or the frontend did in its place.
    Refused(Failure),
    /// There is no namespace of this name or id.
    NamespaceNotFound(String),
    /// The namespace is in a state that forbids the call.
    NamespaceInvalidState {
        /// Its name.
        namespace: String,
        /// Its state.
        state: NamespaceState,
        /// States in which the call works.
        allowed: Vec<NamespaceState>,
    },
    /// The namespace is there, the caller's library is not one that this server speaks with.
    ClientVersionNotSupported {
        /// What it calls itself.
        name: String,
        /// Its version.
        version: String,
        /// The versions that would do.
        supported: String,
    },
    /// The caller does not want to speak with a server of this version.
    ServerVersionNotSupported {
        /// This server's version.
        version: String,
        /// The versions that it wants.
        wanted: String,
    },
    /// Too many calls of a kind are waiting.
    TooManyWaiting(String),
    /// Too many calls came in a second: to a namespace, or to this host.
    TooManyCalls(String, ResourceExhaustedScope),
    /// The caller's time is up.
    DeadlineExceeded,
    /// Something is broken here. The text is for the log; the caller gets less.
    Internal(String),
    /// There is work for a poll on the host of this life, and none here. Hosts know what to do; callers try again.
    Wanted(Uuid),
    /// Already a status: what another part of the cluster, or another cluster, answered.
    Status(Box<Status>),
}

impl Error {
    /// The request is wrong and stays wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Refused(Failure::InvalidArgument(message.into()))
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::Refused(Failure::NotFound(message.into()))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(failure) => refused(failure),
            Error::NamespaceNotFound(namespace) => status(
                Code::NotFound,
                format!("Namespace {namespace} is not found."),
                &detail::NamespaceNotFoundFailure { namespace },
            ),
            Error::NamespaceInvalidState { namespace, state, allowed } => {
                let names: Vec<_> = allowed.iter().map(|state| camel_case(state.as_str_name(), STATE)).collect();
                let message = format!(
                    "Namespace has invalid state: {}. Must be {}.",
                    camel_case(state.as_str_name(), STATE),
                    names.join(" or ")
                );
                let allowed_states = allowed.into_iter().map(i32::from).collect();
                let detail = detail::NamespaceInvalidStateFailure { namespace, state: state.into(), allowed_states };
                status(Code::FailedPrecondition, message, &detail)
            }
            Error::ClientVersionNotSupported { name, version, supported } => {
                let message =
                    format!("Client version {version} is not supported. Server supports {name} versions: {supported}");
                let detail = detail::ClientVersionNotSupportedFailure {
                    client_version: version,
                    client_name: name,
                    supported_versions: supported,
                };
                status(Code::FailedPrecondition, message, &detail)
            }
            Error::ServerVersionNotSupported { version, wanted } => {
                let message =
                    format!("Server version {version} is not supported. Client supports server versions: {wanted}");
                let detail = detail::ServerVersionNotSupportedFailure {
                    server_version: version,
                    client_supported_server_versions: wanted,
                };
                status(Code::FailedPrecondition, message, &detail)
            }
            Error::TooManyWaiting(message) => {
                exhausted(message, ResourceExhaustedCause::ConcurrentLimit.into(), ResourceExhaustedScope::Namespace)
            }
            Error::TooManyCalls(message, scope) => exhausted(message, ResourceExhaustedCause::RpsLimit.into(), scope),
            Error::DeadlineExceeded => Self::deadline_exceeded("Deadline Exceeded"),
            Error::Internal(message) => {
                tracing::error!(message, "a call failed because of a fault of ours");
                Self::internal("something went wrong here; the server's log says what")
            }
            Error::Wanted(host) => {
                let mut status = plain(Code::Unavailable, "there is work on another host; try again".into());
                let host = host.to_string().parse().expect("a UUID is plain text");
                status.metadata_mut().insert(hosts::WANTED_AT, host);
                status
            }
            Error::Status(status) => *status,
        }
    }
}

/// Refusals of the core.
fn refused(failure: Failure) -> Status {
    match failure {
        Failure::InvalidArgument(message) => plain(Code::InvalidArgument, message),
        Failure::NotFound(message) => status(Code::NotFound, message, &detail::NotFoundFailure::default()),
        Failure::AlreadyStarted { message, start_request_id, run, first_run } => {
            let detail = detail::WorkflowExecutionAlreadyStartedFailure {
                start_request_id,
                run_id: run.to_string(),
                first_execution_run_id: first_run.to_string(),
            };
            status(Code::AlreadyExists, message, &detail)
        }
        Failure::NotActive { namespace, current, active } => {
            let message = format!(
                "Namespace: {namespace} is active in cluster: {active}, while current cluster {current} is a standby \
                 cluster."
            );
            let detail =
                detail::NamespaceNotActiveFailure { namespace, current_cluster: current, active_cluster: active };
            status(Code::FailedPrecondition, message, &detail)
        }
        Failure::WorkflowNotReady(message) => {
            status(Code::FailedPrecondition, message, &detail::WorkflowNotReadyFailure {})
        }
        Failure::FailedPrecondition(message) => plain(Code::FailedPrecondition, message),
        Failure::QueryFailed { message, failure } => {
            let detail = detail::QueryFailedFailure { failure: failure.map(|failure| *failure) };
            status(Code::InvalidArgument, message, &detail)
        }
        Failure::ResourceExhausted { message, cause } => {
            let is_host = cause == i32::from(ResourceExhaustedCause::SystemOverloaded);
            let scope = if is_host { ResourceExhaustedScope::System } else { ResourceExhaustedScope::Namespace };
            exhausted(message, cause, scope)
        }
        Failure::Moved => moved(),
        Failure::Unavailable(message) => plain(Code::Unavailable, message),
        Failure::Unimplemented(message) => plain(Code::Unimplemented, message),
    }
}

/// A call that came to a host which does not have what it is about. Hosts know the mark; callers try again.
fn moved() -> Status {
    let mut status = plain(Code::Unavailable, "it is on its way to another host; try again".into());
    status.metadata_mut().insert(hosts::MOVED, MetadataValue::from_static("true"));
    status
}

/// The cluster that a status names as the active one, if it says that the call went to the wrong one.
#[must_use]
pub fn active_cluster(status: &Status) -> Option<String> {
    if status.code() != Code::FailedPrecondition {
        return None;
    }
    let rpc = rpc::Status::decode(status.details()).ok()?;
    let any = rpc.details.iter().find(|any| any.type_url == detail::NamespaceNotActiveFailure::type_url())?;
    Some(detail::NamespaceNotActiveFailure::decode(any.value.as_slice()).ok()?.active_cluster)
}

/// A method that is not built.
#[must_use]
pub fn unimplemented(method: &str) -> Status {
    plain(Code::Unimplemented, format!("{method} is not implemented"))
}

/// Too much of something: the cause also goes into headers, for proxies and metrics (api 0.2).
fn exhausted(message: String, cause: i32, scope: ResourceExhaustedScope) -> Status {
    let detail = detail::ResourceExhaustedFailure { cause, scope: scope.into() };
    let mut status = status(Code::ResourceExhausted, message, &detail);
    let cause = ResourceExhaustedCause::try_from(cause).unwrap_or(ResourceExhaustedCause::Unspecified);
    let headers = [
        ("x-resource-exhausted-cause", camel_case(cause.as_str_name(), "RESOURCE_EXHAUSTED_CAUSE_")),
        ("x-resource-exhausted-scope", camel_case(scope.as_str_name(), "RESOURCE_EXHAUSTED_SCOPE_")),
    ];
    for (name, value) in headers {
        let value = MetadataValue::try_from(value).expect("letters only");
        status.metadata_mut().insert(name, value);
    }
    status
}

/// A status without a detail.
fn plain(code: Code, message: String) -> Status {
    Status::new(code, shortened(message, MAX_MESSAGE))
}

/// A status with its detail.
fn status<D: Message + Name>(code: Code, message: String, detail: &D) -> Status {
    let detail = prost_types::Any { type_url: D::type_url(), value: detail.encode_to_vec() };
    let detail = if MAX_DETAIL < detail.value.len() { Vec::new() } else { vec![detail] };
    let message = shortened(message, MAX_MESSAGE_WITH_DETAIL);
    let rpc = rpc::Status { code: code.into(), message: message.clone(), details: detail };
    Status::with_details(code, message, rpc.encode_to_vec().into())
}

/// The text, cut at a character when it is longer than `max` bytes.
///
/// Names that callers chose are echoed, and what does not fit into a peer's limit on headers reaches a client as another
/// error altogether (api G). A character that headers escape counts as three.
fn shortened(mut text: String, max: usize) -> String {
    let mut budget = max;
    let cut = text.char_indices().find_map(|(at, c)| {
        let cost = if c.is_ascii_graphic() || c == ' ' { 1 } else { 3 * c.len_utf8() };
        match budget.checked_sub(cost) {
            Some(left) => {
                budget = left;
                None
            }
            None => Some(at),
        }
    });
    if let Some(cut) = cut {
        text.truncate(cut);
        text.push_str(TRUNCATED);
    }
    text
}

/// `NAMESPACE_STATE_DEPRECATED` without its prefix as `Deprecated`: how enums are written for people (api 9.6).
pub(crate) fn camel_case(name: &str, prefix: &str) -> String {
    let words = name.strip_prefix(prefix).unwrap_or(name).split('_');
    words
        .flat_map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            [first.to_owned(), rest.to_ascii_lowercase()]
        })
        .collect()
}

const STATE: &str = "NAMESPACE_STATE_";

/// Longest text of a status (api 11.6).
const MAX_MESSAGE: usize = 4000;

/// Longest text of a status that travels a second time in the detail: both together stay below the 8 KiB of headers that
/// the most careful of clients accepts.
const MAX_MESSAGE_WITH_DETAIL: usize = 2000;

/// Longest detail. Only a worker's failure of a query can be longer; its text is told all the same.
const MAX_DETAIL: usize = 2000;

const TRUNCATED: &str = "... <truncated>";

#[cfg(test)]
mod tests {
    use replicator::ids::RunId;

    use super::*;

    #[test]
    fn statuses_are_those_of_a_running_temporal() {
        let run = "00000000-0000-4000-8000-000000000001";
        golden(
            Error::NamespaceNotFound(run.into()),
            include_bytes!("../../../tests/golden/error-namespace-not-found.bin"),
        );
        golden(
            Failure::NotActive { namespace: "billing-st".into(), current: "y".into(), active: "x".into() }.into(),
            include_bytes!("../../../tests/golden/error-not-active.bin"),
        );
        golden(
            Failure::NotFound(format!("workflow execution not found for workflow ID \"order-1\" and run ID \"{run}\""))
                .into(),
            include_bytes!("../../../tests/golden/error-workflow-not-found.bin"),
        );
        let cause = ResourceExhaustedCause::BusyWorkflow.into();
        golden(
            Failure::ResourceExhausted { message: "Workflow is busy.".into(), cause }.into(),
            include_bytes!("../../../tests/golden/error-busy-workflow.bin"),
        );
    }

    #[track_caller]
    fn golden(error: Error, bytes: &[u8]) {
        let status = Status::from(error);
        assert_eq!(status.details(), bytes);
        let rpc = rpc::Status::decode(bytes).unwrap();
        assert_eq!((i32::from(status.code()), status.message()), (rpc.code, rpc.message.as_str()));
    }

    #[test]
    fn code_text_and_detail() {
        let run = RunId::parse("00000000-0000-4000-8000-000000000001").unwrap();
        let check = |error: Error, code, message: &str, detail: &str| {
            let status = Status::from(error);
            assert_eq!((status.code(), status.message()), (code, message));
            let rpc = rpc::Status::decode(status.details()).unwrap();
            let types: Vec<_> = rpc.details.iter().map(|any| any.type_url.rsplit('.').next().unwrap()).collect();
            assert_eq!(types.join(" "), detail, "{message}");
        };
        check(Error::invalid("no"), Code::InvalidArgument, "no", "");
        check(Error::DeadlineExceeded, Code::DeadlineExceeded, "Deadline Exceeded", "");
        check(Failure::Unavailable("soon".into()).into(), Code::Unavailable, "soon", "");
        check(Failure::Unimplemented("x is not built".into()).into(), Code::Unimplemented, "x is not built", "");
        check(Failure::FailedPrecondition("no".into()).into(), Code::FailedPrecondition, "no", "");
        let not_ready = Failure::WorkflowNotReady("early".into());
        check(not_ready.into(), Code::FailedPrecondition, "early", "WorkflowNotReadyFailure");
        let failed = Failure::QueryFailed { message: "bad".into(), failure: None };
        check(failed.into(), Code::InvalidArgument, "bad", "QueryFailedFailure");
        let started =
            Failure::AlreadyStarted { message: "runs".into(), start_request_id: "r".into(), run, first_run: run };
        check(started.into(), Code::AlreadyExists, "runs", "WorkflowExecutionAlreadyStartedFailure");
        let state = Error::NamespaceInvalidState {
            namespace: "old".into(),
            state: NamespaceState::Deprecated,
            allowed: vec![NamespaceState::Registered],
        };
        let text = "Namespace has invalid state: Deprecated. Must be Registered.";
        check(state, Code::FailedPrecondition, text, "NamespaceInvalidStateFailure");
        let client = Error::ClientVersionNotSupported {
            name: "temporal-go".into(),
            version: "3.0.0".into(),
            supported: "<2.0.0".into(),
        };
        let text = "Client version 3.0.0 is not supported. Server supports temporal-go versions: <2.0.0";
        check(client, Code::FailedPrecondition, text, "ClientVersionNotSupportedFailure");
        let server = Error::ServerVersionNotSupported { version: "1.32.0".into(), wanted: ">=2.0.0".into() };
        let text = "Server version 1.32.0 is not supported. Client supports server versions: >=2.0.0";
        check(server, Code::FailedPrecondition, text, "ServerVersionNotSupportedFailure");
        let waiting = Error::TooManyWaiting("too many".into());
        check(waiting, Code::ResourceExhausted, "too many", "ResourceExhaustedFailure");
    }

    #[test]
    fn exhaustion_names_its_cause_in_headers() {
        let cause = ResourceExhaustedCause::BusyWorkflow.into();
        let status = Status::from(Error::from(Failure::ResourceExhausted { message: "busy".into(), cause }));
        assert_eq!(status.metadata().get("x-resource-exhausted-cause").unwrap(), "BusyWorkflow");
        assert_eq!(status.metadata().get("x-resource-exhausted-scope").unwrap(), "Namespace");
        let cause = ResourceExhaustedCause::SystemOverloaded.into();
        let status = Status::from(Error::from(Failure::ResourceExhausted { message: "full".into(), cause }));
        assert_eq!(status.metadata().get("x-resource-exhausted-cause").unwrap(), "SystemOverloaded");
        assert_eq!(status.metadata().get("x-resource-exhausted-scope").unwrap(), "System");
    }

    #[test]
    fn faults_of_ours_say_little() {
        let status = Status::from(Error::Internal("the password is swordfish".into()));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("swordfish"));
    }

    #[test]
    fn what_was_echoed_fits_into_headers() {
        for giant in ["x".repeat(1_000_000), "ü\u{1}".repeat(500_000)] {
            for error in [Error::invalid(giant.clone()), Error::not_found(giant.clone())] {
                let status = Status::from(error);
                assert!(status.message().ends_with("<truncated>"));
                let headers = status.into_http::<()>();
                let size: usize = headers.headers().iter().map(|(k, v)| k.as_str().len() + v.len() + 32).sum();
                assert!(size < 8192, "{size}");
            }
        }
    }

    #[test]
    fn the_active_cluster_is_read_back() {
        let elsewhere = Failure::NotActive { namespace: "n".into(), current: "a".into(), active: "b".into() };
        assert_eq!(active_cluster(&Error::from(elsewhere).into()), Some("b".into()));
        assert_eq!(active_cluster(&Error::invalid("n").into()), None);
        assert_eq!(active_cluster(&Status::with_details(Code::FailedPrecondition, "", vec![0xff].into())), None);
    }
}
