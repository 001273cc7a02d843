//! Clusters that join late, or were away: they are told everything, and agree with the others afterwards.

use std::vec::Vec;

use super::world::{A, B, C, World, activity, go_on, name, stream};
use crate::{
    shard::{
        gate::PATIENCE,
        io::{Report, StreamEvent, StreamRole},
    },
    stream::BacklogLimit,
    task::Category,
};

/// Clusters whose frames go whole, with their acknowledgements.
pub(super) fn wired(count: usize) -> World {
    let mut world = World::new(count);
    world.is_wired = true;
    for cluster in 0..count {
        world.clusters[cluster].shard.patience = PATIENCE;
        reconnect(&mut world, cluster);
    }
    exchange(&mut world);
    world
}

/// Deliver frames, and what follows from them, until there are none.
pub(super) fn exchange(world: &mut World) {
    for _ in 0..2000 {
        exchange_some(world, usize::MAX);
        world.tick(60);
        if world.frames.is_empty() {
            return;
        }
    }
    panic!("clusters tell each other things for ever");
}

/// Deliver so many frames.
fn exchange_some(world: &mut World, count: usize) {
    for _ in 0..count {
        if !world.deliver_frame() {
            return;
        }
    }
}

/// The streams between a cluster and all others break.
pub(super) fn cut(world: &mut World, cluster: usize) {
    world.frames.retain(|(from, to, _)| *from != cluster && *to != cluster);
    tell_streams(world, cluster, &StreamEvent::Closed);
}

/// They are there again.
pub(super) fn reconnect(world: &mut World, cluster: usize) {
    cut(world, cluster);
    tell_streams(world, cluster, &StreamEvent::Opened);
}

fn tell_streams(world: &mut World, cluster: usize, event: &StreamEvent) {
    for peer in (0..world.clusters.len()).filter(|peer| *peer != cluster) {
        for (one, other) in [(peer, cluster), (cluster, peer)] {
            for role in [StreamRole::Source, StreamRole::Target] {
                world.clusters[one].shard.handle_stream(world.now, stream(other, role), event.clone());
            }
            world.settle(one);
        }
    }
}

/// Clusters keep so many tasks for a peer that is away.
fn keep(world: &mut World, rows: u64) {
    for cluster in &mut world.clusters {
        cluster.shard.backlog_limit = BacklogLimit { rows, ..BacklogLimit::default() };
    }
}

/// Four runs: one that goes on in another, one that is over, and an open one with an activity that is being tried.
fn write_runs(world: &mut World, cluster: usize) {
    world.start(cluster, 0);
    world.signal(cluster, "one");
    world.work(cluster, std::vec![go_on()]);
    world.terminate(cluster);
    world.start(cluster, 0);
    world.work(cluster, std::vec![activity("pack")]);
    world.try_start_activity(cluster).expect("it waits").expect("it starts");
    world.try_end_activity(cluster, 0);
}

pub(super) fn told_of(world: &World, cluster: usize, wanted: impl Fn(&Report) -> bool) -> usize {
    world.clusters[cluster].reports.iter().filter(|report| wanted(report)).count()
}

/// Tasks that a cluster keeps for its peers.
fn kept(world: &World, cluster: usize) -> usize {
    world.clusters[cluster].store.tasks.keys().filter(|(category, _)| *category == Category::Replication).count()
}

/// What clusters still wait to be told: who, and by whom.
fn seeding(world: &World) -> Vec<(&'static str, i32)> {
    let all = world.clusters.iter().enumerate();
    all.flat_map(|(index, cluster)| cluster.shard.seeding().map(move |(_, from)| (name(index), from.cluster.0)))
        .collect()
}

/// `b` and `c` are there, and the namespace is in `a` and `b` alone.
fn without_c() -> World {
    let mut world = World::new(3);
    world.namespace.clusters.retain(|cluster| cluster.as_str() != name(C));
    world.hear(&[A, B, C]);
    world.is_wired = true;
    for cluster in [A, B, C] {
        reconnect(&mut world, cluster);
    }
    exchange(&mut world);
    world
}

fn join_c(world: &mut World) {
    world.namespace.clusters.push(name(C).into());
    world.hear(&[A, B, C]);
}

/// What every peer has is let go in the end, though the disk takes nothing at first.
#[test]
fn what_could_not_be_let_go_is_let_go_later() {
    let mut world = wired(2);
    world.start(A, 0);
    exchange(&mut world);
    assert!(kept(&world, A) > 0, "it is let go a while after it was acknowledged");
    world.clusters[A].store.fails_after(0);
    world.tick(5_000);
    world.clusters[A].store.works();
    world.tick(5_000);
    assert_eq!(kept(&world, A), 0);
}

/// The events of some runs cannot be read for half a second. They are told later. If they cannot be read at all, another
/// cluster tells them.
#[test]
fn what_cannot_be_read_for_a_moment_is_told_a_moment_later() {
    for is_for_good in [false, true] {
        let mut world = without_c();
        write_runs(&mut world, A);
        exchange(&mut world);
        world.clusters[A].store.is_damaged = true;
        join_c(&mut world);
        exchange_some(&mut world, usize::MAX);
        world.tick(500);
        world.clusters[A].store.is_damaged = is_for_good;
        world.tick(60_000);
        exchange(&mut world);
        let untold = told_of(&world, A, |report| matches!(report, Report::Untold { .. }));
        assert_eq!((untold, world.picture(C).len()), (if is_for_good { 3 } else { 0 }, 3));
    }
}

/// The store of `a` cannot be read for a minute. `b` does without what was in it until then, and operators know.
#[test]
fn what_cannot_be_read_for_long_is_told_when_it_can_be() {
    let mut world = wired(2);
    let backup = world.back_up(B);
    let run = world.start(A, 0);
    exchange(&mut world);
    world.restore(B, &backup);
    world.clusters[A].store.is_damaged = true;
    reconnect(&mut world, B);
    exchange(&mut world);
    world.tick(60_000);
    exchange(&mut world);
    assert_eq!(told_of(&world, A, |report| matches!(report, Report::Untold { .. })), 1);
    assert!(!world.has(B, run) && !world.clusters[B].shard.is_recovering());
    world.clusters[A].store.is_damaged = false;
    world.tick(10_000);
    exchange(&mut world);
    world.agree();
    assert!(world.has(B, run));
}

#[test]
fn a_cluster_that_joins_a_namespace_is_told_all_of_it() {
    let mut world = without_c();
    write_runs(&mut world, A);
    exchange(&mut world);
    assert!(world.current(C).is_none() && world.current(B).is_some());
    join_c(&mut world);
    exchange(&mut world);
    world.agree();
    assert_eq!(world.picture(C).len(), 3);
    assert_eq!((seeding(&world), world.complaints()), (Vec::new(), Vec::new()));
    assert_eq!(world.fetches.len(), 0, "whole histories need no fetching");
    // What is written from now on comes by itself.
    world.signal(A, "later");
    exchange(&mut world);
    world.agree();
}

/// What `b` wrote before `c` joined has not reached `a`, which tells `c` of the namespace. `b` tells it itself.
#[test]
fn what_the_active_cluster_has_not_heard_is_told_by_whoever_wrote_it() {
    let mut world = without_c();
    world.start(A, 0);
    exchange(&mut world);
    cut(&mut world, A);
    world.failover(B, &[B]);
    world.signal(B, "one");
    world.work(B, std::vec![super::world::done()]);
    world.tick(1_000);
    world.failover(A, &[A, B]);
    join_c(&mut world);
    for role in [StreamRole::Source, StreamRole::Target] {
        for (one, other) in [(A, C), (C, A)] {
            world.clusters[one].shard.handle_stream(world.now, stream(other, role), StreamEvent::Opened);
            world.settle(one);
        }
    }
    exchange(&mut world);
    reconnect(&mut world, B);
    exchange(&mut world);
    world.agree();
}

/// The last run of a workflow was deleted. Its id names nothing then, also where only the runs before it were ever heard of.
#[test]
fn what_went_on_in_a_run_that_was_deleted_is_not_the_current_run() {
    let mut world = without_c();
    let run = world.start(A, 0);
    world.work(A, std::vec![go_on()]);
    world.delete(A, None);
    exchange(&mut world);
    join_c(&mut world);
    exchange(&mut world);
    assert!(world.has(C, run));
    assert_eq!([A, B, C].map(|cluster| world.current(cluster).map(|state| state.run.run)), [None; 3]);
    world.agree();
}

#[test]
fn what_is_written_while_it_is_told_comes_as_well() {
    let mut world = without_c();
    write_runs(&mut world, A);
    exchange(&mut world);
    join_c(&mut world);
    for number in 0..6 {
        exchange_some(&mut world, 3);
        world.signal(A, &std::format!("signal {number}"));
        world.tick(20);
    }
    exchange(&mut world);
    world.agree();
    assert_eq!((seeding(&world), world.complaints()), (Vec::new(), Vec::new()));
}

#[test]
fn branches_that_lost_are_told_too() {
    let mut world = without_c();
    let run = world.start(A, 0);
    exchange(&mut world);
    cut(&mut world, A);
    world.failover(B, &[B]);
    world.signal(A, "here");
    world.signal(B, "there");
    world.hear(&[A]);
    reconnect(&mut world, A);
    exchange(&mut world);
    join_c(&mut world);
    exchange(&mut world);
    world.agree();
    assert_eq!(world.tree(C, run).split('|').count(), 2);
}

#[test]
fn whoever_restarts_meanwhile_goes_on() {
    for (victim, delivered) in [(A, 1), (A, 4), (C, 2), (C, 5), (A, 8), (C, 9)] {
        let mut world = without_c();
        write_runs(&mut world, A);
        exchange(&mut world);
        join_c(&mut world);
        exchange_some(&mut world, delivered);
        world.restart(victim);
        for cluster in [A, B, C] {
            reconnect(&mut world, cluster);
        }
        exchange(&mut world);
        world.agree();
        assert_eq!(seeding(&world), [], "{} after {delivered} frames", name(victim));
    }
}

#[test]
fn a_peer_that_is_there_before_the_store_is_read_is_told_no_gap() {
    let mut world = wired(2);
    write_runs(&mut world, A);
    exchange(&mut world);
    world.tick(5_000);
    assert_eq!(kept(&world, A), 0, "b has everything");
    world.restart_with_peers(A);
    reconnect(&mut world, A);
    exchange(&mut world);
    assert_eq!(told_of(&world, A, |report| matches!(report, Report::GapTold { .. })), 0);
    assert_eq!(seeding(&world), []);
}

#[test]
fn a_restart_asks_for_nothing_again() {
    let mut world = wired(2);
    write_runs(&mut world, A);
    exchange(&mut world);
    world.tick(5_000);
    exchange(&mut world);
    world.restart(B);
    reconnect(&mut world, B);
    assert_eq!(seeding(&world), []);
}

#[test]
fn a_peer_that_was_switched_off_for_a_while_misses_nothing() {
    let mut world = wired(2);
    write_runs(&mut world, A);
    exchange(&mut world);
    cut(&mut world, B);
    write_more(&mut world, A, 20);
    reconnect(&mut world, B);
    exchange(&mut world);
    world.agree();
    assert_eq!(told_of(&world, B, |report| matches!(report, Report::Gap { .. })), 0);
}

fn write_more(world: &mut World, cluster: usize, runs: usize) {
    for _ in 0..runs {
        world.terminate(cluster);
        world.start(cluster, 0);
        world.tick(40);
    }
    world.tick(5_000);
}

#[test]
fn a_peer_that_was_away_for_too_long_is_told_everything_when_it_is_back() {
    let mut world = wired(3);
    keep(&mut world, 32);
    write_runs(&mut world, A);
    exchange(&mut world);
    cut(&mut world, B);
    write_more(&mut world, A, 30);
    exchange(&mut world);
    world.tick(5_000);
    exchange(&mut world);
    write_more(&mut world, A, 30);
    exchange(&mut world);
    world.tick(5_000);
    assert!(kept(&world, A) <= 34, "{} tasks are kept for a peer that is away", kept(&world, A));
    reconnect(&mut world, B);
    exchange(&mut world);
    world.agree();
    assert_eq!(told_of(&world, B, |report| matches!(report, Report::Gap { .. })), 1);
    assert_eq!(told_of(&world, C, |report| matches!(report, Report::Gap { .. })), 0, "who is there is told in order");
    assert_eq!((seeding(&world), world.complaints()), (Vec::new(), Vec::new()));
    // Afterwards nothing is kept for it but what it has not had.
    world.tick(5_000);
    exchange(&mut world);
    world.tick(5_000);
    assert_eq!(kept(&world, A), 0);
}

/// `a` began a run, and `b` went on with it. When `a` is back it hears everything in the order of ids, so runs that follow come
/// before the end of its own. It asks for that, and does not end the run itself.
#[test]
fn a_run_whose_end_is_told_late_is_not_ended_by_whoever_began_it() {
    let mut world = wired(2);
    keep(&mut world, 32);
    world.start(A, 0);
    exchange(&mut world);
    world.failover(B, &[A, B]);
    exchange(&mut world);
    cut(&mut world, A);
    for _ in 0..2 {
        write_more(&mut world, B, 30);
        world.tick(5_000);
    }
    reconnect(&mut world, A);
    exchange(&mut world);
    world.agree();
    assert_eq!(told_of(&world, A, |report| matches!(report, Report::Gap { .. })), 1);
    assert_eq!(told_of(&world, A, |report| matches!(report, Report::Conflict { .. })), 0);
    assert_eq!(world.complaints(), Vec::<&Report>::new());
}

/// The peer notes what it misses before it acknowledges that it was told so.
#[test]
fn a_gap_that_was_heard_is_not_forgotten() {
    for delivered in 1..8 {
        let mut world = wired(2);
        keep(&mut world, 32);
        cut(&mut world, B);
        world.start(A, 0);
        write_more(&mut world, A, 40);
        write_more(&mut world, A, 1);
        reconnect(&mut world, B);
        exchange_some(&mut world, delivered);
        world.restart(B);
        reconnect(&mut world, B);
        exchange(&mut world);
        assert_eq!(world.picture(B), world.picture(A), "after {delivered} frames");
    }
}

#[test]
fn pages_follow_one_another() {
    let mut world = without_c();
    world.start(A, 0);
    for _ in 0..150 {
        world.terminate(A);
        world.start(A, 0);
    }
    exchange(&mut world);
    join_c(&mut world);
    exchange(&mut world);
    world.agree();
    let runs: Vec<_> = world.picture(C);
    assert_eq!(runs.len(), 151);
}

/// Another host takes the shard. Namespaces and peers are there before it has read what it was told already; a peer may even
/// have said by then that it has let go of something.
#[test]
fn a_shard_that_was_told_everything_is_not_told_anew_by_its_next_host() {
    for is_away in [false, true] {
        let mut world = wired(2);
        keep(&mut world, 32);
        write_runs(&mut world, A);
        exchange(&mut world);
        world.tick(5_000);
        cut(&mut world, B);
        if is_away {
            write_more(&mut world, A, 40);
            write_more(&mut world, A, 1);
        }
        world.restart_before_it_has_read(B);
        assert_eq!(seeding(&world), Vec::new(), "it knows what it was told");
        reconnect(&mut world, B);
        exchange(&mut world);
        world.agree();
        let gaps = told_of(&world, B, |report| matches!(report, Report::Gap { .. }));
        assert_eq!(gaps, usize::from(is_away));
    }
}
