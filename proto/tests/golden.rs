//! Messages captured between running Temporal clusters pass through ours without loss.
//!
//! `tests/golden` at the root of the repository holds them, one in each `.bin`; the `.json` beside it names the message
//! and what its bytes fields embed. Decoding drops in silence what it does not know, so a message is compared with its
//! re-encoding, both in the canonical form of [`wire`].

mod wire;

use std::{fs, path::Path, sync::LazyLock};

use base64::prelude::{BASE64_STANDARD, Engine};
use prost::{Message, Name};
use proto::{
    google::rpc::Status,
    meridian::replication::v1::TaskExtension,
    temporal::{
        api::{errordetails::v1::*, history::v1::History},
        server::{
            api::{adminservice::v1::*, persistence::v1::*, replication::v1::ReplicationTask},
            chasm::lib::{activity::proto::v1::*, callbacks::proto::v1::CallbackState},
        },
    },
};
use serde_json::Value;

use crate::wire::Schema;

#[test]
fn ct_17_every_captured_message_survives() {
    let captures = captures();
    for capture in &captures {
        check(&capture.name, &capture.message, &capture.bytes);
    }
    assert_eq!(captures.len(), 75, "none is left out");
}

#[test]
fn what_captured_messages_embed_in_bytes_survives() {
    let embedded: Vec<_> = captures().iter().flat_map(Capture::embedded).collect();
    for Capture { name, message, bytes, .. } in &embedded {
        check(name, message, bytes);
    }
    assert_eq!(embedded.len(), 116, "none is left out");
}

#[test]
fn details_of_captured_errors_survive() {
    let errors = captures().into_iter().filter(|capture| capture.message == Status::full_name());
    let mut found = Vec::new();
    for error in errors {
        for detail in Status::decode(&*error.bytes).expect("a status").details {
            let message = detail.type_url.strip_prefix("type.googleapis.com/").expect("the usual domain");
            check(&error.name, message, &detail.value);
            found.push(message.to_owned());
        }
    }
    let expected = [
        ResourceExhaustedFailure::full_name(),
        NamespaceNotFoundFailure::full_name(),
        NamespaceNotActiveFailure::full_name(),
        NotFoundFailure::full_name(),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_field_we_would_lose_is_noticed_at_any_depth() {
    let message = StreamWorkflowReplicationMessagesResponse::full_name();
    let (task, strange) = (varint(2, 7), varint(4001, 7));
    assert!(survives(&message, &nested(1, &nested(1, &task))));
    assert!(!survives(&message, &[nested(1, &nested(1, &task)), strange.clone()].concat()));
    assert!(!survives(&message, &nested(1, &[nested(1, &task), strange.clone()].concat())));
    assert!(!survives(&message, &nested(1, &nested(1, &[task, strange].concat()))));
}

#[test]
fn canonical_form_tells_messages_apart_and_spellings_not() {
    let task = ReplicationTask::full_name();
    let plain_first = [varint(2, 7), nested(17, &varint(15, 7)), nested(8, &nested(2, b"id"))].concat();
    let oneof_first = [nested(8, &nested(2, b"id")), varint(2, 7), nested(17, &varint(15, 7))].concat();
    let other_value = [nested(8, &nested(2, b"id")), varint(2, 7), nested(17, &varint(15, 8))].concat();
    assert_eq!(canonical(&task, &plain_first), canonical(&task, &oneof_first));
    assert_ne!(canonical(&task, &plain_first), canonical(&task, &other_value));

    let cluster = DescribeClusterResponse::full_name();
    let entry = |key: &[u8], value: &[u8]| nested(13, &[nested(1, key), nested(2, value)].concat());
    let ascending = [entry(b"a", b"1"), entry(b"b", b"2")].concat();
    let descending = [entry(b"b", b"2"), entry(b"a", b"1")].concat();
    let exchanged = [entry(b"a", b"2"), entry(b"b", b"1")].concat();
    assert_eq!(canonical(&cluster, &ascending), canonical(&cluster, &descending));
    assert_ne!(canonical(&cluster, &ascending), canonical(&cluster, &exchanged));
    assert_eq!(canonical(&cluster, &entry(b"", b"1")), canonical(&cluster, &nested(13, &nested(2, b"1"))));
    assert_eq!(canonical(&cluster, &entry(b"a", b"")), canonical(&cluster, &nested(13, &nested(1, b"a"))));

    let clusters = ListClustersResponse::full_name();
    let cluster = |name: &[u8]| nested(1, &nested(1, name));
    let ascending = [cluster(b"a"), cluster(b"b")].concat();
    let descending = [cluster(b"b"), cluster(b"a")].concat();
    assert_ne!(canonical(&clusters, &ascending), canonical(&clusters, &descending));
}

#[test]
fn our_extension_rides_behind_what_temporal_knows() {
    let written_time = Some(prost_types::Timestamp { seconds: 7, nanos: 0 });
    let extension = TaskExtension {
        start_request_id: "id".into(),
        state_digest: "digest".into(),
        written_time,
        ..Default::default()
    };
    assert_eq!(extension.encode_to_vec(), [nested(1, b"id"), nested(3, b"digest"), nested(4, &varint(1, 7))].concat());

    let theirs = ReplicationTask { source_task_id: 7, ..Default::default() };
    let ours = ReplicationTask { meridian: Some(extension.clone()), ..theirs.clone() };
    assert_eq!(ours.encode_to_vec(), [theirs.encode_to_vec(), nested(2000, &extension.encode_to_vec())].concat());
}

#[track_caller]
fn check(name: &str, message: &str, bytes: &[u8]) {
    assert!(survives(message, bytes), "{name}: decoding and encoding {message} changes it");
}

/// Whether decoding and encoding keeps everything.
fn survives(message: &str, bytes: &[u8]) -> bool {
    canonical(message, bytes) == canonical(message, &reencode(message, bytes))
}

fn canonical(message: &str, bytes: &[u8]) -> Vec<u8> {
    static SCHEMA: LazyLock<Schema> =
        LazyLock::new(|| Schema::new(include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"))));
    SCHEMA.canonical(message, bytes)
}

/// Through the generated type of that name.
fn reencode(message: &str, bytes: &[u8]) -> Vec<u8> {
    fn through<M: Message + Default>(bytes: &[u8]) -> Vec<u8> {
        M::decode(bytes).expect("a well-formed message").encode_to_vec()
    }
    macro_rules! by_name {
        ($($message:ident)*) => { [$(($message::full_name(), through::<$message> as fn(&[u8]) -> Vec<u8>)),*] };
    }
    let types = by_name! {
        DescribeClusterResponse DescribeMutableStateResponse GetDlqTasksResponse GetNamespaceReplicationMessagesRequest
        GetNamespaceReplicationMessagesResponse GetNamespaceResponse GetReplicationMessagesResponse GetShardResponse
        GetWorkflowExecutionRawHistoryResponse GetWorkflowExecutionRawHistoryV2Request
        GetWorkflowExecutionRawHistoryV2Response ListClustersResponse ReapplyEventsRequest
        StreamWorkflowReplicationMessagesRequest StreamWorkflowReplicationMessagesResponse SyncWorkflowStateRequest
        SyncWorkflowStateResponse
        History HistoryBranch ReplicationTaskInfo CallbackInfo NexusOperationInfo ChasmVisibilityData ActivityState
        ActivityAttemptState ActivityRequestData CallbackState
        Status NamespaceNotActiveFailure NamespaceNotFoundFailure NotFoundFailure ResourceExhaustedFailure
    };
    let (_, through) =
        types.iter().find(|(name, _)| name == message).unwrap_or_else(|| panic!("no type for {message}"));
    through(bytes)
}

/// One message with the name of its file, or of its place in the message that embeds it.
struct Capture {
    name: String,
    message: String,
    bytes: Vec<u8>,
    document: Value,
}

impl Capture {
    /// The messages in bytes fields of this one. Their values stand in the `.json`, their origin is the `.bin`.
    fn embedded(&self) -> Vec<Capture> {
        let blobs = self.document["blobs"].as_object().expect("blobs by path");
        let embed = |(path, blob): (&String, &Value)| {
            let holder = self.document["json"].pointer(path).expect("a path into the message");
            let base64 = holder.as_str().or(holder["data"].as_str()).expect("bytes, or a blob with data");
            let bytes = BASE64_STANDARD.decode(base64).expect("base64");
            let name = format!("{}{path}", self.name);
            assert!(self.bytes.windows(bytes.len()).any(|window| window == bytes), "{name} is not in the capture");
            Capture { name, message: string(&blob["message"]), bytes, document: Value::Null }
        };
        blobs.iter().map(embed).collect()
    }
}

/// All captures, by name.
fn captures() -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let entries = fs::read_dir(folder).expect("captures").map(|entry| entry.expect("a file").path());
    let mut captures: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .map(|path| {
            let document = fs::read(path.with_extension("json")).expect("a description beside each capture");
            let document: Value = serde_json::from_slice(&document).expect("a description in JSON");
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            Capture { name, message: string(&document["message"]), bytes: fs::read(path).expect("a capture"), document }
        })
        .collect();
    captures.sort_by(|a, b| a.name.cmp(&b.name));
    captures
}

fn string(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// A number field, by hand.
fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::uint64::encode(number, &value, &mut bytes);
    bytes
}

/// A message, bytes or string field, by hand.
fn nested(number: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(number, &value.to_vec(), &mut bytes);
    bytes
}
