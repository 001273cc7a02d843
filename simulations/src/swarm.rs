//! Draws a plan from a seed. Every seed is another kind of world: how many clusters and shards, how far apart, how fast
//! its disks are, what its users do, what breaks and how often.

use std::time::Duration;

use crate::{
    plan::{Ask, Kind, NetworkShape, Plan, Step, StoreShape, What, Wish, WorkerShape},
    program::{Do, Program},
    random::{Random, Range},
};

/// The plan of a seed.
#[must_use]
pub fn plan(seed: u64) -> Plan {
    let mut random = Random::of(seed, "swarm", 0);
    let kind = match random.below(10) {
        0..2 => Kind::Heard,
        2..5 => Kind::HandedOver,
        _ => Kind::Forced,
    };
    let is_calm = kind == Kind::Heard;
    let clusters = *random.pick(&[2, 2, 2, 3, 3, 4, 5]);
    let shards = draw_shards(&mut random, clusters);
    let namespaces = (0..1 + random.index(2)).map(|_| random.index(clusters)).collect();
    let mut plan = Plan {
        seed,
        kind,
        old_wire: (0..clusters).map(|_| !is_calm && random.chance(80_000)).collect(),
        shards,
        namespaces,
        late: Vec::new(),
        network: draw_network(&mut random, is_calm),
        store: draw_store(&mut random, is_calm),
        workers: draw_workers(&mut random),
        backlog: (!is_calm && random.chance(150_000)).then(|| pick(&mut random, [32, 64, 200])),
        duration: DURATION,
        steps: Vec::new(),
    };
    for namespace in 0..plan.namespaces.len() {
        let late = if random.chance(200_000) { random.duration(Range::millis(0, 5_000)) } else { Duration::ZERO };
        plan.steps.push(Step { at: late, what: What::Register(namespace) });
    }
    add_clients(&mut plan, &mut Random::of(seed, "wishes", 0));
    add_ring(&mut plan, &mut Random::of(seed, "ring", 0));
    add_failovers(&mut plan, &mut Random::of(seed, "failovers", 0));
    add_edits(&mut plan, &mut Random::of(seed, "edits", 0));
    if kind == Kind::Forced && clusters > 2 {
        add_splits(&mut plan, &mut Random::of(seed, "splits", 0));
    }
    if !is_calm {
        add_silences(&mut plan, &mut Random::of(seed, "silences", 0));
        add_faults(&mut plan, &mut Random::of(seed, "faults", 0));
    }
    if kind == Kind::Forced {
        add_restore(&mut plan, &mut Random::of(seed, "restore", 0));
    }
    // Who does not speak our newest fields cannot ask to be told what he was not there for, nor be asked.
    if plan.old_wire.contains(&true) {
        plan.backlog = None;
    } else {
        add_late(&mut plan, &mut Random::of(seed, "late", 0));
    }
    // Who is told anew is not told what was deleted.
    let is_restored = plan.steps.iter().any(|step| matches!(step.what, What::Restore(..)));
    if !plan.late.is_empty() || plan.backlog.is_some() || is_restored {
        plan.steps.retain(|step| !matches!(&step.what, What::Client(wish) if wish.call == Ask::Delete));
    }
    plan.steps.sort_by_key(|step| step.at);
    plan
}

/// A cluster that no namespace begins in comes later than the others.
fn add_late(plan: &mut Plan, random: &mut Random) {
    let cluster = random.index(plan.clusters());
    if random.chance(150_000) && !plan.namespaces.contains(&cluster) {
        plan.late.push(cluster);
        let at = random.duration(Range(Duration::from_secs(5), plan.duration));
        plan.steps.push(Step { at, what: What::Join(cluster) });
    }
}

/// Workflows that signal each other in a ring, from activities, until each has had its turns.
fn add_ring(plan: &mut Plan, random: &mut Random) {
    if !random.chance(200_000) {
        return;
    }
    let (namespace, members, laps) =
        (random.index(plan.namespaces.len()), 2 + random.below(3) as u32, 1 + random.below(4) as u32);
    let start = Duration::from_millis(2_000 + random.below(40_000));
    for member in 0..members {
        let next = RING + (member + 1) % members;
        let program = Program((1..=laps).flat_map(|lap| [Do::Signals(lap), Do::Pass(next)]).collect());
        let from = random.index(plan.clusters());
        let call = if member == 0 { Ask::SignalWithStart(program) } else { Ask::Start(program) };
        // The others are there before the first has something to pass on.
        let at = start + if member == 0 { Duration::from_secs(1) } else { random.duration(Range::millis(0, 500)) };
        let wish = Wish { from, namespace, workflow: RING + member, call };
        plan.steps.push(Step { at, what: What::Client(wish) });
    }
}

/// Shard counts of clusters that follow each other are multiples.
fn draw_shards(random: &mut Random, clusters: usize) -> Vec<u32> {
    let base = *random.pick(&[1, 1, 2]);
    let is_mixed = random.chance(300_000);
    (0..clusters).map(|_| if is_mixed { base * *random.pick(&[1, 2]) } else { base }).collect()
}

fn draw_network(random: &mut Random, is_calm: bool) -> NetworkShape {
    if is_calm {
        return NetworkShape { latency: Range::micros(200, *random.pick(&[500, 5_000, 20_000])), loss: 0 };
    }
    let latency =
        *random.pick(&[Range::micros(200, 2_000), Range::millis(5, 20), Range::millis(40, 60), Range::millis(20, 300)]);
    NetworkShape { latency, loss: *random.pick(&[0, 0, 500, 5_000, 20_000]) }
}

fn draw_store(random: &mut Random, is_calm: bool) -> StoreShape {
    let unknown = *random.pick(&[0, 0, 1_000, 10_000]);
    let failed = *random.pick(&[0, 0, 2_000, 20_000]);
    StoreShape {
        arrival: *random.pick(&[Range::micros(1, 20), Range::micros(1, 2_000), Range::micros(1, 20_000)]),
        sync: *random.pick(&[Range::micros(50, 200), Range::millis(1, 5), Range::millis(2, 15)]),
        read: *random.pick(&[Range::micros(20, 200), Range::micros(20, 5_000), Range::millis(1, 15)]),
        answer: *random.pick(&[Range::micros(1, 50), Range::micros(1, 5_000)]),
        unknown: if is_calm { 0 } else { unknown },
        failed: if is_calm { 0 } else { failed },
        page: *random.pick(&[1, 3, 1_000]),
    }
}

fn draw_workers(random: &mut Random) -> WorkerShape {
    WorkerShape {
        poll: *random.pick(&[Range::micros(100, 1_000), Range::millis(0, 50), Range::millis(0, 1_000)]),
        think: *random.pick(&[Range::micros(200, 5_000), Range::millis(1, 100), Range::millis(1, 2_500)]),
        act: *random.pick(&[Range::millis(1, 20), Range::millis(1, 500), Range::millis(1, 5_000)]),
        vanish: *random.pick(&[0, 5_000, 50_000]),
        fail: *random.pick(&[0, 5_000, 100_000]),
        repeat: *random.pick(&[0, 20_000, 200_000]),
        sticky: *random.pick(&[0, 500_000, 1_000_000]),
    }
}

fn add_clients(plan: &mut Plan, random: &mut Random) {
    let workflows = u32::try_from(2 + random.index(14)).expect("few");
    let until = plan.duration.as_millis() as u64;
    for workflow in 0..workflows {
        let namespace = random.index(plan.namespaces.len());
        let mut wish = |random: &mut Random, at: u64, call| {
            let from = random.index(plan.shards.len());
            let what = What::Client(Wish { from, namespace, workflow, call });
            plan.steps.push(Step { at: Duration::from_millis(at) + random.duration(Range::micros(0, 999)), what });
        };
        let start = random.below(until * 3 / 4);
        let program = draw_program(random);
        let first = if random.chance(200_000) { Ask::SignalWithStart } else { Ask::Start };
        wish(random, start, first(program.clone()));
        // Another client starts the same id, perhaps in another region, perhaps at the same time.
        if random.chance(250_000) {
            let soon = pick(random, [5, 500, 20_000]);
            let later = start + random.below(soon);
            let other = draw_program(random);
            wish(random, later, Ask::Start(other));
        }
        let signals = random.below(12);
        let spread = *random.pick(&[50, 2_000, 20_000]);
        for _ in 0..signals {
            let at = start + random.below(spread);
            wish(random, at, Ask::Signal);
        }
        let calls = [(60_000, Ask::Cancel), (60_000, Ask::Terminate), (60_000, Ask::Reset), (40_000, Ask::Delete)];
        for (chance, call) in calls {
            if random.chance(chance) {
                let at = start + random.below(10_000);
                wish(random, at, call);
            }
        }
    }
}

fn draw_program(random: &mut Random) -> Program {
    let steps = 1 + random.index(6);
    let step = |random: &mut Random| match random.below(12) {
        0..4 => Do::Activities(1 + random.below(3) as u32),
        4..6 => Do::Timer(Duration::from_millis(*random.pick(&[1, 100, 1_000, 8_000]))),
        6..8 => Do::Signals(1 + random.below(4) as u32),
        8 => Do::Mark,
        9 => Do::Pay(1 + random.below(100) as u32),
        10 => Do::Lattice(1 + random.below(8) as u32),
        _ => Do::Again,
    };
    let mut program: Vec<Do> = (0..steps).map(|_| step(random)).collect();
    if random.chance(50_000) {
        program.push(Do::Fail);
    }
    Program(program)
}

fn add_failovers(plan: &mut Plan, random: &mut Random) {
    let count = 1 + random.below(6);
    for _ in 0..count {
        let at = random.duration(Range(Duration::from_secs(1), plan.duration));
        let namespace = random.index(plan.namespaces.len());
        let clusters = plan.shards.len();
        let kind = plan.kind;
        let fail_over = |random: &mut Random| {
            let to = random.index(clusters);
            if kind == Kind::HandedOver || kind == Kind::Forced && random.chance(200_000) {
                return What::HandOver { namespace, to };
            }
            let by = if random.chance(300_000) { random.index(clusters) } else { to };
            What::FailOver { namespace, to, by }
        };
        plan.steps.push(Step { at, what: fail_over(random) });
        // Who began it does not want it any more.
        if plan.kind == Kind::HandedOver && random.chance(100_000) {
            let at = at + random.duration(Range::micros(0, 200_000));
            plan.steps.push(Step { at, what: What::AbortHandover(namespace) });
        }
        // Another operator at the same time.
        if random.chance(200_000) {
            let at = at + random.duration(Range::micros(0, 50_000));
            plan.steps.push(Step { at, what: fail_over(random) });
        }
        // Back within seconds. Where clusters must hear each other first, not before they had the time to.
        if random.chance(400_000) {
            let soonest = if plan.kind == Kind::Heard { 1_500 } else { 10 };
            let at = at + random.duration(Range::millis(soonest, 4_000));
            plan.steps.push(Step { at, what: fail_over(random) });
        }
    }
}

/// Chance alone seldom cuts the link in the very moment in which a namespace moves.
fn add_silences(plan: &mut Plan, random: &mut Random) {
    let handovers = plan.steps.iter().filter_map(|step| match step.what {
        What::HandOver { namespace, .. } => Some((step.at, namespace)),
        _ => None,
    });
    let silences = handovers.filter_map(|(at, namespace)| {
        let time = random.duration(Range(Duration::from_secs(2), Duration::from_secs(14)));
        random.chance(100_000).then_some(Step { at, what: What::CutAtSwitch { namespace, time } })
    });
    plan.steps.extend(silences.collect::<Vec<Step>>());
}

/// A store is lost, and a copy takes its place. Whoever is told everything anew needs our newest fields for that.
fn add_restore(plan: &mut Plan, random: &mut Random) {
    if !random.chance(200_000) || plan.old_wire.contains(&true) {
        return;
    }
    let cluster = random.index(plan.clusters());
    let backup = random.duration(Range(Duration::from_secs(6), plan.duration));
    let ages = pick(random, [Range::millis(1, 300), Range::millis(300, 10_000)]);
    let age = random.duration(ages);
    let down = random.duration(Range::millis(10, 5_000));
    plan.steps.push(Step { at: backup, what: What::BackUp(cluster) });
    plan.steps.push(Step { at: backup + age, what: What::Restore(cluster, down) });
}

fn add_edits(plan: &mut Plan, random: &mut Random) {
    let (clusters, most) = (plan.shards.len(), pick(random, [1, 1, 6]));
    for _ in 0..random.below(most) {
        let namespace = random.index(plan.namespaces.len());
        let at = random.duration(Range(Duration::ZERO, plan.duration));
        // Now and then in two clusters at once.
        for _ in 0..1 + u64::from(random.chance(300_000)) {
            let by = random.index(clusters);
            plan.steps.push(Step { at, what: What::Edit { namespace, by } });
        }
    }
}

/// Chance alone seldom brings it about that two regions begin the same id, and that the run that lost is written to again.
fn add_splits(plan: &mut Plan, random: &mut Random) {
    if !random.chance(300_000) {
        return;
    }
    let begin = 3_000 + random.below(45_000);
    let namespace = random.index(plan.namespaces.len());
    let [a, b, c] = [0, 1, 2].map(|place| (place + namespace) % plan.shards.len());
    let mut steps = Vec::new();
    let mut at = |milliseconds: u64, what| {
        let at = Duration::from_millis(begin + milliseconds);
        steps.push(Step { at, what });
    };
    let cut = |one, other| What::Cut(one, other, Duration::from_millis(2_500));
    let moves = |to, by| What::FailOver { namespace, to, by };
    let asks = |from, call| What::Client(Wish { from, namespace, workflow: SPLIT, call });
    let program = || Program(vec![Do::Timer(Duration::from_millis(1_000)), Do::Signals(3), Do::Again, Do::Signals(9)]);
    at(0, moves(a, a));
    let both = |one, other| [cut(one, other), cut(other, one)];
    both(a, b).into_iter().for_each(|cut| at(1_000, cut));
    at(1_050, asks(a, Ask::Start(program())));
    if random.chance(500_000) {
        // `c` moves it to `b` and back to `a`, which has not heard what `b` began: the first run is the newer one again.
        at(1_300, moves(b, c));
        at(1_700, asks(b, Ask::Start(program())));
        at(2_000, moves(a, c));
        (0..3).for_each(|signal| at(2_400 + signal * 300, asks(a, Ask::Signal)));
    } else {
        // All three are on their own. `c` continues what `a` began, and `b` begins another one under a higher version.
        [both(a, c), both(b, c)].into_iter().flatten().for_each(|cut| at(1_400, cut));
        at(1_450, moves(c, c));
        at(1_450, moves(b, b));
        at(1_500, moves(c, b));
        at(1_550, moves(b, b));
        at(1_600, asks(b, Ask::Start(program())));
        [a, c, a, c].into_iter().for_each(|region| at(1_700, asks(region, Ask::Signal)));
    }
    plan.steps.extend(steps);
}

/// Which faults a world knows is drawn, too: where everything breaks all the time, little is ever reached.
fn add_faults(plan: &mut Plan, random: &mut Random) {
    let clusters = plan.shards.len();
    let kinds: Vec<u64> = (0..12).filter(|_| random.chance(500_000)).collect();
    if kinds.is_empty() {
        return;
    }
    let most = pick(random, [4, 12, 40]);
    let count = 2 + random.below(most);
    for _ in 0..count {
        let at = random.duration(Range(Duration::from_millis(500), plan.duration));
        let times = pick(random, [Range::millis(1, 100), Range::millis(100, 2_000), Range::millis(1_000, 12_000)]);
        let time = random.duration(times);
        let (one, other) = (random.index(clusters), 1 + random.index(clusters - 1));
        let other = (one + other) % clusters;
        let what = match *random.pick(&kinds) {
            0 => What::Crash(one, time),
            1 => What::Pause(one, time),
            2 => What::Move(one, 1 + random.below(u64::from(plan.shards[one])) as u32, time.min(LONGEST_LINGER)),
            3 => What::Cut(one, other, time),
            4 => What::Clog(one, other, time),
            5 => What::Slow(one, other, 2 + random.below(20) as u32, time),
            6 => What::Break(one, other),
            7 => What::Skew(one, random.below(4_000) as i64 - 2_000),
            8 => What::Stall(one, time),
            9 => What::Drift(one, random.below(200_000) as i64 - 100_000, time),
            10 => What::Disconnect(one, other, time),
            _ => What::Full(one, time),
        };
        // A partition in both directions as often as in one.
        if let (What::Cut(..), true) = (&what, random.chance(500_000)) {
            plan.steps.push(Step { at, what: What::Cut(other, one, time) });
        }
        plan.steps.push(Step { at, what });
    }
}

fn pick<T: Copy, const N: usize>(random: &mut Random, list: [T; N]) -> T {
    *random.pick(&list)
}

/// The first workflow of a ring.
const RING: u32 = 80;
/// The workflow of a split, none of the others.
const SPLIT: u32 = 99;
/// How long clients and faults go on.
const DURATION: Duration = Duration::from_secs(60);
/// Two hosts do not believe for long that they have the same shard.
const LONGEST_LINGER: Duration = Duration::from_secs(3);
