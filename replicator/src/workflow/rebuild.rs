//! A run whose current branch changes: its state is made anew from the events of the other branch (ND-8).
//!
//! Costs one application of each event. What only this cluster knows is kept as far as it does not speak of the old branch.

use alloc::{format, string::String};

use super::{
    MutableState, activity::Activity, apply::ApplyError, draft::Run, execution::Phase, mutable_state::Local,
    reapplied::Knowledge,
};
use crate::{
    history::{Branch, HistoryBatch},
    ids::{EventId, RunKey},
    version::VersionHistoryItem,
};

impl Run {
    /// Make the branch at `index` the current one. `events` are all of its events so far; `is_followed` says that the
    /// run came to an end that another one followed.
    ///
    /// # Errors
    ///
    /// Why the events do not make that branch. The run is as it was then.
    pub fn switch(&mut self, index: usize, events: &[HistoryBatch], is_followed: bool) -> Result<(), String> {
        let old = &self.state;
        let branch = old.histories.current().branch.clone();
        let request_id = old.execution.start.request_id.clone();
        let mut state = replay(old.run.clone(), branch, request_id, events).map_err(|error| format!("{error}"))?;
        let expected = &old.histories.all()[index].versions;
        let found = &state.histories.current().versions;
        if found != expected {
            return Err(format!("the events of the branch are {found} and not {expected}"));
        }
        let shared = found.lowest_common_ancestor(&old.histories.current().versions);

        state.reset_request_id = old.reset_request_id.clone();
        state.histories = old.histories.clone();
        state.histories.switch(index);
        state.local = Local {
            history_size: events.iter().map(HistoryBatch::size).sum(),
            state_transitions: old.local.state_transitions,
            outstanding: old.local.outstanding.clone(),
            record: old.local.record,
            owed: old.local.owed.clone(),
            fates: old.local.fates.clone(),
            gave_way: old.local.gave_way,
            contents: old.local.contents.clone(),
            reset_run: old.local.reset_run,
            // Whoever wrote the branch that wins did not know that the run was to be deleted.
            is_deleted: false,
            ..Local::default()
        };
        // What was current owes its inputs from here on, unless it came to its end and another run followed: then they had
        // their effect in the line that leads to the workflow's current run.
        let had_effect = is_followed && old.execution.close().is_some_and(|close| !close.lost);
        let end = old.histories.current().versions.last();
        let settled = if had_effect { Some(end) } else { shared };
        let settled = settled.map_or(EventId::NONE, |item| item.event_id);
        state.local.owed.settle(old.histories.current_index(), settled);
        let lost = state.local.owed.lost;
        state.lose(lost);
        for (origin, knowledge) in old.reapplied.table.iter() {
            if *knowledge == Knowledge::CarriedOver && state.reapplied.table.get(origin).is_none() {
                state.reapplied.table.insert(*origin, *knowledge);
            }
        }
        state.keep_attempts(old);
        state.mark_stored(old);
        if state.is_open() && old.execution.is_zombie() {
            state.execution.phase = Phase::Zombie;
        }

        self.state = state;
        self.changes.changed = true;
        self.changes.passive = true;
        self.changes.regenerate = true;
        self.changes.visibility = true;
        // Their workflow task is gone; they go along with the next.
        for query in self.queries.values_mut() {
            query.sent_with = None;
        }
        Ok(())
    }
}

/// The state that events make of a run.
pub(super) fn replay(
    run: RunKey,
    branch: Branch,
    request_id: String,
    events: &[HistoryBatch],
) -> Result<MutableState, ApplyError> {
    let missing = ApplyError::Inconsistent { event: EventId::FIRST, reason: "no events were read" };
    let begin = events.first().and_then(|batch| batch.events().first()).ok_or(missing)?;
    let mut state = MutableState::begin(run, branch, request_id, begin)?;
    let all = events.iter().flat_map(|batch| batch.events().iter().map(|event| (batch.first(), event)));
    for (first, event) in all.skip(1) {
        state.apply(event, first)?;
    }
    Ok(state)
}

impl MutableState {
    /// The run lost to another one, or did not. One that lost owes all that its current branch holds: what it shares with
    /// others of its branches it has to pay alone. What the winner has already is known there.
    pub fn lose(&mut self, lost: bool) {
        self.local.owed.lost = lost;
        if lost {
            self.local.owed.settle(self.histories.current_index(), EventId::NONE);
        }
    }

    /// Attempts of activities, of which no event tells, happened if the branch shows the events before them.
    fn keep_attempts(&mut self, old: &Self) {
        let versions = self.histories.current().versions.clone();
        for (scheduled, before) in old.activities.table.iter() {
            let is_shared = old
                .histories
                .current()
                .versions
                .version_of(*scheduled)
                .is_some_and(|version| versions.contains(VersionHistoryItem { event_id: *scheduled, version }));
            let told_at = before.told_at.filter(|item| is_shared && versions.contains(*item));
            if let (Some(told_at), Some(activity)) = (told_at, self.activities.table.get_mut(scheduled)) {
                activity.take_attempt(before, told_at);
            }
        }
    }

    /// Items and tasks of `old` are in the store; what is not the state's any more has to leave it.
    fn mark_stored(&mut self, old: &Self) {
        self.activities.release(old.activities.table.iter().filter_map(|(id, activity)| Some((*id, activity.task?))));
        self.activities.table.rest_on(&old.activities.table);
        self.timers.table.rest_on(&old.timers.table);
        self.signals.requests.rest_on(&old.signals.requests);
        self.reapplied.table.rest_on(&old.reapplied.table);
    }
}

impl Activity {
    /// Take over what no event tells of the same activity. A request to stop is an event, and is on the branch or is not.
    fn take_attempt(&mut self, before: &Self, told_at: VersionHistoryItem) {
        let version = self.version.max(before.version.min(told_at.version));
        let cancel_requested = self.cancel_requested;
        *self = Self { version, cancel_requested, task: None, is_closing: false, ..before.clone() };
    }
}
