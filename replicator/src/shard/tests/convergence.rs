//! Whatever clusters write while they do not hear each other, and in whichever order and however often they are told of
//! it: in the end they hold the same histories, take the same branch and the same run for the current one, and make the
//! same state of it; and every signal that was taken is in the histories that count once.

use std::{collections::BTreeSet, format, string::String, vec, vec::Vec};

use proptest::{prelude::*, test_runner::RngSeed};

use super::world::{World, activity, done, go_on, timer};
use crate::{
    shard::io::{Call, Report},
    workflow::execution::Phase,
};

#[derive(Clone, Debug)]
enum Step {
    Start(usize),
    Signal(usize),
    Cancel(usize),
    Terminate(usize),
    Reset(usize),
    Poll(usize),
    Work(usize, u8),
    StartActivity(usize),
    EndActivity(usize, u8),
    Failover(usize, u8),
    Hear(u8),
    Deliver(usize),
    Repeat(usize),
    Restart(usize),
    Tick(u64),
}

fn steps(clusters: usize) -> impl Strategy<Value = Vec<Step>> {
    let cluster = 0..clusters;
    let step = prop_oneof![
        2 => cluster.clone().prop_map(Step::Start),
        6 => cluster.clone().prop_map(Step::Signal),
        1 => cluster.clone().prop_map(Step::Cancel),
        1 => cluster.clone().prop_map(Step::Terminate),
        1 => cluster.clone().prop_map(Step::Reset),
        2 => cluster.clone().prop_map(Step::Poll),
        4 => (cluster.clone(), any::<u8>()).prop_map(|(cluster, what)| Step::Work(cluster, what)),
        2 => cluster.clone().prop_map(Step::StartActivity),
        2 => (cluster.clone(), any::<u8>()).prop_map(|(cluster, how)| Step::EndActivity(cluster, how)),
        3 => (cluster.clone(), any::<u8>()).prop_map(|(cluster, heard)| Step::Failover(cluster, heard)),
        2 => any::<u8>().prop_map(Step::Hear),
        8 => any::<usize>().prop_map(Step::Deliver),
        2 => any::<usize>().prop_map(Step::Repeat),
        1 => cluster.prop_map(Step::Restart),
        1 => (1u64..12).prop_map(Step::Tick),
    ];
    prop::collection::vec(step, 1..LONGEST)
}

/// 120 histories per property, always the same ones; `CONVERGENCE_CASES` asks for more, `CONVERGENCE_SEED` for others.
fn config() -> ProptestConfig {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    ProptestConfig {
        cases: number("CONVERGENCE_CASES").and_then(|cases| u32::try_from(cases).ok()).unwrap_or(120),
        rng_seed: RngSeed::Fixed(number("CONVERGENCE_SEED").unwrap_or(1)),
        ..ProptestConfig::default()
    }
}

/// Steps of a history.
const LONGEST: usize = 60;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn two_clusters_converge(steps in steps(2), order in any::<u64>()) {
        run(2, &steps, order, Network::InOrder);
    }

    #[test]
    fn three_clusters_converge(steps in steps(3), order in any::<u64>()) {
        run(3, &steps, order, Network::InOrder);
    }

    #[test]
    fn two_clusters_converge_whatever_overtakes(steps in steps(2), order in any::<u64>()) {
        run(2, &steps, order, Network::Any);
    }

    #[test]
    fn three_clusters_converge_whatever_overtakes(steps in steps(3), order in any::<u64>()) {
        run(3, &steps, order, Network::Any);
    }

    #[test]
    fn five_clusters_converge(steps in steps(5), order in any::<u64>()) {
        run(5, &steps, order, Network::InOrder);
    }

    #[test]
    fn five_clusters_converge_whatever_overtakes(steps in steps(5), order in any::<u64>()) {
        run(5, &steps, order, Network::Any);
    }
}

/// How tasks travel.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Network {
    /// Those of one stream in order, as streams carry them; streams overtake one another.
    InOrder,
    /// Anyhow.
    Any,
}

#[track_caller]
fn run(clusters: usize, steps: &[Step], mut order: u64, network: Network) {
    let mut world = World::new(clusters);
    // One of them has no room for anything.
    world.clusters[clusters - 1].shard.limit_cache(0);
    let mut taken: Vec<String> = Vec::new();
    world.start(0, 0);
    for (index, step) in steps.iter().enumerate() {
        carry_out(&mut world, clusters, network, index, step, &mut taken);
    }
    world.hear(&(0..clusters).collect::<Vec<_>>());
    let pick = |count: usize| {
        order = order.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (order >> 33) as usize % count
    };
    world.deliver_in(network == Network::InOrder, pick);
    // What waits for a workflow task to end, or for a task to be tried again, goes on after a while.
    for _ in 0..3 {
        world.tick(11_000);
        world.deliver_all();
    }
    world.agree_but_for_attempts();
    let kept: Vec<_> = world.clusters.iter().map(|cluster| cluster.shard.quarantined().count()).collect();
    assert_eq!(kept, vec![0; clusters], "nothing is kept");
    check_signals(&world, &taken);
}

/// No run has a signal twice. Every signal that was taken is in a run that did not lose, or on a branch that came to its own
/// end before it heard that it lost; or the workflow was over when its turn came, and that was said.
#[track_caller]
fn check_signals(world: &World, taken: &[String]) {
    let mut found: BTreeSet<String> = BTreeSet::new();
    for state in world.clusters[0].store.states(&super::world::workflow()) {
        for index in 0..state.histories.all().len() {
            let story = world.story_of(0, &state, index);
            let signals = World::signals_in(&story).replace('~', "");
            let mut all: Vec<&str> = signals.split_whitespace().collect();
            all.sort_unstable();
            assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "a branch has a signal twice: {signals}");
            let is_current = index == state.histories.current_index();
            let (lost, ended) = match &state.execution.phase {
                Phase::Closed(close) if is_current => (close.lost, true),
                phase => (*phase == Phase::Zombie, false),
            };
            let last = story.rsplit(':').next().unwrap_or_default();
            let ended = ended || ["Completed", "ContinuedAsNew", "Terminated", "TimedOut"].contains(&last);
            if is_current && !lost || !is_current && ended {
                found.extend(all.into_iter().map(String::from));
            }
        }
    }
    let is_over = |report: &Report| matches!(report, Report::Reapplied { lost, .. } if *lost > 0);
    let some_were_lost = world.clusters.iter().flat_map(|cluster| &cluster.reports).any(is_over);
    let gone: Vec<_> = taken.iter().filter(|signal| !found.contains(*signal)).collect();
    assert!(gone.is_empty() || some_were_lost, "signals are gone: {gone:?}");
}

fn carry_out(world: &mut World, clusters: usize, network: Network, index: usize, step: &Step, taken: &mut Vec<String>) {
    let hearing = |mask: u8| (0..clusters).filter(|cluster| mask & (1 << cluster) != 0).collect::<Vec<_>>();
    let is_open = |world: &World, cluster: usize| {
        world.current(cluster).is_some_and(|state| state.execution.phase == Phase::Running)
    };
    match step {
        Step::Start(cluster) => _ = world.try_start(*cluster),
        Step::Signal(cluster) => {
            // Every third has no request id of its own.
            let name = format!("{}{index}", if index.is_multiple_of(3) { "_" } else { "s" });
            if world.try_signal(*cluster, None, &name).is_ok() {
                taken.push(name);
            }
        }
        Step::Cancel(cluster) => {
            _ = world.call(*cluster, None, Call::RequestCancel(Default::default()));
        }
        Step::Terminate(cluster) => {
            _ = world.call(*cluster, None, Call::Terminate(Default::default()));
        }
        Step::Reset(cluster) => {
            if let Some(state) = world.current(*cluster) {
                let last = state.workflow_task.last_completed.0;
                _ = world.try_reset(*cluster, state.run.run, last, &format!("reset {index}"));
            }
        }
        Step::Poll(cluster) => _ = world.try_poll(*cluster),
        Step::Work(cluster, what) if is_open(world, *cluster) => {
            if let Some(task) = world.try_poll(*cluster) {
                let commands = match what % 6 {
                    0 => vec![done()],
                    1 => vec![go_on()],
                    2 => vec![timer(&format!("t{index}"), 5)],
                    3 | 4 => vec![activity(&format!("a{index}"))],
                    _ => vec![],
                };
                _ = world.complete(*cluster, &task, commands);
            }
        }
        Step::StartActivity(cluster) => _ = world.try_start_activity(*cluster),
        Step::EndActivity(cluster, how) => _ = world.try_end_activity(*cluster, *how),
        Step::Failover(cluster, mask) => world.failover(*cluster, &hearing(*mask)),
        Step::Hear(mask) => world.hear(&hearing(*mask)),
        Step::Deliver(which) => {
            world.flush();
            if let Some(index) = world.pick(network == Network::InOrder, |count| which % count) {
                let wire = world.wires.remove(index);
                world.deliver(&wire);
            }
        }
        Step::Repeat(which) => {
            world.flush();
            if let Some(index) = world.pick(network == Network::InOrder, |count| which % count) {
                let wire = world.wires[index].clone();
                world.deliver(&wire);
            }
        }
        Step::Restart(cluster) => world.restart(*cluster),
        Step::Tick(seconds) => world.tick(seconds * 1000),
        Step::Work(..) => {}
    }
}

/// `b` knows the run that a reset made, and goes on in another one, before it hears of the base, whose signals the reset
/// took over with the events that it shares.
#[test]
fn what_a_reset_shares_with_its_base_is_not_given_to_the_run_that_follows_it() {
    let steps = [
        Step::Signal(0),
        Step::Work(0, 2),
        Step::Signal(0),
        Step::Work(0, 2),
        Step::Reset(0),
        Step::Deliver(1_435_724_628_812),
        Step::Failover(1, 110),
        Step::Reset(0),
        Step::Restart(0),
        Step::Work(1, 1),
    ];
    run(2, &steps, 39_224_920, Network::Any);
}

/// `a` took over a signal into its branch of a run. `b` had reset the run on another branch, which has not got it; the run
/// of the reset wins, and is given the signal.
#[test]
fn what_one_branch_of_the_base_has_is_not_held_for_what_a_reset_of_another_has() {
    let steps = [
        Step::Start(0),
        Step::Signal(0),
        Step::Failover(1, 2),
        Step::Deliver(0),
        Step::Work(1, 50),
        Step::Reset(1),
        Step::Deliver(2_246_535_747_866_391_941),
        Step::Failover(0, 1),
        Step::Failover(1, 26),
        Step::Signal(1),
        Step::Failover(0, 0),
    ];
    run(2, &steps, 0, Network::InOrder);
}
