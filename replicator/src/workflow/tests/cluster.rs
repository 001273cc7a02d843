//! A cluster in a nutshell: runs of one workflow, and a store that checks what is written to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use bytes::Bytes;
use proto::temporal::api::{
    common::v1::{Memo, Payload, SearchAttributes, WorkflowType},
    enums::v1::TimeoutType,
    failure::v1::Failure,
    history::v1::{
        ActivityTaskCancelRequestedEventAttributes, ActivityTaskCanceledEventAttributes,
        ActivityTaskCompletedEventAttributes, ActivityTaskFailedEventAttributes, ActivityTaskScheduledEventAttributes,
        ActivityTaskStartedEventAttributes, ActivityTaskTimedOutEventAttributes, TimerCanceledEventAttributes,
        TimerFiredEventAttributes, TimerStartedEventAttributes, UpsertWorkflowSearchAttributesEventAttributes,
        WorkflowExecutionSignaledEventAttributes, WorkflowExecutionStartedEventAttributes,
        WorkflowPropertiesModifiedEventAttributes, WorkflowTaskCompletedEventAttributes,
        WorkflowTaskFailedEventAttributes, WorkflowTaskScheduledEventAttributes, WorkflowTaskStartedEventAttributes,
        WorkflowTaskTimedOutEventAttributes,
    },
    taskqueue::v1::TaskQueue,
};

use crate::{
    entropy::Entropy,
    history::{Stretches, event::Attributes},
    ids::{ClusterId, EventId, NamespaceId, RangeId, RecordVersion, RunId, WorkflowKey},
    namespace::Namespace,
    shard::io::{ItemKey, RunChange, StoredRun},
    task::{Category, HistoryTask, TaskKey, TaskKind, TimerTask, TransferTask},
    time::{Timestamp, proto_duration},
    version::{FailoverVersion, Topology},
    workflow::{
        Closed, EventMeta, MutableState,
        activity::{Activity, ActivityStart, Heartbeat},
        draft::{Draft, Run, TaskIds, Transition},
        limits::RunLimits,
        workflow_task::WorkflowTaskStart,
    },
};
use core::time::Duration;

/// Runs of one workflow, and what is stored of them.
pub(super) struct Cluster {
    pub(super) now: Timestamp,
    pub(super) namespace: Namespace,
    pub(super) limits: RunLimits,
    pub(super) runs: BTreeMap<RunId, std::boxed::Box<Run>>,
    pub(super) current: Option<RunId>,
    /// What rests in the queues.
    pub(super) tasks: BTreeMap<(Category, TaskKey), HistoryTask>,
    topology: Topology,
    read: Stretches,
    key: WorkflowKey,
    entropy: Entropy,
    task_ids: TaskIds,
    pointer: Option<RunId>,
    rows: BTreeMap<RunId, Row>,
}

struct Row {
    record: RecordVersion,
    state: Bytes,
    items: BTreeMap<ItemKey, Bytes>,
}

impl Cluster {
    pub(super) fn new(namespace: Namespace, seed: u64) -> Self {
        Self {
            now: Timestamp::from_millis(1_700_000_000_000),
            runs: BTreeMap::new(),
            current: None,
            tasks: BTreeMap::new(),
            topology: topology(),
            limits: RunLimits::default(),
            read: Stretches::new(),
            key: WorkflowKey { namespace: namespace.id, workflow: "order-7".into() },
            entropy: Entropy::new(seed),
            task_ids: TaskIds::of_range(RangeId(1)),
            pointer: None,
            rows: BTreeMap::new(),
            namespace,
        }
    }

    /// One transaction, stored.
    pub(super) fn transact(&mut self, work: impl FnOnce(&mut Draft<'_>)) -> Closed {
        let mut draft = Draft {
            key: &self.key,
            namespace: &self.namespace,
            topology: &self.topology,
            limits: &self.limits,
            read: &self.read,
            absent: &BTreeSet::new(),
            recovers: false,
            asked: &BTreeMap::new(),
            kept: &BTreeSet::new(),
            buried: None,
            now: self.now,
            entropy: &mut self.entropy,
            task_ids: &mut self.task_ids,
            runs: &mut self.runs,
            current: &mut self.current,
            was_current: self.pointer,
            replies: Vec::new(),
            reports: Vec::new(),
        };
        work(&mut draft);
        let closed = draft.close();
        self.store(&closed);
        closed
    }

    /// One transaction on the current run.
    pub(super) fn step(&mut self, work: impl FnOnce(&mut Transition<'_>)) -> Closed {
        let run = self.current.expect("a run was started");
        self.transact(|draft| work(&mut draft.transition(run).expect("the current run is loaded")))
    }

    pub(super) fn start(&mut self, attributes: WorkflowExecutionStartedEventAttributes) -> Closed {
        let run = self.entropy.run_id();
        self.transact(|draft| {
            draft.create_run(run, "start".to_string(), attributes, EventMeta::default());
        })
    }

    pub(super) fn run(&self) -> &Run {
        &self.runs[&self.current.expect("a run was started")]
    }

    pub(super) fn state(&self) -> &MutableState {
        &self.run().state
    }

    /// The run as it would be loaded now.
    pub(super) fn stored(&self, run: RunId) -> StoredRun {
        let row = &self.rows[&run];
        StoredRun {
            run: self.runs[&run].state.run.clone(),
            record: row.record,
            state: row.state.clone(),
            items: row.items.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }

    fn store(&mut self, closed: &Closed) {
        if let Some(current) = &closed.current {
            assert_eq!(current.expected, self.pointer);
            self.pointer = current.next;
        }
        for write in &closed.runs {
            let known = self.rows.get(&write.run.run).map(|row| row.record);
            assert_eq!(write.expected, known, "the condition on the run holds");
            let RunChange::Put { record, state, upserts, deletes } = &write.change else {
                panic!("nothing is deleted")
            };
            let row = self.rows.entry(write.run.run).or_insert(Row {
                record: *record,
                state: state.clone(),
                items: BTreeMap::new(),
            });
            row.record = *record;
            row.state = state.clone();
            row.items.extend(upserts.iter().cloned());
            deletes.iter().for_each(|key| drop(row.items.remove(key)));
        }
        for place in &closed.completed {
            assert!(self.tasks.remove(place).is_some(), "only what is in a queue is completed: {place:?}");
        }
        for task in &closed.tasks {
            if !matches!(task.kind, TaskKind::Replication(_)) {
                let old = self.tasks.insert((task.kind.category(), task.key), task.clone());
                assert!(old.is_none(), "every task has a place of its own");
            }
        }
        self.check_stored();
        self.check_tasks();
    }

    /// What was stored is what is in memory.
    fn check_stored(&self) {
        for (id, run) in &self.runs {
            let loaded = MutableState::decode(self.stored(*id)).expect("what was encoded can be decoded");
            assert_eq!(loaded, run.state);
            assert_eq!(loaded.digest(), run.state.digest(), "a digest kept up to date is a digest made anew");
        }
    }

    /// The runs know exactly the tasks that are in the queues, and regeneration finds nothing to do.
    fn check_tasks(&self) {
        let mut known = BTreeSet::new();
        for run in self.runs.values() {
            let activities = run.state.activities.table.iter().filter_map(|(_, activity)| activity.task);
            let activities =
                activities.map(|task| (if task.is_retry { Category::Timer } else { Category::Transfer }, task.key));
            for place in run.state.local.outstanding.all().chain(activities) {
                assert!(known.insert(place), "no task is known twice");
            }
            let mut healed = run.state.clone();
            let diff = healed.regenerate(self.now, &mut self.task_ids.clone());
            assert!(diff.is_empty(), "a whole run needs no healing: {diff:?}");
            assert_eq!(healed, run.state);
        }
        assert_eq!(known, self.tasks.keys().copied().collect());
        self.tasks.values().for_each(|task| self.check_task(task));
    }

    /// A task speaks of what is there, so that nobody takes it for stale.
    fn check_task(&self, task: &HistoryTask) {
        let state = &self.runs[&task.run.run].state;
        let pending = state.workflow_task.pending.as_ref();
        let pending = pending.map(|pending| (pending.scheduled, pending.attempt, pending.version));
        let about = match task.kind {
            TaskKind::Transfer(TransferTask::Workflow { scheduled, attempt })
            | TaskKind::Timer(TimerTask::WorkflowTaskStartToClose { scheduled, attempt })
            | TaskKind::Timer(TimerTask::WorkflowTaskScheduleToStart { scheduled, attempt }) => {
                assert_eq!(pending, Some((scheduled, attempt, task.version)));
                return;
            }
            TaskKind::Transfer(TransferTask::Activity { scheduled, attempt })
            | TaskKind::Timer(TimerTask::ActivityRetry { scheduled, attempt }) => (scheduled, attempt),
            _ => return,
        };
        let activity = state.activities.table.get(&about.0).expect("its activity is pending");
        assert_eq!((activity.attempt, activity.version), (about.1, task.version));
    }
}

impl Transition<'_> {
    pub(super) fn start_task(&mut self) {
        let task = self.run.state.workflow_task.pending.clone().expect("a task is pending");
        self.record(Attributes::WorkflowTaskStartedEventAttributes(WorkflowTaskStartedEventAttributes {
            scheduled_event_id: task.scheduled.0,
            identity: "worker".to_string(),
            request_id: "poll".to_string(),
            ..Default::default()
        }));
    }

    pub(super) fn complete_task(&mut self) -> EventId {
        let task = self.run.state.workflow_task.pending.clone().expect("a task is pending");
        self.record(Attributes::WorkflowTaskCompletedEventAttributes(WorkflowTaskCompletedEventAttributes {
            scheduled_event_id: task.scheduled.0,
            started_event_id: task.started.expect("it is started").event.0,
            ..Default::default()
        }))
    }

    pub(super) fn fail_task(&mut self, cause: i32) {
        let task = self.run.state.workflow_task.pending.clone().expect("a task is pending");
        self.record(Attributes::WorkflowTaskFailedEventAttributes(WorkflowTaskFailedEventAttributes {
            scheduled_event_id: task.scheduled.0,
            started_event_id: task.started.expect("it is started").event.0,
            cause,
            ..Default::default()
        }));
    }

    pub(super) fn schedule_activity(&mut self, id: String, timeouts: [u64; 4]) -> EventId {
        let [close, start, run, heartbeat] = timeouts.map(|seconds| Some(proto_duration(Duration::from_secs(seconds))));
        self.record(Attributes::ActivityTaskScheduledEventAttributes(ActivityTaskScheduledEventAttributes {
            activity_id: id,
            schedule_to_close_timeout: close,
            schedule_to_start_timeout: start,
            start_to_close_timeout: run,
            heartbeat_timeout: heartbeat,
            ..Default::default()
        }))
    }

    pub(super) fn start_timer(&mut self, id: String, seconds: u64) -> EventId {
        self.record(Attributes::TimerStartedEventAttributes(TimerStartedEventAttributes {
            timer_id: id,
            start_to_fire_timeout: Some(proto_duration(Duration::from_secs(seconds))),
            ..Default::default()
        }))
    }

    pub(super) fn signal(&mut self, request_id: &str) {
        let signal = WorkflowExecutionSignaledEventAttributes {
            signal_name: "go".to_string(),
            request_id: request_id.to_string(),
            ..Default::default()
        };
        self.receive(Attributes::WorkflowExecutionSignaledEventAttributes(signal), EventMeta::default());
    }

    pub(super) fn fire_timer(&mut self, started: EventId) {
        let timer_id = self.timer(started).expect("it is pending").id.clone();
        let fired = TimerFiredEventAttributes { timer_id, started_event_id: started.0 };
        self.receive(Attributes::TimerFiredEventAttributes(fired), EventMeta::default());
    }

    /// End an activity, telling its start first if it had one.
    pub(super) fn close_activity(&mut self, scheduled: EventId, how: u8) {
        let activity = self.activity(scheduled).expect("it is pending").clone();
        let scheduled_event_id = scheduled.0;
        if let Some(start) = activity.started {
            let started = ActivityTaskStartedEventAttributes {
                scheduled_event_id,
                identity: start.identity,
                request_id: start.request_id,
                attempt: activity.attempt,
                ..Default::default()
            };
            let started = Attributes::ActivityTaskStartedEventAttributes(started);
            self.receive_at(start.time, started, EventMeta::default());
        }
        use Attributes as A;
        let closed = match how % 4 {
            0 => A::ActivityTaskCompletedEventAttributes(ActivityTaskCompletedEventAttributes {
                scheduled_event_id,
                ..Default::default()
            }),
            1 => A::ActivityTaskFailedEventAttributes(ActivityTaskFailedEventAttributes {
                scheduled_event_id,
                ..Default::default()
            }),
            2 => A::ActivityTaskTimedOutEventAttributes(ActivityTaskTimedOutEventAttributes {
                scheduled_event_id,
                ..Default::default()
            }),
            _ => A::ActivityTaskCanceledEventAttributes(ActivityTaskCanceledEventAttributes {
                scheduled_event_id,
                ..Default::default()
            }),
        };
        self.receive(closed, EventMeta::default());
    }

    pub(super) fn terminate(&mut self) {
        self.record(Attributes::WorkflowExecutionTerminatedEventAttributes(Default::default()));
    }

    pub(super) fn request_cancel(&mut self) {
        let attributes = Attributes::WorkflowExecutionCancelRequestedEventAttributes(Default::default());
        self.receive(attributes, EventMeta::default());
    }

    pub(super) fn request_cancel_activity(&mut self, scheduled: EventId) {
        let attributes =
            ActivityTaskCancelRequestedEventAttributes { scheduled_event_id: scheduled.0, ..Default::default() };
        self.record(Attributes::ActivityTaskCancelRequestedEventAttributes(attributes));
    }

    pub(super) fn cancel_timer(&mut self, started: EventId) {
        let attributes = TimerCanceledEventAttributes { started_event_id: started.0, ..Default::default() };
        self.record(Attributes::TimerCanceledEventAttributes(attributes));
    }

    /// Set or remove an entry of the memo, a search attribute, or leave a marker.
    pub(super) fn note(&mut self, n: u8) {
        let encoding: &'static str = if n.is_multiple_of(4) { "binary/null" } else { "json/plain" };
        let metadata = [("encoding".to_string(), encoding.into())].into();
        let payload = Payload { metadata, data: std::vec![b'0' + n % 7].into(), ..Default::default() };
        let fields = [((n % 2).to_string(), payload)].into();
        use Attributes as A;
        self.record(match n % 3 {
            0 => A::WorkflowPropertiesModifiedEventAttributes(WorkflowPropertiesModifiedEventAttributes {
                upserted_memo: Some(Memo { fields }),
                ..Default::default()
            }),
            1 => A::UpsertWorkflowSearchAttributesEventAttributes(UpsertWorkflowSearchAttributesEventAttributes {
                search_attributes: Some(SearchAttributes { indexed_fields: fields }),
                ..Default::default()
            }),
            _ => A::MarkerRecordedEventAttributes(Default::default()),
        });
    }

    /// A worker takes a transient task: no event tells.
    pub(super) fn start_transient_task(&mut self) {
        let (now, next) = (self.now, self.run.state.next_event_id());
        let task = self.run.state.workflow_task.pending.as_mut().expect("a task is pending");
        task.started = Some(WorkflowTaskStart {
            event: next.next(),
            time: now,
            request_id: "poll".to_string(),
            identity: "worker".to_string(),
            history_size: 0,
            suggest_continue_as_new: false,
        });
        self.run.changes.changed = true;
    }

    /// A transient task that is about to complete gets its events after all.
    pub(super) fn write_transient_task(&mut self) {
        let task = self.run.state.workflow_task.pending.clone().expect("a task is pending");
        if task.is_transient() {
            self.record(Attributes::WorkflowTaskScheduledEventAttributes(WorkflowTaskScheduledEventAttributes {
                attempt: task.attempt,
                ..Default::default()
            }));
            self.start_task();
        }
    }

    pub(super) fn fail_any_task(&mut self, cause: i32) {
        if self.run.state.workflow_task.pending.as_ref().is_some_and(|task| task.is_transient()) {
            self.retry_transient_task();
        } else {
            self.fail_task(cause);
        }
    }

    pub(super) fn time_out_any_task(&mut self) {
        let task = self.run.state.workflow_task.pending.clone().expect("a task is pending");
        if task.is_transient() {
            return self.retry_transient_task();
        }
        self.record(Attributes::WorkflowTaskTimedOutEventAttributes(WorkflowTaskTimedOutEventAttributes {
            scheduled_event_id: task.scheduled.0,
            started_event_id: task.started.expect("it is started").event.0,
            timeout_type: TimeoutType::StartToClose.into(),
        }));
    }

    fn retry_transient_task(&mut self) {
        let (now, version, state) = (self.now, self.version, &mut self.run.state);
        let (last, base) = (state.next_event_id().previous(), state.execution.start.task_timeout());
        state.workflow_task.schedule_transient(last, now, version, base);
        self.run.changes.changed = true;
        self.run.changes.wants_workflow_task = true;
    }

    pub(super) fn start_activity(&mut self, scheduled: EventId) {
        let (time, version) = (self.now, self.version);
        self.change_activity(scheduled, |activity| {
            activity.version = version;
            activity.started =
                Some(ActivityStart { time, request_id: "poll".to_string(), identity: "worker".to_string(), version });
            activity.last_worker_identity = "worker".to_string();
        });
    }

    pub(super) fn heartbeat(&mut self, scheduled: EventId) {
        let time = self.now;
        self.change_activity(scheduled, |activity| activity.heartbeat = Some(Heartbeat { time, details: None }));
    }

    pub(super) fn retry_activity(&mut self, scheduled: EventId, seconds: u64) {
        let (now, version) = (self.now, self.version);
        self.change_activity(scheduled, |activity| {
            activity.version = version;
            activity.attempt += 1;
            activity.started = None;
            activity.scheduled_time = now + Duration::from_secs(seconds);
            activity.last_attempt_complete_time = Some(now);
            activity.last_failure = Some(Arc::new(Failure { message: "no".to_string(), ..Default::default() }));
        });
    }

    fn change_activity(&mut self, scheduled: EventId, change: impl FnOnce(&mut Activity)) {
        change(self.run.state.activities.table.get_mut(&scheduled).expect("it is pending"));
        self.run.changes.synced_activities.insert(scheduled);
        self.run.changes.changed = true;
    }
}

/// Attributes of a start with these timeouts in seconds: run, backoff.
pub(super) fn start(run_timeout: u64, backoff: u64) -> WorkflowExecutionStartedEventAttributes {
    let seconds = |seconds| Some(proto_duration(Duration::from_secs(seconds)));
    WorkflowExecutionStartedEventAttributes {
        workflow_type: Some(WorkflowType { name: "order".to_string() }),
        task_queue: Some(TaskQueue { name: "orders".to_string(), kind: 1, ..Default::default() }),
        workflow_run_timeout: seconds(run_timeout),
        workflow_task_timeout: seconds(10),
        first_workflow_task_backoff: seconds(backoff),
        attempt: 1,
        ..Default::default()
    }
}

/// Clusters `a` and `b`, here `a`.
fn topology() -> Topology {
    let mut topology = Topology::new(10, "a".into(), ClusterId(1)).expect("sound numbers");
    topology.add("b".into(), ClusterId(2)).expect("sound numbers");
    topology
}

/// A namespace in clusters `a` and `b`, active in `a`.
pub(super) fn namespace() -> Namespace {
    Namespace {
        resumed_in: None,
        id: NamespaceId(Entropy::new(1).uuid()),
        name: "shop".to_string(),
        state: crate::namespace::NamespaceState::Registered,
        description: String::new(),
        owner_email: String::new(),
        data: BTreeMap::new(),
        retention: Duration::from_secs(86_400),
        carried: crate::namespace::Carried::default(),
        is_global: true,
        active: "a".into(),
        clusters: ["a".into(), "b".into()].into(),
        replication_state: crate::namespace::ReplicationState::Normal,
        config_version: 0,
        failover_version: FailoverVersion(1),
        failover_history: Vec::new(),
    }
}

/// The kinds of the events of a history, shortened: `Sched2` is a WORKFLOW_TASK_SCHEDULED of attempt 2.
pub(super) fn story(closed: &Closed) -> String {
    let batches = closed.history.iter().map(|write| {
        let batch = crate::history::HistoryBatch::received(write.events.clone()).expect("a batch");
        let events = batch.events().iter().map(|event| {
            let name = match event.attributes.as_ref().expect("attributes") {
                Attributes::WorkflowTaskScheduledEventAttributes(a) => std::format!("Sched{}", a.attempt),
                Attributes::ActivityTaskStartedEventAttributes(a) => std::format!("Began{}", a.scheduled_event_id),
                Attributes::ActivityTaskCompletedEventAttributes(a) => {
                    std::format!("Done{}({})", a.scheduled_event_id, a.started_event_id)
                }
                Attributes::ActivityTaskTimedOutEventAttributes(a) => {
                    std::format!("Late{}({})", a.scheduled_event_id, a.started_event_id)
                }
                Attributes::WorkflowExecutionSignaledEventAttributes(_) => "Signal".to_string(),
                Attributes::TimerFiredEventAttributes(a) => std::format!("Fired{}", a.started_event_id),
                Attributes::WorkflowTaskStartedEventAttributes(_) => "Start".to_string(),
                Attributes::WorkflowTaskCompletedEventAttributes(_) => "Completed".to_string(),
                Attributes::WorkflowTaskFailedEventAttributes(_) => "Failed".to_string(),
                other => std::format!("{:?}", crate::history::event::event_type(other).expect("known")),
            };
            std::format!("{}:{name}", event.event_id)
        });
        events.collect::<Vec<_>>().join(" ")
    });
    batches.collect::<Vec<_>>().join(" | ")
}
