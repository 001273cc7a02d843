//! A namespace is handed over: what is held back, what goes on, and when it is said that the other side has everything.

use std::{string::String, vec};

use super::world::{A, B, C, World, signal_call, timer, workflow};
use crate::{
    namespace::{Pause, ReplicationState},
    shard::{
        HandoverProgress::{Drained, Near},
        io::{Call, Failure, Reply, Report, Request, RequestId, Response},
    },
    stream::BacklogLimit,
};

/// Two clusters with a run, of which both know everything.
fn world() -> (World, crate::ids::RunId) {
    let mut world = World::new(2);
    world.stream();
    let run = world.start(A, 0);
    world.exchange();
    (world, run)
}

/// Somebody signals the run, and may have to wait.
fn signal(world: &mut World, name: &str) -> RequestId {
    world.ask(A, Request { workflow: workflow(), run: None, call: signal_call(name) })
}

fn show(reply: Option<Reply>) -> String {
    match reply {
        None => "waits".into(),
        Some(Ok(Response::Signaled { .. })) => "taken".into(),
        Some(Err(Failure::NotActive { active, .. })) => std::format!("ask {active}"),
        Some(Err(Failure::Unavailable(_))) => "come again".into(),
        Some(other) => std::format!("{other:?}"),
    }
}

#[track_caller]
fn check(world: &mut World, request: RequestId, expected: &str) {
    let reply = world.reply(A, request);
    assert_eq!(show(reply), expected);
}

/// All is quiet: the other side is near, and has everything as soon as writes are held back. What waits is told where to go.
#[test]
fn writes_wait_for_the_new_side() {
    let (mut world, run) = world();
    world.watch(B);
    assert_eq!(world.progress(), [Near]);
    world.pause(B, 15);
    assert_eq!(world.progress(), [Drained]);
    let held = signal(&mut world, "held");
    check(&mut world, held, "waits");
    assert!(matches!(world.call(A, None, Call::View), Ok(Response::View(_))), "looking goes on");
    assert!(matches!(world.call(A, None, Call::Describe), Ok(Response::Described(_))));
    world.failover(B, &[A, B]);
    check(&mut world, held, "ask b");
    world.signal(B, "held");
    world.exchange();
    assert_eq!([world.signals(A, run), world.signals(B, run)], ["held", "held"]);
}

/// CT-13. A write is under way when writes are held back. The new side has it before it is said to have everything (NS-51a).
#[test]
fn what_is_under_way_is_waited_for() {
    let (mut world, run) = world();
    world.slow(A, true);
    let slow = signal(&mut world, "slow");
    world.pause(B, 15);
    let held = signal(&mut world, "held");
    world.exchange();
    assert_eq!(world.progress(), []);
    world.written(A);
    check(&mut world, slow, "taken");
    assert_eq!(world.progress(), [], "it is durable here, and nobody has acknowledged it");
    world.exchange();
    assert_eq!(world.progress(), [Drained]);
    assert_eq!(world.signals(B, run), "slow");
    check(&mut world, held, "waits");
}

/// The same, when what is under way is another namespace's and has drawn its ids before.
#[test]
fn what_another_namespace_writes_hides_nothing() {
    let (mut world, run) = world();
    let other = world.another_namespace();
    world.slow(A, true);
    let call = world.start_call(0);
    world.ask(A, Request { workflow: other, run: None, call });
    world.slow(A, false);
    world.signal(A, "behind");
    world.pause(B, 15);
    world.exchange();
    assert_eq!(world.progress(), []);
    world.written(A);
    world.exchange();
    assert_eq!(world.progress(), [Drained]);
    assert_eq!(world.signals(B, run), "behind");
}

/// Signals wait behind a started workflow task. They were acknowledged; the task is ended so that they can be told.
#[test]
fn what_was_kept_back_is_told_before_the_switch() {
    for in_memory in [true, false] {
        let (mut world, run) = world();
        world.poll(A);
        world.signal(A, "kept");
        if !in_memory {
            world.link(false);
            world.restart(A);
            world.link(true);
            world.exchange();
        }
        world.pause(B, 15);
        world.exchange();
        assert_eq!(world.progress(), [Drained]);
        assert_eq!(world.signals(B, run), "kept", "in memory: {in_memory}");
    }
}

/// It is given up at any point: what waited is done here, in its order.
#[test]
fn a_handover_is_given_up() {
    for drains in [true, false] {
        let (mut world, run) = world();
        if !drains {
            world.link(false);
            world.signal(A, "first");
        }
        world.pause(B, 15);
        let held = [signal(&mut world, "second"), signal(&mut world, "third")];
        world.tick(100);
        assert_eq!(world.progress(), if drains { vec![Drained] } else { vec![] });
        world.serve_again();
        for request in held {
            check(&mut world, request, "taken");
        }
        assert_eq!(world.signals(A, run), if drains { "second third" } else { "first second third" });
    }
}

/// Whoever wanted writes held back is gone. They go on at the time that the record names, and nobody waits so long.
#[test]
fn a_handover_that_nobody_ends_ends_by_itself() {
    let (mut world, run) = world();
    world.pause(B, 5);
    let early = signal(&mut world, "early");
    world.tick(3_000);
    check(&mut world, early, "come again");
    let late = signal(&mut world, "late");
    world.tick(1_900);
    check(&mut world, late, "waits");
    world.tick(200);
    check(&mut world, late, "taken");
    assert_eq!(world.signals(A, run), "late");
}

/// The process dies while writes are held back. It holds them back when it comes back, until somebody or the time ends it.
#[test]
fn a_restart_forgets_no_handover() {
    let (mut world, _) = world();
    world.pause(B, 5);
    world.link(false);
    world.restart(A);
    world.link(true);
    let held = signal(&mut world, "held");
    world.exchange();
    check(&mut world, held, "waits");
    assert_eq!(world.progress(), [Drained, Drained], "said by each life");
    world.tick(5_000);
    check(&mut world, held, "come again");
    let later = signal(&mut world, "later");
    check(&mut world, later, "taken");
}

/// A host takes the shard while writes are held back, and hears of that before it has read which runs have a worker. What they
/// kept back is told before the switch.
#[test]
fn a_host_that_takes_the_shard_while_writes_are_held_back_writes_what_was_kept_back() {
    let (mut world, run) = world();
    world.poll(A);
    world.signal(A, "kept");
    let pause = Pause { to: Some("b".into()), until: world.now + core::time::Duration::from_secs(15) };
    world.namespace.replication_state = ReplicationState::Handover(pause);
    world.restart_before_it_has_read(A);
    world.exchange();
    world.tick(100);
    world.exchange();
    assert_eq!(world.progress().last(), Some(&Drained));
    assert_eq!([world.signals(A, run), world.signals(B, run)], ["kept", "kept"]);
}

/// The store takes long over the write that proves that nothing is left to tell. Writes go on meanwhile, and are held back again:
/// that the first of these pauses was drained says nothing about the second.
#[test]
fn a_pause_is_not_drained_because_the_one_before_was() {
    let (mut world, run) = world();
    world.clusters[A].shard.has_rivals = true;
    world.clusters[A].held = Some(vec![]);
    world.pause(B, 15);
    world.serve_again();
    let between = signal(&mut world, "between");
    world.pause(B, 15);
    world.release(A);
    check(&mut world, between, "taken");
    assert_eq!(world.progress(), []);
    world.exchange();
    assert_eq!((world.progress(), world.signals(B, run)), (vec![Drained], "between".into()));
}

/// The new side dies before it has everything: it is not said to have it until it is back and has.
#[test]
fn a_new_side_that_dies_is_waited_for() {
    let (mut world, run) = world();
    world.signal(A, "lost on the way");
    world.link(false);
    world.restart(B);
    world.watch(B);
    world.pause(B, 15);
    world.tick(200);
    assert_eq!(world.progress(), []);
    world.link(true);
    world.exchange();
    assert_eq!(world.progress(), [Near, Drained]);
    assert_eq!(world.story(B, run), world.story(A, run));
}

/// The peer is sent no more, for it has not acknowledged what it was sent, and its lane holds the rest: it is not near.
#[test]
fn a_peer_that_is_held_back_is_not_near() {
    let (mut world, _) = world();
    for number in 0..20 {
        world.signal(A, &std::format!("{number}{}", "x".repeat(1 << 20)));
    }
    world.watch(B);
    world.tick(100);
    assert_eq!(world.progress(), []);
    world.exchange();
    assert_eq!(world.progress(), [Near]);
}

/// The new side was away for so long that it has to be told everything. What it acknowledges meanwhile is not all.
#[test]
fn a_new_side_that_is_told_anew_has_not_everything_before_it_was() {
    let (mut world, _) = world();
    world.clusters[A].shard.backlog_limit = BacklogLimit { rows: 32, ..BacklogLimit::default() };
    world.link(false);
    for _ in 0..100 {
        world.terminate(A);
        world.start(A, 0);
        world.tick(40);
    }
    world.tick(5_000);
    world.watch(B);
    world.pause(B, 60);
    world.link(true);
    let mut said = vec![];
    for _ in 0..2_000 {
        world.tick(20);
        world.deliver_frame();
        said.extend(world.progress());
        if said.contains(&Drained) {
            break;
        }
    }
    assert_eq!(said, [Near, Drained]);
    assert!(
        world.clusters[B].reports.iter().any(|report| matches!(report, Report::Gap { .. })),
        "it was away too long"
    );
    assert_eq!(world.picture(B), world.picture(A));
    assert_eq!(world.picture(A).len(), 101);
}

/// A timer falls due while writes are held back: it fires once, where the namespace is then.
#[test]
fn a_timer_that_is_due_meanwhile_fires_on_the_new_side() {
    let (mut world, run) = world();
    world.work(A, vec![timer("t", 1)]);
    world.exchange();
    world.pause(B, 15);
    world.tick(1_500);
    assert_eq!(world.story(A, run).matches("TimerFired").count(), 0);
    world.failover(B, &[A, B]);
    world.exchange();
    assert!(world.story(A, run).contains("@2:TimerFired"), "{}", world.story(A, run));
    world.agree();
}

/// Three clusters. `b` has handed over to `a`, and `c` cannot hear `b`: `a` has all of it, and cannot tell it `c`. So `c` says
/// that it lacks something, until it has heard that `b` writes no more and what it wrote.
#[test]
fn the_new_side_knows_what_it_has_not_heard_of_third_clusters() {
    let mut world = World::new(3);
    world.stream();
    world.failover(B, &[A, B, C]);
    world.exchange();
    let unheard = |world: &World, cluster: usize| {
        let names = world.clusters[cluster].shard.unheard(world.namespace.id);
        names.iter().map(std::string::ToString::to_string).collect::<vec::Vec<_>>()
    };
    assert_eq!(unheard(&world, C), ["a"; 0], "everybody is heard");

    let run = world.start(B, 0);
    world.failover(A, &[A, B, C]);
    for _ in 0..100 {
        world.tick(20);
        world.frames.retain(|(from, to, _)| (*from, *to) != (B, C));
        while world.deliver_frame() {
            world.frames.retain(|(from, to, _)| (*from, *to) != (B, C));
        }
    }
    assert_eq!((unheard(&world, C), unheard(&world, B)), (vec!["b".into()], vec![]));
    assert!(world.has(A, run) && !world.has(C, run));

    world.link(true);
    world.exchange();
    assert_eq!(unheard(&world, C), ["a"; 0]);
    assert!(world.has(C, run));
}
