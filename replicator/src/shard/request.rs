//! What a request says of itself before anybody looks at its workflow.

use prost::Message;

use super::io::{Call, Request};

impl Request {
    /// About how many bytes of memory it takes while it waits.
    #[must_use]
    pub fn weight(&self) -> usize {
        let message = match &self.call {
            Call::Start(request) => request.encoded_len(),
            Call::SignalWithStart(request) => request.encoded_len(),
            Call::Signal(request) => request.encoded_len(),
            Call::RequestCancel(request) => request.encoded_len(),
            Call::Terminate(request) => request.encoded_len(),
            Call::Reset(request) => request.encoded_len(),
            Call::StartWorkflowTask { poll, .. } => poll.encoded_len(),
            Call::CompleteWorkflowTask(_, request) => request.encoded_len(),
            Call::FailWorkflowTask(_, request) => request.encoded_len(),
            Call::StartActivity { poll, .. } => poll.encoded_len(),
            Call::CompleteActivity { result, .. } => result.as_ref().map_or(0, Message::encoded_len),
            Call::FailActivity { failure, last_heartbeat, .. } => {
                let failure = failure.as_ref().map_or(0, |failure| failure.encoded_len());
                failure + last_heartbeat.as_ref().map_or(0, Message::encoded_len)
            }
            Call::CancelActivity { details, .. } | Call::HeartbeatActivity { details, .. } => {
                details.as_ref().map_or(0, Message::encoded_len)
            }
            Call::Query(request) => request.encoded_len(),
            Call::Fates(inputs) => size_of_val(inputs.as_slice()),
            Call::Delete | Call::ResetSticky | Call::View | Call::Describe | Call::Divergence => 0,
        };
        FIXED + message
    }
}

impl Call {
    /// Whether a worker says it of a task that it has, or takes.
    #[must_use]
    pub fn is_of_worker(&self) -> bool {
        match self {
            Self::StartWorkflowTask { .. }
            | Self::CompleteWorkflowTask(..)
            | Self::FailWorkflowTask(..)
            | Self::ResetSticky
            | Self::StartActivity { .. }
            | Self::CompleteActivity { .. }
            | Self::FailActivity { .. }
            | Self::CancelActivity { .. }
            | Self::HeartbeatActivity { .. } => true,
            Self::Start(_)
            | Self::SignalWithStart(_)
            | Self::Signal(_)
            | Self::RequestCancel(_)
            | Self::Terminate(_)
            | Self::Delete
            | Self::Reset(_)
            | Self::Query(_)
            | Self::View
            | Self::Describe
            | Self::Divergence
            | Self::Fates(_) => false,
        }
    }
}

/// What a message takes that is small, with all that waits for its answer.
const FIXED: usize = 2 << 10;
