//! A task that cannot be applied holds back its run and nobody else, and is not lost.

use std::{string::ToString, vec::Vec};

use proto::temporal::server::api::replication::v1::{ReplicationTask, replication_task::Attributes};

use super::world::{A, B, C, Wire, World, activity, go_on};
use crate::{
    ids::{RunId, RunKey},
    shard::io::Report,
};

/// What `b` keeps: source task and reason.
fn kept(world: &World) -> Vec<(i64, std::string::String)> {
    world.clusters[B].shard.quarantined().map(|kept| (kept.source.0, kept.reason)).collect()
}

fn key(run: RunId) -> RunKey {
    RunKey { workflow: super::world::workflow(), run }
}

/// The same task with a second branch under a version that has one: nobody can have written that.
fn impossible(wire: &Wire) -> Wire {
    let mut wire = wire.clone();
    if let Some(Attributes::HistoryTaskAttributes(history)) = &mut wire.task.attributes {
        history.version_history_items[0].event_id -= 1;
    }
    wire
}

/// Four tasks: the start, and three signals.
fn told() -> (World, RunId, Vec<Wire>) {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    for name in ["one", "two", "three"] {
        world.signal(A, name);
        world.flush();
    }
    let wires = std::mem::take(&mut world.wires);
    assert_eq!(wires.len(), 4);
    (world, run, wires)
}

/// CT-5, and what the stream and the rest of the run make of it.
#[test]
fn ct_5_a_second_branch_of_a_version_is_kept_and_later_tasks_of_the_run_wait_behind_it() {
    let mut world = World::new(3);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[A, B, C]);
    world.signal(B, "one");
    world.deliver_all();
    world.signal(B, "two");
    world.flush();
    let wires: Vec<_> = std::mem::take(&mut world.wires);
    let to_c = wires.iter().find(|wire| wire.to == C).unwrap();
    world.deliver(&impossible(to_c));
    let reason = "it would make a second branch under a version that has one";
    let kept: Vec<_> = world.clusters[C].shard.quarantined().collect();
    assert_eq!((kept.len(), kept[0].reason.as_str(), &kept[0].run), (1, reason, &key(run)));
    assert_eq!(world.signals(C, run), "one");
    // Its stream goes on.
    world.tick(100);
    assert_eq!(world.clusters[C].acked[&B], to_c.task.source_task_id + 1);
}

/// `b` went on with a run of `a` in another one. What `a` was told of the first is kept, so the second one comes first. `a`
/// asks for the end of the first, and does not end it itself.
#[test]
fn a_run_that_overtakes_what_is_kept_of_the_one_before_does_not_end_it() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[A, B]);
    world.signal(B, "missed");
    world.flush();
    world.wires.clear();
    world.work(B, [go_on()].into());
    world.flush();
    world.peers_answer = false;
    let told = std::mem::take(&mut world.wires);
    told.iter().for_each(|wire| world.deliver(wire));
    assert_eq!(world.clusters[A].shard.quarantined().count(), told.len());
    // What is kept is tried again after a second, two, four, eight.
    world.tick(10_000);
    world.peers_answer = true;
    world.poll(B);
    let namespace = world.namespace.id;
    assert!(world.clusters[A].shard.seeds.forget(namespace), "it is not being told everything");
    world.deliver_all();
    world.tick(10_000);
    world.deliver_all();
    world.agree();
    assert_eq!(world.clusters[A].shard.quarantined().count(), 0);
    assert_eq!(world.signals(A, run), "missed");
    let conflicts = |report: &&Report| matches!(report, Report::Conflict { .. });
    assert_eq!(world.clusters[A].reports.iter().find(conflicts), None);
}

/// Both sides wrote to a run, and `b` went on in another one. `a` cannot read its own branch for a moment, so the end of the
/// run is kept apart, and it does not help that `b` tells it again when it is asked. The next run waits for that.
#[test]
fn a_run_waits_for_what_is_kept_of_the_one_that_it_would_end() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B]);
    world.signal(A, "own");
    world.signal(B, "one");
    world.work(B, [go_on()].into());
    world.signal(B, "two");
    world.flush();
    world.clusters[A].store.is_damaged = true;
    world.hear(&[A]);
    let told = std::mem::take(&mut world.wires);
    told.iter().filter(|wire| wire.to == A).for_each(|wire| world.deliver(wire));
    assert_eq!(world.phase(A, run), "running");
    world.clusters[A].store.is_damaged = false;
    world.tick(10_000);
    told.iter().filter(|wire| wire.to == B).for_each(|wire| world.deliver(wire));
    world.deliver_all();
    world.tick(10_000);
    world.deliver_all();
    world.agree();
    assert_eq!(world.clusters[A].shard.quarantined().count(), 0);
    let current = world.current(A).map(|state| state.run.run).unwrap();
    assert_eq!((world.signals(A, run), world.signals(A, current)), ("one".into(), "two own~".into()));
}

/// The same, and what is kept of the run was tried for more than two minutes. Its end is asked for then, and cannot be applied
/// either: what waits for it is kept as well, and is not asked for again at once.
#[test]
fn an_answer_that_cannot_be_applied_is_not_asked_for_at_once_again() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B]);
    world.signal(A, "own");
    world.work(B, [go_on()].into());
    world.flush();
    let end = std::mem::take(&mut world.wires);
    world.signal(B, "two");
    world.flush();
    let next = std::mem::take(&mut world.wires);
    world.clusters[A].store.is_damaged = true;
    world.hear(&[A]);
    end.iter().filter(|wire| wire.to == A).for_each(|wire| world.deliver(wire));
    world.tick(200_000);
    next.iter().filter(|wire| wire.to == A).for_each(|wire| world.deliver(wire));
    assert_eq!(world.phase(A, run), "running");
    assert!(world.fetches.len() < 5, "{:?}", world.fetches);
    world.clusters[A].store.is_damaged = false;
    world.tick(300_000);
    end.iter().filter(|wire| wire.to == B).for_each(|wire| world.deliver(wire));
    world.deliver_all();
    world.agree();
    assert_eq!(world.clusters[A].shard.quarantined().count(), 0);
}

#[test]
fn what_cannot_be_fetched_waits_in_order_and_goes_on_when_it_can_be() {
    let (mut world, run, wires) = told();
    world.deliver(&wires[0]);
    world.peers_answer = false;
    world.deliver(&wires[2]);
    world.deliver(&wires[3]);
    let reasons: Vec<_> = kept(&world).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["the events before it cannot be fetched: the peer is not connected", ""]);
    world.tick(100);
    assert_eq!(world.clusters[B].acked[&A], wires[3].task.source_task_id + 1, "the stream does not wait");
    // It is tried again by itself, and what waited behind it follows at once.
    world.peers_answer = true;
    world.tick(5_000);
    assert_eq!(kept(&world), []);
    assert_eq!(world.signals(B, run), "one two three");
    assert_eq!(world.fetches.last().unwrap(), "2@1..4@1", "exactly the gap");
    world.agree();
    let released = |report: &&Report| matches!(report, Report::Released { .. });
    assert_eq!(world.clusters[B].reports.iter().filter(released).count(), 2);
}

#[test]
fn what_is_kept_survives_a_restart() {
    let (mut world, run, wires) = told();
    world.deliver(&wires[0]);
    world.peers_answer = false;
    world.deliver(&wires[2]);
    world.restart(B);
    assert_eq!(kept(&world).len(), 1, "{}", world.clusters[B].store.categories());
    world.deliver(&wires[2]);
    assert_eq!(kept(&world).len(), 1, "a repetition is kept once");
    world.deliver(&wires[3]);
    assert_eq!(kept(&world).len(), 2);
    world.peers_answer = true;
    assert!(world.retry(B, &key(run)), "an operator does not wait");
    assert_eq!(kept(&world), []);
    assert_eq!(world.signals(B, run), "one two three");
    world.agree();
}

#[test]
fn an_operator_lets_a_task_go() {
    let (mut world, run, wires) = told();
    world.deliver(&wires[0]);
    let mut broken = wires[1].clone();
    if let Some(Attributes::HistoryTaskAttributes(history)) = &mut broken.task.attributes {
        history.events = None;
    }
    world.deliver(&broken);
    world.deliver(&wires[2]);
    assert_eq!(kept(&world).into_iter().map(|(_, reason)| reason).collect::<Vec<_>>(), ["events are missing", ""]);
    let first = world.clusters[B].shard.quarantined().next().unwrap().task;
    assert_eq!(world.skip(B, &[first]), [first]);
    assert_eq!(world.skip(B, &[first]), [], "it is gone");
    // What waited behind it finds the gap, and fetches what it lacks.
    assert_eq!(kept(&world), []);
    assert_eq!(world.signals(B, run), "one two");
}

#[test]
fn tasks_that_name_no_run_are_kept_too() {
    let (mut world, _, wires) = told();
    let nothing = ReplicationTask { attributes: None, raw_task_info: None, ..wires[0].task.clone() };
    world.deliver(&Wire { task: nothing, ..wires[0].clone() });
    assert_eq!(kept(&world), [(wires[0].task.source_task_id, "attributes are missing".to_string())]);
    world.deliver(&wires[1]);
    world.deliver(&wires[2]);
    assert_eq!(kept(&world).len(), 1, "nobody waits behind it");
}

/// CT-15. A peer that has lost a run says so, and nothing is deleted.
#[test]
fn ct_15_a_peer_that_does_not_know_the_run_deletes_nothing() {
    let (mut world, run, wires) = told();
    world.deliver(&wires[0]);
    world.clusters[A].store.forget(&key(run));
    world.deliver(&wires[3]);
    assert_eq!(kept(&world)[0].1, "the peer no longer has the run");
    assert_eq!(world.phase(B, run), "running");
}

/// While a peer is asked, callers of the same workflow are answered.
#[test]
fn callers_do_not_wait_for_peers() {
    let (mut world, run, wires) = told();
    world.deliver(&wires[0]);
    world.failover(B, &[B]);
    world.peers_answer = false;
    world.deliver(&wires[2]);
    world.signal(B, "now");
    assert_eq!(world.signals(B, run), "now");
}

#[test]
fn a_damaged_branch_holds_back_its_run_alone() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    world.deliver_all();
    world.failover(B, &[B]);
    world.poll(A);
    world.poll(B);
    world.flush();
    world.clusters[A].store.is_damaged = true;
    world.deliver_to(A);
    let kept: Vec<_> = world.clusters[A].shard.quarantined().map(|kept| kept.reason).collect();
    assert_eq!(kept, ["the branch that it belongs to cannot be read: a page is damaged"]);
    world.signal(A, "still here");
    world.clusters[A].store.is_damaged = false;
    world.tick(5_000);
    world.deliver_all();
    world.agree();
    assert_eq!(world.tree(A, run).split('|').count(), 2);
}

/// What is named goes in one write, and what waits behind a part of it is not tried before all of it is gone.
#[test]
fn an_operator_lets_a_set_of_tasks_go() {
    let (mut world, run, wires) = told();
    world.deliver(&wires[0]);
    world.peers_answer = false;
    for wire in [&wires[2], &wires[3]] {
        world.deliver(wire);
    }
    let named: Vec<_> = world.clusters[B].shard.quarantined().map(|kept| kept.task).collect();
    assert!(!world.clusters[B].shard.retry_quarantined(world.now, named[1]), "it waits behind the other");
    world.peers_answer = true;
    assert_eq!(world.skip(B, &named), named);
    assert_eq!(kept(&world), []);
    world.tick(5_000);
    assert_eq!(world.signals(B, run), "", "none of them was tried");
    // What is told later finds the gap, and fetches all of it.
    world.signal(A, "four");
    world.deliver_all();
    assert_eq!(world.signals(B, run), "one two three four");
    world.agree();
}

#[test]
fn a_run_that_cannot_be_read_holds_back_itself_alone() {
    let (mut world, run, wires) = told();
    world.deliver(&wires[0]);
    world.restart(B);
    world.clusters[B].store.damage(&key(run));
    world.deliver(&wires[1]);
    world.deliver(&wires[2]);
    assert_eq!(kept(&world).len(), 2);
    assert!(kept(&world)[0].1.starts_with("what is stored of its workflow cannot be read: "), "{:?}", kept(&world));
    world.tick(100);
    assert_eq!(world.clusters[B].acked[&A], wires[2].task.source_task_id + 1, "the stream does not wait");
}

/// The store does not take one of the tasks that wait, so that it comes to stand behind a later one. What it tells of an
/// attempt is missing while that one is applied, and nobody complains of it.
#[test]
fn tasks_that_changed_places_while_they_were_kept_are_not_compared() {
    let mut world = World::new(2);
    world.start(A, 0);
    world.work(A, std::vec![activity("pack")]);
    world.deliver_all();
    world.signal(A, "one");
    world.flush();
    world.signal(A, "two");
    world.flush();
    world.try_start_activity(A).unwrap().unwrap();
    world.flush();
    world.signal(A, "three");
    world.flush();
    let wires = std::mem::take(&mut world.wires);
    let [_, two, attempt, three] = wires.as_slice() else { panic!("{wires:?}") };
    world.peers_answer = false;
    world.deliver(two);
    world.clusters[B].store.writes_left = Some(0);
    world.deliver(attempt);
    world.clusters[B].store.writes_left = None;
    world.deliver(three);
    world.tick(500);
    let order: Vec<_> = kept(&world).iter().map(|(source, _)| *source).collect();
    assert_eq!(order, [two, three, attempt].map(|wire| wire.task.source_task_id));
    world.peers_answer = true;
    world.tick(60_000);
    assert_eq!((kept(&world), world.complaints().iter().filter(|r| is_about_digests(r)).count()), (Vec::new(), 0));
    world.agree();
}

fn is_about_digests(report: &Report) -> bool {
    matches!(report, Report::DigestDiffers { .. })
}

/// The start itself was lost on the way: what `b` has of the run it fetched. Who started it asks again, and is answered.
#[test]
fn a_run_that_was_fetched_knows_the_request_that_started_it() {
    let (mut world, run, wires) = told();
    world.deliver(&wires[3]);
    assert_eq!(world.signals(B, run), "one two three");
    let request = |world: &World, cluster| world.state(cluster, run).execution.start.request_id.clone();
    let started_by = request(&world, A);
    assert!(!started_by.is_empty());
    assert_eq!(request(&world, B), started_by);
    assert!(world.fetches.len() == 1);
}
