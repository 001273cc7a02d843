//! The network: sites that dial each other, and what happens on the way.
//!
//! A connection is two streams of bytes, as TCP gives them: in order, late, never twice. While a link is cut its bytes wait,
//! as they would be sent again, and arrive after it is mended, unless an end gives the connection up before. Datagrams are lost
//! instead.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use cluster::ports::endpoint;
use http::Uri;
use hyper_util::rt::TokioIo;
use simulations::random::{Random, Range};
use tokio::time::{Instant, sleep_until};
use tonic::transport::Channel;
use tower::service_fn;

use crate::{
    host::Background,
    wire::{Stream, Way, Wire},
};

/// A place from where and to where bytes go.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Site {
    /// A host of a cluster.
    Host(usize, usize),
    /// Clients, workers and operators near a cluster.
    People(usize),
}

/// The network. Clones are the same.
#[derive(Clone)]
pub struct Network(Arc<Mutex<State>>);

/// Takes what is dialled.
type Accept = Arc<dyn Fn(Stream) + Send + Sync>;

/// Takes datagrams.
pub(crate) type Inbox = Arc<dyn Fn(Bytes) + Send + Sync>;

struct State {
    random: Random,
    begin: Instant,
    /// How long a byte takes within a region, and between regions.
    near: Range,
    far: Range,
    /// Who answers at an address. Of several hosts each dial reaches one.
    listening: BTreeMap<(String, Site), Accept>,
    inboxes: BTreeMap<SocketAddr, (Site, Inbox)>,
    /// Until when nothing goes from one site to another.
    cut: BTreeMap<(Site, Site), Instant>,
    /// Until when everything between two sites is late, and by how much.
    slow: BTreeMap<(Site, Site), (Instant, Duration)>,
    /// Connections that are not known to be gone.
    open: Vec<Open>,
    trace: Trace,
}

struct Open {
    from: Site,
    to: Site,
    there: Wire,
    back: Wire,
}

/// What went over the network.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Trace {
    /// Of every byte, with its time and its way, in order.
    pub hash: u64,
    /// Bytes.
    pub bytes: u64,
    /// Connections that were opened.
    pub connections: u64,
}

impl Network {
    /// A network without anybody.
    #[must_use]
    pub fn new(random: Random, near: Range, far: Range) -> Self {
        let (listening, inboxes, cut, slow, open) = Default::default();
        let trace = Trace { hash: OFFSET, ..Trace::default() };
        let begin = Instant::now();
        Self(Arc::new(Mutex::new(State { random, begin, near, far, listening, inboxes, cut, slow, open, trace })))
    }

    /// What went over it so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.lock().trace
    }

    /// Answer at an address, beside the other sites that do.
    pub(crate) fn listen(&self, site: Site, address: &str, accept: Accept) {
        self.lock().listening.insert((address.to_owned(), site), accept);
    }

    /// Take the datagrams for an address, instead of whoever did.
    pub(crate) fn take_datagrams(&self, site: Site, address: SocketAddr, inbox: Inbox) {
        self.lock().inboxes.insert(address, (site, inbox));
    }

    /// A datagram leaves a site: where it goes and when it arrives, unless it is lost.
    pub(crate) fn send(&self, from: Site, to: SocketAddr, datagram: &[u8]) -> Option<(Inbox, Instant)> {
        let mut state = self.lock();
        let (site, inbox) = state.inboxes.get(&to).cloned()?;
        let begin = state.begin;
        state.trace.note(begin.elapsed(), from, site, 0, datagram);
        let is_cut = state.cut.get(&(from, site)).is_some_and(|end| Instant::now() < *end);
        if is_cut || state.random.chance(LOST_DATAGRAMS) {
            return None;
        }
        let arrives = state.arrival(from, site);
        Some((inbox, arrives))
    }

    /// Nobody answers at a site any more, and its connections are gone.
    pub(crate) fn go(&self, site: Site) {
        let mut state = self.lock();
        let silent: Vec<_> = state.listening.extract_if(.., |(_, at), _| *at == site).collect();
        let deaf: Vec<_> = state.inboxes.extract_if(.., |_, (at, _)| *at == site).collect();
        let gone: Vec<Open> = state.open.extract_if(.., |open| open.from == site || open.to == site).collect();
        // What goes may have an end of a connection in its hands, which says so to the network.
        drop(state);
        drop((silent, deaf));
        gone.iter().for_each(Open::cut);
    }

    /// Nothing goes from one site to another for so long.
    pub fn cut(&self, from: Site, to: Site, time: Duration) {
        let end = Instant::now() + time;
        self.lock().cut.insert((from, to), end);
    }

    /// Everything from one site to another takes longer for so long.
    pub fn slow(&self, from: Site, to: Site, time: Duration, by: Duration) {
        let end = Instant::now() + time;
        self.lock().slow.insert((from, to), (end, by));
    }

    /// The connections between two sites are gone.
    pub fn reset(&self, one: Site, other: Site) {
        let is_between = |open: &Open| (open.from, open.to) == (one, other) || (open.from, open.to) == (other, one);
        let gone: Vec<Open> = self.lock().open.extract_if(.., |open| is_between(open)).collect();
        gone.iter().for_each(Open::cut);
    }

    /// Everything is mended. What waits arrives as it was to.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.cut.clear();
        state.slow.clear();
    }

    /// A channel to an address, as the servers dial their peers.
    pub(crate) fn channel(&self, from: Site, address: &str, background: Background) -> Channel {
        let network = self.clone();
        let dial = service_fn(move |uri: Uri| {
            let address = uri.authority().map(ToString::to_string).unwrap_or_default();
            network.clone().dial(from, address)
        });
        let endpoint = endpoint(address).or_else(|_| endpoint("nobody:1")).expect("an address");
        endpoint.executor(background).connect_with_connector_lazy(dial)
    }

    fn dial(self, from: Site, address: String) -> Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>> {
        Box::pin(async move {
            let Some(to) = self.lock().any_at(&address) else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            let arrives = self.lock().arrival(from, to);
            sleep_until(arrives).await;
            // Whoever answered may be gone by now.
            let Some(accept) = self.lock().listening.get(&(address, to)).cloned() else {
                return Err(io::ErrorKind::ConnectionRefused.into());
            };
            let (ours, theirs) = self.connect(from, to);
            accept(theirs);
            let arrives = self.lock().arrival(to, from);
            sleep_until(arrives).await;
            Ok(TokioIo::new(ours))
        })
    }

    fn connect(&self, from: Site, to: Site) -> (Stream, Stream) {
        let (there, back) = (Wire::default(), Wire::default());
        let number = {
            let mut state = self.lock();
            state.open.push(Open { from, to, there: there.clone(), back: back.clone() });
            state.trace.connections += 1;
            state.trace.connections
        };
        let ours = Stream::new(back.clone(), there.clone(), self.way(from, to, number));
        (ours, Stream::new(there, back, self.way(to, from, number)))
    }

    fn way(&self, from: Site, to: Site, connection: u64) -> Way {
        let network = self.clone();
        Arc::new(move |bytes| {
            let mut state = network.lock();
            let begin = state.begin;
            state.trace.note(begin.elapsed(), from, to, connection, bytes);
            state.arrival(from, to)
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One of those that answer at an address.
    fn any_at(&mut self, address: &str) -> Option<Site> {
        let here = self.listening.keys().filter(|(at, _)| at == address).map(|(_, site)| *site);
        let here: Vec<Site> = here.collect();
        match here[..] {
            [] => None,
            [one] => Some(one),
            _ => Some(*self.random.pick(&here)),
        }
    }

    /// When bytes arrive that are sent now.
    fn arrival(&mut self, from: Site, to: Site) -> Instant {
        let now = Instant::now();
        let region = |site| match site {
            Site::Host(cluster, _) | Site::People(cluster) => cluster,
        };
        let range = if region(from) == region(to) { self.near } else { self.far };
        let mut way = self.random.duration(range);
        way += self.slow.get(&(from, to)).filter(|(end, _)| now < *end).map_or(Duration::ZERO, |(_, by)| *by);
        self.cut.get(&(from, to)).map_or(now, |end| now.max(*end)) + way
    }
}

impl Open {
    fn cut(&self) {
        self.there.cut();
        self.back.cut();
    }
}

impl Trace {
    fn note(&mut self, at: Duration, from: Site, to: Site, connection: u64, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let site = |site| match site {
            Site::Host(cluster, number) => cluster as u64 | (number as u64) << 16,
            Site::People(number) => number as u64 | 1 << 32,
        };
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        for number in [at, site(from), site(to), connection, bytes.len() as u64] {
            self.add(&number.to_le_bytes());
        }
        self.add(bytes);
    }

    /// FNV-1a.
    fn add(&mut self, bytes: &[u8]) {
        self.hash = bytes.iter().fold(self.hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    }
}

/// Of a million datagrams, so many are lost.
const LOST_DATAGRAMS: u32 = 10_000;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;
