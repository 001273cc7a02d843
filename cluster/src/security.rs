//! By which certificates a cluster is known and which ones it accepts, for as long as it runs.

use std::{collections::BTreeMap, fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use config::{Config, Problem, TlsChecks};
use futures_util::{Stream, StreamExt};
use membership::{GossipKeys, Sealed, Seals, Socket};
use replicator::entropy::Entropy;
use tls::{Client, Clients, Handshakes, Live, Names, Quiet, Reason, Refreshed, Secured, Server};
use tokio::{
    net::{TcpListener, UdpSocket},
    time::sleep,
};
use tonic::{Request, Status, service::Interceptor};
use tracing::{Span, error, info, warn};

use crate::{
    failed::Failed,
    metrics::Metrics,
    ports::{self, Clock, Connector, Ports, Spawner},
};

/// Certificates of one process. Clones share them.
#[derive(Clone)]
pub(crate) struct Security {
    /// Who answers at the public port; nobody: it has no TLS.
    pub(crate) frontend: Option<Server>,
    /// Who answers other processes of the cluster.
    pub(crate) inside: Option<Server>,
    caller_inside: Option<Client>,
    peers: Clients,
    checks: TlsChecks,
    gossip: Option<GossipKeys>,
}

impl Security {
    /// Read everything that a configuration names.
    ///
    /// # Errors
    ///
    /// Every mistake, by its key.
    pub(crate) fn load(config: &Config) -> Result<Self, Vec<Problem>> {
        let tls = &config.tls;
        let mut problems = Vec::new();
        let frontend = noted(tls.frontend.as_ref().map(Server::load), &mut problems);
        let inside = noted(tls.internode.as_ref().map(|inside| Server::load(&inside.server)), &mut problems);
        let caller_inside = noted(tls.internode.as_ref().map(|inside| Client::load(&inside.client)), &mut problems);
        let peers = noted(Some(Clients::load(&tls.remote_clusters)), &mut problems).unwrap_or_default();
        let gossip = noted(config.gossip_keys.as_deref().map(gossip_keys), &mut problems);
        match problems.is_empty() {
            true => Ok(Self { frontend, inside, caller_inside, peers, checks: tls.checks, gossip }),
            false => Err(problems),
        }
    }

    /// The same, for a process that is about to start.
    pub(crate) fn begin(config: &Config) -> Result<Self, Failed> {
        Self::load(config).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
            Failed(format!("the certificates of cluster {} are refused{}", config.cluster.name, lines.concat()))
        })
    }

    /// The ways to other clusters.
    pub(crate) fn to_peers(&self) -> Connector {
        ports::secured({
            let peers = self.peers.clone();
            move |address| peers.to(address).cloned()
        })
    }

    /// The ways to other processes of the cluster.
    pub(crate) fn to_hosts(&self) -> Connector {
        let caller = self.caller_inside.clone();
        ports::secured(move |_| caller.clone())
    }

    /// Gossip of the process at `me`, over a socket; with a key, where there is one.
    pub(crate) fn gossip(&self, socket: UdpSocket, me: SocketAddr, seed: u64) -> Arc<dyn Socket> {
        let socket = Arc::new(socket);
        match &self.gossip {
            None => socket,
            Some(keys) => {
                let life = Entropy::new(seed ^ SEED).next_u64();
                Arc::new(Sealed::new(socket, Seals::new(keys.clone(), me, life)))
            }
        }
    }

    /// Look at the files from now on, and say when certificates end.
    pub(crate) fn watch(&self, ports: &Ports, metrics: &Metrics) {
        let (mut all, Self { frontend, inside, caller_inside, .. }) = (Vec::<Box<dyn Live>>::new(), self.clone());
        all.extend(frontend.into_iter().chain(inside).map(|server| Box::new(server) as Box<dyn Live>));
        all.extend(caller_inside.into_iter().map(|client| Box::new(client) as Box<dyn Live>));
        all.extend(self.peers.all().map(|client| Box::new(client.clone()) as Box<dyn Live>));
        if all.is_empty() {
            return;
        }
        let (clock, metrics, checks) = (ports.now.clone(), metrics.clone(), self.checks);
        (ports.spawn)(Box::pin(async move { Watch { all, clock, metrics, checks }.run().await }));
    }
}

fn gossip_keys(path: &Path) -> Result<GossipKeys, Vec<Problem>> {
    let problem = |text: String| vec![Problem { path: "global.membership.gossipKeyFile".to_owned(), text }];
    let text = fs::read_to_string(path).map_err(|error| problem(format!("{}: {error}", path.display())))?;
    GossipKeys::parse(&text).map_err(|error| problem(format!("{} {error}", path.display())))
}

fn noted<T>(loaded: Option<Result<T, Vec<Problem>>>, problems: &mut Vec<Problem>) -> Option<T> {
    match loaded? {
        Ok(loaded) => Some(loaded),
        Err(more) => {
            // Both ends of one section may be made of the same files.
            problems.extend(more);
            problems.dedup();
            None
        }
    }
}

/// Looks at files again and again.
struct Watch {
    all: Vec<Box<dyn Live>>,
    clock: Clock,
    metrics: Metrics,
    checks: TlsChecks,
}

impl Watch {
    async fn run(self) {
        let mut failing = BTreeMap::<usize, Vec<Problem>>::new();
        let mut unsaid = Duration::ZERO;
        loop {
            self.look_at_ends(unsaid.is_zero());
            sleep(self.checks.refresh).await;
            unsaid += self.checks.refresh;
            if self.checks.interval <= unsaid {
                unsaid = Duration::ZERO;
            }
            for (at, live) in self.all.iter().enumerate() {
                match live.refresh() {
                    Refreshed::Same => _ = failing.remove(&at),
                    Refreshed::New => {
                        failing.remove(&at);
                        unsaid = Duration::ZERO;
                        info!(certificates = paths(live.as_ref()), "new certificates are used for new connections");
                    }
                    Refreshed::Kept(problems) => {
                        self.metrics.families().certificate_refresh_failures.inc();
                        // Said once, and not with every look.
                        if failing.get(&at) != Some(&problems) {
                            for problem in &problems {
                                error!(%problem, "new certificates cannot be used, and the old ones are kept");
                            }
                            failing.insert(at, problems);
                        }
                    }
                }
            }
        }
    }

    /// Measure when certificates end, and say so when it is time.
    fn look_at_ends(&self, is_said: bool) {
        let families = self.metrics.families();
        let now = (self.clock)().0.div_euclid(NANOS);
        let ends: BTreeMap<_, _> =
            self.all.iter().flat_map(|live| live.expiries()).map(|expiry| (expiry.path, expiry.end)).collect();
        let (mut ending, mut ended) = (0, 0);
        for (path, end) in &ends {
            let left = end - now;
            families.certificate_expires_seconds.with_label_values(&[path]).set(left);
            if left <= seconds(self.checks.error_window) {
                ended += 1;
                if is_said {
                    error!(certificate = path, seconds_left = left, "a certificate has expired, or is about to");
                }
            } else if left <= seconds(self.checks.warning_window) {
                ending += 1;
                if is_said {
                    warn!(certificate = path, seconds_left = left, "a certificate expires soon");
                }
            }
        }
        families.certificates_expiring.set(ending);
        families.certificates_expired.set(ended);
    }
}

fn paths(live: &dyn Live) -> String {
    live.expiries().into_iter().map(|expiry| expiry.path).collect::<Vec<_>>().join(", ")
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// Accept callers who shake hands with a server; the others are said and counted.
pub(crate) fn accept(
    listener: TcpListener,
    server: Server,
    port: &'static str,
    spawn: Spawner,
    metrics: &Metrics,
    span: Span,
) -> impl Stream<Item = io::Result<Secured>> + use<> {
    let connections = metrics.families().tls_connections.with_label_values(&[port]);
    let (quiet, metrics) = (Quiet::default(), metrics.clone());
    let refused = Arc::new(move |from: SocketAddr, reason: Reason| {
        metrics.families().tls_handshakes_refused.with_label_values(&[port, reason.as_str()]).inc();
        if let Some(withheld) = quiet.may_say(reason.as_str()) {
            span.in_scope(|| warn!(port, %from, %reason, withheld, "a caller is refused"));
        }
    });
    Handshakes::accept(listener, server, spawn, refused).inspect(move |_| connections.inc())
}

/// Tells [`metadata::Guard`] whose certificate a caller showed.
#[derive(Clone)]
pub(crate) struct Introduced<I>(pub(crate) I);

impl<I: Interceptor> Interceptor for Introduced<I> {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let shown = request.extensions().get::<tls::Caller>().and_then(|caller| caller.names.clone());
        if let Some(names) = shown {
            request.extensions_mut().insert(certificate(names));
        }
        self.0.call(request)
    }
}

fn certificate(names: Names) -> metadata::Certificate {
    metadata::Certificate::new(names.list(), move |cluster| names.is_of_cluster(cluster))
}

/// So that what is drawn here is drawn nowhere else.
const SEED: u64 = 0x676f_7373_6970_6b65;

/// In a second.
const NANOS: i64 = 1_000_000_000;
