//! The worked examples of how histories diverge and converge, played by whole clusters.

use super::{A, B, C, Scenario, Script};
use crate::plan::Kind;

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "conflict",
        title: "two regions write the same run, then meet (3 clusters, B and C cut off from each other)",
        about: "Both hold the tree afterwards; the branch of the highest version is current, and has the signals of both.",
        script: conflict,
    },
    Scenario {
        name: "zombie",
        title: "one id is started in two regions at once (2 clusters, cut off from each other)",
        about: "At most one run of an id is open: the one that lost is kept beside it, and dispatches nothing.",
        script: zombie,
    },
    Scenario {
        name: "stale-task",
        title: "a conflict makes a task stale (2 clusters, the loser has an activity under way)",
        about: "A task that names an event of the losing branch has no effect; the winner does its own work once.",
        script: stale_task,
    },
];

fn conflict() -> Script {
    let mut t = Script::of(3, Kind::Forced);
    t.at(1.0).starts(A, 1, "signals:3 act end");
    t.at(2.0).fails_over(B);
    t.at(3.0).signals(B, 1);
    t.at(4.0).cut(B, C, 6.0).cut(B, A, 6.0);
    t.at(4.5).fails_over(C);
    t.at(5.0).signals(B, 1);
    t.at(5.0).signals(C, 1);
    t.at(12.0).branches(1, 2).ends(1, "completed").holds(1, "workflow_execution_signaled", 3);
    t
}

fn zombie() -> Script {
    let mut t = Script::of(2, Kind::Forced);
    t.at(1.0).cut(A, B, 5.0);
    t.at(2.0).starts(A, 1, "signals:2 end");
    t.at(3.0).fails_over(B);
    t.at(4.0).starts(B, 1, "signals:1 end");
    t.at(4.5).signals(A, 1);
    t.ends(1, "completed").ends_beside(1, "terminated");
    t
}

fn stale_task() -> Script {
    let mut t = Script::of(2, Kind::Forced);
    t.at(1.0).starts(A, 1, "signals:1 act end");
    t.at(2.0).cut(A, B, 5.0);
    t.at(2.5).fails_over(B);
    t.at(3.0).signals(A, 1);
    t.at(3.0).signals(B, 1);
    t.at(12.0).branches(1, 2).ends(1, "completed").holds(1, "activity_task_completed", 1);
    t
}
