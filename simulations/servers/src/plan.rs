//! What a seed draws: what the world is like, what people want, and what goes wrong.

use std::time::Duration;

use simulations::{
    program::{Do, Program},
    random::{Random, Range},
};

use crate::store::Weather;

/// A world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Feeds what the plan leaves to chance.
    pub seed: u64,
    /// Shards of each cluster.
    pub shards: [u32; CLUSTERS],
    /// Hosts of each cluster: one is the whole of it, or several run every service each.
    pub hosts: [usize; CLUSTERS],
    /// How wrong the clock of each host is, in nanoseconds.
    pub offsets: [[i64; MOST_HOSTS]; CLUSTERS],
    /// How long a byte takes within a region, and between them.
    pub near: Range,
    /// Between them.
    pub far: Range,
    /// How disks behave while anything goes wrong.
    pub weather: Weather,
    /// Of a million tasks so many vanish with the worker that took them, or fail.
    pub careless: u32,
    /// What clients want.
    pub orders: Vec<Order>,
    /// Failovers.
    pub moves: Vec<Move>,
    /// What goes wrong, and when.
    pub faults: Vec<(Duration, Fault)>,
    /// When it all ends. Everything is mended then, and must come to rest.
    pub duration: Duration,
}

/// A workflow that a client wants.
#[derive(Clone, Debug)]
pub struct Order {
    /// When it is started.
    pub at: Duration,
    /// Where the client asks first.
    pub region: usize,
    /// What it does.
    pub program: Program,
    /// How long after the start each signal is sent, and where.
    pub signals: Vec<(Duration, usize)>,
    /// How long after the start somebody asks how it goes.
    pub query: Option<Duration>,
}

/// A failover.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    /// When.
    pub at: Duration,
    /// The cluster that is to be active.
    pub to: usize,
    /// At once, or losing nothing.
    pub is_forced: bool,
    /// Which cluster is asked, if it is not forced.
    pub asks: usize,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The process of a host dies, and starts again after so long.
    Crash(usize, usize, Duration),
    /// It is asked to stop, and starts again so long after it has.
    Restart(usize, usize, Duration),
    /// Nothing goes between the hosts of a cluster for so long; all reach its database.
    Part(usize, Duration),
    /// Nothing goes from one cluster to the other for so long; in one direction or both.
    Cut(usize, bool, Duration),
    /// Everything between the clusters is late.
    Slow(Duration, Duration),
    /// The connections between the clusters break.
    Reset,
    /// Clients do not reach a cluster.
    Unreached(usize, Duration),
    /// A disk writes nothing for so long.
    Stall(usize, Duration),
    /// The clock of a host jumps by so many nanoseconds.
    Jump(usize, usize, i64),
}

impl Plan {
    /// What a seed draws.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, "plan of servers", 0);
        let duration = Duration::from_secs(20 + random.below(20));
        let far = *random.pick(&[Range::millis(1, 4), Range::millis(10, 30), Range::millis(40, 120)]);
        let hosts = *random.pick(&[[1, 1], [1, 1], [2, 2], [2, 2], [2, 1]]);
        let mut offset = || millis(random.below(1000)) - millis(500);
        let offsets = [[offset(), offset()], [offset(), offset()]];
        Self {
            seed,
            shards: *random.pick(&[[1, 1], [2, 2], [4, 4], [1, 2], [4, 2]]),
            hosts,
            offsets,
            near: Range::millis(0, 2),
            far,
            weather: weather(&mut random),
            careless: *random.pick(&[0, 10_000, 60_000]),
            orders: orders(&mut random, duration),
            moves: moves(&mut random, duration),
            faults: faults(&mut random, duration, hosts),
            duration,
        }
    }

    /// Whether both sides of a failover may write.
    #[must_use]
    pub fn may_conflict(&self) -> bool {
        self.moves.iter().any(|failover| failover.is_forced)
    }
}

fn weather(random: &mut Random) -> Weather {
    Weather {
        write: *random.pick(&[Range::millis(0, 1), Range::millis(1, 5), Range::millis(5, 40)]),
        answer: Range::millis(0, 2),
        read: *random.pick(&[Range::millis(0, 1), Range::millis(0, 10)]),
        refused: *random.pick(&[0, 0, 2_000, 10_000]),
        doubtful: *random.pick(&[0, 0, 1_000, 5_000]),
    }
}

fn orders(random: &mut Random, duration: Duration) -> Vec<Order> {
    let count = 10 + random.below(30);
    (0..count)
        .map(|_| {
            let signals = if random.chance(600_000) { 1 + random.below(4) as u32 } else { 0 };
            let after = |random: &mut Random| random.duration(Range::millis(0, 6_000));
            Order {
                at: random.duration(Range(Duration::ZERO, duration)),
                region: random.index(CLUSTERS),
                program: program(random, signals),
                signals: (0..signals).map(|_| (after(random), random.index(CLUSTERS))).collect(),
                query: random.chance(300_000).then(|| after(random)),
            }
        })
        .collect()
}

/// Some steps, and then the signals. A run that is continued takes none of them along, so it is done before.
fn program(random: &mut Random, signals: u32) -> Program {
    let mut steps: Vec<Do> = (0..random.below(4))
        .map(|_| match random.below(6) {
            0..3 => Do::Activities(1 + random.below(3) as u32),
            3 => Do::Mark,
            4 => Do::Timer(random.duration(Range::millis(50, 4_000))),
            _ if signals == 0 => Do::Again,
            _ => Do::Timer(random.duration(Range::millis(10, 300))),
        })
        .collect();
    if signals > 0 {
        steps.push(Do::Signals(signals));
    }
    Program(steps)
}

fn moves(random: &mut Random, duration: Duration) -> Vec<Move> {
    // By force, or without loss, or both.
    let forced = *random.pick(&[0, 1_000_000, 500_000]);
    let count = *random.pick(&[1, 4, 8]);
    let mut moves: Vec<Move> = (0..random.below(count + 1))
        .map(|_| Move {
            at: random.duration(Range(Duration::from_secs(1), duration)),
            to: random.index(CLUSTERS),
            is_forced: random.chance(forced),
            asks: random.index(CLUSTERS),
        })
        .collect();
    moves.sort_by_key(|failover| failover.at);
    moves
}

fn faults(random: &mut Random, duration: Duration, hosts: [usize; CLUSTERS]) -> Vec<(Duration, Fault)> {
    let most = *random.pick(&[2, 6, 14]);
    let count = random.below(most + 1);
    let time = |random: &mut Random| random.duration(Range::millis(200, 6_000));
    let mut faults: Vec<(Duration, Fault)> = (0..count)
        .map(|_| {
            let at = random.duration(Range(Duration::from_millis(500), duration));
            let cluster = random.index(CLUSTERS);
            let host = random.index(hosts[cluster]);
            let fault = match random.below(10) {
                0 | 1 => Fault::Crash(cluster, host, time(random)),
                8 => Fault::Restart(cluster, host, time(random)),
                9 if hosts[cluster] > 1 => Fault::Part(cluster, time(random)),
                2 => Fault::Cut(cluster, random.chance(600_000), time(random)),
                3 => Fault::Slow(time(random), random.duration(Range::millis(50, 900))),
                4 => Fault::Reset,
                5 => Fault::Unreached(cluster, time(random)),
                6 => Fault::Stall(cluster, random.duration(Range::millis(100, 2_500))),
                _ => Fault::Jump(cluster, host, millis(random.below(4_000)) - millis(2_000)),
            };
            (at, fault)
        })
        .collect();
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn millis(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(0) * 1_000_000
}

/// Clusters of a world.
pub const CLUSTERS: usize = 2;

/// Hosts that a cluster has at most.
pub const MOST_HOSTS: usize = 2;
