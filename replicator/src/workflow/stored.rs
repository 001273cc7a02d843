//! How a run rests in the store: a record, and an item for each thing that is pending.
//!
//! Decoding never panics: a row that cannot be read is an error which names its bad part.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::{fmt, time::Duration};

use bytes::Bytes;
use prost::Message;
use proto::meridian::persistence::v1 as wire;

use super::{
    MutableState,
    activity::{Activities, Activity, ActivityStart, ActivityTaskRef, Heartbeat},
    contents::Contents,
    execution::{Close, Execution, Phase, Start},
    lineage::{Lineage, Reset},
    mutable_state::{Local, Payloads, Sticky},
    outstanding::{Outstanding, WorkflowTaskRef},
    reapplied::{Knowledge, Origin, Owed, Reapplied},
    signal::Signals,
    table::Table,
    timer::{Timer, Timers},
    workflow_task::{WorkflowTask, WorkflowTaskStart, WorkflowTasks},
};
use crate::{
    ids::{EventId, RunId, TaskId},
    ndc::divergence::{Fate, GaveWay, Outcome},
    shard::io::{ItemKey, ItemKind, StoredRun},
    task::TaskKey,
    time::Timestamp,
    version::{FailoverVersion, VersionHistories, VersionHistoryItem},
};

/// Bytes that hold no run; says which part is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MalformedRun(pub &'static str);

impl fmt::Display for MalformedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stored run is malformed: {}", self.0)
    }
}

impl MutableState {
    /// The value of the run's record.
    #[must_use]
    pub fn encode_record(&self) -> Bytes {
        let execution = &self.execution;
        let start = &execution.start;
        let (phase, close) = match &execution.phase {
            Phase::Running => (RUNNING, None),
            Phase::Zombie => (ZOMBIE, None),
            Phase::Closed(close) => (CLOSED, Some(close_to_wire(close))),
        };
        let changed = |now: &Payloads, then: Option<&Payloads>| {
            let same = then.map_or(now.is_empty(), |then| now == then);
            (!same).then(|| wire::Fields { fields: now.clone() })
        };
        let attributes = &start.attributes;
        let local = &self.local;
        let record = wire::Run {
            phase,
            close,
            backoff_pending: execution.backoff_pending,
            cancel_requested: execution.cancel_requested.map_or(0, |event| event.0),
            memo: changed(&execution.memo, attributes.memo.as_ref().map(|memo| &memo.fields)),
            search_attributes: changed(
                &execution.search_attributes,
                attributes.search_attributes.as_ref().map(|fields| &fields.indexed_fields),
            ),
            workflow_task: Some(workflow_tasks_to_wire(&self.workflow_task)),
            signal_count: self.signals.count,
            histories: Some(self.histories.to_wire()),
            buffered: local.buffered.clone(),
            history_size: local.history_size,
            state_transitions: local.state_transitions,
            last_append: local.last_append.0,
            sticky: local.sticky.as_ref().map(|sticky| wire::Sticky {
                task_queue: sticky.task_queue.clone(),
                schedule_to_start: nanos(sticky.schedule_to_start),
            }),
            outstanding: Some(outstanding_to_wire(&local.outstanding)),
            clock: self.clock.0,
            settled: local.owed.settled().iter().map(|event| event.0).collect(),
            lost: local.owed.lost,
            contents: local.contents.all().to_vec(),
            digest: local.digest,
            gave_way: local.gave_way.map(|winner| wire::GaveWay {
                run: Bytes::copy_from_slice(winner.run.as_bytes()),
                version: winner.version.0,
                time: winner.time.0,
            }),
            resolved: local.resolved.map_or(0, |time| time.0),
            resets: self.lineage.resets().iter().map(reset_to_wire).collect(),
            reset_request_id: self.reset_request_id.clone(),
            reset_run: local.reset_run.map_or_else(Bytes::new, |run| Bytes::copy_from_slice(run.as_bytes())),
            is_deleted: local.is_deleted,
        };
        record.encode_to_vec().into()
    }

    /// The item that tells how the run was started.
    #[must_use]
    pub fn start_item(&self) -> (ItemKey, Bytes) {
        let start = &self.execution.start;
        let value = wire::Start {
            time: start.time.0,
            version: start.version.0,
            attributes: Some(start.attributes.clone()),
            first_run: Bytes::copy_from_slice(start.first_run.as_bytes()),
            request_id: start.request_id.clone(),
            user_metadata: start.user_metadata.clone(),
            clock: start.clock.0,
        };
        (ItemKey { kind: ItemKind::Start, key: Bytes::new() }, value.encode_to_vec().into())
    }

    /// Items to be stored and to be deleted since the last call.
    pub fn take_changed_items(&mut self) -> (Vec<(ItemKey, Bytes)>, Vec<ItemKey>) {
        let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
        let mut sort = |kind, key: Bytes, value: Option<Bytes>| {
            let key = ItemKey { kind, key };
            match value {
                Some(value) => upserts.push((key, value)),
                None => deletes.push(key),
            }
        };
        for scheduled in self.activities.table.take_changed() {
            let value = self.activities.table.get(&scheduled).map(activity_to_wire);
            sort(ItemKind::Activity, event_key(scheduled), value);
        }
        for started in self.timers.table.take_changed() {
            let value = self.timers.table.get(&started).map(timer_to_wire);
            sort(ItemKind::Timer, event_key(started), value);
        }
        for request in self.signals.requests.take_changed() {
            let value = self.signals.requests.get(&request).map(|()| Bytes::new());
            sort(ItemKind::SignalRequest, request.into_bytes().into(), value);
        }
        for origin in self.reapplied.table.take_changed() {
            let value = self.reapplied.table.get(&origin).map(|known| {
                let on_branch = *known == Knowledge::OnBranch;
                wire::Reapplied { on_branch }.encode_to_vec().into()
            });
            sort(ItemKind::Reapplied, Bytes::copy_from_slice(&origin.to_bytes()), value);
        }
        for origin in self.local.fates.take_changed() {
            let value = self.local.fates.get(&origin).map(|outcome| {
                let into = outcome.into.map_or_else(Bytes::new, |run| Bytes::copy_from_slice(run.as_bytes()));
                wire::Fate { fate: outcome.fate as i32, into }.encode_to_vec().into()
            });
            sort(ItemKind::Fate, Bytes::copy_from_slice(&origin.to_bytes()), value);
        }
        (upserts, deletes)
    }

    /// Read a stored run.
    ///
    /// # Errors
    ///
    /// [`MalformedRun`], naming the part that cannot be read.
    pub fn decode(stored: StoredRun) -> Result<Self, MalformedRun> {
        let record = wire::Run::decode(stored.state).map_err(|_| MalformedRun("record"))?;
        let mut items = Items::default();
        for (key, value) in stored.items {
            items.add(key, value)?;
        }
        let start = items.start.ok_or(MalformedRun("start is missing"))?;
        let phase = match (record.phase, record.close) {
            (RUNNING, None) => Phase::Running,
            (ZOMBIE, None) => Phase::Zombie,
            (CLOSED, Some(close)) => Phase::Closed(close_from_wire(&close)?),
            _ => return Err(MalformedRun("phase")),
        };
        let fields = |changed: Option<wire::Fields>, start: Payloads| changed.map_or(start, |now| now.fields);
        let mut state = Self {
            run: stored.run,
            execution: Execution {
                phase,
                backoff_pending: record.backoff_pending,
                cancel_requested: event(record.cancel_requested),
                memo: fields(record.memo, start.memo()),
                search_attributes: fields(record.search_attributes, start.search_attributes()),
                start: Arc::new(start),
            },
            workflow_task: workflow_tasks_from_wire(record.workflow_task.unwrap_or_default()),
            activities: items.activities,
            timers: items.timers,
            signals: Signals { count: record.signal_count, ..items.signals },
            reapplied: items.reapplied,
            lineage: Lineage::new(record.resets.iter().map(reset_from_wire).collect::<Result<_, _>>()?),
            reset_request_id: record.reset_request_id,
            clock: TaskId(record.clock),
            histories: VersionHistories::from_wire(&record.histories.unwrap_or_default())
                .ok_or(MalformedRun("version histories"))?,
            local: Local {
                buffered: record.buffered,
                history_size: record.history_size,
                state_transitions: record.state_transitions,
                outstanding: outstanding_from_wire(record.outstanding.unwrap_or_default()),
                record: stored.record,
                last_append: TaskId(record.last_append),
                owed: Owed::new(record.settled.into_iter().map(EventId).collect(), record.lost),
                fates: items.fates,
                gave_way: record.gave_way.map(|winner| gave_way_from_wire(&winner)).transpose()?,
                resolved: Some(Timestamp(record.resolved)).filter(|time| *time != Timestamp::ZERO),
                contents: Contents::new(record.contents),
                digest: record.digest,
                reset_run: run_id(&record.reset_run),
                is_deleted: record.is_deleted,
                sticky: record.sticky.map(|sticky| Sticky {
                    task_queue: sticky.task_queue,
                    schedule_to_start: from_nanos(sticky.schedule_to_start),
                }),
            },
        };
        state.mark_buffered()?;
        Ok(state)
    }

    /// What buffered events end is over, which no row of its own says.
    fn mark_buffered(&mut self) -> Result<(), MalformedRun> {
        for event in self.local.buffered.clone() {
            self.set_over(event.attributes.as_ref().ok_or(MalformedRun("buffered event"))?, true);
        }
        // Marks are not stored, so they are no change.
        self.activities.table.take_changed();
        self.timers.table.take_changed();
        Ok(())
    }
}

#[derive(Default)]
struct Items {
    start: Option<Start>,
    activities: Activities,
    timers: Timers,
    signals: Signals,
    reapplied: Reapplied,
    fates: Table<Origin, Outcome>,
}

impl Items {
    fn add(&mut self, key: ItemKey, value: Bytes) -> Result<(), MalformedRun> {
        match key.kind {
            ItemKind::Start => self.start = Some(start_from_wire(value)?),
            ItemKind::Activity => self.activities.restore(activity_from_wire(event_of(&key.key)?, value)?),
            ItemKind::Timer => self.timers.restore(timer_from_wire(event_of(&key.key)?, value)?),
            ItemKind::SignalRequest => {
                let request = String::from_utf8(key.key.to_vec()).map_err(|_| MalformedRun("signal request"))?;
                self.signals.requests.restore(request, ());
            }
            ItemKind::Reapplied => {
                let origin = Origin::from_bytes(&key.key).ok_or(MalformedRun("origin"))?;
                let value = wire::Reapplied::decode(value).map_err(|_| MalformedRun("reapplied"))?;
                let known = if value.on_branch { Knowledge::OnBranch } else { Knowledge::CarriedOver };
                self.reapplied.table.restore(origin, known);
            }
            ItemKind::Fate => {
                let origin = Origin::from_bytes(&key.key).ok_or(MalformedRun("origin"))?;
                let value = wire::Fate::decode(value).map_err(|_| MalformedRun("fate"))?;
                let into = match &value.into[..] {
                    [] => None,
                    bytes => Some(run_id(bytes).ok_or(MalformedRun("fate"))?),
                };
                let fate = Fate::from_number(value.fate).ok_or(MalformedRun("fate"))?;
                self.fates.restore(origin, Outcome { fate, into });
            }
        }
        Ok(())
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Parts, each way

fn start_from_wire(value: Bytes) -> Result<Start, MalformedRun> {
    let start = wire::Start::decode(value).map_err(|_| MalformedRun("start"))?;
    Ok(Start {
        time: Timestamp(start.time),
        version: FailoverVersion(start.version),
        attributes: start.attributes.unwrap_or_default(),
        user_metadata: start.user_metadata,
        first_run: run_id(&start.first_run).ok_or(MalformedRun("first run"))?,
        request_id: start.request_id,
        clock: TaskId(start.clock),
    })
}

fn close_to_wire(close: &Close) -> wire::Close {
    wire::Close {
        status: close.status.into(),
        time: close.time.0,
        event: close.event.0,
        batch: close.batch.0,
        version: close.version.0,
        next_run: close.next_run.map_or_else(Bytes::new, |run| Bytes::copy_from_slice(run.as_bytes())),
        delete_after: close.delete_after.0,
        lost: close.lost,
    }
}

fn close_from_wire(close: &wire::Close) -> Result<Close, MalformedRun> {
    let next_run = match &close.next_run[..] {
        [] => None,
        bytes => Some(run_id(bytes).ok_or(MalformedRun("next run"))?),
    };
    Ok(Close {
        status: close.status.try_into().map_err(|_| MalformedRun("status"))?,
        time: Timestamp(close.time),
        event: EventId(close.event),
        batch: EventId(close.batch),
        version: FailoverVersion(close.version),
        next_run,
        delete_after: Timestamp(close.delete_after),
        lost: close.lost,
    })
}

fn gave_way_from_wire(winner: &wire::GaveWay) -> Result<GaveWay, MalformedRun> {
    let run = run_id(&winner.run).ok_or(MalformedRun("run that won"))?;
    Ok(GaveWay { run, version: FailoverVersion(winner.version), time: Timestamp(winner.time) })
}

fn workflow_tasks_to_wire(tasks: &WorkflowTasks) -> wire::WorkflowTasks {
    let start = |start: &WorkflowTaskStart| wire::WorkflowTaskStart {
        event: start.event.0,
        time: start.time.0,
        request_id: start.request_id.clone(),
        identity: start.identity.clone(),
        history_size: start.history_size,
        suggest_continue_as_new: start.suggest_continue_as_new,
    };
    wire::WorkflowTasks {
        pending: tasks.pending.as_ref().map(|task| wire::WorkflowTask {
            version: task.version.0,
            scheduled: task.scheduled.0,
            scheduled_time: task.scheduled_time.0,
            original_scheduled_time: task.original_scheduled_time.0,
            attempt: task.attempt,
            is_recorded: task.is_recorded,
            timeout: nanos(task.timeout),
            sticky: task.sticky,
            started: task.started.as_ref().map(start),
        }),
        next_attempt: tasks.next_attempt,
        last_completed_started: tasks.last_completed_started.0,
        last_completed: tasks.last_completed.0,
        last_completed_original: tasks.last_completed_original.0,
    }
}

fn workflow_tasks_from_wire(tasks: wire::WorkflowTasks) -> WorkflowTasks {
    let start = |start: wire::WorkflowTaskStart| WorkflowTaskStart {
        event: EventId(start.event),
        time: Timestamp(start.time),
        request_id: start.request_id,
        identity: start.identity,
        history_size: start.history_size,
        suggest_continue_as_new: start.suggest_continue_as_new,
    };
    WorkflowTasks {
        pending: tasks.pending.map(|task| WorkflowTask {
            version: FailoverVersion(task.version),
            scheduled: EventId(task.scheduled),
            scheduled_time: Timestamp(task.scheduled_time),
            original_scheduled_time: Timestamp(task.original_scheduled_time),
            attempt: task.attempt,
            is_recorded: task.is_recorded,
            timeout: from_nanos(task.timeout),
            sticky: task.sticky,
            started: task.started.map(start),
        }),
        next_attempt: tasks.next_attempt,
        last_completed_started: EventId(tasks.last_completed_started),
        last_completed: EventId(tasks.last_completed),
        last_completed_original: Timestamp(tasks.last_completed_original),
    }
}

fn activity_to_wire(activity: &Activity) -> Bytes {
    let value = wire::Activity {
        version: activity.version.0,
        scheduled_batch: activity.scheduled_batch.0,
        attributes: Some(activity.attributes.as_ref().clone()),
        first_scheduled_time: activity.first_scheduled_time.0,
        scheduled_time: activity.scheduled_time.0,
        attempt: activity.attempt,
        started: activity.started.as_ref().map(|start| wire::ActivityStart {
            time: start.time.0,
            request_id: start.request_id.clone(),
            identity: start.identity.clone(),
            version: start.version.0,
        }),
        heartbeat: activity
            .heartbeat
            .as_ref()
            .map(|heartbeat| wire::Heartbeat { time: heartbeat.time.0, details: heartbeat.details.clone() }),
        cancel_requested: activity.cancel_requested.map_or(0, |event| event.0),
        last_failure: activity.last_failure.as_deref().cloned(),
        last_worker_identity: activity.last_worker_identity.clone(),
        last_attempt_complete_time: activity.last_attempt_complete_time.map(|time| time.0),
        task: activity.task.map(|task| wire::ActivityTaskRef {
            is_retry: task.is_retry,
            attempt: task.attempt,
            version: task.version.0,
            key: Some(key_to_wire(task.key)),
        }),
        told_event: activity.told_at.map_or(0, |item| item.event_id.0),
        told_version: activity.told_at.map_or(0, |item| item.version.0),
    };
    value.encode_to_vec().into()
}

fn activity_from_wire(scheduled: EventId, value: Bytes) -> Result<Activity, MalformedRun> {
    let activity = wire::Activity::decode(value).map_err(|_| MalformedRun("activity"))?;
    Ok(Activity {
        version: FailoverVersion(activity.version),
        scheduled,
        scheduled_batch: EventId(activity.scheduled_batch),
        attributes: Arc::new(activity.attributes.unwrap_or_default()),
        first_scheduled_time: Timestamp(activity.first_scheduled_time),
        scheduled_time: Timestamp(activity.scheduled_time),
        attempt: activity.attempt,
        started: activity.started.map(|start| ActivityStart {
            time: Timestamp(start.time),
            request_id: start.request_id,
            identity: start.identity,
            version: FailoverVersion(start.version),
        }),
        heartbeat: activity
            .heartbeat
            .map(|heartbeat| Heartbeat { time: Timestamp(heartbeat.time), details: heartbeat.details }),
        cancel_requested: event(activity.cancel_requested),
        last_failure: activity.last_failure.map(Arc::new),
        last_worker_identity: activity.last_worker_identity,
        last_attempt_complete_time: activity.last_attempt_complete_time.map(Timestamp),
        task: activity.task.map(|task| ActivityTaskRef {
            is_retry: task.is_retry,
            attempt: task.attempt,
            version: FailoverVersion(task.version),
            key: key_from_wire(task.key.unwrap_or_default()),
        }),
        told_at: event(activity.told_event)
            .map(|event_id| VersionHistoryItem { event_id, version: FailoverVersion(activity.told_version) }),
        is_closing: false,
    })
}

fn timer_to_wire(timer: &Timer) -> Bytes {
    let value = wire::Timer { id: timer.id.clone(), version: timer.version.0, expiry: timer.expiry.0 };
    value.encode_to_vec().into()
}

fn timer_from_wire(started: EventId, value: Bytes) -> Result<Timer, MalformedRun> {
    let timer = wire::Timer::decode(value).map_err(|_| MalformedRun("timer"))?;
    Ok(Timer {
        id: timer.id,
        version: FailoverVersion(timer.version),
        started,
        expiry: Timestamp(timer.expiry),
        is_firing: false,
    })
}

fn outstanding_to_wire(outstanding: &Outstanding) -> wire::Outstanding {
    let attempt = |task: Option<WorkflowTaskRef>| {
        task.map(|task| wire::WorkflowTaskRef {
            scheduled: task.scheduled.0,
            attempt: task.attempt,
            key: Some(key_to_wire(task.key)),
            sticky: task.sticky,
            version: task.version.0,
        })
    };
    wire::Outstanding {
        workflow_task: attempt(outstanding.workflow_task),
        workflow_task_start_to_close: attempt(outstanding.workflow_task_start_to_close),
        workflow_task_schedule_to_start: attempt(outstanding.workflow_task_schedule_to_start),
        activity_timeout: outstanding.activity_timeout.map(key_to_wire),
        user_timer: outstanding.user_timer.map(key_to_wire),
        backoff: outstanding.backoff.map(key_to_wire),
        run_timeout: outstanding.run_timeout.map(key_to_wire),
        execution_timeout: outstanding.execution_timeout.map(key_to_wire),
        retention: outstanding.retention.map(key_to_wire),
        reapply: outstanding.reapply.map(key_to_wire),
        diverged: outstanding.diverged.map(key_to_wire),
        deletion: outstanding.deletion.map(key_to_wire),
    }
}

fn outstanding_from_wire(outstanding: wire::Outstanding) -> Outstanding {
    let attempt = |task: Option<wire::WorkflowTaskRef>| {
        task.map(|task| WorkflowTaskRef {
            scheduled: EventId(task.scheduled),
            attempt: task.attempt,
            sticky: task.sticky,
            version: FailoverVersion(task.version),
            key: key_from_wire(task.key.unwrap_or_default()),
        })
    };
    Outstanding {
        workflow_task: attempt(outstanding.workflow_task),
        workflow_task_start_to_close: attempt(outstanding.workflow_task_start_to_close),
        workflow_task_schedule_to_start: attempt(outstanding.workflow_task_schedule_to_start),
        activity_timeout: outstanding.activity_timeout.map(key_from_wire),
        user_timer: outstanding.user_timer.map(key_from_wire),
        backoff: outstanding.backoff.map(key_from_wire),
        run_timeout: outstanding.run_timeout.map(key_from_wire),
        execution_timeout: outstanding.execution_timeout.map(key_from_wire),
        retention: outstanding.retention.map(key_from_wire),
        reapply: outstanding.reapply.map(key_from_wire),
        diverged: outstanding.diverged.map(key_from_wire),
        deletion: outstanding.deletion.map(key_from_wire),
    }
}

fn reset_to_wire(reset: &Reset) -> wire::Reset {
    wire::Reset {
        event: reset.event.0,
        time: reset.time.0,
        version: reset.version.0,
        clock: reset.clock.0,
        base: Bytes::copy_from_slice(reset.base.as_bytes()),
        run: Bytes::copy_from_slice(reset.run.as_bytes()),
    }
}

fn reset_from_wire(reset: &wire::Reset) -> Result<Reset, MalformedRun> {
    Ok(Reset {
        event: EventId(reset.event),
        time: Timestamp(reset.time),
        version: FailoverVersion(reset.version),
        clock: TaskId(reset.clock),
        base: run_id(&reset.base).ok_or(MalformedRun("reset"))?,
        run: run_id(&reset.run).ok_or(MalformedRun("reset"))?,
    })
}

fn key_to_wire(key: TaskKey) -> wire::TaskKey {
    wire::TaskKey { fire_time: key.fire_time.0, id: key.id.0 }
}

fn key_from_wire(key: wire::TaskKey) -> TaskKey {
    TaskKey { fire_time: Timestamp(key.fire_time), id: TaskId(key.id) }
}

fn event_key(event: EventId) -> Bytes {
    Bytes::copy_from_slice(&event.0.to_be_bytes())
}

fn event_of(key: &[u8]) -> Result<EventId, MalformedRun> {
    key.try_into().map(|bytes| EventId(i64::from_be_bytes(bytes))).map_err(|_| MalformedRun("item key"))
}

fn event(id: i64) -> Option<EventId> {
    (id > 0).then_some(EventId(id))
}

fn run_id(bytes: &[u8]) -> Option<RunId> {
    bytes.try_into().ok().map(RunId::from_bytes)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn from_nanos(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

// Stored: see `Run.phase`.
const RUNNING: i32 = 1;
const ZOMBIE: i32 = 2;
const CLOSED: i32 = 3;
