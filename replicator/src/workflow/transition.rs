//! What a draft may do to one run: write events, or keep them until the started workflow task ends (api 3.6).

use alloc::{collections::BTreeMap, string::ToString, vec::Vec};

use prost::Message;
use proto::temporal::api::{
    common::v1::Link, enums::v1::TaskQueueKind, history::v1::WorkflowTaskScheduledEventAttributes,
    sdk::v1::UserMetadata, taskqueue::v1::TaskQueue,
};

use super::{
    MutableState,
    activity::Activity,
    apply::At,
    draft::{Changes, Transition},
    timer::Timer,
};
use crate::{
    history::{
        HistoryBatch,
        event::{self, Attributes, EventType, HistoryEvent},
    },
    ids::{EventId, TaskId},
    time::{Timestamp, proto_duration},
};

/// What an event carries beside its attributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventMeta {
    /// Caller's words about it.
    pub user_metadata: Option<UserMetadata>,
    /// What it is connected with.
    pub links: Vec<Link>,
}

impl Transition<'_> {
    /// Write an event: it gets an id, is applied, and joins the open batch. An event of ours that does not apply is a bug.
    pub fn record(&mut self, attributes: Attributes) -> EventId {
        self.record_event(self.now, attributes, EventMeta::default())
    }

    /// Write an event about an earlier moment.
    pub fn record_at(&mut self, time: Timestamp, attributes: Attributes) -> EventId {
        self.record_event(time, attributes, EventMeta::default())
    }

    /// Write an event with what its caller sent along.
    pub fn record_with(&mut self, attributes: Attributes, meta: EventMeta) -> EventId {
        self.record_event(self.now, attributes, meta)
    }

    /// Something happened outside the workflow: write it, or keep it while a workflow task is started. Either way the
    /// workflow will be told. Of an activity that closes, `started_event_id` is left 0; it is filled in when the
    /// deferred start has its id.
    pub fn receive(&mut self, attributes: Attributes, meta: EventMeta) {
        self.receive_event(self.now, attributes, meta);
    }

    /// As [`Transition::receive`], about an earlier moment: the deferred start of an activity (api 5.4), which is not
    /// by itself a reason to tell the workflow.
    pub fn receive_at(&mut self, time: Timestamp, attributes: Attributes, meta: EventMeta) {
        self.receive_event(time, attributes, meta);
    }

    fn record_event(&mut self, time: Timestamp, attributes: Attributes, meta: EventMeta) -> EventId {
        let state = &mut self.run.state;
        let changes = &mut self.run.changes;
        if changes.events.last().is_some_and(|last| ends_batch(last) || last.version != self.version.0) {
            changes.finish_batch();
        }
        let id = state.next_event_id();
        let batch = changes.events.first().map_or(id, event::id);
        let event = born(At { event: id, batch, time, version: self.version }, self.task_ids.next(), attributes, meta);
        if let Err(error) = state.apply(&event, batch) {
            panic!("an event of ours does not apply: {error}: {event:?}");
        }
        changes.note(&event);
        changes.changed = true;
        changes.events.push(event);
        id
    }

    fn receive_event(&mut self, time: Timestamp, mut attributes: Attributes, meta: EventMeta) {
        if self.is_buffering() && event::is_bufferable(&attributes) {
            self.keep(time, attributes, meta);
            return;
        }
        if let Some(scheduled) = event::closes_activity(&attributes) {
            let last = self.run.changes.events.last();
            let start =
                last.filter(|last| last.attributes.as_ref().and_then(event::starts_activity) == Some(scheduled));
            if let Some(start) = start {
                event::set_activity_started(&mut attributes, event::id(start));
            }
        }
        self.run.changes.wants_workflow_task |= tells_workflow(&attributes);
        self.record_event(time, attributes, meta);
    }

    /// Something came of a command: keep it until all commands of the completion have been carried out.
    pub fn receive_after_commands(&mut self, attributes: Attributes) {
        self.keep(self.now, attributes, EventMeta::default());
    }

    fn keep(&mut self, time: Timestamp, attributes: Attributes, meta: EventMeta) {
        self.set_over(&attributes, true);
        let at = At { event: EventId::NONE, batch: EventId::NONE, time, version: self.version };
        self.run.state.local.buffered.push(born(at, TaskId(0), attributes, meta));
        self.run.changes.changed = true;
    }

    /// Whether what comes from outside has to wait for the started workflow task to end.
    #[must_use]
    pub fn is_buffering(&self) -> bool {
        let state = &self.run.state;
        state.is_open() && state.workflow_task.pending.as_ref().is_some_and(|task| task.started.is_some())
    }

    /// Whether something waits.
    #[must_use]
    pub fn has_buffered(&self) -> bool {
        !self.run.state.local.buffered.is_empty()
    }

    /// Write what waits, if no workflow task is started. Whether there was anything; then the workflow is to be told, by
    /// a first attempt: a transient task that was not started yet is given up for it.
    pub fn flush_buffered(&mut self) -> bool {
        if self.is_buffering() || !self.has_buffered() {
            return false;
        }
        let mut started = BTreeMap::new();
        for mut event in in_order_of_flush(core::mem::take(&mut self.run.state.local.buffered)) {
            let attributes = event.attributes.as_mut().expect("what we buffered has attributes");
            if let Some(scheduled) = event::closes_activity(attributes) {
                event::set_activity_started(attributes, started.remove(&scheduled).unwrap_or(EventId::NONE));
            }
            let starts = event::starts_activity(attributes);
            let time = event.event_time.map_or(self.now, Timestamp::from);
            let meta = EventMeta { user_metadata: event.user_metadata, links: event.links };
            let attributes = event.attributes.expect("what we buffered has attributes");
            let id = self.record_event(time, attributes, meta);
            if let Some(scheduled) = starts {
                started.insert(scheduled, id);
            }
        }
        let tasks = &mut self.run.state.workflow_task;
        if tasks.pending.as_ref().is_some_and(|task| !task.is_recorded) {
            tasks.forget_streak();
        }
        self.run.changes.wants_workflow_task = true;
        true
    }

    /// Schedule a workflow task, unless one is pending, the run is over, or its first one is still delayed.
    pub fn schedule_workflow_task(&mut self) {
        if !self.run.state.execution.backoff_pending {
            self.schedule_workflow_task_now();
        }
    }

    /// Schedule a workflow task, unless one is pending or the run is over. What is left of the first one's delay is
    /// given up (api 3.2: the delay passed, a cancel request, a signal-with-start).
    pub fn schedule_workflow_task_now(&mut self) {
        let state = &self.run.state;
        if !state.is_open() || state.workflow_task.pending.is_some() {
            return;
        }
        let attempt = state.workflow_task.next_attempt.max(1);
        let normal = state.execution.start.task_queue().to_string();
        let task_queue = match state.local.sticky.as_ref().filter(|_| attempt == 1) {
            Some(sticky) => {
                TaskQueue { name: sticky.task_queue.clone(), kind: TaskQueueKind::Sticky.into(), normal_name: normal }
            }
            None => TaskQueue { name: normal, kind: TaskQueueKind::Normal.into(), ..TaskQueue::default() },
        };
        let timeout = super::workflow_task::attempt_timeout(attempt, state.execution.start.task_timeout());
        self.record(Attributes::WorkflowTaskScheduledEventAttributes(WorkflowTaskScheduledEventAttributes {
            task_queue: Some(task_queue),
            start_to_close_timeout: Some(proto_duration(timeout)),
            attempt,
        }));
    }

    /// Forget the worker that had the run in its cache. A task that waits in its queue moves to the normal one.
    pub fn clear_sticky(&mut self) {
        if self.run.state.local.sticky.take().is_some() {
            self.run.changes.changed = true;
        }
    }

    /// A pending activity, unless its end already waits in the buffer.
    #[must_use]
    pub fn activity(&self, scheduled: EventId) -> Option<&Activity> {
        self.run.state.activities.table.get(&scheduled).filter(|activity| !activity.is_closing)
    }

    /// A pending timer, unless its firing already waits in the buffer.
    #[must_use]
    pub fn timer(&self, started: EventId) -> Option<&Timer> {
        self.run.state.timers.table.get(&started).filter(|timer| !timer.is_firing)
    }

    /// Whether a signal with this request id was received, written or not. No request id is never known.
    #[must_use]
    pub fn signal_request_known(&self, request_id: &str) -> bool {
        let state = &self.run.state;
        let buffered = |event: &HistoryEvent| match &event.attributes {
            Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal)) => signal.request_id == request_id,
            _ => false,
        };
        let known = || state.signals.requests.get(&request_id.to_string()).is_some();
        !request_id.is_empty() && (known() || state.local.buffered.iter().any(buffered))
    }

    /// Whether the run was asked to cancel itself, written or not.
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        let state = &self.run.state;
        let buffered = |event: &HistoryEvent| {
            matches!(event.attributes, Some(Attributes::WorkflowExecutionCancelRequestedEventAttributes(_)))
        };
        state.execution.cancel_requested.is_some() || state.local.buffered.iter().any(buffered)
    }

    /// Take back the firing of a timer that waits in the buffer: the workflow cancelled the timer before it saw it fire.
    /// The timer is pending again. Whether there was one.
    pub fn remove_buffered_timer_fired(&mut self, started: EventId) -> bool {
        let state = &mut self.run.state;
        let is_firing = |event: &HistoryEvent| match &event.attributes {
            Some(Attributes::TimerFiredEventAttributes(fired)) => fired.started_event_id == started.0,
            _ => false,
        };
        let Some(index) = state.local.buffered.iter().position(is_firing) else { return false };
        state.local.buffered.remove(index);
        state.timers.set_firing(started, false);
        self.run.changes.changed = true;
        true
    }

    /// Whether so much waits that the workflow task is to be failed with FORCE_CLOSE_COMMAND (api 3.6).
    #[must_use]
    pub fn buffer_is_full(&self) -> bool {
        self.run.state.buffer_is_full()
    }

    fn set_over(&mut self, attributes: &Attributes, is_over: bool) {
        self.run.state.set_over(attributes, is_over);
    }
}

impl MutableState {
    /// Whether more than a hundred events or two mebibytes wait for the workflow task to end.
    #[must_use]
    pub fn buffer_is_full(&self) -> bool {
        let buffered = &self.local.buffered;
        buffered.len() > MAX_BUFFERED || buffered.iter().map(Message::encoded_len).sum::<usize>() > MAX_BUFFERED_BYTES
    }

    /// Let go of what waits for the started workflow task: it was written where more is known of the run.
    pub fn forget_buffered(&mut self) {
        for attributes in core::mem::take(&mut self.local.buffered).into_iter().filter_map(|event| event.attributes) {
            self.set_over(&attributes, false);
        }
    }

    /// Mark the activity or timer that a buffered event ends.
    pub(super) fn set_over(&mut self, attributes: &Attributes, is_over: bool) {
        if let Some(scheduled) = event::closes_activity(attributes) {
            self.activities.set_closing(scheduled, is_over);
        } else if let Attributes::TimerFiredEventAttributes(fired) = attributes {
            self.timers.set_firing(EventId(fired.started_event_id), is_over);
        }
    }
}

impl Changes {
    /// Close the open batch, if it has events.
    pub fn finish_batch(&mut self) {
        if !self.events.is_empty() {
            self.batches.push(HistoryBatch::born(core::mem::take(&mut self.events)));
        }
    }

    /// Take note of what an event means beside the state.
    pub(super) fn note(&mut self, event: &HistoryEvent) {
        let Some(attributes) = &event.attributes else { return };
        self.visibility |= event::closes_run(attributes)
            || matches!(
                attributes,
                Attributes::UpsertWorkflowSearchAttributesEventAttributes(_)
                    | Attributes::WorkflowPropertiesModifiedEventAttributes(_)
            );
        match attributes {
            Attributes::WorkflowTaskFailedEventAttributes(_) | Attributes::WorkflowTaskTimedOutEventAttributes(_) => {
                self.wants_workflow_task = true;
            }
            // It will see all that was written before.
            Attributes::WorkflowTaskScheduledEventAttributes(_) | Attributes::WorkflowTaskStartedEventAttributes(_) => {
                self.wants_workflow_task = false;
            }
            _ => {}
        }
    }
}

/// An event of ours.
pub(super) fn born(at: At, task_id: TaskId, attributes: Attributes, meta: EventMeta) -> HistoryEvent {
    let kind = event::event_type(&attributes).expect("we write no events that we cannot apply");
    HistoryEvent {
        event_id: at.event.0,
        event_time: Some(at.time.into()),
        event_type: kind.into(),
        version: at.version.0,
        task_id: task_id.0,
        worker_may_ignore: kind == EventType::WorkflowExecutionOptionsUpdated,
        user_metadata: meta.user_metadata,
        links: meta.links,
        attributes: Some(attributes),
        ..HistoryEvent::default()
    }
}

/// Events that end something go last, so that a worker sees what it was told before what came of it (api 3.6).
fn in_order_of_flush(buffered: Vec<HistoryEvent>) -> impl Iterator<Item = HistoryEvent> {
    let is_last = |event: &HistoryEvent| event.attributes.as_ref().and_then(event::closes_activity).is_some();
    let (last, first): (Vec<_>, Vec<_>) = buffered.into_iter().partition(is_last);
    first.into_iter().chain(last)
}

/// Whether the workflow is to be told at once.
fn tells_workflow(attributes: &Attributes) -> bool {
    match attributes {
        Attributes::ActivityTaskStartedEventAttributes(_)
        | Attributes::WorkflowExecutionOptionsUpdatedEventAttributes(_) => false,
        Attributes::WorkflowExecutionSignaledEventAttributes(signal) => {
            #[expect(deprecated, reason = "deprecated in favour of nothing; callers still set it")]
            let skip = signal.skip_generate_workflow_task;
            !skip
        }
        _ => true,
    }
}

/// Whether the next event begins a batch of its own: a history can be cut, and a run reset, where a workflow task starts.
fn ends_batch(event: &HistoryEvent) -> bool {
    event.event_type == i32::from(EventType::WorkflowTaskStarted)
}

/// More events than these do not wait (api 3.6).
const MAX_BUFFERED: usize = 100;
/// More bytes than these do not wait (api 3.6).
const MAX_BUFFERED_BYTES: usize = 2 << 20;
