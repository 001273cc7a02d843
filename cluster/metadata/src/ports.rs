//! What this crate wants from the world.

use std::{future::Future, pin::Pin, sync::Arc};

use replicator::time::Timestamp;
use store::{Spawner, Store};
use tonic::transport::Channel;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Gives a channel to the address that an operator gave, and to no other. It connects when it is first used.
pub type Dial = Arc<dyn Fn(&str) -> Channel + Send + Sync>;

/// Tells the other hosts of this cluster that something here is not as they know it, and waits until they do, or cannot be
/// told for now.
pub type Tell = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Everything that comes in from outside.
#[derive(Clone)]
pub struct Ports {
    /// The memory of this cluster.
    pub store: Arc<dyn Store>,
    /// Its clock.
    pub clock: Clock,
    /// Runs what goes on in the background.
    pub spawn: Spawner,
    /// Reaches peers.
    pub dial: Dial,
    /// Seeds the ids of new namespaces; different at every start.
    pub seed: u64,
    /// Tells the other hosts; nothing when there are none.
    pub tell: Option<Tell>,
}

impl Ports {
    /// Something has changed and is durable.
    pub(crate) async fn tell(&self) {
        if let Some(tell) = &self.tell {
            tell().await;
        }
    }
}
