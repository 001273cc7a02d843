//! How a run was started, whether it is open, how it closed.

use alloc::{
    string::{String, ToString as _},
    sync::Arc,
};
use core::time::Duration;

use proto::temporal::api::{
    common::v1::{Payload, Priority, RetryPolicy},
    enums::v1::WorkflowExecutionStatus,
    history::v1::{
        UpsertWorkflowSearchAttributesEventAttributes, WorkflowExecutionStartedEventAttributes,
        WorkflowPropertiesModifiedEventAttributes,
    },
    sdk::v1::UserMetadata,
};

use super::{
    apply::{At, Reason},
    mutable_state::Payloads,
};
use crate::{
    entropy::Entropy,
    ids::{EventId, RunId, TaskId},
    time::Timestamp,
    version::FailoverVersion,
};

/// How a run was started, whether it is open, how it closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// How it was started; stored once, as an item of its own.
    pub start: Arc<Start>,
    /// Whether it is open.
    pub phase: Phase,
    /// Whether its first workflow task waits for the delay it was started with to pass.
    pub backoff_pending: bool,
    /// The event that asked the run to cancel itself, if there was one.
    pub cancel_requested: Option<EventId>,
    /// Caller's notes as they are now: those of the start, and what was changed since.
    pub memo: Payloads,
    /// Search attributes as they are now: those of the start, and what was changed since.
    pub search_attributes: Payloads,
}

/// What does not change after the start.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Time of the first event.
    pub time: Timestamp,
    /// Version of the first event.
    pub version: FailoverVersion,
    /// The first event's attributes, input included: what continue-as-new and retry copy from.
    pub attributes: WorkflowExecutionStartedEventAttributes,
    /// What the caller says of the run to whoever looks at it; the first event has it beside its attributes.
    pub user_metadata: Option<UserMetadata>,
    /// First run of the chain.
    pub first_run: RunId,
    /// Request that started the run, or the chain of which it is; the same request gets the run that the chain has come to (api
    /// 6.8). Carried to peers beside the events.
    pub request_id: String,
    /// Task id of the first event, as the cluster that wrote it drew it: orders starts of one version.
    pub clock: TaskId,
}

/// Whether a run is open.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// It runs and is the current run of its workflow.
    Running,
    /// It runs, but another run of its workflow won: kept, dispatching nothing, changed by replication alone.
    Zombie,
    /// It is over.
    Closed(Close),
}

/// How a run closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Close {
    /// Public status; never Running.
    pub status: WorkflowExecutionStatus,
    /// Time of the closing event.
    pub time: Timestamp,
    /// The closing event.
    pub event: EventId,
    /// First event of the batch that holds it.
    pub batch: EventId,
    /// Version of the closing event.
    pub version: FailoverVersion,
    /// The run that follows, if one does.
    pub next_run: Option<RunId>,
    /// When the run may be deleted; fixed when the close is written, [`Timestamp::MAX`] until then (api 14). Not
    /// replicated: each cluster keeps its own.
    pub delete_after: Timestamp,
    /// Whether it was terminated because it lost to another run of its workflow.
    pub lost: bool,
}

impl Execution {
    /// A run that was just started.
    pub(super) fn begin(start: Start) -> Self {
        Self {
            phase: Phase::Running,
            backoff_pending: !start.backoff().is_zero(),
            cancel_requested: None,
            memo: start.memo(),
            search_attributes: start.search_attributes(),
            start: Arc::new(start),
        }
    }

    /// The run is over. `next_run` is the text of the event, empty for none.
    pub(super) fn apply_closed(
        &mut self,
        at: At,
        status: WorkflowExecutionStatus,
        next_run: &str,
    ) -> Result<(), Reason> {
        let next_run = match next_run {
            "" => None,
            text => Some(RunId::parse(text).map_err(|_| "the following run has no proper id")?),
        };
        self.backoff_pending = false;
        self.phase = Phase::Closed(Close {
            status,
            time: at.time,
            event: at.event,
            batch: at.batch,
            version: at.version,
            next_run,
            delete_after: Timestamp::MAX,
            lost: false,
        });
        Ok(())
    }

    pub(super) fn apply_search_attributes(&mut self, attributes: &UpsertWorkflowSearchAttributesEventAttributes) {
        merge(&mut self.search_attributes, attributes.search_attributes.as_ref().map(|fields| &fields.indexed_fields));
    }

    pub(super) fn apply_properties(&mut self, attributes: &WorkflowPropertiesModifiedEventAttributes) {
        merge(&mut self.memo, attributes.upserted_memo.as_ref().map(|memo| &memo.fields));
    }

    /// Whether the run still runs.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Closed(_))
    }

    /// Whether it is open beside the current run of its workflow, and waits for replication alone.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        self.phase == Phase::Zombie
    }

    /// How it closed, if it did.
    #[must_use]
    pub fn close(&self) -> Option<&Close> {
        match &self.phase {
            Phase::Closed(close) => Some(close),
            Phase::Running | Phase::Zombie => None,
        }
    }

    /// Public status.
    #[must_use]
    pub fn status(&self) -> WorkflowExecutionStatus {
        self.close().map_or(WorkflowExecutionStatus::Running, |close| close.status)
    }
}

impl Start {
    /// The request id that callers are shown. A run that follows another one was asked for by no caller: it has an id of its
    /// own, drawn from that of the run, so that it is the same in every cluster.
    #[must_use]
    pub fn own_request_id(&self) -> String {
        match RunId::parse(&self.attributes.original_execution_run_id) {
            Ok(run) if !self.attributes.continued_execution_run_id.is_empty() => {
                let seed = run.as_bytes().iter().fold(0_u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
                Entropy::new(seed).uuid().to_string()
            }
            _ => self.request_id.clone(),
        }
    }

    /// Type of the workflow.
    #[must_use]
    pub fn workflow_type(&self) -> &str {
        self.attributes.workflow_type.as_ref().map_or("", |kind| &kind.name)
    }

    /// Queue the workflow was started on.
    #[must_use]
    pub fn task_queue(&self) -> &str {
        self.attributes.task_queue.as_ref().map_or("", |queue| &queue.name)
    }

    /// How long a workflow task may take.
    #[must_use]
    pub fn task_timeout(&self) -> Duration {
        crate::time::duration(self.attributes.workflow_task_timeout.as_ref())
    }

    /// How long the run may take; zero: for ever.
    #[must_use]
    pub fn run_timeout(&self) -> Duration {
        crate::time::duration(self.attributes.workflow_run_timeout.as_ref())
    }

    /// How long the first workflow task waits.
    #[must_use]
    pub fn backoff(&self) -> Duration {
        crate::time::duration(self.attributes.first_workflow_task_backoff.as_ref())
    }

    /// When the first workflow task is or was ready, unless a reset made the run.
    #[must_use]
    pub fn execution_time(&self) -> Timestamp {
        self.time + self.backoff()
    }

    /// How long the chain of runs may take; zero: for ever.
    #[must_use]
    pub fn execution_timeout(&self) -> Duration {
        crate::time::duration(self.attributes.workflow_execution_timeout.as_ref())
    }

    /// When the chain of runs that it began in must be over, if it must.
    #[must_use]
    pub fn execution_expiration(&self) -> Option<Timestamp> {
        let time = self.attributes.workflow_execution_expiration_time.as_ref().map(Timestamp::from);
        time.filter(|time| *time > Timestamp::ZERO)
    }

    /// How the workflow is retried, if it is.
    #[must_use]
    pub fn retry_policy(&self) -> Option<&RetryPolicy> {
        self.attributes.retry_policy.as_ref()
    }

    /// Priority of the run's tasks.
    #[must_use]
    pub fn priority(&self) -> Option<&Priority> {
        self.attributes.priority.as_ref()
    }

    /// The memo it was started with.
    #[must_use]
    pub fn memo(&self) -> Payloads {
        self.attributes.memo.as_ref().map(|memo| memo.fields.clone()).unwrap_or_default()
    }

    /// The search attributes it was started with.
    #[must_use]
    pub fn search_attributes(&self) -> Payloads {
        self.attributes.search_attributes.as_ref().map(|fields| fields.indexed_fields.clone()).unwrap_or_default()
    }

    /// One entry of the memo it was started with.
    #[must_use]
    pub fn memo_field(&self, key: &str) -> Option<&Payload> {
        self.attributes.memo.as_ref()?.fields.get(key)
    }
}

/// Take over fields; an empty one removes what it names.
fn merge(fields: &mut Payloads, changes: Option<&Payloads>) {
    for (key, payload) in changes.into_iter().flatten() {
        if is_nothing(payload) {
            fields.remove(key);
        } else {
            fields.insert(key.clone(), payload.clone());
        }
    }
}

/// Whether a payload is what SDKs write for "no value": null, or an empty list.
fn is_nothing(payload: &Payload) -> bool {
    match payload.metadata.get("encoding").map(|encoding| &encoding[..]) {
        Some(b"binary/null") => true,
        Some(b"json/plain") => payload.data == "[]",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::ToString, vec::Vec};

    #[test]
    fn empty_fields_remove_what_they_name() {
        check("a=1 b=2", "b=3 c=4", "a=1 b=3 c=4");
        check("a=1 b=2", "a=null b=[]", "");
        check("", "a=null", "");
    }

    #[track_caller]
    fn check(fields: &str, changes: &str, expected: &str) {
        let mut state = parse(fields);
        merge(&mut state, Some(&parse(changes)));
        let print =
            |(key, payload): (&String, &Payload)| format!("{key}={}", std::str::from_utf8(&payload.data).unwrap());
        assert_eq!(state.iter().map(print).collect::<Vec<_>>().join(" "), expected);
    }

    fn parse(text: &str) -> Payloads {
        let field = |field: &str| {
            let (key, value) = field.split_once('=').unwrap();
            let encoding: &'static str = if value == "null" { "binary/null" } else { "json/plain" };
            let metadata = [("encoding".to_string(), encoding.into())].into();
            (key.to_string(), Payload { metadata, data: value.to_string().into(), ..Payload::default() })
        };
        text.split_whitespace().map(field).collect()
    }
}
