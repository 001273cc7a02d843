//! Calls followed from host to host, and told to whoever collects traces by OTLP (feature `otel`).
//!
//! A span for each call that comes to a host, one below it for the way to another host, and one for the write of the store that
//! answers it. They belong together by the W3C trace context: a caller's is taken up, and other hosts are given ours. Where to
//! and under which name is the standard's environment to say (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`,
//! `OTEL_TRACES_SAMPLER` and the others); without an endpoint nobody follows anything.

#![allow(
    clippy::disallowed_methods,
    reason = "whoever collects spans belongs to the process and not to a cluster's world"
)]

use std::{
    env,
    sync::OnceLock,
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use hosts::calls::{self, TARGET};
use http::{HeaderMap, Request, Response};
use opentelemetry::{
    KeyValue,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::TracerProvider as _,
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};
use tls::Caller;
use tonic::{
    metadata::{MetadataKey, MetadataMap},
    service::Routes,
    transport::server::TcpConnectInfo,
};
use tower::{Service, layer::layer_fn};
use tracing::{Instrument, Level, Span, Subscriber, field::Empty, info_span, warn};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

/// Those who collect spans of this process.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Where the environment says that spans go; nowhere if it does not, or switches them off.
#[must_use]
pub fn endpoint() -> Option<String> {
    let said = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let is_off = said("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || said("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| said("OTEL_EXPORTER_OTLP_ENDPOINT")).filter(|_| !is_off)
}

/// Follows calls, and tells their spans to an endpoint such as `http://127.0.0.1:4317` by gRPC. To be called within a runtime,
/// and once a process.
///
/// # Errors
///
/// What is wrong with the endpoint.
pub fn layer<S>(endpoint: &str) -> Result<impl Layer<S> + Send + Sync, String>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|error| error.to_string())?;
    let mut resource = Resource::builder();
    if env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_attribute(KeyValue::new("service.name", "meridian"));
    }
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let tracer = provider.tracer("meridian");
    if PROVIDER.set(provider).is_err() {
        return Err("spans are collected already".into());
    }
    calls::propagate_by(|headers| {
        TraceContextPropagator::new().inject_context(&Span::current().context(), &mut Given(headers))
    });
    let layer: OpenTelemetryLayer<S, SdkTracer> = tracing_opentelemetry::layer().with_tracer(tracer);
    Ok(layer.with_filter(Targets::new().with_target(TARGET, Level::INFO)))
}

/// Tell what was not told yet. Takes a few seconds at most.
pub async fn end() {
    let Some(provider) = PROVIDER.get() else { return };
    match tokio::task::spawn_blocking(|| provider.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "some spans were not told"),
        Err(error) => warn!(%error, "some spans were not told"),
    }
}

/// The same routes, and each call is followed.
pub(crate) fn followed(routes: Routes) -> Routes {
    Routes::from(routes.into_axum_router().layer(layer_fn(|inner| Followed { inner })))
}

/// A service whose calls are followed.
#[derive(Clone)]
struct Followed<S> {
    inner: S,
}

impl<S, B, A> Service<Request<B>> for Followed<S>
where
    S: Service<Request<B>, Response = Response<A>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = span(&request);
        let answer = span.in_scope(|| self.inner.call(request));
        let of_answer = span.clone();
        let told = answer.inspect(move |outcome| {
            if let Ok(response) = outcome {
                // One that went well says so after its answer, where nobody looks.
                let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok()).unwrap_or("0");
                of_answer.record("rpc.grpc.status_code", code);
            }
        });
        told.instrument(span).boxed()
    }
}

/// The span of a call, below the caller's if the call says of one.
fn span<B>(request: &Request<B>) -> Span {
    let (service, method) = request.uri().path().trim_start_matches('/').rsplit_once('/').unwrap_or_default();
    let span = info_span!(
        target: TARGET,
        "call",
        otel.name = method,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = Empty,
        client.address = peer(request),
        temporalNamespace = Empty,
        temporalWorkflowID = Empty,
    );
    let of_caller = TraceContextPropagator::new().extract(&Taken(request.headers()));
    // A span that nobody collects has no parent.
    let _nobody = span.set_parent(of_caller);
    span
}

/// Where the caller is, as far as the connection says.
fn peer<B>(request: &Request<B>) -> Option<String> {
    let plain = || request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    let secured = request.extensions().get::<Caller>().map(|caller| caller.address);
    secured.or_else(plain).map(|address| address.to_string())
}

/// Headers that are read.
struct Taken<'a>(&'a HeaderMap);

impl Extractor for Taken<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|key| key.as_str()).collect()
    }
}

/// Headers that are written.
struct Given<'a>(&'a mut MetadataMap);

impl Injector for Given<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), value.parse()) {
            self.0.insert(key, value);
        }
    }
}
