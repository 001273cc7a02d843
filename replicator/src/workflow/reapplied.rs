//! Inputs of losing branches: which of them a run has, and which branches of a run still owe theirs.
//!
//! An input that is put into a run again names where it came from ([`Origin`]), in a link of its event. So whoever holds
//! the history knows what it holds, in every cluster and after every restart, and nobody puts it there twice.

use alloc::{format, string::ToString, vec::Vec};

use proto::temporal::api::{
    common::v1::{Link, link},
    enums::v1::EventType,
};

use super::{
    MutableState,
    request::{SERVER, terminate::RESETTER},
    table::{Item, Table},
};
use crate::{
    history::event::{Attributes, HistoryEvent},
    ids::{EventId, RunId},
    time::Timestamp,
    version::{FailoverVersion, VersionHistories, VersionHistoryItem},
};

/// Where an input was first written. However often it is carried on, this is its name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Origin {
    /// The run.
    pub run: RunId,
    /// The event there.
    pub event: EventId,
    /// Its version: a run can have several events of one id.
    pub version: FailoverVersion,
}

/// How a run knows of an origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Knowledge {
    /// An event of its current branch came from there. When another branch becomes current, it is forgotten.
    OnBranch,
    /// The workflow's current run before this one had it.
    CarriedOver,
}

/// What a run has of other branches and runs. It follows from events but for what was carried over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reapplied {
    /// By origin.
    pub table: Table<Origin, Knowledge>,
}

/// What a run's branches owe to the workflow's current run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Owed {
    /// For each branch: everything up to here is in the current run, or was never owed. Missing ones are 0.
    settled: Vec<EventId>,
    /// Whether the run lost to another one, so that its current branch owes too.
    pub lost: bool,
}

impl Origin {
    /// Where the event was first written, if it was written in `run`.
    #[must_use]
    pub fn of(run: RunId, event: &HistoryEvent) -> Self {
        let itself = Self { run, event: EventId(event.event_id), version: FailoverVersion(event.version) };
        Self::told(event).unwrap_or(itself)
    }

    /// Where an event says that it came from, if it does.
    #[must_use]
    pub fn told(event: &HistoryEvent) -> Option<Self> {
        event.links.iter().find_map(Self::from_link)
    }

    /// Its place on a branch.
    #[must_use]
    pub fn item(self) -> VersionHistoryItem {
        VersionHistoryItem { event_id: self.event, version: self.version }
    }

    /// The link by which an event says that it came from here.
    #[must_use]
    pub fn link(self, namespace: &str, workflow: &str, event_type: EventType) -> Link {
        use link::workflow_event::{Reference, RequestIdReference};
        let request_id = format!("{MARK}{}@{}", self.event, self.version);
        Link {
            variant: Some(link::Variant::WorkflowEvent(link::WorkflowEvent {
                namespace: namespace.into(),
                workflow_id: workflow.into(),
                run_id: self.run.to_string(),
                reference: Some(Reference::RequestIdRef(RequestIdReference {
                    request_id,
                    event_type: event_type.into(),
                })),
            })),
        }
    }

    fn from_link(link: &Link) -> Option<Self> {
        let Some(link::Variant::WorkflowEvent(event)) = &link.variant else { return None };
        let Some(link::workflow_event::Reference::RequestIdRef(reference)) = &event.reference else { return None };
        let (id, version) = reference.request_id.strip_prefix(MARK)?.split_once('@')?;
        Some(Self {
            run: RunId::parse(&event.run_id).ok()?,
            event: EventId(id.parse().ok()?),
            version: FailoverVersion(version.parse().ok()?),
        })
    }

    /// The key of its item.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(self.run.as_bytes());
        bytes[16..24].copy_from_slice(&self.event.0.to_be_bytes());
        bytes[24..].copy_from_slice(&self.version.0.to_be_bytes());
        bytes
    }

    /// Read the key of an item.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (run, rest) = bytes.split_first_chunk::<16>()?;
        let (event, rest) = rest.split_first_chunk::<8>()?;
        let version = <[u8; 8]>::try_from(rest).ok()?;
        Some(Self {
            run: RunId::from_bytes(*run),
            event: EventId(i64::from_be_bytes(*event)),
            version: FailoverVersion(i64::from_be_bytes(version)),
        })
    }
}

impl MutableState {
    /// Where an event of this run's history was first written.
    #[must_use]
    pub fn origin(&self, event: &HistoryEvent) -> Origin {
        Origin::of(self.lineage.writer(self.run.run, EventId(event.event_id)), event)
    }

    /// Whether the run has an input: as an event of its current branch, or as one that was put into it again.
    #[must_use]
    pub fn has_input(&self, origin: Origin) -> bool {
        self.is_own(origin) || self.reapplied.table.get(&origin).is_some()
    }

    /// Whether the event that it names is on each other branch that ended under a version: the run went on by one of these,
    /// though it has lost since.
    #[must_use]
    pub fn had_input_before(&self, origin: Origin, version: FailoverVersion) -> bool {
        let histories = &self.histories;
        let others = histories.all().iter().enumerate().filter(|(index, _)| *index != histories.current_index());
        let mut ends =
            others.map(|(_, history)| &history.versions).filter(|end| end.last().version == version).peekable();
        let is_here = self.lineage.writer(self.run.run, origin.event) == origin.run;
        is_here && ends.peek().is_some() && ends.all(|branch| branch.contains(origin.item()))
    }

    /// Whether the event that it names is on the current branch itself.
    #[must_use]
    pub fn is_own(&self, origin: Origin) -> bool {
        let is_here = self.lineage.writer(self.run.run, origin.event) == origin.run;
        is_here && self.histories.current().versions.contains(origin.item())
    }
}

impl Reapplied {
    /// An event of the current branch says where it came from.
    pub(super) fn apply(&mut self, event: &HistoryEvent) {
        if let Some(origin) = Origin::told(event) {
            self.table.insert(origin, Knowledge::OnBranch);
        }
    }

    /// Take over what the workflow's current run knew before. One that lost tells only what it was told itself: what its
    /// own events hold lost with them.
    pub fn carry_over(&mut self, before: &Self, before_lost: bool) {
        for (origin, knowledge) in before.table.iter() {
            let is_lost = before_lost && *knowledge == Knowledge::OnBranch;
            if !is_lost && self.table.get(origin).is_none() {
                self.table.insert(*origin, Knowledge::CarriedOver);
            }
        }
    }
}

impl Owed {
    /// Read from storage.
    #[must_use]
    pub fn new(settled: Vec<EventId>, lost: bool) -> Self {
        Self { settled, lost }
    }

    /// Up to where each branch owes nothing.
    #[must_use]
    pub fn settled(&self) -> &[EventId] {
        &self.settled
    }

    /// A branch owes nothing up to and including this event.
    pub fn settle(&mut self, branch: usize, event: EventId) {
        if self.settled.len() <= branch {
            self.settled.resize(branch + 1, EventId::NONE);
        }
        self.settled[branch] = event;
    }

    /// Whether any branch owes something.
    #[must_use]
    pub fn owes(&self, histories: &VersionHistories) -> bool {
        self.owed(histories).next().is_some()
    }

    /// Stretches that are owed: branch, first event, and where it ends (exclusive).
    pub fn owed(&self, histories: &VersionHistories) -> impl Iterator<Item = (usize, EventId, EventId)> {
        let is_losing = move |index: usize| index != histories.current_index() || self.lost;
        histories.all().iter().enumerate().filter(move |(index, _)| is_losing(*index)).filter_map(|(index, history)| {
            let settled = self.settled.get(index).copied().unwrap_or_default();
            let last = history.versions.last().event_id;
            (settled < last).then(|| (index, settled.next(), last.next()))
        })
    }
}

impl Item<Origin> for Knowledge {
    // The events that say so are on the branch, and the branch is in the digest.
    fn digest(&self, _: &Origin) -> u64 {
        0
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }

    fn weight(&self, _: &Origin) -> usize {
        0
    }
}

/// Whether an event is put into the winning branch when its own loses (RE-2). What the server itself ended is not: it was
/// ended for a reason of its own.
#[must_use]
pub fn is_input(attributes: &Attributes) -> bool {
    match attributes {
        Attributes::WorkflowExecutionSignaledEventAttributes(_)
        | Attributes::WorkflowExecutionCancelRequestedEventAttributes(_) => true,
        Attributes::WorkflowExecutionTerminatedEventAttributes(a) => a.identity != SERVER && a.identity != RESETTER,
        _ => false,
    }
}

/// Begins the reference of our links; no caller's request id begins so by chance.
const MARK: &str = "meridian.reapplied:";

/// The words by which a run is terminated that lost to another one. Every cluster knows them again.
pub const LOST: &str = "lost to another run of the workflow: its namespace was active in two clusters";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;
    use std::vec;

    #[test]
    fn an_origin_survives_its_link_and_its_key() {
        let origin = Origin { run: Entropy::new(4).run_id(), event: EventId(7), version: FailoverVersion(12) };
        let link = origin.link("shop", "order-7", EventType::WorkflowExecutionSignaled);
        let mut event = HistoryEvent { event_id: 30, version: 23, links: vec![Link::default()], ..Default::default() };
        let elsewhere = RunId::from_bytes([1; 16]);
        assert_eq!(
            Origin::of(elsewhere, &event),
            Origin { run: elsewhere, event: EventId(30), version: FailoverVersion(23) }
        );
        event.links.push(link);
        assert_eq!(Origin::of(elsewhere, &event), origin);
        assert_eq!(Origin::from_bytes(&origin.to_bytes()), Some(origin));
        assert_eq!(Origin::from_bytes(b"short"), None);
    }
}
