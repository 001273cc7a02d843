//! Everything that a cluster wants from the world, and the one place where the world is real.
//!
//! A cluster that takes time, chance, tasks and channels from here can live in a world that is not real: a simulator
//! gives it another clock and another network, and kills a host by dropping its tasks. So nothing else in this crate
//! reads a clock, draws chance, spawns a task or dials; the lints say so (`clippy.toml`).

#![allow(clippy::disallowed_methods, reason = "this is the place")]

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    io,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use frontend::Limits;
use hyper_util::rt::TokioIo;
use membership::Socket;
use replicator::{time::Timestamp, workflow::limits};
use tls::{Client, Quiet, TlsStream, reason};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Error, Uri};
use tower::{Service, service_fn};
use tracing::{Instrument, Span, warn};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What runs in the background.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs something in the background.
pub type Spawner = Arc<dyn Fn(Task) + Send + Sync>;

/// Opens a channel to `host:port`. It connects when it is used, and again when it must.
pub type Connector = Arc<dyn Fn(&str) -> Channel + Send + Sync>;

/// What comes in at the start of a cluster.
#[derive(Clone)]
pub struct Ports {
    /// The clock.
    pub now: Clock,
    /// Where chance begins; no two lives of a cluster may have the same.
    pub seed: u64,
    /// Runs its tasks.
    pub spawn: Spawner,
    /// Reaches its peers.
    pub connect: Connector,
    /// Reaches the other processes of the cluster.
    pub inside: Connector,
    /// How many calls are answered, now.
    pub limits: Limits,
    /// How large runs may grow, at first.
    pub run_limits: limits::Limits,
    /// What operators call this machine.
    pub host: String,
    /// Carries gossip with the other processes of the cluster; `None`: there are none.
    pub gossip: Option<Arc<dyn Socket>>,
}

impl Ports {
    /// The real world. What the cluster's tasks log is marked with `span`.
    #[must_use]
    pub fn real(span: Span) -> Self {
        Self {
            now: Arc::new(wall_clock),
            seed: RandomState::new().hash_one(wall_clock().0),
            spawn: Arc::new(move |task| drop(tokio::spawn(task.instrument(span.clone())))),
            connect: secured(|_| None),
            inside: secured(|_| None),
            limits: Arc::new(|_, _| None),
            run_limits: limits::Limits::default(),
            host: host(),
            gossip: None,
        }
    }
}

/// The name of this machine, as its system has it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// The time.
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::ZERO + since
}

/// Dials by TLS wherever there is somebody who calls so.
pub(crate) fn secured(caller: impl Fn(&str) -> Option<Client> + Send + Sync + 'static) -> Connector {
    let quiet = Arc::new(Quiet::default());
    Arc::new(move |address| match (endpoint(address), caller(address)) {
        (Ok(endpoint), None) => endpoint.connect_lazy(),
        (Ok(endpoint), Some(client)) => {
            let way = Way { client, address: address.to_owned(), quiet: Some(quiet.clone()) };
            way.origin(endpoint).connect_with_connector_lazy(way.dial())
        }
        // The address was checked when it was given; one that is no address is one where nobody answers.
        (Err(_), _) => Endpoint::from_static("http://invalid.invalid:1").connect_lazy(),
    })
}

/// A way by TLS.
#[derive(Clone)]
struct Way {
    client: Client,
    /// Who is called.
    address: String,
    /// Says what goes wrong; nobody: whoever dials is told anyway.
    quiet: Option<Arc<Quiet>>,
}

impl Way {
    /// Calls say that they go by TLS.
    fn origin(&self, endpoint: Endpoint) -> Endpoint {
        match format!("https://{}", self.address).parse() {
            Ok(origin) => endpoint.origin(origin),
            Err(_) => endpoint,
        }
    }

    fn dial(
        &self,
    ) -> impl Service<Uri, Response = TokioIo<TlsStream<TcpStream>>, Error = io::Error, Future: Send> + Send + use<>
    {
        let way = self.clone();
        service_fn(move |uri: Uri| {
            let way = way.clone();
            async move { way.connect(&uri).await.map(TokioIo::new) }
        })
    }

    async fn connect(&self, uri: &Uri) -> io::Result<TlsStream<TcpStream>> {
        let host = uri.host().unwrap_or_default();
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(443))).await?;
        stream.set_nodelay(true)?;
        self.client.connect(host, stream).await.map_err(|error| {
            let reason = reason(&error);
            if let Some(withheld) = self.quiet.as_ref().and_then(|quiet| quiet.may_say(reason.as_str())) {
                warn!(address = self.address, %reason, withheld, "no connection: the other side is refused, or refuses");
            }
            io::Error::other(reason.to_string())
        })
    }
}

/// How `host:port` is dialled.
///
/// # Errors
///
/// When it is no address.
pub fn endpoint(address: &str) -> Result<Endpoint, Error> {
    let parts = Uri::builder().scheme("http").authority(address).path_and_query("/").build();
    let endpoint = Endpoint::from_shared(parts.map(|uri| uri.to_string()).unwrap_or_default())?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .keep_alive_while_idle(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE))
}

/// Connect, for whoever wants to know at once whether somebody answers.
pub(crate) async fn connect_now(endpoint: Endpoint, address: &str, by: Option<Client>) -> Result<Channel, Error> {
    match by {
        None => endpoint.connect().await,
        Some(client) => {
            let way = Way { client, address: address.to_owned(), quiet: None };
            way.origin(endpoint).connect_with_connector(way.dial()).await
        }
    }
}

/// A peer that does not answer within this is down for now.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer that is gone without a word is noticed after twice this. Temporal's frontends refuse pings that come more often
/// than every ten seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
