//! Connections that come in. Hands are shaken with many at once, and nobody who is slow about it holds the others up.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    select,
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use crate::{Names, Reason, Server, reason};

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// From where.
    pub address: SocketAddr,
    /// The names in the certificate that was shown and believed; nothing when none was shown.
    pub names: Option<Names>,
}

/// A connection on which hands were shaken.
pub struct Secured {
    stream: TlsStream<TcpStream>,
    /// Who calls.
    pub caller: Caller,
}

/// Connections on which hands were shaken, one after the other.
pub struct Handshakes(mpsc::Receiver<Secured>);

/// What runs in the background.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs something in the background.
pub type Spawner = Arc<dyn Fn(Task) + Send + Sync>;

/// Hears of callers who were refused.
pub type Refused = Arc<dyn Fn(SocketAddr, Reason) + Send + Sync>;

impl Handshakes {
    /// Accept connections until this is dropped.
    #[must_use]
    pub fn accept(listener: TcpListener, server: Server, spawn: Spawner, refused: Refused) -> Self {
        let (done, shaken) = mpsc::channel(READY);
        let accepting = Accepting { listener, server, spawn: spawn.clone(), refused, done };
        spawn(Box::pin(accepting.run()));
        Self(shaken)
    }
}

impl Stream for Handshakes {
    type Item = io::Result<Secured>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|secured| secured.map(Ok))
    }
}

struct Accepting {
    listener: TcpListener,
    server: Server,
    spawn: Spawner,
    refused: Refused,
    done: mpsc::Sender<Secured>,
}

impl Accepting {
    async fn run(self) {
        // Those under way, oldest first: they end when their sender is dropped.
        let mut under_way = VecDeque::<oneshot::Sender<()>>::new();
        loop {
            let accepted = select! {
                biased;
                () = self.done.closed() => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, address)) = accepted else {
                // The caller is gone already, or there are too many of them; neither ends the listening.
                sleep(PAUSE).await;
                continue;
            };
            if under_way.len() == MOST {
                under_way.retain(|handshake| !handshake.is_closed());
            }
            if under_way.len() == MOST {
                // Whoever is honest needs milliseconds, so the oldest one is least likely to be.
                under_way.pop_front();
            }
            let (sender, given_up) = oneshot::channel();
            under_way.push_back(sender);
            let (server, refused, done) = (self.server.clone(), self.refused.clone(), self.done.clone());
            (self.spawn)(Box::pin(async move {
                let shaken = select! {
                    biased;
                    shaken = timeout(PATIENCE, shake(stream, &server)) => shaken,
                    _ = given_up => return refused(address, Reason::Crowded),
                };
                match shaken {
                    Ok(Ok(stream)) => {
                        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                        let caller = Caller { address, names: shown.map(Names::of) };
                        // Nobody answers any more.
                        let _ = done.send(Secured { stream, caller }).await;
                    }
                    Ok(Err(error)) => refused(address, reason(&error)),
                    Err(_) => refused(address, Reason::Slow),
                }
            }));
        }
    }
}

async fn shake(stream: TcpStream, server: &Server) -> io::Result<TlsStream<TcpStream>> {
    // Without it answers wait; with a caller that is gone already it fails, and so does all else.
    let _ = stream.set_nodelay(true);
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let face = server.face(start.client_hello().server_name());
    start.into_stream(face).await
}

impl Connected for Secured {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Handshakes under way, at most.
const MOST: usize = 512;

/// Connections that wait to be answered, at most.
const READY: usize = 64;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// After an accept that failed.
const PAUSE: Duration = Duration::from_millis(50);
