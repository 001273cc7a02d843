//! One direction of a connection: bytes that were written and have not arrived.

use std::{
    collections::VecDeque,
    future::Future as _,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// Says when bytes that are written now arrive.
pub(crate) type Way = Arc<dyn Fn(&[u8]) -> Instant + Send + Sync>;

/// One direction. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What is on its way, and when it is there; nothing is the end.
    underway: VecDeque<(Instant, Bytes)>,
    /// The connection is gone, and everything on its way with it.
    is_cut: bool,
    /// Nobody reads any more.
    is_deaf: bool,
    reader: Option<Waker>,
}

impl Wire {
    /// The connection is gone: both ends are told.
    pub(crate) fn cut(&self) {
        let mut state = self.lock();
        state.is_cut = true;
        state.underway.clear();
        state.wake();
    }

    /// Put bytes on their way; none is the end.
    fn send(&self, bytes: Bytes, arrives: Instant) -> io::Result<()> {
        let mut state = self.lock();
        if state.is_cut || state.is_deaf {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        // Nothing overtakes what was sent before.
        let arrives = state.underway.back().map_or(arrives, |(before, _)| arrives.max(*before));
        state.underway.push_back((arrives, bytes));
        state.wake();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// One end of a connection.
pub(crate) struct Stream {
    incoming: Wire,
    outgoing: Wire,
    way: Way,
    /// Until what is on its way arrives.
    arrival: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    pub(crate) fn new(incoming: Wire, outgoing: Wire, way: Way) -> Self {
        Self { incoming, outgoing, way, arrival: None }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let arrives = {
                let mut state = this.incoming.lock();
                if state.is_cut {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                match state.underway.front_mut() {
                    Some((arrives, bytes)) if *arrives <= Instant::now() => {
                        // The end stays where it is, however often it is read.
                        if !bytes.is_empty() {
                            let part = bytes.split_to(bytes.len().min(into.remaining()));
                            into.put_slice(&part);
                            if bytes.is_empty() {
                                state.underway.pop_front();
                            }
                        }
                        return Poll::Ready(Ok(()));
                    }
                    Some((arrives, _)) => *arrives,
                    None => {
                        state.reader = Some(context.waker().clone());
                        return Poll::Pending;
                    }
                }
            };
            this.incoming.lock().reader = Some(context.waker().clone());
            let arrival = this.arrival.get_or_insert_with(|| Box::pin(sleep_until(arrives)));
            if arrival.deadline() != arrives {
                arrival.as_mut().reset(arrives);
            }
            if arrival.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.arrival = None;
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let arrives = (self.way)(bytes);
        Poll::Ready(self.outgoing.send(Bytes::copy_from_slice(bytes), arrives).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let arrives = (self.way)(&[]);
        // Whoever is gone already need not be told.
        let _ = self.outgoing.send(Bytes::new(), arrives);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let arrives = (self.way)(&[]);
        let _ = self.outgoing.send(Bytes::new(), arrives);
        self.incoming.lock().is_deaf = true;
    }
}
