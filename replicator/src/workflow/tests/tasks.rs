//! Which tasks a run has, as it goes on.

use super::cluster::{Cluster, namespace, start};
use crate::{
    ids::EventId,
    task::{TaskKind, TimerTask, TransferTask},
    time::Timestamp,
    workflow::{execution::Phase, mutable_state::Sticky},
};
use core::time::Duration;
use std::{
    format,
    string::{String, ToString},
    vec::Vec,
};

#[test]
fn a_task_waits_then_runs() {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(0, 0));
    check(&cluster, "wft2#1");
    cluster.step(|t| t.start_task());
    check(&cluster, "wft-close2#1@10");
    cluster.step(|t| {
        t.complete_task();
    });
    check(&cluster, "");
}

#[test]
fn a_delayed_run_waits_for_its_delay_and_its_end() {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(100, 20));
    check(&cluster, "backoff@20 run@120");
    cluster.step(|t| t.signal("a"));
    check(&cluster, "backoff@20 run@120");
    cluster.step(|t| t.schedule_workflow_task_now());
    check(&cluster, "run@120 wft3#1");
}

#[test]
fn only_the_earliest_timer_has_a_task() {
    let mut cluster = worker(&[]);
    cluster.step(|t| {
        t.start_timer("a".to_string(), 30);
    });
    check(&cluster, "timer@30");
    cluster.step(|t| {
        t.start_timer("b".to_string(), 20);
    });
    check(&cluster, "timer@20");
    cluster.step(|t| {
        t.start_timer("c".to_string(), 40);
    });
    check(&cluster, "timer@20");
}

#[test]
fn a_timer_beyond_the_end_of_the_run_has_no_task() {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(25, 0));
    cluster.step(|t| {
        t.start_timer("a".to_string(), 30);
    });
    check(&cluster, "run@25 wft2#1");
}

#[test]
fn an_activity_waits_for_a_worker_and_its_timeouts() {
    let mut cluster = worker(&[[60, 20, 30, 5]]);
    check(&cluster, "act-timeout@20 act5#1");
    cluster.now = cluster.now + Duration::from_secs(10);
    let closed = cluster.step(|t| t.start_activity(EventId(5)));
    assert_eq!(closed.withdrawn, [], "the worker has it");
    check(&cluster, "act-timeout@15");
}

#[test]
fn a_heartbeat_leaves_the_earlier_timer_alone() {
    let mut cluster = worker(&[[60, 0, 30, 5]]);
    cluster.step(|t| t.start_activity(EventId(5)));
    check(&cluster, "act-timeout@5");
    cluster.now = cluster.now + Duration::from_secs(3);
    let closed = cluster.step(|t| t.heartbeat(EventId(5)));
    assert_eq!((closed.tasks.len(), closed.completed.len()), (1, 0), "peers are told, nothing else");
    check(&cluster, "act-timeout@5");
    let timer = cluster.tasks.values().next().unwrap().clone();
    cluster.now = cluster.now + Duration::from_secs(2);
    // It fires and finds nothing due.
    let run = cluster.current.unwrap();
    assert_eq!(cluster.state().activities.due(cluster.now), []);
    cluster.tasks.clear();
    cluster.transact(|draft| {
        let run = draft.runs.get_mut(&run).unwrap();
        assert!(run.state.forget_task(&timer));
        run.changes.changed = true;
    });
    check(&cluster, "act-timeout@8");
}

#[test]
fn a_retry_waits_then_is_dispatched() {
    let mut cluster = worker(&[[60, 0, 30, 0]]);
    cluster.step(|t| t.start_activity(EventId(5)));
    check(&cluster, "act-timeout@30");
    cluster.step(|t| t.retry_activity(EventId(5), 7));
    check(&cluster, "act-retry5#2@7 act-timeout@30");
    cluster.now = cluster.now + Duration::from_secs(7);
    let retry = cluster.tasks.values().find(|task| task.key.fire_time == cluster.now).unwrap().clone();
    cluster.tasks.remove(&(retry.kind.category(), retry.key));
    cluster.step(|t| {
        assert!(t.run.state.forget_task(&retry));
        t.run.changes.changed = true;
    });
    check(&cluster, "act-timeout@30 act5#2");
}

#[test]
fn an_activity_whose_end_is_buffered_has_no_task() {
    let mut cluster = worker(&[[60, 20, 30, 5]]);
    cluster.step(|t| t.signal(""));
    cluster.step(|t| t.start_task());
    check(&cluster, "act-timeout@20 act5#1 wft-close7#1@10");
    let closed = cluster.step(|t| t.close_activity(EventId(5), 2));
    assert_eq!(closed.withdrawn.len(), 1);
    check(&cluster, "wft-close7#1@10");
}

#[test]
fn a_sticky_task_moves_to_the_normal_queue_when_the_worker_is_forgotten() {
    let mut cluster = worker(&[]);
    cluster.step(|t| {
        let schedule_to_start = Duration::from_secs(5);
        t.run.state.local.sticky = Some(Sticky { task_queue: "mine".to_string(), schedule_to_start });
        t.signal("");
    });
    check(&cluster, "wft-start6#1@5 wft6#1");
    let closed = cluster.step(|t| t.clear_sticky());
    assert_eq!(closed.withdrawn.len(), 1);
    check(&cluster, "wft6#1");
}

#[test]
fn a_zombie_wants_nothing_and_a_revived_run_everything() {
    let mut cluster = worker(&[[60, 20, 30, 5]]);
    cluster.step(|t| {
        t.start_timer("a".to_string(), 30);
    });
    cluster.step(|t| t.signal(""));
    let before = picture(&cluster);
    let mut become_phase = |phase: Phase| {
        let run = *cluster.runs.keys().next().unwrap();
        cluster.transact(|draft| {
            *draft.current = (phase == Phase::Running).then_some(run);
            let t = draft.transition(run).unwrap();
            t.run.state.execution.phase = phase;
            t.run.changes.regenerate = true;
            t.run.changes.changed = true;
        });
        picture(&cluster)
    };
    assert_eq!(become_phase(Phase::Zombie), "diverged");
    assert_eq!(become_phase(Phase::Running), before);
}

#[test]
fn regeneration_heals_what_is_missing() {
    let mut cluster = worker(&[[60, 20, 30, 5]]);
    cluster.step(|t| {
        t.start_timer("a".to_string(), 30);
    });
    let before = picture(&cluster);
    cluster.tasks.clear();
    cluster.step(|t| {
        t.run.state.local.outstanding = Default::default();
        t.run.state.activities.table.get_mut(&EventId(5)).unwrap().task = None;
        t.run.state.activities.table.take_changed();
        t.run.changes.regenerate = true;
    });
    assert_eq!(picture(&cluster), before);
}

#[test]
fn a_closed_run_waits_for_its_deletion() {
    let mut cluster = worker(&[[60, 20, 30, 5]]);
    cluster.step(|t| {
        t.start_timer("a".to_string(), 30);
    });
    cluster.step(|t| t.signal(""));
    let closed = cluster.step(|t| t.terminate());
    assert_eq!(closed.withdrawn.len(), 2);
    check(&cluster, "retention@86400");
}

/// A run whose first workflow task completed and scheduled activities with these timeouts; the first is 5.
fn worker(activities: &[[u64; 4]]) -> Cluster {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(0, 0));
    cluster.step(|t| t.start_task());
    cluster.step(|t| {
        t.complete_task();
        for (index, timeouts) in activities.iter().enumerate() {
            t.schedule_activity(index.to_string(), *timeouts);
        }
    });
    cluster
}

#[track_caller]
fn check(cluster: &Cluster, expected: &str) {
    assert_eq!(picture(cluster), expected);
}

/// Tasks in the order of their names; times in seconds after the start.
fn picture(cluster: &Cluster) -> String {
    let begin = cluster.runs.values().next().unwrap().state.execution.start.time;
    let seconds = |time: Timestamp| time.since(begin).as_secs();
    let mut tasks: Vec<String> = cluster
        .tasks
        .values()
        .map(|task| {
            let at = seconds(task.key.fire_time);
            match &task.kind {
                TaskKind::Transfer(TransferTask::Workflow { scheduled, attempt }) => {
                    format!("wft{scheduled}#{attempt}")
                }
                TaskKind::Transfer(TransferTask::Activity { scheduled, attempt }) => {
                    format!("act{scheduled}#{attempt}")
                }
                TaskKind::Timer(timer) => match timer {
                    TimerTask::WorkflowTaskStartToClose { scheduled, attempt } => {
                        format!("wft-close{scheduled}#{attempt}@{at}")
                    }
                    TimerTask::WorkflowTaskScheduleToStart { scheduled, attempt } => {
                        format!("wft-start{scheduled}#{attempt}@{at}")
                    }
                    TimerTask::ActivityRetry { scheduled, attempt } => format!("act-retry{scheduled}#{attempt}@{at}"),
                    TimerTask::ActivityTimeout => format!("act-timeout@{at}"),
                    TimerTask::UserTimer => format!("timer@{at}"),
                    TimerTask::WorkflowBackoff => format!("backoff@{at}"),
                    TimerTask::RunTimeout => format!("run@{at}"),
                    TimerTask::ExecutionTimeout => format!("execution@{at}"),
                    TimerTask::Retention => format!("retention@{at}"),
                },
                TaskKind::Transfer(TransferTask::Reapply) => "reapply".to_string(),
                TaskKind::Diverged => "diverged".to_string(),
                TaskKind::Transfer(TransferTask::Delete) => "delete".to_string(),
                TaskKind::Replication(_) | TaskKind::Quarantined(_) | TaskKind::Tombstone(_) => {
                    unreachable!("not kept")
                }
            }
        })
        .collect();
    tasks.sort();
    tasks.join(" ")
}
