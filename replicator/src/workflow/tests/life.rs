//! The promise: what the active cluster wrote is what a passive one makes of the bytes.

use std::{collections::BTreeSet, string::ToString, vec, vec::Vec};

use proptest::prelude::*;
use prost::Message;
use proto::temporal::server::api::replication::v1::SyncActivityTaskAttributes;

use super::cluster::{Cluster, namespace, start};
use crate::{
    history::HistoryBatch,
    ids::EventId,
    task::{ReplicationTask, TaskKind},
    version::FailoverVersion,
    workflow::{
        Closed, MutableState,
        draft::{Run, Transition},
        execution::Phase,
        mutable_state::{Local, Sticky},
        sync_activity,
    },
};
use core::time::Duration;

/// Something that happens to a run. Numbers choose among what is pending; with nothing to choose from, nothing happens.
#[derive(Clone, Debug)]
enum Step {
    Signal(u8),
    CancelRequest,
    StartTask,
    CompleteTask(Vec<Command>),
    FailTask(u8),
    TimeOutTask,
    StartActivity(u8),
    Heartbeat(u8),
    RetryActivity(u8, u8),
    CloseActivity(u8, u8),
    FireTimers,
    Wait(u8),
    Sticky(bool),
    Failover,
    Terminate,
}

/// What a workflow does with its task.
#[derive(Clone, Debug)]
enum Command {
    Activity([u64; 4]),
    CancelActivity(u8),
    Timer(u8),
    CancelTimer(u8),
    Note(u8),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_follower_makes_the_same_state_of_the_same_bytes(
        steps in prop::collection::vec(step(), 1..60), timeout in 0u64..2, backoff in 0u64..2, seed in 0u64..9,
    ) {
        let mut active = Cluster::new(namespace(), seed);
        let mut passive = Cluster::new(namespace(), seed + 100);
        let closed = active.start(start(timeout * 500, backoff * 5));
        follow(&mut passive, &active, &closed);
        for step in &steps {
            let closed = take(&mut active, step);
            passive.now = active.now;
            follow(&mut passive, &active, &closed);
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let commands = prop::collection::vec(command(), 0..4);
    prop_oneof![
        3 => any::<u8>().prop_map(|n| Step::Signal(n % 6)),
        1 => Just(Step::CancelRequest),
        6 => Just(Step::StartTask),
        6 => commands.prop_map(Step::CompleteTask),
        2 => any::<u8>().prop_map(Step::FailTask),
        1 => Just(Step::TimeOutTask),
        4 => any::<u8>().prop_map(Step::StartActivity),
        2 => any::<u8>().prop_map(Step::Heartbeat),
        2 => (any::<u8>(), 0u8..9).prop_map(|(n, delay)| Step::RetryActivity(n, delay)),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(n, how)| Step::CloseActivity(n, how)),
        3 => Just(Step::FireTimers),
        3 => (0u8..20).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Sticky),
        1 => Just(Step::Failover),
        1 => prop_oneof![9 => Just(Step::Wait(1)), 1 => Just(Step::Terminate)],
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        prop::array::uniform4(0u64..40).prop_map(Command::Activity),
        any::<u8>().prop_map(Command::CancelActivity),
        (0u8..40).prop_map(Command::Timer),
        any::<u8>().prop_map(Command::CancelTimer),
        any::<u8>().prop_map(Command::Note),
    ]
}

fn take(cluster: &mut Cluster, step: &Step) -> Closed {
    match step {
        Step::Wait(seconds) => cluster.now = cluster.now + Duration::from_secs((*seconds).into()),
        Step::Failover => {
            let version = cluster.namespace.failover_version;
            cluster.namespace.failover_version = FailoverVersion(version.0 + 10);
        }
        _ => {}
    }
    if !cluster.state().is_open() {
        return cluster.transact(|_| {});
    }
    cluster.step(|t| act(t, step))
}

fn act(t: &mut Transition<'_>, step: &Step) {
    let task = t.run.state.workflow_task.pending.clone();
    let started = task.as_ref().is_some_and(|task| task.started.is_some());
    match step {
        Step::Signal(n) => {
            let request = if *n == 0 { std::string::String::new() } else { n.to_string() };
            if !t.signal_request_known(&request) {
                t.signal(&request);
            }
        }
        Step::CancelRequest if !t.cancel_requested() => t.request_cancel(),
        Step::StartTask => match task {
            Some(task) if !started && !task.is_transient() => t.start_task(),
            Some(_) if !started => t.start_transient_task(),
            Some(_) => {}
            None => t.schedule_workflow_task_now(),
        },
        Step::CompleteTask(commands) if started => {
            t.write_transient_task();
            t.complete_task();
            commands.iter().for_each(|command| obey(t, command));
        }
        Step::FailTask(n) if started => t.fail_any_task(if n % 5 == 0 { 18 } else { 14 }),
        Step::TimeOutTask if started => t.time_out_any_task(),
        Step::StartActivity(n) => {
            let waits = |t: &Transition<'_>, id| t.activity(id).is_some_and(|a| a.started.is_none());
            if let Some(id) = pick(activities(t), *n).filter(|id| waits(t, *id)) {
                t.start_activity(id);
            }
        }
        Step::Heartbeat(n) => {
            if let Some(id) = pick(running(t), *n) {
                t.heartbeat(id);
            }
        }
        Step::RetryActivity(n, delay) => {
            if let Some(id) = pick(running(t), *n) {
                t.retry_activity(id, (*delay).into());
            }
        }
        Step::CloseActivity(n, how) => {
            if let Some(id) = pick(activities(t), *n) {
                t.close_activity(id, *how);
            }
        }
        Step::FireTimers => {
            let due = t.run.state.timers.due(t.now);
            due.into_iter().for_each(|started| t.fire_timer(started));
        }
        Step::Sticky(true) => {
            let sticky = Sticky { task_queue: "mine".to_string(), schedule_to_start: Duration::from_secs(5) };
            t.run.state.local.sticky = Some(sticky);
            t.run.changes.changed = true;
        }
        Step::Sticky(false) => t.clear_sticky(),
        Step::Terminate => t.terminate(),
        _ => {}
    }
}

fn obey(t: &mut Transition<'_>, command: &Command) {
    match command {
        Command::Activity(timeouts) => {
            t.schedule_activity(t.run.state.next_event_id().to_string(), *timeouts);
        }
        Command::CancelActivity(n) => {
            if let Some(id) = pick(activities(t), *n) {
                t.request_cancel_activity(id);
            }
        }
        Command::Timer(seconds) => {
            t.start_timer(t.run.state.next_event_id().to_string(), (*seconds).into());
        }
        Command::CancelTimer(n) => {
            let timers: Vec<_> = t.run.state.timers.table.keys().copied().collect();
            if let Some(started) = pick(timers, *n) {
                t.remove_buffered_timer_fired(started);
                t.cancel_timer(started);
            }
        }
        Command::Note(n) => t.note(*n),
    }
}

fn activities(t: &Transition<'_>) -> Vec<EventId> {
    let all = t.run.state.activities.table.keys().copied();
    all.filter(|id| t.activity(*id).is_some()).collect()
}

fn running(t: &Transition<'_>) -> Vec<EventId> {
    activities(t).into_iter().filter(|id| t.activity(*id).is_some_and(|a| a.started.is_some())).collect()
}

fn pick(from: Vec<EventId>, n: u8) -> Option<EventId> {
    (!from.is_empty()).then(|| from[usize::from(n) % from.len()])
}

/// Give the passive cluster the bytes of a transaction, and compare.
fn follow(passive: &mut Cluster, active: &Cluster, closed: &Closed) {
    let id = active.current.expect("a run was started");
    let told = told_events(closed);
    let written: BTreeSet<_> = closed.history.iter().map(|write| write.node).collect();
    assert_eq!(told, written, "peers are told of every batch");
    let received = passive.transact(|draft| {
        for write in &closed.history {
            let batch = HistoryBatch::received(write.events.clone()).expect("what we wrote is a batch");
            match draft.runs.get_mut(&id) {
                Some(run) => run.follow(batch).expect("what we wrote can happen"),
                None => {
                    let state = active.state();
                    let branch = state.histories.current().branch.clone();
                    let request = state.execution.start.request_id.clone();
                    let run = Run::received(state.run.clone(), branch, request, batch).expect("it is a start");
                    draft.runs.insert(id, std::boxed::Box::new(run));
                    *draft.current = Some(id);
                }
            }
        }
        for task in &closed.tasks {
            if let TaskKind::Replication(ReplicationTask::SyncActivity { attributes, .. }) = &task.kind {
                let told = SyncActivityTaskAttributes::decode(attributes.clone()).expect("what we wrote");
                let told_at = active.state().histories.current().versions.last();
                let run = draft.runs.get_mut(&id).expect("it was started");
                run.changes.passive = true;
                run.changes.changed |= sync_activity::apply(&mut run.state, &told, told_at);
                assert!(!sync_activity::apply(&mut run.state, &told, told_at), "telling it again changes nothing");
            }
        }
    });
    assert_eq!(told_events(&received), BTreeSet::new(), "a follower tells nobody");
    assert_eq!(shared(passive.state()), shared(active.state()));
    assert_eq!(passive.state().digest(), active.state().digest());
    let last = closed.tasks.iter().rev().find_map(|task| match &task.kind {
        TaskKind::Replication(ReplicationTask::History(stretch)) => stretch.batch.digest,
        _ => None,
    });
    assert!(last.is_none_or(|digest| digest == passive.state().digest()), "the digest that was told");
}

fn told_events(closed: &Closed) -> BTreeSet<EventId> {
    let told = closed.tasks.iter().filter_map(|task| match &task.kind {
        TaskKind::Replication(ReplicationTask::History(stretch)) => Some(stretch.batch.first),
        _ => None,
    });
    told.collect()
}

/// What two clusters must have alike.
fn shared(state: &MutableState) -> MutableState {
    let mut state = state.clone();
    state.local = Local::default();
    let ids: Vec<_> = state.activities.table.keys().copied().collect();
    for id in ids {
        let activity = state.activities.table.get_mut(&id).expect("a key of the table");
        activity.task = None;
        activity.told_at = None;
        activity.is_closing = false;
        if let Some(start) = &mut activity.started {
            start.request_id.clear();
            start.identity.clear();
        }
    }
    let ids: Vec<_> = state.timers.table.keys().copied().collect();
    for id in ids {
        state.timers.table.get_mut(&id).expect("a key of the table").is_firing = false;
    }
    // Of a transient task only that there is one.
    if let Some(task) = state.workflow_task.pending.as_mut().filter(|task| task.is_transient()) {
        task.attempt = 0;
        task.started = None;
        task.scheduled = EventId::NONE;
        task.scheduled_time = crate::time::Timestamp::ZERO;
        task.original_scheduled_time = crate::time::Timestamp::ZERO;
        task.timeout = Duration::ZERO;
        task.version = FailoverVersion::EMPTY;
        state.workflow_task.next_attempt = 0;
    }
    assert!(state.execution.phase != Phase::Zombie);
    state
}
