//! What waits at a slot until its workflow is ready to decide.

use alloc::{boxed::Box, vec::Vec};

use proto::temporal::server::api::replication::v1::ReplicationTask;

use super::io::{Request, RequestId, StreamKey};
use crate::{
    ids::{RunId, RunKey, TaskId},
    stream::{Incoming, incoming::IncomingKind},
    task::{HistoryTask, TaskKey},
};

/// One thing to decide about a workflow.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Work {
    /// A caller wants something.
    Request(RequestId, Box<Request>),
    /// A task is due, or is to be offered to matching once more.
    Task(Box<HistoryTask>),
    /// A peer told something.
    Incoming(Box<Told>),
    /// The namespace is active elsewhere; what the run kept back is written under the version under which it was.
    Moved(RunKey),
    /// A peer's shard asked to be told all of the run.
    Seed(RunKey, StreamKey),
}

/// What a peer told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// Where it was told.
    pub(super) stream: StreamKey,
    /// What it says.
    pub(super) incoming: Incoming,
    /// How it was told.
    pub(super) how: How,
}

/// How something came to be heard.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum How {
    /// As a task of the stream, which waits for it to be durable.
    Streamed(Box<ReplicationTask>),
    /// It was kept under this key and is tried once more.
    Kept(TaskKey),
    /// It was fetched because something told after it needs it, which is of this run.
    Fetched(RunId),
}

impl Told {
    /// The task of the stream that is durable when this is.
    pub(super) fn acknowledges(&self) -> Option<(StreamKey, TaskId)> {
        matches!(self.how, How::Streamed(_)).then_some((self.stream, self.incoming.task))
    }
}

impl Work {
    /// The runs that have to be known before it can be decided; the current one always is.
    pub(super) fn runs(&self) -> Vec<RunId> {
        match self {
            Self::Request(_, request) => request.run.into_iter().collect(),
            Self::Task(task) => [task.run.run].into(),
            Self::Incoming(told) => {
                let (next, base) = match &told.incoming.kind {
                    IncomingKind::History(history) => {
                        (history.new_run.as_ref().map(|new| new.run), history.base.as_ref().map(|base| base.run))
                    }
                    IncomingKind::Reference { new_run, .. } => (new_run.as_ref().map(|new| new.run), None),
                    IncomingKind::Activity { .. } | IncomingKind::Deletion { .. } => (None, None),
                };
                [told.incoming.run.run].into_iter().chain(next).chain(base).collect()
            }
            Self::Moved(run) | Self::Seed(run, _) => [run.run].into(),
        }
    }
}
