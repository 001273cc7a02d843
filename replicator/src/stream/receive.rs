//! What becomes of a run when a peer's task reaches it: the passive way into a draft (5.2).

use alloc::{format, string::String, vec::Vec};

use super::incoming::{Incoming, IncomingHistory, IncomingKind, IncomingRun};
use crate::{
    history::{Branch, HistoryBatch, Stretch},
    ids::{EventId, RunId, RunKey},
    ndc::{
        RunClock, placement,
        resolution::{self, Resolution},
    },
    version::{VersionHistory, VersionHistoryItem, histories::BranchHistory},
    workflow::{
        draft::{Draft, Run},
        failover,
        reset::{self, Base},
        sync_activity,
    },
};

/// What became of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// It changed the run.
    Applied {
        /// The peer's digest of the run is another than ours: both sides had the same events and made different things
        /// of them. It is reported; the events are kept.
        digest_differs: bool,
        /// Another branch of the run became current.
        conflict: Option<Conflict>,
        /// What was learnt to have lost.
        lost: Lost,
    },
    /// The run has it already, or is past it.
    Duplicate,
    /// The run is to be removed. It had come so far where that was asked for.
    Deleted(VersionHistoryItem),
    /// Events between the two are missing and must be fetched first.
    Missing {
        /// Last event that is here; `None`: the run is not known.
        after: Option<VersionHistoryItem>,
        /// First event that was told; `None`: all that follows is missing.
        before: Option<VersionHistoryItem>,
    },
    /// It is of a newer run than one of ours that is open, and would end that. Its own end may be told yet, so what came of it
    /// must be fetched first.
    Unheard {
        /// The open run.
        run: RunId,
        /// Its last event here.
        after: VersionHistoryItem,
    },
    /// Events that are stored here must be read first. Nothing was changed.
    Needs(Stretch),
    /// What the draft did so far must be written first; the task is decided again after that.
    Later,
    /// It cannot be applied. The draft may be half changed and must be given up.
    Refused(String),
}

/// How much was learnt to be on a branch that is not current.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lost {
    /// Events.
    pub events: i64,
    /// Their bytes.
    pub bytes: i64,
}

/// A branch of a run gave way to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// The branch that is current.
    pub won: VersionHistory,
    /// The branch that was.
    pub lost: VersionHistory,
}

/// Apply a task to the draft. The runs that it concerns are loaded if they exist.
pub fn receive(draft: &mut Draft<'_>, incoming: &Incoming) -> Received {
    let id = incoming.run.run;
    match &incoming.kind {
        IncomingKind::History(history) => match receive_history(draft, id, history) {
            Ok(received) => received,
            Err(reason) => Received::Refused(reason),
        },
        IncomingKind::Deletion { last } => receive_deletion(draft, id, *last),
        IncomingKind::Reference { versions, last, new_run } => {
            receive_reference(draft, id, versions, *last, new_run.as_deref())
        }
        IncomingKind::Activity { versions, attributes } => {
            let is_active = draft.require_active_for(id).is_ok();
            let Some(run) = draft.runs.get_mut(&id) else { return Received::Missing { after: None, before: None } };
            if let Some(received) = place_activity(run, versions) {
                return received;
            }
            if run.changes.is_touched() && run.changes.passive == is_active {
                return Received::Later;
            }
            if !sync_activity::apply(&mut run.state, attributes, versions.last()) {
                return Received::Duplicate;
            }
            run.changes.changed = true;
            if is_active && run.state.is_open() {
                // Peers that heard of it on a branch that lost since have forgotten it; who is active tells them.
                run.changes.retold_activities.insert(EventId(attributes.scheduled_event_id));
            } else {
                run.changes.passive = true;
            }
            Received::Applied { digest_differs: false, conflict: None, lost: Lost::default() }
        }
    }
}

/// A peer had the run deleted (ND-33). What has come further here than it had there is kept: whoever wrote that did not know.
///
/// A peer that does not say how far the run had come is only followed where it must be: in a run that is over, whose
/// namespace is not active here.
fn receive_deletion(draft: &Draft<'_>, id: RunId, last: Option<VersionHistoryItem>) -> Received {
    let run = draft.runs.get(&id);
    let here = run.map(|run| run.state.histories.current().versions.last());
    match (last, run.zip(here)) {
        (Some(last), None) => Received::Deleted(last),
        (Some(last), Some((_, here))) if (here.version, here.event_id) <= (last.version, last.event_id) => {
            Received::Deleted(last)
        }
        (None, Some((run, here))) if !run.state.is_open() && draft.require_active().is_err() => Received::Deleted(here),
        _ => Received::Duplicate,
    }
}

/// Events that are not in the task: they are fetched, unless they are here.
fn receive_reference(
    draft: &mut Draft<'_>,
    id: RunId,
    versions: &VersionHistory,
    last: VersionHistoryItem,
    new_run: Option<&IncomingRun>,
) -> Received {
    let run = draft.runs.get(&id);
    let histories = run.map(|run| &run.state.histories);
    if histories.is_none_or(|histories| histories.containing(last).is_none()) {
        let after = histories.and_then(|histories| histories.lowest_common_ancestor(versions));
        let next = last.event_id.next();
        let before = versions.version_of(next).map(|version| VersionHistoryItem { event_id: next, version });
        return Received::Missing { after: after.map(|(_, item)| item), before };
    }
    let Some(new) = new_run.filter(|new| !draft.runs.contains_key(&new.run)) else { return Received::Duplicate };
    let is_ours = run.is_some_and(|run| run.changes.is_touched() && !run.changes.passive);
    if is_ours || placement::must_wait(draft, new.run, RunClock::after(&new.batch)) {
        return Received::Later;
    }
    match begin_next(draft, id, Some(new)) {
        Ok(digest_differs) => Received::Applied { digest_differs, conflict: None, lost: Lost::default() },
        Err(reason) => Received::Refused(reason),
    }
}

/// Whether the attempt that a peer tells of was made on our current branch; else what is to be done instead (ND-30).
fn place_activity(run: &Run, versions: &VersionHistory) -> Option<Received> {
    let ours = &run.state.histories.current().versions;
    let (here, there) = (ours.last(), versions.last());
    if ours.contains(there) {
        return None;
    }
    // It overtook the events before it. Should those turn out to lose, it never happened.
    if versions.contains(here) {
        return Some(Received::Missing { after: Some(here), before: None });
    }
    // The branch on which it was made lost, or its news is still on the way.
    if there.version <= here.version {
        return Some(Received::Duplicate);
    }
    let after = run.state.histories.lowest_common_ancestor(versions).map(|(_, item)| item);
    Some(Received::Missing { after, before: None })
}

fn receive_history(draft: &mut Draft<'_>, id: RunId, history: &IncomingHistory) -> Result<Received, String> {
    let batches = &history.batches;
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(Received::Duplicate) };
    let new_run = history.new_run.as_ref().filter(|new| !draft.runs.contains_key(&new.run));
    let waits = |draft: &Draft<'_>| {
        let new_run_waits = |new: &IncomingRun| placement::must_wait(draft, new.run, RunClock::after(&new.batch));
        placement::must_wait(draft, id, RunClock::after(last)) || new_run.is_some_and(new_run_waits)
    };
    let Some(run) = draft.runs.get(&id) else {
        let base = history.base.as_ref().and_then(|base| shared(draft, history, base));
        if first.first() > EventId::FIRST && base.is_none() {
            let before = VersionHistoryItem { event_id: first.first(), version: first.version() };
            return Ok(Received::Missing { after: None, before: Some(before) });
        }
        if waits(draft) {
            return Ok(Received::Later);
        }
        if let Some(unheard) = unheard(draft, id, RunClock::after(last)) {
            return Ok(unheard);
        }
        match base {
            None => begin(draft, id, batches, &history.start_request_id)?,
            Some((_, stretch)) if !draft.read.contains_key(&stretch) => return Ok(Received::Needs(stretch)),
            Some((branch, stretch)) => begin_reset(draft, id, history, branch, &stretch)?,
        }
        let mut digest_differs = differs(draft, id, history.digest);
        digest_differs |= begin_next(draft, id, new_run)?;
        return Ok(Received::Applied { digest_differs, conflict: None, lost: Lost::default() });
    };

    let resolution = resolution::resolve(run, &history.versions, batches)?;
    match &resolution {
        Resolution::Gap { after, before } => {
            return Ok(Received::Missing { after: Some(*after), before: Some(*before) });
        }
        Resolution::Duplicate if new_run.is_none() => return Ok(Received::Duplicate),
        _ if run.changes.is_touched() && !run.changes.passive => return Ok(Received::Later),
        Resolution::Switch(_) if run.changes.is_touched() => return Ok(Received::Later),
        // What is stored is forked, and read for that.
        Resolution::Backfill(place) if place.fork.is_some() && run.changes.is_touched() => return Ok(Received::Later),
        _ => {}
    }
    if waits(draft) || flush(draft, id) {
        return Ok(Received::Later);
    }
    if let Some(unheard) = unheard(draft, id, RunClock::after(last)) {
        return Ok(unheard);
    }
    let read = draft.read;
    let current = draft.current.filter(|current| *current != id).and_then(|current| draft.runs.get(&current));
    // A current run that is about to give way leads nowhere.
    let current = current.filter(|run| RunClock::after(last) <= RunClock::of(&run.state));
    let current_start = current.map(|run| RunClock::of_start(&run.state));
    let run = draft.runs.get_mut(&id).ok_or("the run is gone")?;
    if draft.recovers && matches!(resolution, Resolution::Extend { .. } | Resolution::Switch(_)) {
        run.state.forget_buffered();
    }
    let mut conflict = None;
    let mut lost = Lost::default();
    let mut digest_differs = false;
    match &resolution {
        Resolution::Gap { .. } | Resolution::Duplicate => {}
        Resolution::Extend { skip } => {
            resolution::extend(run, batches.get(*skip..).unwrap_or_default())?;
            placement::update(draft, id, false);
            digest_differs = differs(draft, id, history.digest);
        }
        Resolution::Backfill(place) => {
            if let Some(tail) = resolution::tail(run, place).filter(|tail| !read.contains_key(tail)) {
                return Ok(Received::Needs(tail));
            }
            // The run that follows comes first, and finds the current one as it is (ND-38).
            begin_next(draft, id, new_run)?;
            let run = draft.runs.get_mut(&id).ok_or("the run is gone")?;
            resolution::backfill(run, place, batches, read, draft.entropy);
            let lost = Lost::in_batches(batches.get(place.skip..).unwrap_or_default());
            return Ok(Received::Applied { digest_differs: false, conflict: None, lost });
        }
        Resolution::Switch(place) => {
            let base = resolution::base(run, place);
            if !read.contains_key(&base) {
                return Ok(Received::Needs(base));
            }
            let old = run.state.histories.current().versions.clone();
            let old_size = run.state.local.history_size;
            let is_followed = placement::is_followed(&run.state, current_start, draft.topology);
            resolution::switch(run, place, batches, read, is_followed, draft.entropy)?;
            let won = run.state.histories.current().versions.clone();
            let kept = won.lowest_common_ancestor(&old).map_or(EventId::NONE, |item| item.event_id);
            lost = Lost::behind(kept, &old, old_size, read.get(&base).map(Vec::as_slice).unwrap_or_default());
            run.state.local.resolved = Some(draft.now);
            conflict = Some(Conflict { won, lost: old });
            placement::update(draft, id, true);
            digest_differs = differs(draft, id, history.digest);
        }
    }
    digest_differs |= begin_next(draft, id, new_run)?;
    Ok(Received::Applied { digest_differs, conflict, lost })
}

impl Lost {
    fn in_batches(batches: &[HistoryBatch]) -> Self {
        let events = |batch: &HistoryBatch| batch.last().0 - batch.first().0 + 1;
        Self { events: batches.iter().map(events).sum(), bytes: batches.iter().map(HistoryBatch::size).sum() }
    }

    /// What a branch of so many bytes has behind the last event that it shares with one that begins with these batches.
    fn behind(kept: EventId, branch: &VersionHistory, size: i64, shared: &[HistoryBatch]) -> Self {
        let shared = shared.iter().filter(|batch| batch.last() <= kept).map(HistoryBatch::size).sum::<i64>();
        Self { events: branch.last().event_id.0 - kept.0, bytes: size - shared }
    }
}

/// Peers that tell everything do so in no order, and what is kept or fetched comes later or earlier: a run may come before the
/// end of the one that it follows. Whether that is to be asked for, because it would be ended here for this one, and was not; or
/// to be waited for, because it may be in what is kept apart.
fn unheard(draft: &Draft<'_>, id: RunId, target: RunClock) -> Option<Received> {
    let (run, state) = placement::loser(draft, id, target)?;
    if draft.kept.contains(&run) {
        return Some(Received::Refused("it would end a run of which something is kept apart".into()));
    }
    let after = state.histories.current().versions.last();
    (draft.asked.get(&run) != Some(&(Some(after), None))).then_some(Received::Unheard { run, after })
}

/// Before branches are compared, what waits here for a started workflow task is written, so that our branch is complete
/// (ND-6). Whether anything was. A run that lost while this cluster caught up is ended with it. While it catches up nothing
/// is written: what waited was written once, and is told.
fn flush(draft: &mut Draft<'_>, id: RunId) -> bool {
    if draft.recovers {
        return false;
    }
    let topology = draft.topology;
    let Some(mut transition) = draft.transition(id) else { return false };
    let last = transition.run.state.last_write_version();
    if !topology.is_mine(last) {
        return false;
    }
    // What it tells and what a peer told are two writes.
    if transition.run.changes.is_touched() {
        return failover::keeps_back(&transition);
    }
    if transition.run.state.execution.is_zombie() {
        placement::end_forgotten(draft, id);
        return draft.runs.get(&id).is_some_and(|run| run.changes.is_touched());
    }
    transition.version = last;
    failover::demote(&mut transition)
}

/// The run that followed in the same transaction. Whether the peer made something else of it.
fn begin_next(draft: &mut Draft<'_>, before: RunId, new: Option<&IncomingRun>) -> Result<bool, String> {
    let Some(new) = new else { return Ok(false) };
    let current = *draft.current;
    begin(draft, new.run, core::slice::from_ref(&new.batch), &new.start_request_id)?;
    if current.is_none() {
        draft.carry_over(Some(before), new.run, false);
    }
    if let Some(run) = draft.runs.get_mut(&before) {
        run.changes.new_run = Some(new.run);
    }
    Ok(differs(draft, new.run, new.digest))
}

/// The branch of the base run on which a run that a reset made forks off, and what is shared of it; `None` when that is not
/// here.
fn shared(draft: &Draft<'_>, history: &IncomingHistory, base: &Base) -> Option<(usize, Stretch)> {
    let histories = &draft.runs.get(&base.run)?.state.histories;
    let leads = |branch: &BranchHistory| {
        branch.versions.contains(base.last)
            && history.versions.contains(base.last)
            && branch.versions.truncated(base.last) == history.versions.truncated(base.last)
    };
    let index = histories.all().iter().position(leads)?;
    let branch = histories.all()[index].branch.clone();
    Some((index, Stretch { branch, first: EventId::FIRST, end: base.last.event_id.next() }))
}

/// A run that a reset made, from the events that it shares and its own first ones (ND-10).
fn begin_reset(
    draft: &mut Draft<'_>,
    id: RunId,
    history: &IncomingHistory,
    branch: usize,
    stretch: &Stretch,
) -> Result<(), String> {
    let base = history.base.as_ref().ok_or("no base was told")?;
    let from = draft.runs.get(&base.run).ok_or("the base run is gone")?;
    let events = draft.read.get(stretch).map(Vec::as_slice).unwrap_or_default();
    let mut run = reset::fork(&from.state, branch, base.last, id, events, draft.entropy)?;
    run.state.reset_request_id = base.request_id.clone();
    resolution::extend(&mut run, &history.batches)?;
    placement::create(draft, id, run);
    reset::note_reset(draft, base.run, id, true);
    Ok(())
}

/// A run that is not here yet, from its first events.
fn begin(draft: &mut Draft<'_>, id: RunId, batches: &[HistoryBatch], request_id: &str) -> Result<(), String> {
    let key = RunKey { workflow: draft.key.clone(), run: id };
    let branch = Branch::root(id, draft.entropy);
    let (first, rest) = batches.split_first().ok_or("no events were told")?;
    let run = Run::received(key, branch, request_id.into(), first.clone());
    let mut run = run.map_err(|error| format!("{error}"))?;
    resolution::extend(&mut run, rest)?;
    placement::create(draft, id, run);
    Ok(())
}

/// Whether the peer made something else of the same events. Nothing can be said of it while activities are pending whose
/// attempts one of the two may not have heard of, since no event tells of them: those made under another version than the
/// events, all of a run that was written on both sides of a failover, and all of what was deleted here, or forgotten with the
/// store, and came back.
fn differs(draft: &Draft<'_>, run: RunId, told: Option<u64>) -> bool {
    let Some((state, told)) = draft.runs.get(&run).map(|run| &run.state).zip(told) else { return false };
    let last = state.last_write_version();
    let pending = &state.activities.table;
    let is_comparable = pending.is_empty()
        || state.is_comparable()
            && draft.buried.is_none()
            && !draft.recovers
            && pending.versions() == Some((last, last));
    is_comparable && state.digest() != told
}
