//! The rows of tables 5.4 to 5.7 between whole clusters; that each holds what the tables of states allow is checked by the
//! store of these tests after every write.

use std::vec::Vec;

use super::world::{A, B, C, World, done, go_on};
use crate::{ids::RunId, shard::io::Report};

/// A run that both clusters have; then the namespace moves to `b`, and only `b` hears of it.
fn parted() -> (World, RunId) {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B]);
    (world, run)
}

/// Two runs of the workflow that were started apart: one in `a` under version 1, one in `b` under version 2.
fn started_apart() -> (World, RunId, RunId) {
    let mut world = World::new(2);
    let older = world.start(A, 0);
    world.flush();
    world.failover(B, &[B]);
    let newer = world.start(B, 0);
    world.flush();
    (world, older, newer)
}

// 5.4

#[test]
fn table_5_4_row_2_create_the_first_run_as_current() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    assert_eq!((world.phase(B, run), world.current(B).unwrap().run.run), ("running".into(), run));
}

#[test]
fn table_5_4_row_1_create_a_run_that_is_here_is_a_duplicate() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.flush();
    let wire = world.wires[0].clone();
    world.deliver(&wire);
    let before = world.picture(B);
    world.deliver(&wire);
    assert_eq!(world.picture(B), before);
    assert_eq!(world.tree(B, run), "*2@1");
}

#[test]
fn table_5_4_row_3_create_an_older_run_as_a_zombie() {
    let (mut world, older, newer) = started_apart();
    world.deliver_to(B);
    assert_eq!((world.phase(B, older), world.phase(B, newer)), ("zombie".into(), "running".into()));
    assert!(world.try_signal(B, Some(older), "no").is_err(), "it is changed by replication alone");
    world.deliver_all();
    // Whose it was ends it, and tells.
    assert_eq!((world.phase(B, older), world.phase(B, newer)), ("terminated".into(), "running".into()));
    world.agree();
}

#[test]
fn table_5_4_row_4_create_a_newer_run_after_one_that_is_over() {
    let mut world = World::new(2);
    let first = world.start(A, 0);
    world.deliver_all();
    world.terminate(A);
    let second = world.start(A, 0);
    world.deliver_all();
    assert_eq!((world.phase(B, first), world.phase(B, second)), ("terminated".into(), "running".into()));
    world.agree();
}

#[test]
fn table_5_4_row_5_create_a_newer_run_and_end_our_own_that_is_open() {
    let (mut world, older, newer) = started_apart();
    world.deliver_to(A);
    assert_eq!((world.phase(A, older), world.phase(A, newer)), ("terminated".into(), "running".into()));
    assert_eq!(world.story(A, older), "1@1:Started 2@1:TaskScheduled 3@1:Terminated", "under the version it had");
    world.deliver_all();
    world.agree();
}

#[test]
fn table_5_4_row_5_create_a_newer_run_and_keep_another_clusters_that_is_open_as_a_zombie() {
    let mut world = World::new(3);
    let older = world.start(A, 0);
    world.deliver_to(C);
    world.failover(B, &[B]);
    let newer = world.start(B, 0);
    world.deliver_to(C);
    assert_eq!((world.phase(C, older), world.phase(C, newer)), ("zombie".into(), "running".into()));
    world.deliver_all();
    assert_eq!((world.phase(C, older), world.phase(C, newer)), ("terminated".into(), "running".into()));
    world.agree();
}

// 5.5

#[test]
fn table_5_5_row_1_update_the_current_run() {
    let (mut world, run) = parted();
    world.signal(B, "one");
    world.deliver_all();
    assert_eq!(world.tree(A, run), "*2@1 3@2");
    world.agree();
}

#[test]
fn table_5_5_row_1_the_run_that_follows_is_current_next() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.work(A, std::vec![go_on()]);
    let next = world.current(A).unwrap().run.run;
    world.deliver_all();
    assert_eq!((world.phase(B, run), world.phase(B, next)), ("continuedasnew".into(), "running".into()));
    assert_eq!(world.current(B).unwrap().run.run, next);
    world.agree();
}

#[test]
fn table_5_5_row_3_the_run_that_follows_a_zombie_is_one() {
    let (mut world, older, newer) = started_apart();
    world.work(A, std::vec![go_on()]);
    let next = world.current(A).unwrap().run.run;
    world.deliver_to(B);
    let phases = [older, next, newer].map(|run| world.phase(B, run));
    assert_eq!(phases, ["continuedasnew", "zombie", "running"]);
    world.deliver_all();
    assert_eq!([older, next, newer].map(|run| world.phase(A, run)), ["continuedasnew", "terminated", "running"]);
    world.agree();
}

#[test]
fn table_5_5_row_2_resolve_the_current_run() {
    let (mut world, run) = parted();
    world.poll(A);
    world.poll(B);
    world.deliver_to(A);
    assert_eq!(world.tree(A, run), "*2@1 3@2 | 3@1");
    assert_eq!(world.current(A).unwrap().run.run, run);
    world.deliver_all();
    world.agree();
}

#[test]
fn table_5_5_row_3_update_a_zombie() {
    let (mut world, older, newer) = started_apart();
    world.signal(A, "one");
    world.deliver_to(B);
    assert_eq!((world.phase(B, older), world.phase(B, newer)), ("zombie".into(), "running".into()));
    assert_eq!(world.story(B, older), "1@1:Started 2@1:TaskScheduled 3@1:!one");
    assert_eq!(world.signals(B, newer), "one~", "the cluster that is active started the winner itself");
    world.deliver_all();
    world.agree();
    assert_eq!(world.signals(A, newer), "one~");
}

#[test]
fn table_5_5_row_4_resolve_a_zombie() {
    // Run 1 diverges between `a` and `b`; run 2, started in `c`, is newer than both.
    let mut world = World::new(3);
    let older = world.start(A, 0);
    world.deliver_to(B);
    world.flush();
    let late: Vec<_> = std::mem::take(&mut world.wires);
    world.failover(B, &[B]);
    world.poll(A);
    world.poll(B);
    world.flush();
    let wires: Vec<_> = std::mem::take(&mut world.wires);
    world.failover(C, &[C]);
    let newer = world.start(C, 0);
    late.iter().for_each(|wire| world.deliver(wire));
    assert_eq!(world.tree(C, older), "*2@1");
    for from in [A, B] {
        wires.iter().filter(|wire| wire.to == C && wire.from == from).for_each(|wire| world.deliver(wire));
    }
    assert_eq!(world.tree(C, older), "*2@1 3@2 | 3@1");
    assert_eq!((world.phase(C, older), world.phase(C, newer)), ("zombie".into(), "running".into()));
    wires.iter().filter(|wire| wire.to != C).for_each(|wire| world.deliver(wire));
    world.deliver_all();
    assert_eq!((world.phase(A, older), world.phase(A, newer)), ("terminated".into(), "running".into()));
    world.agree();
}

/// A run that was continued as new in one cluster, and went on in the other: its successor gives way (CT-6).
#[test]
fn table_5_5_row_5_and_ct_6_suppress_the_current_run_and_revive_an_older_one() {
    let (mut world, run) = parted();
    world.work(A, std::vec![go_on()]);
    let next = world.current(A).unwrap().run.run;
    world.signal(A, "one");
    world.signal(B, "two");
    world.deliver_to(A);
    assert_eq!(world.tree(A, run), "*2@1 3@2 | 5@1");
    assert_eq!((world.phase(A, run), world.phase(A, next)), ("running".into(), "terminated".into()));
    world.deliver_all();
    world.agree();
    assert_eq!(world.tree(B, run), "*2@1 3@2 | 5@1".replace("3@2", "4@2"));
    assert_eq!(world.signals(B, run), "two one~", "the successor's input came back to the run that won");
    assert_eq!((world.phase(B, run), world.phase(B, next)), ("running".into(), "terminated".into()));
}

#[test]
fn table_5_5_row_6_without_a_current_run_one_that_ends_is_over() {
    let (mut world, older, _) = started_apart();
    world.deliver_to(B);
    world.terminate(B);
    world.tick_far(2 * 86_400);
    world.terminate(A);
    world.deliver_to(B);
    assert_eq!((world.phase(B, older), world.current(B).map(|state| state.run.run)), ("terminated".into(), None));
}

/// Temporal fails the task; here the run stays what it is.
#[test]
fn table_5_5_row_7_without_a_current_run_a_zombie_stays_one() {
    let (mut world, older, newer) = started_apart();
    world.deliver_to(B);
    world.terminate(B);
    assert_eq!((world.phase(B, older), world.phase(B, newer)), ("zombie".into(), "terminated".into()));
    // It was kept long enough, and is deleted.
    world.tick_far(2 * 86_400);
    assert_eq!(world.current(B).map(|state| state.run.run), None);
    world.signal(A, "late");
    world.deliver_to(B);
    assert_eq!(world.phase(B, older), "zombie");
}

// 5.6

#[test]
fn table_5_6_row_1_backfill_where_the_run_is_current_active_and_open_gives_inputs_in_place() {
    let (mut world, run) = parted();
    world.signal(A, "one");
    world.signal(B, "two");
    world.deliver_to(B);
    assert_eq!(world.tree(B, run), "*2@1 4@2 | 3@1");
    assert_eq!(world.signals(B, run), "two one~");
    world.deliver_all();
    world.agree();
}

/// Temporal runs the workflow again, even when there is nothing to give it (RE-11). Here a namespace has to want it:
/// `reset::a_closed_run_begins_again_where_its_namespace_wants_that`.
#[test]
fn table_5_6_row_2_backfill_where_the_run_is_over_runs_nothing_again_and_says_what_is_lost() {
    let (mut world, run) = parted();
    world.signal(A, "one");
    world.work(B, std::vec![done()]);
    world.deliver_all();
    world.agree();
    assert_eq!((world.phase(B, run), world.current(B).unwrap().run.run), ("completed".into(), run));
    let said = |report: &&Report| matches!(report, Report::Reapplied { given: 0, known: 0, lost: 1, .. });
    assert_eq!(world.clusters[B].reports.iter().filter(said).count(), 1);
}

#[test]
fn table_5_6_row_3_backfill_where_the_namespace_is_not_active_waits_for_a_promotion() {
    let mut world = World::new(3);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B, C]);
    world.signal(A, "one");
    world.signal(B, "two");
    // `c` hears of both; `b` never hears of what `a` wrote.
    world.deliver_to(C);
    assert_eq!(world.tree(C, run), "*2@1 3@2 | 3@1");
    assert_eq!(world.signals(C, run), "two");
    world.wires.clear();
    world.failover(C, &[C]);
    assert_eq!(world.signals(C, run), "two one~");
}

#[test]
fn table_5_6_row_4_backfill_of_a_run_that_is_not_current_gives_inputs_to_the_current_one() {
    // Run 1 diverges between `a` and `b`; run 2 is started in `c`, which then hears of the losing branch last.
    let mut world = World::new(3);
    let older = world.start(A, 0);
    world.deliver_to(B);
    world.flush();
    let late: Vec<_> = std::mem::take(&mut world.wires);
    world.failover(B, &[B]);
    world.signal(A, "one");
    world.signal(B, "two");
    world.flush();
    let wires: Vec<_> = std::mem::take(&mut world.wires);
    world.failover(C, &[C]);
    let newer = world.start(C, 0);
    late.iter().for_each(|wire| world.deliver(wire));
    for from in [B, A] {
        wires.iter().filter(|wire| wire.to == C && wire.from == from).for_each(|wire| world.deliver(wire));
    }
    assert_eq!(world.tree(C, older), "*2@1 3@2 | 3@1");
    assert_eq!(world.signals(C, newer), "two~ one~");
}
