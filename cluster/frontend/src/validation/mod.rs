//! What a request alone can get wrong: a family of checks per file, a refusal as soon as one fails.
//!
//! What depends on the run is checked by the core, and what only a later version of this server will do is refused there by
//! name. Texts are those of Temporal's server, because people search for them.

mod activity;
mod execution;
mod limits;
mod poll;
mod priority;
mod queue;
mod reset;
mod retry;
mod signal;
mod start;
mod time;

pub(crate) use crate::validation::{
    activity::{
        CANCEL_TOO_LARGE, HEARTBEAT_TOO_LARGE, RESULT_TOO_LARGE, activity_failure, by_id, fail_too_large, shrink,
    },
    execution::{chain, execution},
    limits::{Sizes, blob, identity, page_size},
    poll::{deployment, poll},
    queue::task_queue,
    reset::reset,
    signal::signal,
    start::{signal_with_start, start},
};

use crate::errors::Error;

/// The outcome of a check.
pub(crate) type Check = Result<(), Error>;

fn refuse(message: impl Into<String>) -> Check {
    Err(Error::invalid(message))
}

/// The text of the refusal, for tests.
#[cfg(test)]
fn text(check: Check) -> Option<String> {
    check.err().map(|error| {
        let status = tonic::Status::from(error);
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
        status.message().to_owned()
    })
}
