//! A socket on which only those are heard who have the key of gossip.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    ports::{Received, Socket},
    seal::{OVERHEAD, Seals},
};

/// It.
pub struct Sealed {
    socket: Arc<dyn Socket>,
    seals: Mutex<Seals>,
    unheard: Mutex<Unheard>,
}

/// Datagrams that nobody with a key made.
#[derive(Default)]
struct Unheard {
    count: u64,
    said: Option<Instant>,
}

impl Sealed {
    /// Seal what goes over a socket.
    #[must_use]
    pub fn new(socket: Arc<dyn Socket>, seals: Seals) -> Self {
        Self { socket, seals: Mutex::new(seals), unheard: Mutex::default() }
    }

    fn seals(&self) -> MutexGuard<'_, Seals> {
        self.seals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self) {
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        unheard.count += 1;
        if unheard.said.is_none_or(|said| QUIET <= said.elapsed()) {
            unheard.said = Some(Instant::now());
            let count = unheard.count;
            tracing::warn!(count, "gossip is not heard that nobody made who has the key, or that was heard before");
        }
    }
}

impl Socket for Sealed {
    fn send(&self, to: SocketAddr, datagram: &[u8]) {
        let sealed = self.seals().seal(to, datagram);
        self.socket.send(to, &sealed);
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> Received<'a> {
        Box::pin(async move {
            let mut buffer = vec![0; into.len() + OVERHEAD];
            loop {
                let length = self.socket.receive(&mut buffer).await?;
                let opened = self.seals().open(&buffer[..length]).map(|body| {
                    into[..body.len()].copy_from_slice(body);
                    body.len()
                });
                match opened {
                    Some(length) => return Ok(length),
                    None => self.note(),
                }
            }
        })
    }
}

/// Between two lines about what is not heard.
const QUIET: Duration = Duration::from_secs(10);
