//! Inputs of losing branches reach the winner exactly once, in their order, whatever dies in between.

use std::{format, vec, vec::Vec};

use super::world::{A, B, C, World, done, go_on};
use crate::{
    ids::RunId,
    shard::{gate::PATIENCE, io::Report},
};

fn parted(clusters: usize) -> (World, RunId) {
    let mut world = World::new(clusters);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B]);
    (world, run)
}

#[test]
fn inputs_keep_their_order() {
    let (mut world, run) = parted(2);
    for n in 0..5 {
        world.signal(A, &format!("{}{n}", if n % 2 == 0 { "_" } else { "s" }));
    }
    world.signal(B, "won");
    world.deliver_all();
    world.agree();
    assert_eq!(world.signals(A, run), "won _0~ s1~ _2~ s3~ _4~");
}

/// `a` is to tell `b` everything, and what it tells next may say that an input had its effect. But it does not know how to.
#[test]
fn inputs_wait_for_who_tells_everything_and_not_for_ever() {
    let (mut world, run) = parted(2);
    world.clusters[B].shard.patience = PATIENCE;
    world.signal(A, "one");
    world.signal(B, "two");
    world.deliver_all();
    world.tick(10_000);
    assert_eq!(world.signals(B, run), "two");
    world.tick_far(PATIENCE.as_secs());
    world.deliver_all();
    world.agree();
    assert_eq!(world.signals(A, run), "two one~");
}

/// CT-8. The namespace goes to `b` and back to `a` before `b` was told of what `a` had written. Temporal loses it (RE-5).
#[test]
fn ct_8_from_a_to_b_and_back_to_a_nothing_is_lost() {
    let (mut world, run) = parted(2);
    world.signal(A, "one");
    world.signal(B, "two");
    world.flush();
    let (to_b, to_a): (Vec<_>, Vec<_>) = std::mem::take(&mut world.wires).into_iter().partition(|wire| wire.to == B);
    world.failover(A, &[A, B]);
    to_a.iter().for_each(|wire| world.deliver(wire));
    assert_eq!(world.tree(A, run), "*2@1 3@2 4@11 | 3@1");
    assert_eq!(world.signals(A, run), "two one~");
    to_b.iter().for_each(|wire| world.deliver(wire));
    world.deliver_all();
    world.agree();
    assert_eq!(world.signals(B, run), "two one~");
}

/// CT-9. What was given is known after a restart, and when the cluster that gave it is not active any more.
#[test]
fn ct_9_nothing_is_given_twice_across_restarts_and_failovers() {
    let (mut world, run) = parted(3);
    world.signal(A, "_one");
    world.signal(B, "two");
    world.hear(&[A, B, C]);
    world.deliver_all();
    assert_eq!(world.signals(B, run), "two _one~");
    for (round, to) in [C, A, B, A].into_iter().enumerate() {
        for cluster in [A, B, C] {
            world.restart(cluster);
        }
        world.failover(to, &[A, B, C]);
        world.deliver_all();
        world.signal(to, &format!("more{round}"));
        world.deliver_all();
    }
    world.agree();
    assert_eq!(world.signals(A, run), "two _one~ more0 more1 more2 more3");
}

/// The write that gives the input is the one that notes it; a process that dies before it does it again.
#[test]
fn a_debt_survives_the_death_of_who_has_to_pay_it() {
    let (mut world, run) = parted(2);
    world.signal(A, "one");
    world.signal(B, "two");
    world.flush();
    // What lies behind the fork can be read.
    world.clusters[B].store.reads_before_damage = 1;
    world.clusters[B].store.is_damaged = true;
    world.deliver_to(B);
    assert_eq!(world.clusters[B].shard.quarantined().count(), 0);
    assert_eq!(world.signals(B, run), "two", "the losing branch cannot be read");
    world.signal(B, "three");
    world.clusters[B].store.is_damaged = false;
    world.restart(B);
    assert_eq!(world.signals(B, run), "two three one~");
    world.deliver_all();
    world.agree();
}

/// A caller that asked both sides with one request id is taken at its word.
#[test]
fn a_signal_that_its_caller_repeated_on_the_winning_side_is_there_once() {
    let (mut world, run) = parted(2);
    world.signal(A, "same");
    world.signal(B, "same");
    world.deliver_all();
    world.agree();
    assert_eq!(world.signals(A, run), "same");
}

/// CT-7. What waits for a started workflow task is written before branches are compared (ND-6).
#[test]
fn ct_7_buffered_events_are_written_before_they_lose() {
    let (mut world, run) = parted(2);
    world.poll(A);
    world.signal(A, "kept");
    world.signal(A, "back");
    world.signal(B, "won");
    world.deliver_to(A);
    assert_eq!(world.tree(A, run), "*2@1 3@2 | 7@1", "started, failed, two signals, scheduled");
    world.deliver_all();
    world.agree();
    assert_eq!(world.signals(A, run), "won kept~ back~");
}

#[test]
fn a_request_to_cancel_and_to_terminate_reaches_the_winner() {
    let (mut world, run) = parted(2);
    world.cancel(A);
    world.signal(B, "won");
    world.deliver_all();
    world.agree();
    assert!(world.state(B, run).execution.cancel_requested.is_some());

    let (mut world, run) = parted(2);
    world.terminate(A);
    world.signal(B, "won");
    world.deliver_all();
    world.agree();
    assert_eq!(world.phase(B, run), "terminated");
}

/// What the server ended for a reason of its own is not an input, and a run that was started later is not meant.
#[test]
fn the_end_of_another_run_ends_nothing() {
    let mut world = World::new(2);
    let older = world.start(A, 0);
    world.flush();
    world.failover(B, &[B]);
    let newer = world.start(B, 0);
    world.deliver_all();
    assert_eq!((world.phase(A, older), world.phase(A, newer)), ("terminated".into(), "running".into()));
    world.hear(&[A, B]);
    world.deliver_all();
    assert_eq!(world.phase(B, newer), "running");
}

/// The workflow went on after the run that had the input, so nobody is told of it again.
#[test]
fn what_was_given_to_a_run_is_not_given_to_the_next() {
    let (mut world, run) = parted(3);
    world.signal(A, "_one");
    world.signal(B, "two");
    world.deliver_all();
    world.work(B, vec![done()]);
    let next = world.start(B, 0);
    world.hear(&[A, B, C]);
    world.deliver_all();
    world.failover(C, &[A, B, C]);
    world.deliver_all();
    world.agree();
    assert_eq!((world.signals(C, run), world.signals(C, next)), ("two _one~".into(), "".into()));
    let given = |report: &&Report| matches!(report, Report::Reapplied { given, .. } if *given > 0);
    assert_eq!(world.clusters[C].reports.iter().filter(given).count(), 0);
}

/// A branch that lost holds a copy of what the winner's own branch has. The winner has gone on in another run meanwhile,
/// which owes nothing to the copy.
#[test]
fn what_the_winner_had_itself_is_not_given_to_the_run_that_follows_it() {
    let (mut world, run) = parted(2);
    world.signal(A, "one");
    world.signal(B, "two");
    world.deliver_to(B);
    assert_eq!(world.signals(B, run), "two one~");
    world.failover(A, &[A]);
    world.work(A, vec![go_on()]);
    world.hear(&[B]);
    world.deliver_all();
    world.agree();
    let next = world.current(A).unwrap().run.run;
    assert_ne!(next, run);
    assert_eq!((world.signals(A, run), world.signals(A, next)), ("one".into(), "two~".into()));
}

/// A run went on in another one, and lost in another cluster by what was written to it there. What both have is not given
/// to the one that follows.
#[test]
fn what_a_run_had_before_it_went_on_is_not_given_to_the_run_that_follows_it() {
    let mut world = World::new(3);
    world.start(A, 0);
    world.signal(A, "one");
    world.deliver_all();
    world.work(A, vec![go_on()]);
    let next = world.current(A).unwrap().run.run;
    world.deliver_to(B);
    world.failover(C, &[C]);
    world.signal(C, "two");
    world.failover(B, &[B]);
    world.signal(B, "three");
    world.hear(&[A, B, C]);
    world.deliver_all();
    world.agree();
    assert_eq!(world.current(B).unwrap().run.run, next);
    assert_eq!(world.signals(B, next), "three two~");
}
