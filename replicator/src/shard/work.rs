//! What waits at a slot until its workflow is ready to decide.

use alloc::boxed::Box;

use super::io::{Request, RequestId, StreamKey};
use crate::{
    ids::{RunId, RunKey},
    stream::Incoming,
    task::HistoryTask,
    version::FailoverVersion,
};

/// One thing to decide about a workflow.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Work {
    /// A caller wants something.
    Request(RequestId, Box<Request>),
    /// A task is due, or is to be offered to matching once more.
    Task(Box<HistoryTask>),
    /// A peer told something.
    Incoming(StreamKey, Box<Incoming>),
    /// The namespace moved away; what was kept back is written under the version it had.
    Moved(RunKey, FailoverVersion),
}

impl Work {
    /// The run it is about; `None` is the current one.
    pub(super) fn run(&self) -> Option<RunId> {
        match self {
            Self::Request(_, request) => request.run,
            Self::Task(task) => Some(task.run.run),
            Self::Incoming(_, incoming) => Some(incoming.run.run),
            Self::Moved(run, _) => Some(run.run),
        }
    }
}
