//! What this crate wants from the world.

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc};

use replicator::time::Timestamp;
use store::{Answer, MemberRecord, Spawner, Store, Unavailable};
use tokio::net::UdpSocket;
use uuid::Uuid;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Everything that comes in from outside.
#[derive(Clone)]
pub struct Ports {
    /// Where hosts find each other.
    pub rows: Arc<dyn Rows>,
    /// The clock.
    pub clock: Clock,
    /// Runs what goes on in the background.
    pub spawn: Spawner,
    /// Different at every start.
    pub seed: u64,
    /// Carries gossip.
    pub socket: Arc<dyn Socket>,
}

/// The rows that the hosts of a cluster write of themselves; the part of a store that is wanted here.
pub trait Rows: Send + Sync + 'static {
    /// See [`Store::members`].
    fn members(&self) -> Answer<'_, Result<Vec<MemberRecord>, Unavailable>>;

    /// See [`Store::put_member`].
    fn put_member(&self, member: MemberRecord) -> Answer<'_, Result<(), Unavailable>>;

    /// See [`Store::remove_members`].
    fn remove_members(&self, ids: Vec<Uuid>) -> Answer<'_, Result<(), Unavailable>>;
}

impl Rows for Arc<dyn Store> {
    fn members(&self) -> Answer<'_, Result<Vec<MemberRecord>, Unavailable>> {
        Store::members(&**self)
    }

    fn put_member(&self, member: MemberRecord) -> Answer<'_, Result<(), Unavailable>> {
        Store::put_member(&**self, member)
    }

    fn remove_members(&self, ids: Vec<Uuid>) -> Answer<'_, Result<(), Unavailable>> {
        Store::remove_members(&**self, ids)
    }
}

/// Carries datagrams. It may lose them, double them and change their order.
pub trait Socket: Send + Sync + 'static {
    /// Send one, or do not.
    fn send(&self, to: SocketAddr, datagram: &[u8]);

    /// Wait for one. What of it does not fit is cut off.
    fn receive<'a>(&'a self, into: &'a mut [u8]) -> Received<'a>;
}

/// The length of a datagram that came.
pub type Received<'a> = Pin<Box<dyn Future<Output = io::Result<usize>> + Send + 'a>>;

impl Socket for UdpSocket {
    fn send(&self, to: SocketAddr, datagram: &[u8]) {
        // One that cannot be sent now is lost, as one that the network loses.
        let _ = self.try_send_to(datagram, to);
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> Received<'a> {
        Box::pin(async { self.recv_from(into).await.map(|(length, _)| length) })
    }
}
