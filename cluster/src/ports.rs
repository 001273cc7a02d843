//! Everything that a cluster wants from the world, and the one place where the world is real.
//!
//! A cluster that takes time, chance, tasks and channels from here can live in a world that is not real: a simulator
//! gives it another clock and another network, and kills a host by dropping its tasks. So nothing else in this crate
//! reads a clock, draws chance, spawns a task or dials; the lints say so (`clippy.toml`).

#![allow(clippy::disallowed_methods, reason = "this is the place")]

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use membership::Socket;
use replicator::time::Timestamp;
use tonic::transport::{Channel, Endpoint, Error, Uri};
use tracing::{Instrument, Span};

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
            connect: Arc::new(connect_lazily),
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

fn connect_lazily(address: &str) -> Channel {
    match endpoint(address) {
        Ok(endpoint) => endpoint.connect_lazy(),
        // The address was checked when it was given; one that is no address is one where nobody answers.
        Err(_) => Endpoint::from_static("http://invalid.invalid:1").connect_lazy(),
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
pub(crate) async fn connect_now(endpoint: Endpoint) -> Result<Channel, Error> {
    endpoint.connect().await
}

/// A peer that does not answer within this is down for now.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer that is gone without a word is noticed after twice this. Temporal's frontends refuse pings that come more often
/// than every ten seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
