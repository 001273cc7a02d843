//! Server reflection, built when somebody asks.
//!
//! Nearly nobody asks, and reading the descriptors of every service costs milliseconds and megabytes.

use std::{
    convert::Infallible,
    sync::OnceLock,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{body::Body, codec::CompressionEncoding::Gzip, server::NamedService, service::Routes};
use tonic_reflection::server::Builder;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

/// Both versions of the reflection service, under the name of the one that `V` stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reflection<V>(V);

/// `grpc.reflection.v1`
#[derive(Clone, Copy, Debug)]
pub(crate) struct V1;

/// `grpc.reflection.v1alpha`
#[derive(Clone, Copy, Debug)]
pub(crate) struct V1Alpha;

/// Add both to what a server answers.
pub(crate) fn add_to(routes: Routes) -> Routes {
    routes.add_service(Reflection(V1)).add_service(Reflection(V1Alpha))
}

impl NamedService for Reflection<V1> {
    const NAME: &'static str = "grpc.reflection.v1.ServerReflection";
}

impl NamedService for Reflection<V1Alpha> {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}

type Built = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let builder = || {
            Builder::configure()
                .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let mut routes = Routes::default();
        if let Ok(service) = builder().build_v1() {
            routes = routes.add_service(service.accept_compressed(Gzip).send_compressed(Gzip));
        }
        if let Ok(service) = builder().build_v1alpha() {
            routes = routes.add_service(service.accept_compressed(Gzip).send_compressed(Gzip));
        }
        BoxCloneSyncService::new(routes.prepare())
    })
}

impl<V> Service<Request<Body>> for Reflection<V> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(built().clone().oneshot(request))
    }
}
