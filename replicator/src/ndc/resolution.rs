//! What a peer's events do to one run: they extend its current branch, another one, or make another one current (ND-8).

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::preparation::{Preparation, Span, Unfit, prepare};
use crate::{
    defects::{Defect, planted},
    entropy::Entropy,
    history::{HistoryBatch, Stretch, Stretches},
    ids::EventId,
    version::{VersionHistory, VersionHistoryItem},
    workflow::{draft::Run, reapplied::is_input},
};

/// What is to be done with the batches of a task about a run that is here.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// All of them are here.
    Duplicate,
    /// Events before them are missing; both ends exclusive.
    Gap {
        /// Last event that is here.
        after: VersionHistoryItem,
        /// First event that was told.
        before: VersionHistoryItem,
    },
    /// They belong to the current branch.
    Extend {
        /// So many of them are here already.
        skip: usize,
    },
    /// They belong to a branch that is not current and does not become it.
    Backfill(Place),
    /// They belong to a branch that becomes current: its version is higher.
    Switch(Place),
}

/// A branch beside the current one, and what of the batches it does not have.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The branch, or the one it forks from.
    pub branch: usize,
    /// It forks after this event.
    pub fork: Option<VersionHistoryItem>,
    /// So many of the batches are here already.
    pub skip: usize,
}

/// Find out what batches mean for a run.
///
/// # Errors
///
/// Why they mean nothing, whatever is tried.
pub fn resolve(run: &Run, versions: &VersionHistory, batches: &[HistoryBatch]) -> Result<Resolution, String> {
    let histories = &run.state.histories;
    let place = match prepare(histories, versions, batches.iter().map(Span::from)) {
        Ok(Preparation::Duplicate) => return Ok(Resolution::Duplicate),
        Ok(Preparation::Gap { after, before }) => return Ok(Resolution::Gap { after, before }),
        Ok(Preparation::Append { branch, skip }) if branch == histories.current_index() => {
            return Ok(Resolution::Extend { skip });
        }
        Ok(Preparation::Append { branch, skip }) => Place { branch, fork: None, skip },
        Ok(Preparation::Fork { from, after, skip }) => Place { branch: from, fork: Some(after), skip },
        Err(unfit) => return Err(unfit.to_string()),
    };
    let told = batches.last().map(HistoryBatch::version);
    let ours = histories.current().versions.last().version;
    let wins = told.is_some_and(|told| (told > ours) != planted(Defect::LowerBranchWins));
    Ok(if wins { Resolution::Switch(place) } else { Resolution::Backfill(place) })
}

/// Apply batches to the current branch.
///
/// # Errors
///
/// Why they cannot have happened. The run is half changed then.
pub fn extend(run: &mut Run, batches: &[HistoryBatch]) -> Result<(), String> {
    for batch in batches {
        run.follow(batch.clone()).map_err(|error| format!("{error}"))?;
    }
    Ok(())
}

/// Add batches to a branch that is not current. Its state is not kept, so what they say is not looked at. The [`tail`] is
/// among what was read.
pub fn backfill(run: &mut Run, place: &Place, batches: &[HistoryBatch], read: &Stretches, entropy: &mut Entropy) {
    let index = open(run, place, entropy);
    if place.fork.is_some() {
        let behind = tail(run, place).and_then(|tail| read.get(&tail)).map(Vec::as_slice).unwrap_or_default();
        run.state.local.contents.fork(place.branch, index, behind);
    }
    for batch in batches.iter().skip(place.skip) {
        let item = VersionHistoryItem { event_id: batch.last(), version: batch.version() };
        let before = run.state.histories.all()[index].versions.last().event_id;
        let owed = &mut run.state.local.owed;
        // What holds no input owes none, and nobody has to read it again to find out.
        if owed.settled().get(index) == Some(&before) && !holds_input(batch) {
            owed.settle(index, batch.last());
        }
        run.state.histories.append_to(index, item);
        run.changes.backfill.push((index, batch.clone()));
    }
    run.changes.passive = true;
    run.changes.changed = true;
}

/// The stretch of stored history that [`backfill`] needs: all that lies behind the fork on the branch that is forked.
#[must_use]
pub fn tail(run: &Run, place: &Place) -> Option<Stretch> {
    let history = &run.state.histories.all()[place.branch];
    let (first, end) = (place.fork?.event_id.next(), history.versions.last().event_id.next());
    (first < end).then(|| Stretch { branch: history.branch.clone(), first, end })
}

fn holds_input(batch: &HistoryBatch) -> bool {
    batch.events().iter().any(|event| event.attributes.as_ref().is_some_and(is_input))
}

/// The stretch of stored history that [`switch`] needs: all that the branch has so far.
#[must_use]
pub fn base(run: &Run, place: &Place) -> Stretch {
    let history = &run.state.histories.all()[place.branch];
    let last = place.fork.unwrap_or_else(|| history.versions.last());
    Stretch { branch: history.branch.clone(), first: EventId::FIRST, end: last.event_id.next() }
}

/// Make a branch current and apply batches to it. Its [`base`] is among what was read. `is_followed`: the run came to
/// an end that another one followed.
///
/// # Errors
///
/// Why that cannot be. The run is half changed then.
pub fn switch(
    run: &mut Run,
    place: &Place,
    batches: &[HistoryBatch],
    read: &Stretches,
    is_followed: bool,
    entropy: &mut Entropy,
) -> Result<(), String> {
    let base = read.get(&base(run, place)).ok_or("the events of the branch were not read")?;
    let index = open(run, place, entropy);
    run.state.local.contents.make(index, base);
    run.switch(index, base, is_followed)?;
    extend(run, batches.get(place.skip..).unwrap_or_default())
}

/// The branch at the place; a fork owes from where it begins.
fn open(run: &mut Run, place: &Place, entropy: &mut Entropy) -> usize {
    let Some(after) = place.fork else { return place.branch };
    let index = run.state.histories.fork(place.branch, after, entropy);
    run.state.local.owed.settle(index, after.event_id);
    index
}

impl core::fmt::Display for Unfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unrelated => "the run has another history here from its first event on",
            Self::Overlap => "a batch begins before and ends behind where the branches diverged",
            Self::SameVersion => "it would make a second branch under a version that has one",
        })
    }
}
