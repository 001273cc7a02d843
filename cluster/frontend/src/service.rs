//! The services as a gRPC server takes them.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hosts::BytesCodec;
use http::{Request, Response};
use tonic::{
    Code, Status,
    body::Body,
    codec::CompressionEncoding,
    codegen::Service,
    server::{Grpc, NamedService, UnaryService},
};

use crate::{
    caller::{Caller, timeout},
    errors::unimplemented,
    frontend::Frontend,
    rpcs::{self, Rpc},
};

/// `temporal.api.workflowservice.v1.WorkflowService`
#[derive(Clone)]
pub struct WorkflowService {
    frontend: Frontend,
}

impl WorkflowService {
    /// The service of this frontend.
    #[must_use]
    pub fn new(frontend: Frontend) -> Self {
        Self { frontend }
    }
}

/// Full name of the service.
pub(crate) const NAME: &str = "temporal.api.workflowservice.v1.WorkflowService";

impl NamedService for WorkflowService {
    const NAME: &'static str = NAME;
}

/// A response, later.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Service<Request<Body>> for WorkflowService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let Some(rpc) = rpcs::find(method(&request)) else {
            return refuse(unimplemented(method(&request)));
        };
        let unary = Unary { frontend: self.frontend.clone(), rpc, is_inside: false };
        Box::pin(async move {
            let mut server = Grpc::new(BytesCodec)
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(MAX_REQUEST);
            Ok(as_grpc_says_it(server.unary(unary, request).await))
        })
    }
}

/// The same methods for the other hosts of the cluster: what is passed on is answered here, or refused.
#[derive(Clone)]
pub struct InsideService {
    frontend: Frontend,
}

impl InsideService {
    /// The service of this frontend.
    #[must_use]
    pub fn new(frontend: Frontend) -> Self {
        Self { frontend }
    }
}

impl NamedService for InsideService {
    const NAME: &'static str = hosts::WORKFLOW_SERVICE;
}

impl Service<Request<Body>> for InsideService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let Some(rpc) = rpcs::find(method(&request)) else {
            return refuse(unimplemented(method(&request)));
        };
        let unary = Unary { frontend: self.frontend.clone(), rpc, is_inside: true };
        Box::pin(async move {
            let mut server = Grpc::new(BytesCodec).max_decoding_message_size(MAX_REQUEST);
            Ok(server.unary(unary, request).await)
        })
    }
}

/// One call of one method.
struct Unary {
    frontend: Frontend,
    rpc: &'static Rpc,
    is_inside: bool,
}

impl UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let Self { frontend, rpc, is_inside } = self;
        let (frontend, rpc, is_inside) = (frontend.clone(), *rpc, *is_inside);
        Box::pin(async move {
            let (headers, _, request) = request.into_parts();
            let deadline = timeout(&headers).map(|timeout| frontend.now() + timeout);
            let caller = Caller { rpc, request, headers, deadline, is_inside };
            let answer = match is_inside {
                true => frontend.answer_inside(&caller).await,
                false => frontend.answer(&caller).await,
            };
            answer.map(tonic::Response::new)
        })
    }
}

/// Methods of another service that are built; the others are refused by name.
#[derive(Clone, Debug)]
pub struct Built<S> {
    service: S,
    methods: &'static [&'static str],
}

impl<S> Built<S> {
    /// Only these methods of `service`.
    #[must_use]
    pub fn new(service: S, methods: &'static [&'static str]) -> Self {
        Self { service, methods }
    }
}

impl<S: NamedService> NamedService for Built<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Built<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let method = method(&request);
        if self.methods.contains(&method) {
            Box::pin(self.service.call(request))
        } else {
            refuse(unimplemented(method))
        }
    }
}

/// The method that a request names.
fn method(request: &Request<Body>) -> &str {
    request.uri().path().rsplit('/').next().unwrap_or_default()
}

fn refuse(status: Status) -> Answer {
    Box::pin(std::future::ready(Ok(status.into_http())))
}

/// A request that is too large is refused before anybody sees it. Client libraries know the refusal by gRPC's own words, and
/// turn it into something that ends (api 0.1).
fn as_grpc_says_it(response: Response<Body>) -> Response<Body> {
    let Some(size) = response.extensions().get::<Status>().and_then(refused_size) else { return response };
    let message = format!("grpc: received message larger than max ({size} vs. {MAX_REQUEST})");
    Status::resource_exhausted(message).into_http()
}

/// Size of the message that was refused, if it was for its size. That of a compressed one is not known: its unpacking was
/// broken off.
fn refused_size(status: &Status) -> Option<String> {
    match status.code() {
        Code::OutOfRange => {
            let (_, rest) = status.message().split_once("message length too large: found ")?;
            rest.split(' ').next().map(str::to_owned)
        }
        Code::ResourceExhausted if status.message().starts_with("Error decompressing: size limit") => {
            Some(format!("{MAX_REQUEST}+"))
        }
        _ => None,
    }
}

/// Largest request.
const MAX_REQUEST: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;
    use prost::Message;
    use proto::temporal::api::workflowservice::v1::{
        GetSystemInfoRequest, GetSystemInfoResponse, ListNamespacesRequest,
    };
    use tonic::transport::Channel;

    use super::*;
    use crate::fake::{World, serve};

    #[tokio::test]
    async fn a_method_is_answered_or_refused_by_name() {
        let channel = serve(World::alone(|request, _| panic!("{request:?}")).service());
        let answer = call(&channel, "GetSystemInfo", GetSystemInfoRequest {}.encode_to_vec()).await.unwrap();
        assert_eq!(GetSystemInfoResponse::decode(answer).unwrap().server_version, "1.32.0");
        for method in ["UpdateWorkflowExecution", "RecordWorkerHeartbeat", "Nope"] {
            let refused = call(&channel, method, Vec::new()).await.unwrap_err();
            let expected = format!("{method} is not implemented");
            assert_eq!((refused.code(), refused.message()), (Code::Unimplemented, expected.as_str()));
        }
    }

    #[tokio::test]
    async fn a_request_that_is_too_large_is_refused_in_words_that_libraries_know() {
        let channel = serve(World::alone(|request, _| panic!("{request:?}")).service());
        let large = ListNamespacesRequest { next_page_token: vec![0; MAX_REQUEST].into(), ..Default::default() };
        let check = async |compress: Option<CompressionEncoding>, size: &str| {
            let mut client = tonic::client::Grpc::new(channel.clone());
            if let Some(encoding) = compress {
                client = client.send_compressed(encoding);
            }
            let refused = send(client, "ListNamespaces", large.encode_to_vec()).await.unwrap_err();
            let expected = format!("grpc: received message larger than max ({size} vs. 4194304)");
            assert_eq!((refused.code(), refused.message()), (Code::ResourceExhausted, expected.as_str()));
        };
        check(None, "4194309").await;
        check(Some(CompressionEncoding::Gzip), "4194304+").await;
    }

    #[tokio::test]
    async fn another_service_has_only_its_built_methods() {
        let service = World::alone(|request, _| panic!("{request:?}")).service();
        let channel = serve(Built::new(service, &["GetSystemInfo"]));
        assert!(call(&channel, "GetSystemInfo", Vec::new()).await.is_ok());
        let refused = call(&channel, "GetClusterInfo", Vec::new()).await.unwrap_err();
        assert_eq!(refused.message(), "GetClusterInfo is not implemented");
    }

    async fn call(channel: &Channel, method: &str, request: Vec<u8>) -> Result<Bytes, Status> {
        let client = tonic::client::Grpc::new(channel.clone())
            .send_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Gzip);
        send(client, method, request).await
    }

    async fn send(mut client: tonic::client::Grpc<Channel>, method: &str, request: Vec<u8>) -> Result<Bytes, Status> {
        client.ready().await.unwrap();
        let path = PathAndQuery::try_from(format!("/{NAME}/{method}")).unwrap();
        client.unary(tonic::Request::new(Bytes::from(request)), path, BytesCodec).await.map(tonic::Response::into_inner)
    }
}
