//! The worked examples of conflicts, zombies and stale tasks: their tables and trees, on every cluster, in whichever order
//! tasks arrive.

use std::vec::Vec;

use super::world::{A, B, C, World, permutations};
use crate::{
    ids::{EventId, RunId},
    task::{HistoryTask, TaskKind, TransferTask},
    version::FailoverVersion,
    workflow::dispatch::dispatch,
};

/// Step 0: the namespace is active in `b`; `b` and `c` hold 1@1 2@1 3@2.
fn step_0(delay: u64) -> (World, RunId) {
    let mut world = World::new(3);
    let run = world.start(A, delay);
    if delay > 0 {
        world.signal(A, "zero");
    }
    world.deliver_all();
    world.failover(B, &[A, B, C]);
    world.signal(B, "first");
    world.deliver_all();
    for cluster in [A, B, C] {
        assert_eq!(world.tree(cluster, run), "*2@1 3@2");
    }
    (world, run)
}

/// Deliver what is on its way in each order; each time from the beginning.
fn in_every_order(scenario: impl Fn() -> (World, RunId), check: impl Fn(&World, RunId)) {
    let (mut world, _) = scenario();
    world.flush();
    for order in permutations(world.wires.len()) {
        let (mut world, run) = scenario();
        world.flush();
        let wires: Vec<_> = std::mem::take(&mut world.wires);
        order.iter().for_each(|index| world.deliver(&wires[*index]));
        world.deliver_all();
        world.agree();
        assert!(world.complaints().is_empty(), "{order:?}: {:?}", world.complaints());
        check(&world, run);
    }
}

/// Example 3. The events 4@2 and 4@3 are starts of the workflow task, so neither branch holds what the other needs.
#[test]
fn example_3_a_conflict() {
    let scenario = || {
        let (mut world, run) = step_0(0);
        // `b` writes 4@2; at the same moment the namespace moves to `c`, which writes 4@3.
        world.poll(B);
        world.failover(C, &[C]);
        world.poll(C);
        assert_eq!(world.tree(B, run), "*2@1 4@2");
        assert_eq!(world.tree(C, run), "*2@1 3@2 4@3");
        (world, run)
    };
    in_every_order(scenario, |world, run| {
        for cluster in [A, B, C] {
            assert_eq!(world.tree(cluster, run), "*2@1 3@2 4@3 | 2@1 4@2");
            assert_eq!(world.state(cluster, run).next_event_id(), EventId(5));
        }
    });
}

/// The same with inputs: what only the losing branch has is put into the winning one, by the cluster that is active.
#[test]
fn example_3_inputs_of_the_losing_branch_are_put_into_the_winning_one() {
    let scenario = || {
        let (mut world, run) = step_0(0);
        world.signal(B, "lost");
        world.failover(C, &[C]);
        world.signal(C, "won");
        (world, run)
    };
    in_every_order(scenario, |world, run| {
        for cluster in [A, B, C] {
            assert_eq!(world.tree(cluster, run), "*2@1 3@2 5@3 | 2@1 4@2");
            assert_eq!(world.signals(cluster, run), "first won lost~");
        }
    });
}

/// Example 4. Run 2 reaches `b` before run 1.
#[test]
fn example_4_a_zombie() {
    let scenario = || {
        let mut world = World::new(2);
        let first = world.start(A, 0);
        world.signal(A, "first");
        world.terminate(A);
        let second = world.start(A, 0);
        assert_ne!(first, second);
        (world, first)
    };
    // Before its own end arrives run 1 is a zombie.
    let (mut world, first) = scenario();
    world.flush();
    let wires = std::mem::take(&mut world.wires);
    let of = |run: RunId| {
        let text = std::string::ToString::to_string(&run);
        wires.iter().filter(move |wire| std::format!("{:?}", wire.task.attributes).contains(&text))
    };
    let second = world.current(A).unwrap().run.run;
    of(second).for_each(|wire| world.deliver(wire));
    assert_eq!(world.phase(B, second), "running");
    let first_wires: Vec<_> =
        of(first).filter(|wire| !std::format!("{wire:?}").contains(&second_text(second))).collect();
    world.deliver(first_wires[0]);
    assert_eq!((world.phase(B, first), world.phase(B, second)), ("zombie".into(), "running".into()));
    assert!(world.try_signal(B, Some(first), "refused").is_err(), "it is changed by replication alone");
    first_wires[1..].iter().for_each(|wire| world.deliver(wire));
    assert_eq!((world.phase(B, first), world.phase(B, second)), ("terminated".into(), "running".into()));
    world.agree();
    // It came before run 2 and had its inputs itself; being late is not losing.
    world.failover(B, &[A, B]);
    world.deliver_all();
    assert_eq!((world.signals(B, first), world.signals(B, second)), ("first".into(), "".into()));

    in_every_order(scenario, |world, first| {
        assert_eq!(world.phase(B, first), "terminated");
        assert_eq!(world.phase(B, world.current(A).unwrap().run.run), "running");
    });
}

fn second_text(run: RunId) -> std::string::String {
    std::string::ToString::to_string(&run)
}

/// Example 5. Event 4 schedules the workflow task on both sides, when the delay of the start is over.
#[test]
fn example_5_a_task_that_a_conflict_made_stale() {
    let scenario = || {
        let (mut world, run) = step_0(5);
        world.tick(4_000);
        world.failover(C, &[C]);
        world.tick(2_000);
        assert_eq!(world.tree(B, run), "*2@1 4@2");
        assert_eq!(world.tree(C, run), "*2@1 3@2 4@3");
        (world, run)
    };
    let (mut world, run) = scenario();
    let transfer = |world: &World, cluster: usize| -> Vec<HistoryTask> {
        let tasks = world.clusters[cluster].store.tasks.values();
        let is_dispatch = |task: &&HistoryTask| matches!(task.kind, TaskKind::Transfer(TransferTask::Workflow { .. }));
        tasks.filter(is_dispatch).cloned().collect()
    };
    // Step 0: T names (4, 2).
    let stale = transfer(&world, B);
    assert_eq!(stale.len(), 1);
    assert_eq!(stale[0].kind, TaskKind::Transfer(TransferTask::Workflow { scheduled: EventId(4), attempt: 1 }));
    assert_eq!(stale[0].version, FailoverVersion(2));
    // Step 1: 4@3 arrives and wins.
    world.deliver_to(B);
    assert_eq!(world.tree(B, run), "*2@1 3@2 4@3 | 2@1 4@2");
    // Step 2: the state says that event 4 has version 3; T has no effect, and is not in the queue any more.
    let state = world.state(B, run);
    assert_eq!(state.histories.current().versions.version_of(EventId(4)), Some(FailoverVersion(3)));
    assert_eq!(dispatch(&state, &stale[0]), None);
    let fresh = transfer(&world, B);
    assert_eq!(fresh.len(), 1);
    assert_eq!((fresh[0].kind.clone(), fresh[0].version), (stale[0].kind.clone(), FailoverVersion(3)));
    assert!(dispatch(&state, &fresh[0]).is_some());
    in_every_order(scenario, |world, run| {
        for cluster in [A, B, C] {
            assert_eq!(world.tree(cluster, run), "*2@1 3@2 4@3 | 2@1 4@2");
        }
    });
}
