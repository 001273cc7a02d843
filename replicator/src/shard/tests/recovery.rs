//! A cluster loses its store, and a copy that is older takes its place.

use std::{format, string::String, vec::Vec};

use super::{
    seeding::{cut, exchange, reconnect, told_of, wired},
    store::Store,
    world::{A, B, C, World, done, go_on as continue_as_new},
};
use crate::{
    ids::{RangeId, RunId},
    namespace::{Federation, Namespace, recovery::resume},
    shard::io::{Failure, Report},
};

/// The cluster has asked all others, and goes on. Answers what it knows of the namespace then.
fn go_on(world: &mut World, cluster: usize, backup: &(Store, Namespace)) -> Namespace {
    let life = world.clusters[cluster].store.life();
    let federation = Federation::alone(super::world::topology(cluster, world.clusters.len()));
    let known = if world.namespace.failover_version > backup.1.failover_version { &world.namespace } else { &backup.1 };
    let resumed = resume(known, life, world.now, &federation).expect("it rests").namespace;
    // What is this cluster's own affair is not told.
    let told = Namespace { resumed_in: None, ..resumed.clone() };
    world.namespace = told;
    let all: Vec<usize> = (0..world.clusters.len()).filter(|other| *other != cluster).collect();
    world.hear(&all);
    hear(world, cluster, resumed.clone());
    resumed
}

fn hear(world: &mut World, cluster: usize, namespace: Namespace) {
    world.clusters[cluster].shard.handle_namespace(world.now, namespace);
    world.settle(cluster);
}

/// So many clusters, of which `lost` loses its store. A copy is from before a signal that the others know.
fn forgetful(count: usize, lost: usize) -> (World, RunId, (Store, Namespace)) {
    let mut world = wired(count);
    let run = world.start(A, 0);
    exchange(&mut world);
    let backup = world.back_up(lost);
    if count > 2 {
        // One of the others does not hear of it.
        cut(&mut world, C);
    }
    world.signal(A, "one");
    exchange(&mut world);
    (world, run, backup)
}

fn recovered(world: &World, cluster: usize) -> bool {
    !world.clusters[cluster].shard.is_recovering()
}

/// `b` stands by. What it was told after the backup is not told again by a stream, and is all there in the end.
#[test]
fn a_standby_is_told_again_what_it_lost() {
    let mut world = wired(2);
    let run = world.start(A, 0);
    exchange(&mut world);
    let backup = world.back_up(B);
    world.signal(A, "one");
    world.work(A, [done()].into());
    let second = world.start(A, 0);
    exchange(&mut world);
    world.tick(5_000);
    world.restore(B, &backup);
    assert!(!world.has(B, second));
    reconnect(&mut world, B);
    exchange(&mut world);
    world.agree();
    assert!(world.has(B, run) && world.has(B, second) && recovered(&world, B));
    assert_eq!(told_of(&world, B, |report| matches!(report, Report::Restored { namespaces: 1 })), 1);
}

/// `a` is active. It had given `one` the name 3@1, told `b`, and forgot. What it writes next must be named otherwise.
#[test]
fn no_event_is_named_like_one_that_is_forgotten() {
    let (mut world, run, backup) = forgetful(2, A);
    world.restore(A, &backup);
    let leapt = |report: &Report| matches!(report, Report::Ready { range, .. } if *range > RangeId(1).next(true));
    assert_eq!(told_of(&world, A, leapt), 1, "nor does any id of a task come twice");
    assert_eq!(refusal(&mut world), CATCHES_UP);
    reconnect(&mut world, A);
    exchange(&mut world);
    assert_eq!(refusal(&mut world), CATCHES_UP);
    go_on(&mut world, A, &backup);
    world.signal(A, "two");
    exchange(&mut world);
    world.agree();
    assert_eq!(world.story(B, run), "1@1:Started 2@1:TaskScheduled 3@1:!one 4@10001:!two");
}

/// It goes on before `b` is there: it has no more than the backup, and waits.
#[test]
fn a_cluster_that_nobody_tells_what_it_lost_is_not_active() {
    let (mut world, _, backup) = forgetful(2, A);
    world.restore(A, &backup);
    let resumed = go_on(&mut world, A, &backup);
    world.tick(60_000);
    assert_eq!(refusal(&mut world), CATCHES_UP);
    world.restart(A);
    hear(&mut world, A, resumed);
    assert_eq!(refusal(&mut world), CATCHES_UP);
    reconnect(&mut world, A);
    exchange(&mut world);
    world.signal(A, "two");
    exchange(&mut world);
    world.agree();
}

/// Of what `a` wrote after the backup `b` has everything and `c` nothing. `b` tells `a`, and `a` tells `c`.
#[test]
fn what_one_peer_has_every_peer_gets() {
    let (mut world, _, backup) = forgetful(3, A);
    world.restore(A, &backup);
    reconnect(&mut world, A);
    reconnect(&mut world, C);
    exchange(&mut world);
    go_on(&mut world, A, &backup);
    exchange(&mut world);
    world.agree();
}

/// `b` has heard what `a` wrote after the backup, and its disk takes nothing. It tells `a` everything when it has that, too.
#[test]
fn what_a_peer_has_heard_and_not_written_yet_is_told_too() {
    let mut world = wired(2);
    let backup = world.back_up(A);
    world.clusters[B].store.fails_after(0);
    let run = world.start(A, 0);
    exchange(&mut world);
    world.restore(A, &backup);
    reconnect(&mut world, A);
    go_on(&mut world, A, &backup);
    exchange(&mut world);
    assert!(!recovered(&world, A));
    world.clusters[B].store.works();
    world.tick(5_000);
    exchange(&mut world);
    assert!(world.has(A, run) && recovered(&world, A));
    world.agree();
}

/// Both lost their stores at once. Each waits for the other to tell what it has.
#[test]
fn two_clusters_that_were_brought_back_wait_for_each_other_and_go_on() {
    let mut world = wired(2);
    world.start(A, 0);
    exchange(&mut world);
    let backups = [A, B].map(|cluster| world.back_up(cluster));
    world.signal(A, "one");
    exchange(&mut world);
    world.restore(A, &backups[A]);
    world.restore(B, &backups[B]);
    reconnect(&mut world, A);
    exchange(&mut world);
    go_on(&mut world, A, &backups[A]);
    exchange(&mut world);
    assert!(recovered(&world, A) && recovered(&world, B));
    world.signal(A, "two");
    exchange(&mut world);
    world.agree();
}

/// `b` was made active while `a` had no store. `a` hears of that and stands by.
#[test]
fn what_was_failed_over_meanwhile_stays_there() {
    let (mut world, run, backup) = forgetful(2, A);
    cut(&mut world, A);
    take_over(&mut world, &backup);
    assert!(recovered(&world, A));
    assert_eq!(world.signals(A, run), "one two");
}

/// In a second run of `a`, of which nobody has heard, a signal waits for a started workflow task. `b` takes over while `a` has
/// no store, so the second run has lost when `a` is back. What waited is not lost, and does not get into a zombie.
#[test]
fn a_run_that_lost_while_its_cluster_caught_up_ends_with_what_waited_in_it() {
    let mut world = wired(2);
    let first = world.start(A, 0);
    exchange(&mut world);
    cut(&mut world, A);
    world.work(A, [continue_as_new()].into());
    world.tick(5_000);
    world.poll(A);
    world.signal(A, "kept");
    let second = world.current(A).expect("it went on").run.run;
    let backup = world.back_up(A);
    take_over(&mut world, &backup);
    assert_eq!(
        world.story(B, second),
        "1@1:Started 2@1:TaskScheduled 3@1:TaskStarted 4@1:TaskFailed 5@1:!kept 6@1:Terminated"
    );
    assert_eq!(world.signals(B, first), "two kept~");
}

/// `b` takes over while nobody hears `a`, which is then there again with its backup. All agree afterwards.
fn take_over(world: &mut World, backup: &(Store, Namespace)) {
    world.failover(B, &[B]);
    world.signal(B, "two");
    world.restore(A, backup);
    world.hear(&[A]);
    reconnect(world, A);
    exchange(world);
    world.agree();
}

/// Why a signal is refused in `a`.
fn refusal(world: &mut World) -> String {
    match world.try_signal(A, None, "refused") {
        Err(Failure::Unavailable(text)) => text,
        reply => format!("{reply:?}"),
    }
}

/// What callers are told meanwhile.
const CATCHES_UP: &str = "the store was brought back from a backup and is catching up";
