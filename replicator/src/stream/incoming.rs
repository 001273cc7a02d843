//! What a peer tells, parsed: wire messages become domain values or a refusal here and nowhere else (ND-3).

use alloc::{boxed::Box, string::String, vec::Vec};

use bytes::Bytes;
use prost::Message;
use proto::temporal::{
    api::common::v1::DataBlob,
    server::api::{
        enums::v1::ReplicationTaskType,
        history::v1 as history,
        replication::v1::{self as wire, replication_task::Attributes},
    },
};

use crate::{
    history::HistoryBatch,
    ids::{EventId, NamespaceId, RunId, RunKey, TaskId, WorkflowKey},
    time::Timestamp,
    version::{FailoverVersion, VersionHistory, VersionHistoryItem},
    workflow::reset::Base,
};

/// A task that a peer told.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// Its id at the source.
    pub task: TaskId,
    /// When the source wrote it.
    pub written: Timestamp,
    /// The run it is about.
    pub run: RunKey,
    /// What it says.
    pub kind: IncomingKind,
}

/// What a task says.
#[derive(Clone, Debug, PartialEq)]
pub enum IncomingKind {
    /// Events were written.
    History(Box<IncomingHistory>),
    /// An activity changed without an event.
    Activity {
        /// Version history of the run when it did.
        versions: VersionHistory,
        /// The change.
        attributes: Box<wire::SyncActivityTaskAttributes>,
    },
    /// The run was deleted.
    Deletion {
        /// Its last event then, if the peer tells it.
        last: Option<VersionHistoryItem>,
    },
    /// Events were written that are too large for a message. They are to be fetched.
    Reference {
        /// Version history of their branch, up to the end of the transaction that wrote them.
        versions: VersionHistory,
        /// The last of them.
        last: VersionHistoryItem,
        /// The run that was started in the same transaction.
        new_run: Option<Box<IncomingRun>>,
    },
}

/// Events that a peer wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct IncomingHistory {
    /// Version history of their branch, up to the end of the transaction that wrote them.
    pub versions: VersionHistory,
    /// The batches, oldest first, without a hole. Never empty.
    pub batches: Vec<HistoryBatch>,
    /// Request that started the run; told with the first batch by a peer that tells it.
    pub start_request_id: String,
    /// Digest of the run afterwards, if the peer tells it.
    pub digest: Option<u64>,
    /// The run that was started in the same transaction.
    pub new_run: Option<IncomingRun>,
    /// The run whose history the run shares, for one that a reset made (ND-4).
    pub base: Option<Base>,
}

/// A run that was started by another one.
#[derive(Clone, Debug, PartialEq)]
pub struct IncomingRun {
    /// The run.
    pub run: RunId,
    /// Its first batch.
    pub batch: HistoryBatch,
    /// Request that started it.
    pub start_request_id: String,
    /// Digest of its state, if the peer tells it.
    pub digest: Option<u64>,
}

/// Why a task cannot be applied, whatever is tried.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Malformed(pub &'static str);

impl Incoming {
    /// Parse a task.
    ///
    /// # Errors
    ///
    /// [`Malformed`], naming what is wrong with it.
    pub fn parse(task: &wire::ReplicationTask) -> Result<Self, Malformed> {
        let (run, kind) = match task.attributes.as_ref() {
            None if task.task_type() == ReplicationTaskType::DeleteExecutionTask => deletion(task)?,
            None => return Err(Malformed("attributes are missing")),
            Some(Attributes::HistoryTaskAttributes(attributes)) => history_task(task, attributes)?,
            Some(Attributes::SyncActivityTaskAttributes(attributes)) => activity_task(attributes)?,
            _ => return Err(Malformed("this kind of task is not applied here")),
        };
        let extension = task.meridian.as_ref();
        let written = extension.and_then(|ours| ours.written_time).or(task.visibility_time);
        Ok(Self {
            task: TaskId(task.source_task_id),
            written: written.map_or(Timestamp::ZERO, Timestamp::from),
            run,
            kind,
        })
    }

    /// Version of what it says.
    #[must_use]
    pub fn version(&self) -> FailoverVersion {
        match &self.kind {
            IncomingKind::History(history) => history.batches[0].version(),
            IncomingKind::Activity { attributes, .. } => FailoverVersion(attributes.version),
            IncomingKind::Reference { last, .. } => last.version,
            IncomingKind::Deletion { last } => last.map_or(FailoverVersion::EMPTY, |last| last.version),
        }
    }

    /// Whether it says that the run was deleted.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        matches!(self.kind, IncomingKind::Deletion { .. })
    }

    /// Compare nothing with what the peer made of these events: what no event tells may not have been heard.
    pub fn forget_digests(&mut self) {
        if let IncomingKind::History(history) = &mut self.kind {
            history.digest = None;
            history.new_run.iter_mut().for_each(|new| new.digest = None);
        }
    }

    /// Forget what it tells of runs that are not here and that were deleted when they had come so far, or further. Whether
    /// nothing is left.
    #[must_use]
    pub fn forget_deleted(&mut self, is_here: bool, is_late: impl Fn(RunId, VersionHistoryItem) -> bool) -> bool {
        let end = |batch: &HistoryBatch| VersionHistoryItem { event_id: batch.last(), version: batch.version() };
        let run = self.run.run;
        match &mut self.kind {
            IncomingKind::History(history) => {
                let last = history.batches.last().map(end);
                if history.new_run.as_ref().is_some_and(|new| is_late(new.run, end(&new.batch))) {
                    history.new_run = None;
                }
                !is_here && last.is_some_and(|last| is_late(run, last))
            }
            IncomingKind::Activity { versions, .. } => !is_here && is_late(run, versions.last()),
            IncomingKind::Deletion { last } => !is_here && last.is_some_and(|last| is_late(run, last)),
            IncomingKind::Reference { last, new_run, .. } => {
                let end =
                    |new: &IncomingRun| VersionHistoryItem { event_id: new.batch.last(), version: new.batch.version() };
                new_run.take_if(|new| is_late(new.run, end(new)));
                !is_here && is_late(run, *last)
            }
        }
    }
}

impl IncomingHistory {
    /// First event.
    #[must_use]
    pub fn first(&self) -> EventId {
        self.batches[0].first()
    }

    /// Last event.
    #[must_use]
    pub fn last(&self) -> EventId {
        self.batches[self.batches.len() - 1].last()
    }
}

fn history_task(
    task: &wire::ReplicationTask,
    attributes: &wire::HistoryTaskAttributes,
) -> Result<(RunKey, IncomingKind), Malformed> {
    let run = run_key(&attributes.namespace_id, &attributes.workflow_id, &attributes.run_id)?;
    let versions = versions(&attributes.version_history_items)?;
    let extension = task.meridian.clone().unwrap_or_default();
    let new_run = match &attributes.new_run_events {
        None => None,
        Some(events) => {
            let batch = HistoryBatch::received(own(&events.data)).map_err(|_| Malformed("new_run_events"))?;
            if batch.first() != EventId::FIRST {
                return Err(Malformed("new_run_events do not begin at event 1"));
            }
            Some(IncomingRun {
                run: RunId::parse(&attributes.new_run_id).map_err(|_| Malformed("new_run_id"))?,
                batch,
                start_request_id: extension.new_run_start_request_id,
                digest: digest(&extension.new_run_state_digest),
            })
        }
    };
    if let Some(omitted) = &extension.omitted {
        let event_id = EventId(omitted.next_event_id.saturating_sub(1));
        let version = versions.version_of(event_id).ok_or(Malformed("events do not lie on their branch"))?;
        let last = VersionHistoryItem { event_id, version };
        return Ok((run, IncomingKind::Reference { versions, last, new_run: new_run.map(Box::new) }));
    }
    let batches = batches(attributes.events.iter().chain(&attributes.events_batches), &versions)?;
    let base = match &attributes.base_execution_info {
        None => None,
        Some(info) => {
            let event_id = EventId(info.lowest_common_ancestor_event_id);
            let version = FailoverVersion(info.lowest_common_ancestor_event_version);
            let base = Base {
                run: RunId::parse(&info.run_id).map_err(|_| Malformed("base_execution_info.run_id"))?,
                last: VersionHistoryItem { event_id, version },
                request_id: extension.reset_request_id,
            };
            // It may come with every task of such a run. Of account it is with the first.
            let before = batches[0].first().previous();
            Some(base).filter(|base| base.last.event_id == before && before > EventId::NONE)
        }
    };
    let history = IncomingHistory {
        versions,
        batches,
        base,
        start_request_id: extension.start_request_id,
        digest: digest(&extension.state_digest),
        new_run,
    };
    Ok((run, IncomingKind::History(Box::new(history))))
}

fn activity_task(attributes: &wire::SyncActivityTaskAttributes) -> Result<(RunKey, IncomingKind), Malformed> {
    let run = run_key(&attributes.namespace_id, &attributes.workflow_id, &attributes.run_id)?;
    let items = attributes.version_history.as_ref().ok_or(Malformed("version_history is missing"))?;
    let versions = versions(&items.items)?;
    let has_payloads = attributes.details.is_some() || attributes.last_failure.is_some();
    let attributes = match has_payloads {
        true => wire::SyncActivityTaskAttributes::decode(Bytes::from(attributes.encode_to_vec())),
        false => Ok(attributes.clone()),
    };
    let attributes = Box::new(attributes.map_err(|_| Malformed("activity"))?);
    Ok((run, IncomingKind::Activity { versions, attributes }))
}

/// All that is told of a deletion is in the row (section 14). How far the run had come is our own.
fn deletion(task: &wire::ReplicationTask) -> Result<(RunKey, IncomingKind), Malformed> {
    let row = task.raw_task_info.as_ref().ok_or(Malformed("raw_task_info is missing"))?;
    let run = run_key(&row.namespace_id, &row.workflow_id, &row.run_id)?;
    let last = match &row.last_version_history_item {
        None => None,
        Some(item) => Some(versions(core::slice::from_ref(item))?.last()),
    };
    Ok((run, IncomingKind::Deletion { last }))
}

/// The run that a task speaks of, as far as that can be read of one that cannot be parsed.
#[must_use]
pub fn run_of(task: &wire::ReplicationTask) -> Option<RunKey> {
    use Attributes as A;
    let of = |namespace: &str, workflow: &str, run: &str| run_key(namespace, workflow, run).ok();
    let told = match task.attributes.as_ref() {
        Some(A::HistoryTaskAttributes(a)) => of(&a.namespace_id, &a.workflow_id, &a.run_id),
        Some(A::SyncActivityTaskAttributes(a)) => of(&a.namespace_id, &a.workflow_id, &a.run_id),
        Some(A::SyncHsmAttributes(a)) => of(&a.namespace_id, &a.workflow_id, &a.run_id),
        Some(A::BackfillHistoryTaskAttributes(a)) => of(&a.namespace_id, &a.workflow_id, &a.run_id),
        Some(A::VerifyVersionedTransitionTaskAttributes(a)) => of(&a.namespace_id, &a.workflow_id, &a.run_id),
        Some(A::SyncVersionedTransitionTaskAttributes(a)) => of(&a.namespace_id, &a.workflow_id, &a.run_id),
        _ => None,
    };
    told.or_else(|| task.raw_task_info.as_ref().and_then(|row| of(&row.namespace_id, &row.workflow_id, &row.run_id)))
}

/// The same bytes apart from the frame in which they came. What is made of them may live long, and a part of a frame keeps all of it.
fn own(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Parse batches that must follow one another and lie on the branch that `versions` describes.
///
/// # Errors
///
/// [`Malformed`] when they do not.
pub fn batches<'a>(
    blobs: impl Iterator<Item = &'a DataBlob>,
    versions: &VersionHistory,
) -> Result<Vec<HistoryBatch>, Malformed> {
    let mut batches: Vec<HistoryBatch> = Vec::new();
    for blob in blobs {
        let batch = HistoryBatch::received(own(&blob.data)).map_err(|_| Malformed("events are no batch"))?;
        if batches.last().is_some_and(|before| before.last().next() != batch.first()) {
            return Err(Malformed("batches leave a hole"));
        }
        let end = VersionHistoryItem { event_id: batch.last(), version: batch.version() };
        if !versions.contains(end) || !versions.contains(VersionHistoryItem { event_id: batch.first(), ..end }) {
            return Err(Malformed("events do not lie on their branch"));
        }
        batches.push(batch);
    }
    if batches.is_empty() { Err(Malformed("events are missing")) } else { Ok(batches) }
}

/// Parse the versions of a branch.
///
/// # Errors
///
/// [`Malformed`] when no branch could have them.
pub fn versions(items: &[history::VersionHistoryItem]) -> Result<VersionHistory, Malformed> {
    let item = |item: &history::VersionHistoryItem| VersionHistoryItem {
        event_id: EventId(item.event_id),
        version: FailoverVersion(item.version),
    };
    VersionHistory::from_items(items.iter().map(item).collect()).map_err(|_| Malformed("version history items"))
}

fn run_key(namespace: &str, workflow: &str, run: &str) -> Result<RunKey, Malformed> {
    if workflow.is_empty() {
        return Err(Malformed("workflow_id"));
    }
    let namespace = NamespaceId::parse(namespace).map_err(|_| Malformed("namespace_id"))?;
    let workflow = WorkflowKey { namespace, workflow: workflow.into() };
    Ok(RunKey { workflow, run: RunId::parse(run).map_err(|_| Malformed("run_id"))? })
}

fn digest(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}
