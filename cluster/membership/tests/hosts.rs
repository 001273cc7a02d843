//! Hosts as the rest of a server uses them, with rows in memory and a network that is none.

#![allow(clippy::disallowed_methods, reason = "a test brings its own world")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use membership::{JoinError, Member, Membership, Options, Ports, Presence, Received, Rows, Service, Services, Socket};
use replicator::time::Timestamp;
use store::{Answer, MemberRecord, Unavailable};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

const CLUSTER: Uuid = Uuid::from_u128(7);

/// The database and the network of all hosts.
#[derive(Clone)]
struct World {
    begin: Instant,
    rows: Arc<MemoryRows>,
    wires: Arc<Mutex<BTreeMap<SocketAddr, mpsc::UnboundedSender<Vec<u8>>>>>,
}

/// A host, and what it runs.
struct Host {
    membership: Membership,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl World {
    fn new() -> Self {
        Self { begin: Instant::now(), rows: Arc::default(), wires: Arc::default() }
    }

    async fn join(&self, number: u8) -> Result<Host, JoinError> {
        let me = self.member(number);
        let (wire, inbox) = mpsc::unbounded_channel();
        self.wires.lock().expect("whole").insert(me.gossip, wire);
        let socket = Arc::new(Wire { inbox: tokio::sync::Mutex::new(inbox), wires: self.wires.clone() });
        let tasks = Arc::<Mutex<Vec<_>>>::default();
        let (spawned, begin) = (tasks.clone(), self.begin);
        let ports = Ports {
            rows: self.rows.clone(),
            clock: Arc::new(move || Timestamp::from_millis(1_000_000) + begin.elapsed()),
            spawn: Arc::new(move |task| spawned.lock().expect("whole").push(tokio::spawn(task))),
            seed: number.into(),
            socket,
        };
        Ok(Host { membership: Membership::join(ports, Options::of(CLUSTER), me).await?, tasks })
    }

    fn member(&self, number: u8) -> Member {
        let started = self.begin.elapsed();
        Member {
            id: Uuid::from_u128(u128::from(number) << 64 | started.as_nanos()),
            host: format!("host{number}"),
            address: format!("10.0.0.{number}:7234"),
            gossip: ([10, 0, 0, number], 6934).into(),
            services: Services::ALL,
            started: Timestamp::from_millis(1_000_000) + started,
            presence: Presence::Whole,
        }
    }
}

impl Host {
    /// Who is there, as this host sees it.
    fn sees(&self) -> Vec<String> {
        let name = |member: &Member| format!("{}{}", member.host, if member.is_draining() { "!" } else { "" });
        self.membership.view().all().map(name).collect()
    }

    async fn waits_for(&self, expected: &[&str]) {
        let mut seen = self.membership.watch();
        let met = async {
            while self.sees() != expected {
                seen.changed().await.expect("it lives");
            }
        };
        let met = timeout(Duration::from_secs(3), met).await;
        assert!(met.is_ok(), "expected {expected:?}, seen {:?}", self.sees());
    }

    fn kill(self) {
        self.tasks.lock().expect("whole").iter().for_each(JoinHandle::abort);
    }
}

#[derive(Default)]
struct MemoryRows {
    rows: Mutex<BTreeMap<Uuid, MemberRecord>>,
    is_away: AtomicBool,
}

impl MemoryRows {
    fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut BTreeMap<Uuid, MemberRecord>) -> T,
    ) -> Answer<'_, Result<T, Unavailable>> {
        let answer = match self.is_away.load(Ordering::Relaxed) {
            true => Err(Unavailable("the database is away".into())),
            false => Ok(work(&mut self.rows.lock().expect("whole"))),
        };
        Box::pin(std::future::ready(answer))
    }
}

impl Rows for MemoryRows {
    fn members(&self) -> Answer<'_, Result<Vec<MemberRecord>, Unavailable>> {
        self.answer(|rows| rows.values().cloned().collect())
    }

    fn put_member(&self, member: MemberRecord) -> Answer<'_, Result<(), Unavailable>> {
        self.answer(|rows| drop(rows.insert(member.id, member)))
    }

    fn remove_members(&self, ids: Vec<Uuid>) -> Answer<'_, Result<(), Unavailable>> {
        self.answer(|rows| ids.iter().for_each(|id| drop(rows.remove(id))))
    }
}

struct Wire {
    inbox: tokio::sync::Mutex<mpsc::UnboundedReceiver<Vec<u8>>>,
    wires: Arc<Mutex<BTreeMap<SocketAddr, mpsc::UnboundedSender<Vec<u8>>>>>,
}

impl Socket for Wire {
    fn send(&self, to: SocketAddr, datagram: &[u8]) {
        if let Some(wire) = self.wires.lock().expect("whole").get(&to) {
            let _ = wire.send(datagram.to_vec());
        }
    }

    fn receive<'a>(&'a self, into: &'a mut [u8]) -> Received<'a> {
        Box::pin(async move {
            let Some(datagram) = self.inbox.lock().await.recv().await else { return std::future::pending().await };
            let length = datagram.len().min(into.len());
            into[..length].copy_from_slice(&datagram[..length]);
            Ok(length)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_find_each_other_by_their_rows() {
    let world = World::new();
    let first = world.join(1).await.expect("joins");
    assert_eq!(world.begin.elapsed(), Duration::ZERO, "nobody is waited for who is not there");
    let second = world.join(2).await.expect("joins");
    assert_eq!(second.sees(), ["host1", "host2"], "a host that has joined knows somebody");
    let third = world.join(3).await.expect("joins");
    for host in [&first, &second, &third] {
        host.waits_for(&["host1", "host2", "host3"]).await;
    }
    let owner = |host: &Host| host.membership.view().owner(Service::History, b"1").map(|owner| owner.host.clone());
    assert_eq!(owner(&first), owner(&third));
}

#[tokio::test(start_paused = true)]
async fn a_host_drains_and_leaves() {
    let world = World::new();
    let (first, second) = (world.join(1).await.expect("joins"), world.join(2).await.expect("joins"));
    first.waits_for(&["host1", "host2"]).await;
    second.membership.set_presence(Presence::Leaving).await;
    assert_eq!(second.sees(), ["host1", "host2!"], "at once in its own eyes");
    first.waits_for(&["host1", "host2!"]).await;
    assert!(first.membership.view().is_mine(Service::Matching, b"any"));
    second.membership.leave().await;
    first.waits_for(&["host1"]).await;
    sleep(Duration::from_secs(30)).await;
    let rows = world.rows.members().await.expect("there").len();
    assert_eq!(rows, 1, "a host that left writes no row any more");
    second.membership.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_is_missed_and_its_next_life_takes_its_place() {
    let world = World::new();
    let (first, second) = (world.join(1).await.expect("joins"), world.join(2).await.expect("joins"));
    second.kill();
    first.waits_for(&["host1"]).await;
    let again = world.join(2).await.expect("joins");
    first.waits_for(&["host1", "host2"]).await;
    again.waits_for(&["host1", "host2"]).await;
    assert_eq!(world.rows.members().await.expect("there").len(), 2, "the row of the first life is gone");
}

/// All died at once, and one is started again: their rows look as if they were there.
#[tokio::test(start_paused = true)]
async fn a_host_does_not_wait_for_ever_for_the_dead() {
    let world = World::new();
    let (first, second) = (world.join(1).await.expect("joins"), world.join(2).await.expect("joins"));
    first.kill();
    second.kill();
    let before = world.begin.elapsed();
    let alone = world.join(3).await.expect("joins");
    assert_eq!(world.begin.elapsed() - before, Options::of(CLUSTER).max_join);
    assert_eq!(alone.sees(), ["host3"]);
    sleep(Duration::from_secs(700)).await;
    assert_eq!(world.rows.members().await.expect("there").len(), 1, "rows of the dead are forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_host_lives_without_the_database_and_starts_only_with_it() {
    let world = World::new();
    let (first, second) = (world.join(1).await.expect("joins"), world.join(2).await.expect("joins"));
    world.rows.is_away.store(true, Ordering::Relaxed);
    let refused = world.join(3).await.err();
    assert_eq!(refused, Some(JoinError::Unavailable(Unavailable("the database is away".into()))));
    sleep(Duration::from_secs(60)).await;
    for host in [&first, &second] {
        host.waits_for(&["host1", "host2"]).await;
        assert_eq!(host.membership.traffic().deaths, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_gossip_is_counted_and_dropped() {
    let world = World::new();
    let host = world.join(1).await.expect("joins");
    let wire = world.wires.lock().expect("whole")[&world.member(1).gossip].clone();
    for datagram in [b"\xff\xff\xff".to_vec(), vec![8; 5_000], Vec::new()] {
        wire.send(datagram).expect("it hears");
    }
    sleep(Duration::from_millis(1)).await;
    let traffic = host.membership.traffic();
    assert_eq!((traffic.malformed, traffic.foreign, traffic.received), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_alone_keeps_what_it_has() {
    let membership = Membership::alone(World::new().member(1));
    membership.set_presence(Presence::Leaving).await;
    membership.leave().await;
    assert!(membership.view().is_mine(Service::History, b"1"));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_no_datagram_could_carry_is_refused() {
    let world = World::new();
    let wire = Wire { inbox: tokio::sync::Mutex::new(mpsc::unbounded_channel().1), wires: world.wires.clone() };
    let ports = Ports {
        rows: world.rows.clone(),
        clock: Arc::new(|| Timestamp::ZERO),
        spawn: Arc::new(|_| {}),
        seed: 1,
        socket: Arc::new(wire),
    };
    let long = "h".repeat(121);
    let me = Member { host: long.clone(), ..world.member(1) };
    let refused = Membership::join(ports, Options::of(CLUSTER), me).await.err();
    assert_eq!(refused, Some(JoinError::TooLong("the name of the host", long)));
}
