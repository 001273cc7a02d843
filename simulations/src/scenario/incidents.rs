//! Incidents that users of existing systems reported in public. What happened there must not happen here.

use super::{A, B, C, Scenario, Script};
use crate::plan::Kind;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "buffered-events",
        title: "a namespace moves while a signal waits behind a started workflow task (2 clusters)",
        about: "cadence#5006: a workflow with buffered events was stuck after a failover.",
        script: buffered_events,
    },
    Scenario {
        name: "ping-pong",
        title: "a namespace moves away and back within seconds (2 clusters, cut off meanwhile)",
        about: "cadence#807: the history was incomplete in one cluster, and workflows timed out in the other.",
        script: ping_pong,
    },
    Scenario {
        name: "stale-backlog",
        title: "a namespace moves to a standby that saw many workflows pass (2 clusters)",
        about: "cadence#4050: copies of old tasks had to drain on the standby before the first workflow went on.",
        script: stale_backlog,
    },
    Scenario {
        name: "clocks-apart",
        title: "a timer moves to a cluster whose clock is behind (2 clusters, 3 seconds apart)",
        about: "cadence#7058: the standby's timers lay below what it had read, and never fired.",
        script: clocks_apart,
    },
    Scenario {
        name: "clocks-apart-ahead",
        title: "a timer moves to a cluster whose clock is ahead (2 clusters, 3 seconds apart)",
        about: "cadence#7058, the other way round: no timer is early by the clock of the cluster that fires it.",
        script: clocks_apart_ahead,
    },
    Scenario {
        name: "offline-peer",
        title: "a peer is offline for long while others go on (3 clusters, one down)",
        about: "temporal#4348: a peer that had been offline blocked all replication, new workflows too.",
        script: offline_peer,
    },
];

fn buffered_events() -> Script {
    let mut t = Script::of(2, Kind::Heard);
    t.workers_think(1.0);
    t.at(1.0).starts(A, 1, "signals:2 end");
    t.at(1.5).signals(A, 1);
    t.at(1.8).fails_over(B);
    t.at(4.0).signals(B, 1);
    t.exercises("path: failover, heard").ends(1, "completed").holds(1, "workflow_execution_signaled", 2);
    t
}

fn ping_pong() -> Script {
    let mut t = Script::of(2, Kind::Forced);
    t.at(1.0).starts(A, 1, "signals:3 act end");
    t.at(2.0).cut(A, B, 6.0);
    t.at(2.2).fails_over(B);
    t.at(2.5).signals(A, 1);
    t.at(2.5).signals(B, 1);
    t.at(9.0).fails_over(A);
    t.at(9.5).signals(A, 1);
    t.at(9.6).fails_over(B);
    t.at(14.0).ends(1, "completed").holds(1, "workflow_execution_signaled", 3);
    t
}

fn stale_backlog() -> Script {
    let mut t = Script::of(2, Kind::Heard);
    for workflow in 0..40 {
        t.at(1.0 + f64::from(workflow) * 0.1).starts(A, workflow, "act:3 act:3 end");
    }
    t.at(1.0).starts(A, 99, "signals:1 end");
    t.at(8.0).fails_over(B);
    t.at(8.1).signals(B, 99);
    t.ends(99, "completed").ends(39, "completed").rests_within(10.0);
    t
}

fn clocks_apart() -> Script {
    let mut t = Script::of(2, Kind::Heard);
    t.at(0.5).clock_jumps(B, -3.0);
    t.at(1.0).starts(A, 1, "timer:4000 act end");
    t.at(3.0).fails_over(B);
    t.ends(1, "completed").holds(1, "timer_fired", 1);
    t
}

fn clocks_apart_ahead() -> Script {
    let mut t = Script::of(2, Kind::Heard);
    t.at(0.5).clock_jumps(B, 3.0);
    t.at(1.0).starts(A, 1, "timer:4000 act end");
    t.at(3.0).fails_over(B);
    t.at(3.5).clock_jumps(B, -3.0);
    t.ends(1, "completed").holds(1, "timer_fired", 1);
    t
}

fn offline_peer() -> Script {
    let mut t = Script::of(3, Kind::Heard);
    t.at(1.0).starts(A, 1, "signals:1 act end");
    t.at(2.0).crashes(C, 40.0);
    for workflow in 10..30 {
        t.at(f64::from(workflow)).starts(A, workflow, "act:2 end");
    }
    t.at(43.0).starts(A, 2, "act end");
    t.at(44.0).signals(A, 1);
    t.ends(1, "completed").ends(2, "completed").ends(29, "completed");
    t
}
