//! Inputs of losing branches and runs are put into the workflow's current run, where the namespace is active (section 6).
//!
//! Every cluster notes what its losing branches owe, in the transaction that made them lose, with a task. The cluster that
//! is active does it at once; a standby holds the task, and does it should it be promoted first. So no cluster has to be
//! asked, and none has to be alive but the one that is active. What was done before shows in the events of the current
//! run (`workflow/reapplied.rs`).

use alloc::vec::Vec;

use proto::temporal::api::{common::v1::Link, history::v1::WorkflowExecutionSignaledEventAttributes};

use super::divergence::{Fate, Outcome};
use crate::{
    defects::{Defect, planted},
    history::{
        HistoryBatch, Stretch,
        event::{Attributes, HistoryEvent, event_type, next_run},
    },
    ids::{EventId, RunId},
    namespace::ClosedRuns,
    ndc::RunClock,
    version::FailoverVersion,
    workflow::{
        EventMeta, MutableState,
        draft::{Draft, Need, Transition},
        execution::Phase,
        failover,
        reapplied::{Origin, is_input},
        request::{self, terminate},
        reset,
    },
};

/// What became of a run's debt.
#[derive(Clone, Debug, PartialEq)]
pub enum Reapplied {
    /// It owes nothing: the task is stale.
    Nothing,
    /// Somebody else is active; the task stays.
    NotActive,
    /// This has to be read first. Nothing was changed.
    Needs(Need),
    /// What the draft did so far has to be written first.
    AfterWrite,
    /// All of it was dealt with.
    Done {
        /// The run that has the inputs now.
        into: Option<RunId>,
        /// Inputs that it was given.
        given: usize,
        /// Inputs that it had.
        known: usize,
        /// Inputs that nobody can be given any more: the workflow is over, and its namespace does not want it run again.
        lost: usize,
    },
}

/// One stretch that is owed.
struct Debt {
    branch: usize,
    stretch: Stretch,
}

/// Pay what a run owes.
pub fn pay(draft: &mut Draft<'_>, debtor: RunId) -> Reapplied {
    if planted(Defect::DebtIsForgotten) {
        return Reapplied::Nothing;
    }
    let Some(run) = draft.runs.get(&debtor) else { return Reapplied::Nothing };
    let histories = &run.state.histories;
    let owed: Vec<Debt> = run
        .state
        .local
        .owed
        .owed(histories)
        .map(|(branch, first, end)| {
            let stretch = Stretch { branch: histories.all()[branch].branch.clone(), first, end };
            Debt { branch, stretch }
        })
        .collect();
    if owed.is_empty() {
        return Reapplied::Nothing;
    }
    let current = *draft.current;
    let active = current.map_or_else(|| draft.require_active(), |current| draft.require_active_for(current));
    if active.is_err() {
        return Reapplied::NotActive;
    }
    if let Some(missing) = owed.iter().find(|debt| !draft.read.contains_key(&debt.stretch)) {
        return Reapplied::Needs(Need::Stretch(missing.stretch.clone()));
    }
    let settled = match settled(draft, debtor, current) {
        Ok(settled) => settled,
        Err(need) => return Reapplied::Needs(need),
    };
    let inputs = inputs(draft, &owed, current);
    match begin_again(draft, debtor, &inputs, &settled) {
        Again::No => {}
        Again::Needs(stretch) => return Reapplied::Needs(Need::Stretch(stretch)),
        Again::AfterWrite => return Reapplied::AfterWrite,
    }
    // The run that the inputs were meant for, or one that goes on in its place.
    let meant = current;
    let current = *draft.current;
    let (mut given, mut known, mut lost) = (0, 0, 0);
    for event in &inputs {
        let fate = give(draft, debtor, meant, event, &settled);
        match fate {
            Fate::Given => given += 1,
            Fate::Known => known += 1,
            Fate::Over | Fate::NotMeant => lost += 1,
        }
        if let Some(run) = draft.runs.get_mut(&debtor) {
            let origin = run.state.origin(event);
            run.state.note_fate(origin, Outcome { fate, into: current });
        }
    }
    if let Some(current) = current.filter(|_| given > 0) {
        request::enforce_limit(draft, current);
        request::settle(draft, current);
    }
    if let Some(run) = draft.runs.get_mut(&debtor) {
        for debt in owed {
            run.state.local.owed.settle(debt.branch, debt.stretch.end.previous());
        }
        run.changes.changed = true;
        run.changes.uncounted |= given == 0 || current != Some(debtor);
    }
    Reapplied::Done { into: current, given, known, lost }
}

/// Whether the workflow's current run is begun again.
enum Again {
    No,
    Needs(Stretch),
    AfterWrite,
}

/// Reset a current run that is over, if its namespace wants that and there is something to give it (RE-9, RE-11).
fn begin_again(draft: &mut Draft<'_>, debtor: RunId, inputs: &[HistoryEvent], settled: &[(RunId, By)]) -> Again {
    let Some(current) = *draft.current else { return Again::No };
    if draft.namespace.closed_runs() != ClosedRuns::Reset {
        return Again::No;
    }
    let Some(run) = draft.runs.get(&debtor) else { return Again::No };
    let origins = inputs.iter().map(|event| (run.state.origin(event), event));
    let origins: Vec<_> = origins.filter(|(origin, _)| !had_effect(draft, settled, *origin)).collect();
    let outlived = is_outlived(draft, debtor, Some(current));
    let Some(transition) = draft.transition(current) else { return Again::No };
    let state = &transition.run.state;
    // Nobody is begun again only to be terminated.
    let is_missing = |(origin, event): &(Origin, &HistoryEvent)| {
        let is_signal = is_signal(event);
        let is_meant = is_signal || !outlived && is_cancel(event);
        is_meant && !is_known(&transition, *origin, event)
    };
    let finish = state.workflow_task.last_completed;
    if state.execution.close().is_none() || finish == EventId::NONE || !origins.iter().any(is_missing) {
        return Again::No;
    }
    let changes = &transition.run.changes;
    if !changes.batches.is_empty() || !changes.events.is_empty() {
        return Again::AfterWrite;
    }
    let stretch = reset::stretch(transition.run);
    if !draft.read.contains_key(&stretch) {
        return Again::Needs(stretch);
    }
    let id = draft.entropy.run_id();
    let order = reset::Order { base: current, finish, reason: BEGUN_AGAIN, request_id: "" };
    // A run that cannot be reset stays over, and what is lost is reported.
    if reset::reset(draft, order, id).is_ok() {
        reset::give_signals(draft, id, &[(current, stretch)], finish);
    }
    Again::No
}

fn is_signal(event: &HistoryEvent) -> bool {
    matches!(event.attributes, Some(Attributes::WorkflowExecutionSignaledEventAttributes(_)))
}

fn is_cancel(event: &HistoryEvent) -> bool {
    matches!(event.attributes, Some(Attributes::WorkflowExecutionCancelRequestedEventAttributes(_)))
}

/// Whether a run was started later than the one that inputs were written in.
fn is_outlived(draft: &Draft<'_>, debtor: RunId, by: Option<RunId>) -> bool {
    let starts = [Some(debtor), by].map(|run| draft.runs.get(&run?).map(|run| RunClock::of_start(&run.state)));
    starts[0] < starts[1]
}

/// The inputs among the events that are owed, in the order in which they were written. On a branch that the current run
/// continues they had their effect.
fn inputs(draft: &Draft<'_>, owed: &[Debt], current: Option<RunId>) -> Vec<HistoryEvent> {
    let leads_on = |batches: &&Vec<HistoryBatch>| {
        let end = batches.last().and_then(|batch| batch.events().last()).and_then(|event| event.attributes.as_ref());
        let next = end.and_then(next_run).and_then(|run| RunId::parse(run).ok());
        next.is_some() && next == current
    };
    let stretches = owed.iter().filter_map(|debt| draft.read.get(&debt.stretch));
    let batches = stretches.filter(|batches| !leads_on(batches)).flatten();
    let events = batches.flat_map(|batch| batch.events().iter());
    let mut inputs: Vec<HistoryEvent> =
        events.filter(|event| event.attributes.as_ref().is_some_and(is_input)).cloned().collect();
    // Of one version only one branch was written, so this is the order of writing.
    inputs.sort_by_key(|event| (event.version, event.event_id));
    inputs
}

/// Give one input to the current run, unless it or what came before it had it. `meant`: the run in whose place that one may
/// have begun.
fn give(
    draft: &mut Draft<'_>,
    debtor: RunId,
    meant: Option<RunId>,
    event: &HistoryEvent,
    settled: &[(RunId, By)],
) -> Fate {
    let Some(current) = *draft.current else { return Fate::Over };
    let Some(origin) = draft.runs.get(&debtor).map(|run| run.state.origin(event)) else { return Fate::Over };
    let (namespace, workflow) = (draft.namespace.name.clone(), draft.key.workflow.clone());
    // A workflow is asked to stop as it is then. A run that was started later is not meant, though a signal still is.
    let is_outlived = !is_signal(event) && is_outlived(draft, debtor, meant);
    let had_effect = had_effect(draft, settled, origin);
    let Some(mut transition) = draft.transition(current) else { return Fate::Over };
    if had_effect || is_known(&transition, origin, event) {
        return Fate::Known;
    }
    if is_outlived {
        return Fate::NotMeant;
    }
    if transition.run.state.execution.phase != Phase::Running {
        return Fate::Over;
    }
    failover::on_version_change(&mut transition);
    let Some(attributes) = event.attributes.clone() else { return Fate::Over };
    let kind = event_type(&attributes).unwrap_or_default();
    let mut links: Vec<Link> = event.links.clone();
    if Origin::told(event).is_none() {
        links.push(origin.link(&namespace, workflow.as_str(), kind));
    }
    let meta = EventMeta { user_metadata: event.user_metadata.clone(), links };
    match attributes {
        Attributes::WorkflowExecutionTerminatedEventAttributes(a) => {
            let order =
                terminate::Order { reason: a.reason, details: a.details, identity: a.identity, links: meta.links };
            terminate::terminate(&mut transition, order);
        }
        Attributes::WorkflowExecutionCancelRequestedEventAttributes(_) => {
            transition.receive(attributes, meta);
            if !transition.is_buffering() {
                transition.schedule_workflow_task_now();
            }
        }
        attributes => transition.receive(attributes, meta),
    }
    Fate::Given
}

/// Runs that led to the current one: what they had had its effect, whatever follows.
type Settled = Vec<(RunId, By)>;

/// By which of its branches a run led on.
enum By {
    /// The current one.
    Current,
    /// Another one, which ended under this version. When several did it is not known which.
    Other(FailoverVersion),
}

/// The runs that the current one continues, as far as they are kept, and the debtor, unless that lost to another run.
fn settled(draft: &Draft<'_>, debtor: RunId, current: Option<RunId>) -> Result<Settled, Need> {
    let is_lost = draft.runs.get(&debtor).is_none_or(|run| run.state.local.owed.lost);
    let mut settled: Settled = Some((debtor, By::Current)).filter(|_| !is_lost).into_iter().collect();
    let mut later = current;
    for _ in 0..LONGEST_LOOK_BACK {
        let Some(run) = later.and_then(|run| draft.runs.get(&run)) else { break };
        let start = &run.state.execution.start;
        let Ok(before) = RunId::parse(&start.attributes.continued_execution_run_id) else { break };
        let Some(state) = draft.runs.get(&before).map(|run| &run.state) else {
            // What was kept long enough is gone.
            if draft.absent.contains(&before) {
                break;
            }
            return Err(Need::Run(before));
        };
        let is_by_current = state.execution.close().and_then(|close| close.next_run) == later;
        // A run that is continued ends in the transaction that begins the next one, so under its version.
        settled.push((before, if is_by_current { By::Current } else { By::Other(start.version) }));
        later = Some(before);
    }
    Ok(settled)
}

/// Whether one of these runs has the input: then it had its effect there, whatever follows.
fn had_effect(draft: &Draft<'_>, settled: &[(RunId, By)], origin: Origin) -> bool {
    let mut runs = settled.iter().filter_map(|(run, by)| Some((&draft.runs.get(run)?.state, by)));
    let has_input = |(state, by): (&MutableState, &By)| match by {
        By::Current => state.has_input(origin),
        By::Other(version) => state.had_input_before(origin, *version),
    };
    runs.any(has_input) && !planted(Defect::InputIsGivenTwice)
}

/// Whether the run has the input: as an event of its own branch, as one that was given to it before, or because its caller
/// asked again under the same request id (RE-6).
fn is_known(transition: &Transition<'_>, origin: Origin, event: &HistoryEvent) -> bool {
    if planted(Defect::InputIsGivenTwice) {
        return false;
    }
    let state = &transition.run.state;
    let is_same_request = match &event.attributes {
        Some(Attributes::WorkflowExecutionSignaledEventAttributes(WorkflowExecutionSignaledEventAttributes {
            request_id,
            ..
        })) => transition.signal_request_known(request_id),
        Some(Attributes::WorkflowExecutionCancelRequestedEventAttributes(_)) => transition.cancel_requested(),
        _ => false,
    };
    let waits = || state.local.buffered.iter().any(|waiting| Origin::told(waiting) == Some(origin));
    is_same_request || state.has_input(origin) || waits()
}

/// So many runs back an input is looked for. An older one was mostly deleted by then.
const LONGEST_LOOK_BACK: usize = 16;

/// Why a workflow that was over runs again.
const BEGUN_AGAIN: &str = "inputs came from a cluster in which the workflow was active, too";
