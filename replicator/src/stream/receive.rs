//! What becomes of a run when a peer's task reaches it: the passive way into a draft (5.2, as far as branches do not
//! diverge).

use alloc::{format, string::String};

use super::incoming::{Incoming, IncomingHistory, IncomingKind, IncomingRun};
use crate::{
    history::{Branch, HistoryBatch},
    ids::{EventId, RunId, RunKey},
    version::VersionHistoryItem,
    workflow::{
        draft::{Draft, Run},
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
    },
    /// The run has it already, or is past it.
    Duplicate,
    /// Events between the two are missing and must be fetched first.
    Missing {
        /// Last event that is here; `None`: the run is not known.
        after: Option<VersionHistoryItem>,
        /// First event that was told.
        before: VersionHistoryItem,
    },
    /// It cannot be applied. The draft may be half changed and must be given up.
    Refused(String),
}

/// Apply a task to the draft. The runs that it concerns are loaded if they exist.
pub fn receive(draft: &mut Draft<'_>, incoming: &Incoming) -> Received {
    match &incoming.kind {
        IncomingKind::History(history) => receive_history(draft, incoming.run.run, history),
        IncomingKind::Activity { versions, attributes } => {
            let Some(run) = draft.runs.get_mut(&incoming.run.run) else { return Received::Duplicate };
            // Its history comes first on the stream; where it does not lead here, the activity is not the same one.
            if !versions.contains(run.state.histories.current().versions.last())
                && !run.state.histories.current().versions.contains(versions.last())
            {
                return Received::Duplicate;
            }
            if sync_activity::apply(&mut run.state, attributes) {
                run.changes.passive = true;
                run.changes.changed = true;
                Received::Applied { digest_differs: false }
            } else {
                Received::Duplicate
            }
        }
    }
}

fn receive_history(draft: &mut Draft<'_>, id: RunId, history: &IncomingHistory) -> Received {
    let first = VersionHistoryItem { event_id: history.first(), version: history.batches[0].version() };
    let applied = match draft.runs.get_mut(&id) {
        None if first.event_id > EventId::FIRST => return Received::Missing { after: None, before: first },
        None => begin(draft, id, &history.batches, &history.start_request_id),
        Some(run) => {
            let last = run.state.histories.current().versions.last();
            match run.state.histories.lowest_common_ancestor(&history.versions) {
                None => return Received::Refused("the run has another history here from its first event on".into()),
                Some((_, item)) if item == last && history.last() <= last.event_id => return Received::Duplicate,
                Some((_, item)) if item == last && last.event_id.next() < first.event_id => {
                    return Received::Missing { after: Some(last), before: first };
                }
                Some((_, item)) if item == last => extend(run, &history.batches),
                // Everything that was told lies before the point of divergence, or on a branch that is here.
                Some((_, item)) if history.last() <= item.event_id => return Received::Duplicate,
                Some((_, item)) => {
                    return Received::Refused(format!(
                        "branches diverge after {item}: {} here, {} there; conflict resolution is not built",
                        run.state.histories.current().versions,
                        history.versions
                    ));
                }
            }
        }
    };
    if let Err(reason) = applied {
        return Received::Refused(reason);
    }
    let mut digest_differs = differs(draft, id, history.digest);
    if let Some(new) = &history.new_run {
        if let Err(reason) = begin_next(draft, id, new) {
            return Received::Refused(reason);
        }
        digest_differs |= differs(draft, new.run, new.digest);
    }
    Received::Applied { digest_differs }
}

/// The run that followed in the same transaction.
fn begin_next(draft: &mut Draft<'_>, before: RunId, new: &IncomingRun) -> Result<(), String> {
    if draft.runs.contains_key(&new.run) {
        return Ok(());
    }
    begin(draft, new.run, core::slice::from_ref(&new.batch), &new.start_request_id)?;
    if let Some(run) = draft.runs.get_mut(&before) {
        run.changes.new_run = Some(new.run);
    }
    Ok(())
}

/// A run that is not here yet, from its first events.
fn begin(draft: &mut Draft<'_>, id: RunId, batches: &[HistoryBatch], request_id: &str) -> Result<(), String> {
    let open = draft.current.and_then(|current| draft.runs.get(&current)).filter(|run| run.state.is_open());
    if let Some(other) = open {
        return Err(format!("run {} of the workflow is open here; zombies are not built", other.state.run.run));
    }
    let key = RunKey { workflow: draft.key.clone(), run: id };
    let branch = Branch::root(id, draft.entropy);
    let (first, rest) = batches.split_first().ok_or("no events were told")?;
    let run = Run::received(key, branch, request_id.into(), first.clone());
    let mut run = run.map_err(|error| format!("{error}"))?;
    extend(&mut run, rest)?;
    draft.runs.insert(id, run);
    *draft.current = Some(id);
    Ok(())
}

/// A run that is here and ends before or within `batches`: apply those it does not have.
fn extend(run: &mut Run, batches: &[HistoryBatch]) -> Result<(), String> {
    for batch in batches {
        let have = run.state.histories.current().versions.last().event_id;
        if batch.last() <= have {
            continue;
        }
        if batch.first() <= have {
            return Err(format!("batch {}..{} overlaps what is here", batch.first(), batch.last()));
        }
        run.follow(batch.clone()).map_err(|error| format!("{error}"))?;
    }
    Ok(())
}

/// Whether the peer made something else of the same events.
fn differs(draft: &Draft<'_>, run: RunId, told: Option<u64>) -> bool {
    let ours = draft.runs.get(&run).map(|run| run.state.digest());
    told.is_some() && ours.is_some() && told != ours
}
