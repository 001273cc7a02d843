//! Gossip between the hosts of a cluster: datagrams, which come late, in any order, or not at all.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use membership::{Received, Socket};
use tokio::{
    sync::{Mutex, mpsc},
    time::sleep_until,
};

use crate::{
    host::Background,
    network::{Network, Site},
};

/// Where a host sends and hears them.
pub(crate) struct Datagrams {
    network: Network,
    site: Site,
    /// Carries those that are on their way from here. They end with the host, which is as good as lost.
    background: Background,
    heard: Mutex<mpsc::UnboundedReceiver<Bytes>>,
}

impl Datagrams {
    /// From now on those for this address come here.
    pub(crate) fn open(network: &Network, site: Site, address: SocketAddr, background: &Background) -> Self {
        let (inbox, heard) = mpsc::unbounded_channel();
        // A host that is gone hears nothing.
        network.take_datagrams(site, address, Arc::new(move |datagram| _ = inbox.send(datagram)));
        Self { network: network.clone(), site, background: background.clone(), heard: Mutex::new(heard) }
    }
}

impl Socket for Datagrams {
    fn send(&self, to: SocketAddr, datagram: &[u8]) {
        let Some((inbox, arrives)) = self.network.send(self.site, to, datagram) else { return };
        let datagram = Bytes::copy_from_slice(datagram);
        self.background.spawn(async move {
            sleep_until(arrives).await;
            inbox(datagram);
        });
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> Received<'a> {
        Box::pin(async move {
            let heard = self.heard.lock().await.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            let length = heard.len().min(into.len());
            into[..length].copy_from_slice(&heard[..length]);
            Ok(length)
        })
    }
}
