//! Runs that begin in the middle of others: what they share, what they are given, and that every cluster has the same.

use std::{format, string::String, string::ToString, vec, vec::Vec};

use super::world::{A, B, World, activity, done, go_on, timer};
use crate::{
    ids::{EventId, RunId},
    shard::io::{Failure, Reply},
    version::FailoverVersion,
};

/// A run of two workflow tasks in `a`: the first schedules an activity and a timer, and was signalled before and after.
///
/// ```text
/// 1 Started  2 TaskScheduled  3 TaskStarted | 4 TaskCompleted  5 TimerStarted  6 ActivityTaskScheduled
/// | 7 !one  8 TaskScheduled | 9 TaskStarted | 10 TaskCompleted | 11 !two  12 TaskScheduled
/// ```
fn worked(clusters: usize) -> (World, RunId) {
    let mut world = World::new(clusters);
    let run = world.start(A, 0);
    world.work(A, vec![timer("t", 3600), activity("a")]);
    world.signal(A, "one");
    world.work(A, vec![]);
    world.signal(A, "two");
    (world, run)
}

fn refusal(reply: Reply) -> String {
    match reply {
        Err(Failure::InvalidArgument(text) | Failure::NotFound(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reset_shares_the_beginning_and_is_given_what_came_after() {
    let (mut world, run) = worked(1);
    let new = world.reset(A, run, 4);
    assert_eq!(
        world.story(A, new),
        "1@1:Started 2@1:TaskScheduled 3@1:TaskStarted 4@1:TaskFailed 5@1:!one 6@1:!two 7@1:TaskScheduled"
    );
    assert_eq!((world.phase(A, run), world.phase(A, new)), ("terminated".into(), "running".into()));
    assert_eq!(world.current(A).unwrap().run.run, new);
    let (base, made) = (world.state(A, run), world.state(A, new));
    assert_eq!(base.local.reset_run, Some(new));
    let [shared, own] = [&base, &made].map(|state| &state.histories.current().branch);
    assert_eq!((own.tree, own.begin()), (shared.tree, EventId(4)), "a fork, and no copy");
    assert_eq!(made.began(), world.now);
    world.work(A, vec![done()]);
    assert_eq!(world.phase(A, new), "completed");
}

#[test]
fn a_reset_to_a_later_task_keeps_what_is_pending() {
    let (mut world, run) = worked(1);
    world.try_start_activity(A).unwrap().unwrap();
    world.tick(2_000);
    let new = world.reset(A, run, 10);
    let state = world.current(A).unwrap();
    assert_eq!(state.run.run, new);
    let pending = state.activities.table.get(&EventId(6)).unwrap();
    assert_eq!((pending.attempt, pending.started.is_some()), (1, false), "it is scheduled anew");
    assert_eq!(pending.first_scheduled_time, world.now);
    assert!(state.timers.table.get(&EventId(5)).unwrap().expiry < world.now + core::time::Duration::from_secs(3600));
    assert_eq!(world.signals(A, new), "one two");
    world.try_start_activity(A).unwrap().unwrap();
}

#[test]
fn a_task_that_no_worker_had_is_started_first() {
    let (mut world, run) = worked(1);
    let new = world.reset(A, run, 9);
    let story = world.story(A, new);
    assert!(
        story.ends_with("8@1:TaskScheduled 9@1:TaskStarted 10@1:TaskFailed 11@1:!two 12@1:TaskScheduled"),
        "{story}"
    );
}

#[test]
fn what_waits_behind_a_started_task_is_given_too() {
    let (mut world, run) = worked(1);
    world.poll(A);
    world.signal(A, "three");
    let new = world.reset(A, run, 4);
    assert_eq!(world.signals(A, new), "one two three");
    assert!(world.story(A, run).ends_with("14@1:TaskFailed 15@1:!three 16@1:Terminated"), "{}", world.story(A, run));
}

#[test]
fn events_that_no_reset_can_go_to_are_refused_by_name() {
    let (mut world, run) = worked(1);
    let out_of_range = "Workflow task finish ID must be > 1 && <= workflow last event ID.";
    for event in [i64::MIN, -1, 0, 1, 13, i64::MAX] {
        assert_eq!(refusal(world.try_reset(A, run, event, "x")), out_of_range, "event {event}");
    }
    for event in [2, 5, 6, 8, 12] {
        let told = refusal(world.try_reset(A, run, event, "x"));
        let expected = format!(
            "StateRebuilder unable to Rebuild mutable state to event ID: {}, version: 1, this event must be at the boundary",
            event - 1
        );
        assert_eq!(told, expected, "event {event}");
    }
    let told = refusal(world.try_reset(A, run, 11, "x"));
    assert!(told.starts_with("Can only reset workflow to event ID in range"), "{told}");
    assert_eq!(world.current(A).unwrap().run.run, run, "nothing was changed");
    let nobody = RunId::from_bytes([9; 16]);
    assert!(refusal(world.try_reset(A, nobody, 4, "x")).starts_with("workflow execution not found"));
}

#[test]
fn the_same_request_gets_the_same_run() {
    let (mut world, run) = worked(1);
    let first = world.try_reset(A, run, 4, "again").unwrap();
    assert_eq!(world.try_reset(A, run, 4, "again"), Ok(first.clone()));
    world.restart(A);
    assert_eq!(world.try_reset(A, run, 4, "again"), Ok(first.clone()));
    assert_ne!(world.try_reset(A, run, 4, "another"), Ok(first));
}

#[test]
fn signals_of_the_runs_that_followed_come_along() {
    let mut world = World::new(1);
    let run = world.start(A, 0);
    world.signal(A, "one");
    world.work(A, vec![go_on()]);
    world.tick(1_100);
    world.signal(A, "two");
    world.work(A, vec![go_on()]);
    world.tick(1_100);
    world.signal(A, "three");
    let new = world.reset(A, run, 5);
    assert_eq!(world.signals(A, new), "one two three");
}

#[test]
fn a_closed_run_and_one_that_is_not_current_can_be_reset() {
    let (mut world, run) = worked(1);
    world.work(A, vec![done()]);
    let other = world.start(A, 0);
    world.signal(A, "not meant");
    let new = world.reset(A, run, 4);
    assert_eq!(world.signals(A, new), "one two");
    assert_eq!((world.phase(A, run), world.phase(A, other)), ("completed".into(), "terminated".into()));
    let again = world.reset(A, new, 4);
    assert_eq!(world.signals(A, again), "one two");
    assert_eq!(world.state(A, new).local.reset_run, Some(again));
    world.work(A, vec![]);
    let third = world.reset(A, again, 9);
    assert_eq!((world.signals(A, third), world.current(A).unwrap().run.run), ("one two".into(), third));
}

#[test]
fn history_that_cannot_be_read_is_an_honest_unavailable() {
    let (mut world, run) = worked(1);
    world.clusters[A].store.is_damaged = true;
    assert!(matches!(world.try_reset(A, run, 4, "x"), Err(Failure::Unavailable(_))));
    world.clusters[A].store.is_damaged = false;
    world.reset(A, run, 4);
}

/// B-6: a peer that has the base makes the new run from it, and asks nobody.
#[test]
fn a_peer_makes_the_new_run_from_the_base_it_has() {
    let (mut world, run) = worked(2);
    world.deliver_all();
    let new = world.reset(A, run, 4);
    world.deliver_all();
    world.agree();
    assert_eq!(world.signals(B, new), "one~ two~");
    assert_eq!((world.fetches.len(), world.state(B, run).local.reset_run), (0, Some(new)));
    let [shared, own] = [run, new].map(|run| world.state(B, run).histories.current().branch.clone());
    assert_eq!((own.tree, own.begin()), (shared.tree, EventId(4)));
    // The run goes on there, and the request that made it is known.
    let first = world.state(A, new).reset_request_id;
    world.failover(B, &[A, B]);
    let again = world.try_reset(B, run, 4, &first);
    assert!(format!("{again:?}").contains(&new.to_string()), "{again:?}");
    world.work(B, vec![done()]);
    world.deliver_all();
    world.agree();
    assert_eq!(world.phase(A, new), "completed");
}

/// ND-10: a peer that has not heard of the base, or not of all that is shared, fetches the whole new run.
#[test]
fn a_peer_without_the_base_fetches_the_new_run() {
    let (mut world, run) = worked(2);
    let new = world.reset(A, run, 10);
    world.flush();
    let text = new.to_string();
    let wires: Vec<_> = std::mem::take(&mut world.wires);
    let (of_new, rest): (Vec<_>, Vec<_>) =
        wires.into_iter().partition(|wire| format!("{:?}", wire.task.attributes).contains(&text));
    of_new.iter().for_each(|wire| world.deliver(wire));
    assert_eq!(world.fetches, ["-..10@1"]);
    assert_eq!((world.phase(B, new), world.signals(B, new)), ("running".into(), "one two~".into()));
    rest.iter().for_each(|wire| world.deliver(wire));
    world.deliver_all();
    assert_eq!((world.phase(B, run), world.phase(B, new)), ("terminated".into(), "running".into()));
    world.agree();
}

/// Whatever arrives first, the new run is current everywhere and has every input once.
#[test]
fn tasks_of_a_reset_may_arrive_in_any_order() {
    let scenario = || {
        let (mut world, run) = worked(2);
        world.deliver_all();
        let new = world.reset(A, run, 4);
        world.signal(A, "three");
        world.flush();
        (world, run, new)
    };
    let count = scenario().0.wires.len();
    for order in super::world::permutations(count) {
        let (mut world, run, new) = scenario();
        let wires: Vec<_> = std::mem::take(&mut world.wires);
        order.iter().for_each(|index| world.deliver(&wires[*index]));
        world.deliver_all();
        assert_eq!(
            (world.phase(B, run), world.signals(B, new)),
            ("terminated".into(), "one~ two~ three".into()),
            "{order:?}"
        );
        world.agree();
        assert!(world.complaints().is_empty(), "{order:?}: {:?}", world.complaints());
    }
}

/// The namespace moved, the new cluster goes on with the base, and the old one resets it meanwhile.
#[test]
fn a_reset_that_lost_gives_its_inputs_back_once() {
    let (mut world, run) = worked(2);
    world.deliver_all();
    world.failover(B, &[B]);
    world.signal(A, "late");
    let new = world.reset(A, run, 4);
    world.signal(A, "later");
    world.signal(B, "won");
    world.deliver_all();
    world.agree();
    for cluster in [A, B] {
        assert_eq!((world.phase(cluster, run), world.phase(cluster, new)), ("running".into(), "terminated".into()));
        assert_eq!(world.signals(cluster, run), "one two won late~ later~");
    }
}

/// Both clusters reset the run; the later version's new run is current, and what only the other had is in it.
#[test]
fn two_resets_of_one_run() {
    let (mut world, run) = worked(2);
    world.deliver_all();
    world.failover(B, &[B]);
    world.signal(A, "late");
    let lost = world.reset(A, run, 10);
    let won = world.reset(B, run, 4);
    assert_eq!(world.state(B, won).lineage.begin(won).unwrap().version, FailoverVersion(2));
    world.deliver_all();
    world.agree();
    for cluster in [A, B] {
        assert_eq!(world.current(cluster).unwrap().run.run, won);
        assert_eq!(world.phase(cluster, lost), "terminated");
        assert_eq!(world.signals(cluster, won), "one~ two~ late~");
    }
}

/// A namespace that wants it has its workflow run again for what a losing branch holds, and only for that.
#[test]
fn a_closed_run_begins_again_where_its_namespace_wants_that() {
    for (wants, signals) in [(true, vec!["late"]), (true, vec![]), (false, vec!["late"])] {
        let mut world = World::new(2);
        if wants {
            world.set_data("meridian.closed-runs", "reset");
        }
        let run = world.start(A, 0);
        world.deliver_all();
        world.failover(B, &[B]);
        world.poll(A);
        signals.iter().for_each(|name| world.signal(A, name));
        world.work(B, vec![done()]);
        world.hear(&[A]);
        world.deliver_all();
        world.agree();
        let current = world.current(B).unwrap().run.run;
        assert_eq!(world.phase(B, run), "completed");
        assert_eq!(current != run, wants && !signals.is_empty(), "{wants} {signals:?}");
        if current != run {
            assert_eq!(
                world.story(A, current),
                "1@1:Started 2@1:TaskScheduled 3@2:TaskStarted 4@2:TaskFailed 5@2:!late~ 6@2:TaskScheduled"
            );
            world.work(B, vec![done()]);
            world.deliver_all();
            world.agree();
        }
    }
}
