use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use config::Services;
use replicator::{entropy::Entropy, time::Timestamp};
use uuid::Uuid;

use crate::{
    gossip::{Gossip, Heard, Moment},
    member::{Member, Presence},
    wire,
};

const DETECTION: Duration = Duration::from_secs(1);
const CLUSTER: Uuid = Uuid::from_u128(77);

/// Hosts and a network that is none.
struct World {
    now: Moment,
    entropy: Entropy,
    hosts: BTreeMap<SocketAddr, Host>,
    /// By moment of arrival.
    under_way: BTreeMap<(Moment, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    /// Of a thousand.
    loss: u64,
    /// Hosts that reach only each other.
    island: BTreeSet<SocketAddr>,
    /// Everything that ever arrived, folded.
    digest: u64,
}

struct Host {
    gossip: Gossip,
    /// What waits for a host that does not run.
    paused: Option<VecDeque<Vec<u8>>>,
}

fn address(number: u8) -> SocketAddr {
    ([10, 0, 0, number], 6934).into()
}

fn member(number: u8, started: Moment) -> Member {
    Member {
        id: Uuid::from_u128(u128::from(number) << 64 | started.as_nanos()),
        host: format!("host{number}"),
        address: format!("10.0.0.{number}:7234"),
        gossip: address(number),
        services: Services::ALL,
        started: Timestamp::from_millis(1_000_000) + started,
        presence: Presence::Whole,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            now: Moment::ZERO,
            entropy: Entropy::new(seed),
            hosts: BTreeMap::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            loss: 0,
            island: BTreeSet::new(),
            digest: 0,
        }
    }

    /// Hosts that know each other.
    fn settled(seed: u64, hosts: u8) -> Self {
        let mut world = Self::new(seed);
        (1..=hosts).for_each(|number| world.start(number));
        world.run(Duration::from_secs(5));
        world.all_see(&(1..=hosts).collect::<Vec<u8>>());
        world
    }

    /// A host begins a life, and is told of those that are there.
    fn start(&mut self, number: u8) {
        let others = self.hosts.values().map(|host| host.gossip.view().me().clone()).collect();
        let me = member(number, self.now);
        let mut gossip = Gossip::new(me, CLUSTER, DETECTION, Entropy::new(self.entropy.next_u64()));
        gossip.handle_seeds(self.now, others);
        self.hosts.insert(address(number), Host { gossip, paused: None });
        self.collect(address(number));
    }

    fn kill(&mut self, number: u8) {
        self.hosts.remove(&address(number));
    }

    fn pause(&mut self, number: u8) {
        self.host(number).paused = Some(VecDeque::new());
    }

    /// The host goes on: first with what waited for it.
    fn resume(&mut self, number: u8) {
        let waited = self.host(number).paused.take().expect("it was paused");
        for datagram in waited {
            self.hear(address(number), &datagram);
        }
    }

    fn host(&mut self, number: u8) -> &mut Host {
        self.hosts.get_mut(&address(number)).expect("a host that lives")
    }

    /// Let time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.under_way.keys().next().map(|(moment, _)| (*moment, None));
            let running = self.hosts.iter().filter(|(_, host)| host.paused.is_none());
            let timeouts = running.filter_map(|(host, state)| Some((state.gossip.timeout()?, Some(*host))));
            let Some((moment, whose)) = timeouts.chain(arrival).min().filter(|(moment, _)| *moment <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(moment);
            match whose {
                Some(host) => {
                    self.hosts.get_mut(&host).expect("it lives").gossip.handle_timeout(self.now);
                    self.collect(host);
                }
                None => {
                    let (_, (_, to, datagram)) = self.under_way.pop_first().expect("one is under way");
                    self.hear(to, &datagram);
                }
            }
        }
    }

    fn hear(&mut self, to: SocketAddr, datagram: &[u8]) {
        let Some(host) = self.hosts.get_mut(&to) else { return };
        match &mut host.paused {
            Some(waiting) => waiting.push_back(datagram.to_vec()),
            None => {
                assert_eq!(host.gossip.handle_datagram(self.now, datagram), Heard::Taken);
                let fold = |digest: u64, byte: &u8| digest.wrapping_mul(31).wrapping_add((*byte).into());
                self.digest = datagram.iter().fold(self.digest, fold);
                self.collect(to);
            }
        }
    }

    /// Take what a host sends.
    fn collect(&mut self, from: SocketAddr) {
        while let Some((to, datagram)) = self.hosts.get_mut(&from).expect("it lives").gossip.poll_datagram() {
            assert!(datagram.len() <= wire::MAX_DATAGRAM);
            let is_lost = self.entropy.next_u64() % 1000 < self.loss;
            if !is_lost && self.island.contains(&from) == self.island.contains(&to) {
                let delay = Duration::from_micros(100 + self.entropy.next_u64() % 2_000);
                self.under_way.insert((self.now + delay, self.sent), (from, to, datagram));
                self.sent += 1;
            }
        }
    }

    /// The hosts that a host sees, `!` for those that drain.
    fn seen_by(&self, number: u8) -> Vec<String> {
        let name = |member: &Member| {
            let mark = match member.presence {
                Presence::Whole => "",
                Presence::Draining => "!",
                Presence::Leaving => "!!",
            };
            format!("{}{mark}", member.host)
        };
        self.hosts[&address(number)].gossip.view().all().map(name).collect()
    }

    #[track_caller]
    fn sees(&self, number: u8, expected: &[u8]) {
        let expected: Vec<String> = expected.iter().map(|number| format!("host{number}")).collect();
        assert_eq!(self.seen_by(number), expected, "host {number} at {:?}", self.now);
    }

    #[track_caller]
    fn all_see(&self, expected: &[u8]) {
        expected.iter().for_each(|number| self.sees(*number, expected));
    }

    fn deaths(&self) -> u64 {
        self.hosts.values().map(|host| host.gossip.deaths()).sum()
    }
}

/// The same in many worlds.
#[track_caller]
fn in_worlds(hosts: u8, story: impl Fn(World)) {
    (1..=20).for_each(|seed| story(World::settled(seed, hosts)));
}

#[test]
fn hosts_that_start_at_once_know_each_other_within_a_second() {
    for seed in 1..=20 {
        let mut world = World::new(seed);
        (1..=8).for_each(|number| world.start(number));
        world.run(Duration::from_secs(1));
        world.all_see(&[1, 2, 3, 4, 5, 6, 7, 8]);
    }
}

#[test]
fn a_host_that_starts_while_datagrams_are_lost_calls_until_it_is_heard() {
    for seed in 1..=20 {
        let mut world = World::settled(seed, 3);
        world.loss = 700;
        world.start(4);
        world.run(Duration::from_secs(3));
        world.loss = 0;
        world.run(Duration::from_secs(3));
        world.all_see(&[1, 2, 3, 4]);
    }
}

#[test]
fn nobody_is_taken_for_dead_because_one_datagram_of_twenty_is_lost() {
    in_worlds(8, |mut world| {
        world.loss = 50;
        world.run(Duration::from_secs(60));
        world.all_see(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(world.deaths(), 0);
    });
}

#[test]
fn a_host_that_dies_is_missed_by_everybody() {
    in_worlds(8, |mut world| {
        world.kill(3);
        world.run(DETECTION * 2);
        world.all_see(&[1, 2, 4, 5, 6, 7, 8]);
        assert_eq!(world.deaths(), 0);
    });
}

#[test]
fn of_two_hosts_one_misses_the_other() {
    in_worlds(2, |mut world| {
        world.kill(2);
        world.run(DETECTION * 3 / 2);
        world.sees(1, &[1]);
        world.start(2);
        world.run(DETECTION);
        world.all_see(&[1, 2]);
    });
}

#[test]
fn a_host_that_is_started_again_takes_its_own_place() {
    in_worlds(5, |mut world| {
        let before = world.host(2).gossip.view().me().id;
        world.kill(2);
        world.start(2);
        world.run(Duration::from_secs(1));
        world.all_see(&[1, 2, 3, 4, 5]);
        let seen = world.host(1).gossip.view().at("10.0.0.2:7234").expect("it is there").id;
        assert_ne!(seen, before);
    });
}

#[test]
fn a_paused_host_is_taken_for_dead_and_says_that_it_is_not() {
    in_worlds(5, |mut world| {
        world.pause(4);
        world.run(Duration::from_secs(10));
        for number in [1, 2, 3, 5] {
            world.sees(number, &[1, 2, 3, 5]);
        }
        world.resume(4);
        world.run(Duration::from_secs(2));
        world.all_see(&[1, 2, 3, 4, 5]);
        assert_eq!(world.host(4).gossip.deaths(), 1);
        world.run(Duration::from_secs(60));
        world.all_see(&[1, 2, 3, 4, 5]);
        assert_eq!(world.deaths(), 1, "nobody else was doubted because of it");
    });
}

#[test]
fn a_cluster_that_was_torn_apart_grows_together() {
    in_worlds(6, |mut world| {
        world.island = [1, 2].map(address).into();
        world.run(Duration::from_secs(20));
        for number in [1, 2] {
            world.sees(number, &[1, 2]);
        }
        for number in [3, 4, 5, 6] {
            world.sees(number, &[3, 4, 5, 6]);
        }
        world.island.clear();
        world.run(Duration::from_secs(4));
        world.all_see(&[1, 2, 3, 4, 5, 6]);
    });
}

#[test]
fn a_draining_host_is_known_to_drain_at_once() {
    in_worlds(6, |mut world| {
        let now = world.now;
        world.host(5).gossip.set_presence(now, Presence::Draining);
        world.collect(address(5));
        world.run(Duration::from_millis(50));
        for number in 1..=6 {
            let expected = ["host1", "host2", "host3", "host4", "host5!", "host6"];
            assert_eq!(world.seen_by(number), expected, "host {number}");
        }
        world.run(Duration::from_secs(30));
        assert_eq!(world.deaths(), 0);
        assert_eq!(world.seen_by(1)[4], "host5!", "and is still there");
    });
}

#[test]
fn what_a_host_says_of_its_part_is_known_at_once() {
    in_worlds(6, |mut world| {
        let (whole, draining, leaving) = (Presence::Whole, Presence::Draining, Presence::Leaving);
        for (presence, expected) in [
            (draining, "host5!"),
            (whole, "host5"),
            (whole, "host5"),
            (draining, "host5!"),
            (leaving, "host5!!"),
            (whole, "host5!!"),
            (draining, "host5!!"),
        ] {
            let now = world.now;
            world.host(5).gossip.set_presence(now, presence);
            world.collect(address(5));
            world.run(Duration::from_millis(50));
            for number in 1..=6 {
                assert_eq!(world.seen_by(number)[4], expected, "host {number}");
            }
        }
        assert_eq!(world.deaths(), 0);
    });
}

#[test]
fn a_draining_host_is_heard_of_though_datagrams_are_lost() {
    in_worlds(6, |mut world| {
        world.loss = 300;
        let now = world.now;
        world.host(5).gossip.set_presence(now, Presence::Draining);
        world.collect(address(5));
        world.run(Duration::from_secs(2));
        world.loss = 0;
        world.run(Duration::from_secs(2));
        for number in 1..=6 {
            assert_eq!(world.seen_by(number)[4], "host5!", "host {number}");
        }
    });
}

#[test]
fn a_host_that_leaves_is_forgotten_before_it_would_be_missed() {
    in_worlds(8, |mut world| {
        let now = world.now;
        world.host(1).gossip.leave(now);
        world.collect(address(1));
        world.kill(1);
        world.run(DETECTION / 2);
        world.all_see(&[2, 3, 4, 5, 6, 7, 8]);
    });
}

#[test]
fn another_clusters_gossip_is_not_heard() {
    let mut ours = Gossip::new(member(1, Moment::ZERO), CLUSTER, DETECTION, Entropy::new(1));
    let mut theirs = Gossip::new(member(2, Moment::ZERO), Uuid::from_u128(5), DETECTION, Entropy::new(2));
    theirs.handle_seeds(Moment::ZERO, vec![member(1, Moment::ZERO)]);
    let (to, datagram) = theirs.poll_datagram().expect("it calls");
    assert_eq!(to, address(1));
    assert_eq!(ours.handle_datagram(Moment::ZERO, &datagram), Heard::Foreign);
    assert!(!ours.has_company() && ours.poll_datagram().is_none());
}

/// Whatever is cut off or changed of a datagram, it is refused or understood, and nothing breaks.
#[test]
fn spoilt_datagrams_do_no_harm() {
    let mut entropy = Entropy::new(3);
    let mut world = World::settled(1, 3);
    for _ in 0..200 {
        world.run(Duration::from_millis(20));
        let under_way: Vec<_> = world.under_way.values().cloned().collect();
        for (_, to, mut datagram) in under_way {
            let host = world.hosts.get_mut(&to).expect("it lives");
            datagram.truncate(entropy.next_u64() as usize % (datagram.len() + 1));
            if let Some(at) = (entropy.next_u64() as usize).checked_rem(datagram.len()) {
                datagram[at] ^= 1 << (entropy.next_u64() % 8);
            }
            let _ = host.gossip.handle_datagram(world.now, &datagram);
            while host.gossip.poll_datagram().is_some() {}
        }
    }
    world.run(Duration::from_secs(30));
    world.all_see(&[1, 2, 3]);
}

#[test]
fn the_same_seed_sends_the_same_datagrams() {
    let play = |seed| {
        let mut world = World::new(seed);
        world.loss = 100;
        (1..=6).for_each(|number| world.start(number));
        world.run(Duration::from_secs(5));
        world.kill(2);
        world.run(Duration::from_secs(5));
        (world.sent, world.digest)
    };
    assert_eq!(play(9), play(9));
    assert_ne!(play(9), play(10));
}
