//! Streams of peers, passed on as they come.
//!
//! A peer dials a frontend; the shard may be on another host. Then the stream is joined to that host's, byte for byte, and
//! ends when either does, or when the host is gone. The peer dials again.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hosts::{Hosts, Owner};
use http::{Request, Response};
use hyper::body::{Bytes, Frame, SizeHint};
use replicator::ids::ShardId;
use tokio::time::sleep;
use tonic::{Status, body::Body, codegen::Service, server::NamedService};
use tower::ServiceExt as _;

/// A service whose streams are answered by the host that has their shard.
#[derive(Clone)]
pub(crate) struct PassedOn<S> {
    pub(crate) here: S,
    pub(crate) hosts: Option<Hosts>,
}

impl<S: NamedService> NamedService for PassedOn<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for PassedOn<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.here.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shard = self.hosts.as_ref().and_then(|_| shard(&request));
        let (Some(hosts), Some(shard)) = (self.hosts.clone(), shard) else { return Box::pin(self.here.call(request)) };
        let mut here = self.here.clone();
        Box::pin(async move {
            let give_up = sleep(PATIENCE);
            tokio::pin!(give_up);
            loop {
                match hosts.of_shard(shard) {
                    Owner::Here => return here.call(request).await,
                    Owner::There(host) => {
                        let gone = {
                            let host = host.clone();
                            async move { host.gone().await }
                        };
                        return Ok(match host.channel().oneshot(request).await {
                            Ok(response) => response.map(|body| Body::new(Joined { body, gone: Box::pin(gone) })),
                            Err(error) => {
                                tracing::debug!(host = host.member().address, %error, "a stream cannot be passed on");
                                unavailable(shard)
                            }
                        });
                    }
                    Owner::Nobody => {}
                }
                tokio::select! {
                    biased;
                    () = &mut give_up => return Ok(unavailable(shard)),
                    () = sleep(PAUSE) => {}
                }
            }
        })
    }
}

fn unavailable(shard: ShardId) -> Response<Body> {
    Status::unavailable(format!("shard {shard} is on its way to another host")).into_http()
}

/// The shard of a stream, if that is what is asked for.
fn shard(request: &Request<Body>) -> Option<ShardId> {
    if !request.uri().path().ends_with(METHOD) {
        return None;
    }
    request.headers().get(SHARD)?.to_str().ok()?.parse().ok().map(ShardId)
}

/// What another host sends, for as long as it lives.
struct Joined {
    body: Body,
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl hyper::body::Body for Joined {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.gone.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Status::unavailable("the host of the shard is gone"))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The one method that is a stream.
const METHOD: &str = "/StreamWorkflowReplicationMessages";

/// The header that says which shard is read (ST-2).
const SHARD: &str = "temporal-server-shard-id";

/// Before it is looked up once more where a shard is.
const PAUSE: Duration = Duration::from_millis(50);

/// A peer that waited so long dials again.
const PATIENCE: Duration = Duration::from_secs(5);
