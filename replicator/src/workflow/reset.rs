//! A run that begins in the middle of another one: it shares the other's history up to a point, and goes on from there.
//!
//! The new run's branch is a fork of the base run's, in the same tree; nothing is copied. Its state is made from the shared
//! events by the one `apply`, whether the reset is decided here or told by a peer.

use alloc::{
    boxed::Box,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use proto::temporal::api::{
    enums::v1::WorkflowTaskFailedCause,
    failure::v1::{Failure as FailureMessage, ResetWorkflowFailureInfo, failure::FailureInfo},
    history::v1::WorkflowTaskFailedEventAttributes,
};

use super::{
    EventMeta,
    draft::{Changes, Draft, Run, Transition},
    reapplied::Origin,
    rebuild,
    request::{SERVER, find, record_transient, start_pending, terminate},
    weight::Stored,
};
use crate::{
    history::{
        HistoryBatch, Stretch,
        event::{Attributes, HistoryEvent, event_type},
    },
    ids::{EventId, RunId, RunKey},
    shard::io::Failure,
    version::VersionHistoryItem,
};

/// A reset that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The run whose history is shared.
    pub base: RunId,
    /// First event that is not shared: where the workflow task that the new run begins in ended.
    pub finish: EventId,
    /// Why.
    pub reason: &'a str,
    /// Names the reset: the same request gets the same run. Empty for none.
    pub request_id: &'a str,
}

/// The run whose history a new run shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// The run.
    pub run: RunId,
    /// Last event that both have.
    pub last: VersionHistoryItem,
    /// Request that made the new run.
    pub request_id: String,
}

/// All that a run's current branch holds in the store: what a reset of it has to read.
#[must_use]
pub fn stretch(run: &Run) -> Stretch {
    let current = run.state.histories.current();
    Stretch { branch: current.branch.clone(), first: EventId::FIRST, end: run.state.next_event_id() }
}

/// Reset a run whose [`stretch`] was read: end the workflow's current run, and begin another one where the order says. What
/// it is to be given and its next workflow task are for the caller.
///
/// # Errors
///
/// Why that cannot be. Nothing was changed then.
pub fn reset(draft: &mut Draft<'_>, order: Order<'_>, id: RunId) -> Result<(), Failure> {
    let last = order.finish.previous();
    let base = &draft.runs[&order.base];
    let batches = draft.read.get(&stretch(base)).map(Vec::as_slice).unwrap_or_default();
    let version = base.state.histories.current().versions.version_of(last).unwrap_or_default();
    let item = VersionHistoryItem { event_id: last, version };
    let mut run = fork(&base.state, base.state.histories.current_index(), item, id, batches, draft.entropy)
        .map_err(Failure::InvalidArgument)?;
    if run.state.workflow_task.pending.is_none() {
        return Err(Failure::InvalidArgument(format!(
            "Can only reset workflow to event ID in range [WorkflowTaskScheduled +1, WorkflowTaskStarted + 1]: {}",
            order.finish
        )));
    }
    run.state.reapplied.carry_over(&base.state.reapplied, false);
    run.state.reset_request_id = order.request_id.to_string();
    run.changes.base = Some(Base { run: order.base, last: item, request_id: order.request_id.to_string() });
    end_current(draft, order.reason);
    draft.runs.insert(id, Box::new(run));
    draft.carry_over(*draft.current, id, false);
    *draft.current = Some(id);
    note_reset(draft, order.base, id, false);
    fail_workflow_task(&mut draft.transition(id).expect("it was just created"), order, version);
    Ok(())
}

/// A run that shares the events of `base` up to and including `last`. `events` are those of the branch from the first on;
/// there may be more of them.
///
/// # Errors
///
/// Why there is no such run.
pub fn fork(
    base: &super::MutableState,
    branch: usize,
    last: VersionHistoryItem,
    id: RunId,
    events: &[HistoryBatch],
    entropy: &mut crate::entropy::Entropy,
) -> Result<Run, String> {
    let shared = events.iter().take_while(|batch| batch.last() <= last.event_id).count();
    let shared = &events[..shared];
    if shared.last().is_none_or(|batch| batch.last() != last.event_id) {
        return Err(format!(
            "StateRebuilder unable to Rebuild mutable state to event ID: {}, version: {}, this event must be at the boundary",
            last.event_id, last.version
        ));
    }
    let key = RunKey { workflow: base.run.workflow.clone(), run: id };
    let forked = base.histories.all()[branch].branch.fork(last.event_id.next(), entropy);
    let request_id = base.execution.start.request_id.clone();
    let mut state = rebuild::replay(key, forked, request_id, shared).map_err(|error| format!("{error}"))?;
    state.local.history_size = shared.iter().map(HistoryBatch::size).sum();
    state.local.contents.make(0, shared);
    // Temporal's server counts the rebuild.
    state.local.state_transitions = 1;
    // What the base has further on, or on another branch, this run has not: whoever resets it may have had it or not.
    state.reapplied.carry_over(&base.reapplied, true);
    let changes = Changes { created: true, changed: true, visibility: true, regenerate: true, ..Changes::default() };
    Ok(Run { state, changes, stored: Stored::default(), queries: BTreeMap::new() })
}

/// A run was made by a reset of another one, which shows it. `passive`: a peer says so.
pub fn note_reset(draft: &mut Draft<'_>, base: RunId, id: RunId, passive: bool) {
    if let Some(base) = draft.runs.get_mut(&base) {
        base.state.local.reset_run = Some(id);
        if !base.changes.is_touched() {
            base.changes.uncounted = true;
            base.changes.passive = passive;
        }
        base.changes.changed = true;
    }
}

/// Give the new run the signals that the base run had after the reset's place, and those of the runs that followed it: of
/// each run what was read, and what the draft wrote.
pub fn give_signals(draft: &mut Draft<'_>, id: RunId, chain: &[(RunId, Stretch)], finish: EventId) {
    let mut first = finish;
    let mut signals: Vec<(Origin, HistoryEvent)> = Vec::new();
    for (run, stored) in chain {
        let Some(run) = draft.runs.get(run) else { continue };
        let read = draft.read.get(stored).into_iter().flatten();
        let batches = read.chain(&run.changes.batches).flat_map(|batch| batch.events());
        let events = batches.chain(&run.changes.events);
        let wanted = events.filter(|event| EventId(event.event_id) >= first && is_signal(event));
        signals.extend(wanted.map(|event| (run.state.origin(event), event.clone())));
        first = EventId::FIRST;
    }
    for (origin, event) in signals {
        give_signal(draft, id, origin, &event);
    }
}

fn is_signal(event: &HistoryEvent) -> bool {
    matches!(event.attributes, Some(Attributes::WorkflowExecutionSignaledEventAttributes(_)))
}

fn give_signal(draft: &mut Draft<'_>, id: RunId, origin: Origin, event: &HistoryEvent) {
    let Some(attributes) = event.attributes.clone() else { return };
    let kind = event_type(&attributes).unwrap_or_default();
    let mut links = event.links.clone();
    // Who else may have heard of it has to be able to tell that it is the same.
    if draft.namespace.is_replicated() && Origin::told(event).is_none() {
        links.push(origin.link(&draft.namespace.name, draft.key.workflow.as_str(), kind));
    }
    let meta = EventMeta { user_metadata: event.user_metadata.clone(), links };
    if let Some(mut transition) = draft.transition(id) {
        transition.receive(attributes, meta);
    }
}

/// The current run gives way, if it is open.
fn end_current(draft: &mut Draft<'_>, reason: &str) {
    let Some(current) = *draft.current else { return };
    let Some(mut transition) = draft.transition(current) else { return };
    if find::is_running(&transition.run.state) {
        let order = terminate::Order {
            reason: reason.into(),
            details: None,
            identity: terminate::RESETTER.into(),
            links: Vec::new(),
        };
        terminate::terminate(&mut transition, order);
    }
}

/// The event that makes the run: the workflow task in whose place it begins failed, because of the reset.
fn fail_workflow_task(
    transition: &mut Transition<'_>,
    order: Order<'_>,
    fork_version: crate::version::FailoverVersion,
) {
    let is_started = |transition: &Transition<'_>| {
        transition.run.state.workflow_task.pending.as_ref().is_some_and(|task| task.started.is_some())
    };
    if !is_started(transition) {
        start_pending(transition, NO_REQUEST, SERVER);
    }
    let task = transition.run.state.workflow_task.pending.clone().expect("it was looked at before");
    record_transient(transition, &task);
    let started = task.started.map_or(EventId::NONE, |start| start.event);
    let failure = FailureMessage {
        message: order.reason.into(),
        failure_info: Some(FailureInfo::ResetWorkflowFailureInfo(ResetWorkflowFailureInfo::default())),
        ..FailureMessage::default()
    };
    let attributes = WorkflowTaskFailedEventAttributes {
        scheduled_event_id: task.scheduled.0,
        started_event_id: started.0,
        cause: WorkflowTaskFailedCause::ResetWorkflow.into(),
        failure: Some(failure),
        identity: SERVER.into(),
        base_run_id: order.base.to_string(),
        new_run_id: transition.run.state.run.run.to_string(),
        fork_event_version: fork_version.0,
        ..WorkflowTaskFailedEventAttributes::default()
    };
    transition.record(Attributes::WorkflowTaskFailedEventAttributes(attributes));
}

/// What Temporal's server names a start for which nobody asked.
const NO_REQUEST: &str = "emptyUuid";
