//! Clusters of one process: sockets, a beginning, and an end.
//!
//! The end, when the system asks for it: health fails, what the process has goes to the other processes of the cluster, polls
//! are answered with nothing and streams to peers end, nothing new is accepted, what is being answered is answered, and what
//! is being written is written.

use std::{future::ready, io, sync::Arc, time::Duration};

use config::Config;
use futures_util::{FutureExt, Stream, future::join_all};
use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    select,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::server::{Connected, Server, TcpIncoming},
};
use tracing::{Instrument, Span, info, info_span, warn};

use crate::{
    cluster::Cluster,
    dev,
    dynamic::DynamicConfig,
    failed::Failed,
    http::{self as pages, Pages, TEXT},
    listen::Listeners,
    ports::Ports,
    security::{self, Security},
    signals::Signals,
};

/// Run one cluster until the system asks the process to stop.
///
/// # Errors
///
/// [`Failed`] when it cannot start.
pub async fn run(config: Config, listeners: Listeners) -> Result<(), Failed> {
    let mut signals = Signals::listen();
    let member = select! {
        member = Member::start(config, listeners) => member?,
        () = signals.stop_requested() => return Ok(()),
    };
    member.span.in_scope(|| info!("started"));
    signals.stop_requested().await;
    stop(vec![member]).await;
    #[cfg(feature = "otel")]
    crate::telemetry::end().await;
    Ok(())
}

/// Run clusters that are connected to each other until the system asks the process to stop. When they are, and the
/// namespace [`dev::NAMESPACE`] is there, tell where that is active.
///
/// # Errors
///
/// [`Failed`] when one of them cannot start, or they cannot be connected.
pub async fn run_connected(members: Vec<(Config, Listeners)>, started: impl FnOnce(String)) -> Result<(), Failed> {
    // Whoever is told that they run may ask them to stop at once.
    let mut signals = Signals::listen();
    let (running, active) = select! {
        running = start_connected(members) => running?,
        () = signals.stop_requested() => return Ok(()),
    };
    started(active);
    signals.stop_requested().await;
    stop(running).await;
    #[cfg(feature = "otel")]
    crate::telemetry::end().await;
    Ok(())
}

/// Start clusters and connect them; answers also where the namespace is active.
async fn start_connected(members: Vec<(Config, Listeners)>) -> Result<(Vec<Member>, String), Failed> {
    let mut running = Vec::new();
    for (config, listeners) in members {
        running.push(Member::start(config, listeners).await?);
    }
    connect(&running).await?;
    let active = provide_namespace(&running).await?;
    Ok((running, active))
}

/// Stop all of them, side by side. None is gone while another still speaks to it.
async fn stop(members: Vec<Member>) {
    join_all(members.iter().map(Member::drain)).await;
    join_all(members.iter().map(Member::finish)).await;
}

/// Tell every cluster of every other.
async fn connect(members: &[Member]) -> Result<(), Failed> {
    for here in members {
        for there in members {
            let (name, peer) = (here.cluster.name(), there.cluster.name());
            if name != peer {
                let joined = here.cluster.join(&there.address).await;
                joined.map_err(|status| Failed(format!("cannot connect {name} to {peer}: {}", status.message())))?;
            }
        }
    }
    Ok(())
}

/// See that the namespace is there and in every cluster; answers where it is active. Nothing is changed that was
/// decided before: a database remembers.
async fn provide_namespace(members: &[Member]) -> Result<String, Failed> {
    let clusters = members.iter().map(|member| member.cluster.name().to_owned()).collect();
    let provided = members[0].cluster.provide_namespace(dev::NAMESPACE, clusters).await;
    let failed = |why: &str| Failed(format!("cannot provide namespace {}: {why}", dev::NAMESPACE));
    let active = provided.map_err(|status| failed(status.message()))?;
    for member in members {
        let (name, cluster) = (member.cluster.name(), &member.cluster);
        if timeout(PEERS_MEET, cluster.namespace_appeared(dev::NAMESPACE)).await.is_err() {
            return Err(failed(&format!("it does not reach cluster {name}")));
        }
    }
    Ok(active)
}

/// A cluster and what answers on its sockets.
struct Member {
    cluster: Arc<Cluster>,
    /// Where its gRPC is.
    address: String,
    /// Nothing new is accepted.
    closing: CancellationToken,
    /// Everything that was accepted is answered.
    closed: CancellationToken,
    span: Span,
}

impl Member {
    async fn start(config: Config, listeners: Listeners) -> Result<Self, Failed> {
        let span = info_span!("cluster", cluster = config.cluster.name);
        let address = config.frontend.grpc.to_string();
        let security = Security::begin(&config)?;
        let dynamic = span.in_scope(|| DynamicConfig::begin(&config))?;
        let mut ports = Ports::real(span.clone());
        (ports.limits, ports.run_limits) = (dynamic.limits(), dynamic.run_limits());
        (ports.connect, ports.inside) = (security.to_peers(), security.to_hosts());
        let gossip = listeners.gossip.zip(config.host);
        ports.gossip = gossip.map(|(socket, host)| security.gossip(socket, host.gossip_address(), ports.seed));
        let cluster = Cluster::start(&config, ports.clone()).instrument(span.clone()).await;
        let cluster = Arc::new(
            cluster.map_err(|error| Failed(format!("cannot start cluster {}: {error}", config.cluster.name)))?,
        );
        let (closing, closed) = (CancellationToken::new(), CancellationToken::new());
        let watched = [(listeners.http, health_pages(&cluster)), (listeners.metrics, metrics_pages(&cluster))];
        for (listener, pages) in watched {
            if let Some(listener) = listener {
                let stop = closed.clone().cancelled_owned();
                (ports.spawn)(Box::pin(pages::serve(listener, pages, ports.spawn.clone(), stop)));
            }
        }
        span.in_scope(|| security.watch(&ports, cluster.counters()));
        dynamic.watch(&ports.spawn, cluster.counters(), cluster.history(), cluster.matching());
        let sockets = [
            (listeners.grpc, cluster.routes(), security.frontend, "frontend"),
            (listeners.internal, cluster.internal_routes(), security.inside, "internode"),
        ];
        let answers = sockets.into_iter().filter_map(|(listener, routes, server, port)| {
            let (listener, closing, marked) = (listener?, closing.clone(), span.clone());
            Some(match server {
                None => {
                    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                    answer(routes, incoming, closing, marked).left_future()
                }
                Some(server) => {
                    let spawn = ports.spawn.clone();
                    let incoming = security::accept(listener, server, port, spawn, cluster.counters(), span.clone());
                    answer(routes, incoming, closing, marked).right_future()
                }
            })
        });
        let (all, done) = (join_all(answers.collect::<Vec<_>>()), closed.clone());
        (ports.spawn)(Box::pin(async move {
            all.await;
            done.cancel();
        }));
        Ok(Self { cluster, address, closing, closed, span })
    }

    async fn drain(&self) {
        self.span.in_scope(|| info!("stopping"));
        self.cluster.drain().await;
    }

    async fn finish(&self) {
        self.closing.cancel();
        if timeout(GRACE, self.closed.cancelled()).await.is_err() {
            self.span.in_scope(|| warn!("some calls were not answered in time"));
        }
        self.cluster.stop().await;
    }
}

/// Answer gRPC until `closing`, then what is left. What calls log is marked with `span`.
async fn answer<S>(routes: Routes, incoming: impl Stream<Item = io::Result<S>>, closing: CancellationToken, span: Span)
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let server = Server::builder()
        .trace_fn(move |_| span.clone())
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_adaptive_window(Some(true))
        .add_routes(routes);
    if let Err(error) = server.serve_with_incoming_shutdown(incoming, closing.cancelled_owned()).await {
        warn!(%error, "gRPC is not answered any more");
    }
}

fn health_pages(cluster: &Arc<Cluster>) -> Pages {
    let cluster = Arc::clone(cluster);
    Arc::new(move |path| {
        let (is_well, trouble) = match path {
            "/healthz" => (cluster.is_serving(), "stopping\n"),
            "/readyz" => (cluster.is_ready(), "draining\n"),
            _ => return None,
        };
        let page = match is_well {
            true => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            false => (StatusCode::SERVICE_UNAVAILABLE, TEXT, trouble.to_owned()),
        };
        Some(ready(page).boxed())
    })
}

fn metrics_pages(cluster: &Arc<Cluster>) -> Pages {
    let cluster = Arc::clone(cluster);
    Arc::new(move |path| {
        let cluster = Arc::clone(&cluster);
        let page = async move { (StatusCode::OK, "text/plain; version=0.0.4", cluster.metrics().await) };
        (path == "/metrics").then(|| page.boxed())
    })
}

/// How long what was accepted may take once we are asked to stop.
const GRACE: Duration = Duration::from_secs(2);
const _: () = assert!(frontend::LAST_WORD.as_millis() < GRACE.as_millis(), "polls are cut off before they end");

/// Clusters of one process that have not met within this do not meet at all. It takes them milliseconds.
const PEERS_MEET: Duration = Duration::from_secs(20);

/// A client that is gone without a word is noticed after twice this.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
