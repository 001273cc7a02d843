//! The public API without an SDK: requests and answers as JSON, checked against the descriptors.
//!
//! Scripts stay readable, a mistyped field is refused here, and an answer can be had as the very bytes that came.

use std::{
    collections::BTreeMap,
    fmt,
    sync::LazyLock,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use serde_json::{Value, json};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{MetadataKey, MetadataValue},
    transport::{Channel, Endpoint, Error},
};

use crate::wait::{DEADLINE, PAUSE};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).expect("our own descriptors"));

/// Services whose RPCs can be called by their bare name.
const SERVICES: [&str; 2] =
    ["temporal.api.workflowservice.v1.WorkflowService", "temporal.api.operatorservice.v1.OperatorService"];

/// By this name hosts pass calls of the public API on.
const INSIDE: &str = "meridian.internal.v1.WorkflowService";

/// A connection to one cluster.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    metadata: BTreeMap<&'static str, &'static str>,
    deadline: Duration,
    /// As another host of the cluster, which passes calls on.
    is_inside: bool,
}

/// An error as a client sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// gRPC code.
    pub code: Code,
    /// Text for people.
    pub message: String,
    /// Detail messages, each with its type under `@type`.
    pub details: Vec<Value>,
}

impl Client {
    /// Connect to `host:port`.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub async fn connect(address: &str) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(Duration::from_secs(5));
        Ok(Self { channel: endpoint.connect().await?, metadata: BTreeMap::new(), deadline: DEADLINE, is_inside: false })
    }

    /// The same connection for calls that the cluster must answer from its own store, not from the active one's.
    #[must_use]
    pub fn without_redirection(&self) -> Self {
        self.with_metadata("xdc-redirection", "false")
    }

    /// The same connection for calls that carry a header.
    #[must_use]
    pub fn with_metadata(&self, key: &'static str, value: &'static str) -> Self {
        let mut client = self.clone();
        client.metadata.insert(key, value);
        client
    }

    /// The same connection for calls with a deadline of their own; a worker's poll answers before it.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The same connection, which is to the internal port of a host, for calls that it must answer itself.
    #[must_use]
    pub fn inside(&self) -> Self {
        Self { is_inside: true, ..self.clone() }
    }

    /// Call an RPC by its bare name.
    ///
    /// # Errors
    ///
    /// What the server answered instead.
    ///
    /// # Panics
    ///
    /// When there is no such RPC or the request is not one.
    pub async fn call(&self, rpc: &str, request: Value) -> Result<Value, Refusal> {
        let bytes = self.call_for_bytes(rpc, request).await?;
        Ok(to_json(method(rpc).output(), bytes))
    }

    /// [`Client::call`], again and again while the server says that it is a matter of time, as every SDK does.
    ///
    /// # Errors
    ///
    /// What the server answered instead, at last.
    ///
    /// # Panics
    ///
    /// As [`Client::call`].
    pub async fn call_patiently(&self, rpc: &str, request: Value) -> Result<Value, Refusal> {
        let started = Instant::now();
        loop {
            match self.call(rpc, request.clone()).await {
                Err(refusal) if refusal.code == Code::Unavailable && started.elapsed() < DEADLINE => {
                    tokio::time::sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// [`Client::call`] with the answer's bytes as they came.
    ///
    /// # Errors
    ///
    /// What the server answered instead.
    ///
    /// # Panics
    ///
    /// As [`Client::call`].
    pub async fn call_for_bytes(&self, rpc: &str, request: Value) -> Result<Bytes, Refusal> {
        let method = method(rpc);
        let message = DynamicMessage::deserialize(method.input(), &request)
            .unwrap_or_else(|error| panic!("{rpc}: {error} in {request}"));
        self.send(&method, message.encode_to_vec().into()).await.map_err(|status| Refusal::of(&status))
    }

    /// Call an RPC with bytes that need not be a request at all.
    ///
    /// # Errors
    ///
    /// What the server answered instead.
    pub async fn call_with_bytes(&self, rpc: &str, request: Bytes) -> Result<Value, Refusal> {
        let method = method(rpc);
        let bytes = self.send(&method, request).await.map_err(|status| Refusal::of(&status))?;
        Ok(to_json(method.output(), bytes))
    }

    async fn send(&self, method: &MethodDescriptor, message: Bytes) -> Result<Bytes, Status> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        for (&key, &value) in &self.metadata {
            request.metadata_mut().insert(MetadataKey::from_static(key), MetadataValue::from_static(value));
        }
        let public = method.parent_service().full_name().to_owned();
        let service = if self.is_inside { INSIDE.to_owned() } else { public };
        let path = format!("/{service}/{}", method.name());
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let answer = grpc.unary(request, path.parse().expect("a path"), Verbatim).await?;
        Ok(answer.into_inner())
    }
}

/// A payload as the SDKs make it of a JSON value.
#[must_use]
pub fn payload(value: &Value) -> Value {
    json!({"metadata": {"encoding": base64(b"json/plain")}, "data": base64(value.to_string().as_bytes())})
}

/// Payloads of JSON values.
#[must_use]
pub fn payloads(values: &[Value]) -> Value {
    json!({"payloads": values.iter().map(payload).collect::<Vec<_>>()})
}

/// Bytes as JSON carries them.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The text in bytes as JSON carries them, if it is text.
#[must_use]
pub fn text(base64: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(base64).ok()?).ok()
}

/// Names of the RPCs of the public API that are called by their bare name.
pub fn rpcs() -> impl Iterator<Item = MethodDescriptor> {
    SERVICES.iter().flat_map(|&name| {
        let service = POOL.get_service_by_name(name).expect("in the descriptors");
        service.methods().collect::<Vec<_>>()
    })
}

fn method(rpc: &str) -> MethodDescriptor {
    rpcs().find(|method| method.name() == rpc).unwrap_or_else(|| panic!("no RPC {rpc}"))
}

fn to_json(kind: MessageDescriptor, bytes: Bytes) -> Value {
    let name = kind.full_name().to_owned();
    let message = DynamicMessage::decode(kind, bytes).unwrap_or_else(|error| panic!("not a {name}: {error}"));
    // Values that cannot be JSON (a duration out of range) show as text: what a server answers must not stop the test.
    let options = SerializeOptions::new();
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap_or_else(|error| json!({"unprintable": error.to_string()}))
}

impl Refusal {
    fn of(status: &Status) -> Self {
        let details = proto::google::rpc::Status::decode(status.details()).unwrap_or_default().details;
        let details = details.into_iter().map(|any| {
            let kind = any.type_url.rsplit('/').next().unwrap_or_default().to_owned();
            let mut detail =
                POOL.get_message_by_name(&kind).map_or(json!({}), |it| to_json(it, any.value.to_vec().into()));
            detail["@type"] = kind.into();
            detail
        });
        Self { code: status.code(), message: status.message().to_owned(), details: details.collect() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} {:?}", self.code, self.message, self.details)
    }
}

/// Messages as bytes.
struct Verbatim;

impl Codec for Verbatim {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
