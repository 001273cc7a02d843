//! Errors as they travel: a code, a sentence, and a detail that clients decide by (api 0.2).

use bytes::Bytes;
use prost::{Message, Name};
use proto::{
    google::rpc,
    temporal::api::errordetails::v1::{NamespaceAlreadyExistsFailure, NamespaceNotFoundFailure, NotFoundFailure},
};
use replicator::namespace::Refusal;
use store::Unavailable;
use tonic::{Code, Status};

/// A status with `detail` packed into the trailer `grpc-status-details-bin`, as a `google.rpc.Status` with one `Any`.
pub fn status(code: Code, message: impl Into<String>, detail: impl Name) -> Status {
    let message = message.into();
    let packed = rpc::Status {
        code: code.into(),
        message: message.clone(),
        details: vec![prost_types::Any::from_msg(&detail).expect("a vector takes what it is given")],
    };
    Status::with_details(code, message, Bytes::from(packed.encode_to_vec()))
}

/// There is no namespace of this name or id.
pub fn namespace_not_found(namespace: &str) -> Status {
    let message = Refusal::NotFound(namespace.into()).to_string();
    status(Code::NotFound, message, NamespaceNotFoundFailure { namespace: namespace.into() })
}

/// There is no such cluster.
pub fn cluster_not_found() -> Status {
    let message = "The cluster to be deleted cannot be found in clusters cache.";
    status(Code::NotFound, message, NotFoundFailure::default())
}

/// A refusal of the core.
pub fn refused(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::InvalidArgument(text) => Status::invalid_argument(text),
        Refusal::Unimplemented(text) => Status::unimplemented(text),
        Refusal::NotFound(namespace) => namespace_not_found(namespace),
        Refusal::AlreadyExists(_) => {
            status(Code::AlreadyExists, refusal.to_string(), NamespaceAlreadyExistsFailure::default())
        }
    }
}

/// The store is not there; the call may be made again.
pub fn unavailable(cause: &Unavailable) -> Status {
    Status::unavailable(format!("the store is not available: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_packed_as_a_temporal_server_packs_it() {
        let captured = include_bytes!("../../../tests/golden/error-namespace-not-found.bin");
        let ours = namespace_not_found("00000000-0000-4000-8000-000000000001");
        assert_eq!(ours.details(), captured);
        assert_eq!(ours.code(), Code::NotFound);
        assert_eq!(ours.message(), "Namespace 00000000-0000-4000-8000-000000000001 is not found.");
    }
}
