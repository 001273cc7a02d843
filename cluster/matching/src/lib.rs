//! This crate stores nothing, sends nothing over the network, and decides nothing about workflows: it only brings a task
//! together with a worker that waits for one. It can forget everything and lose nothing, because the row of a task stays
//! in the store until a worker's start of it is durable, and a shard that begins anew offers its tasks again.
//!
//! [`TaskQueues`] does the bringing together. It is a plain struct: no runtime, no lock, and time is an argument.
//! [`Matching`] is the handle through which the rest of a cluster uses it: it keeps the struct behind a lock, turns a
//! match into the end of somebody's wait, and turns a caller that went away into a task that is offered again.
//!
//! A task is in one of three places: in the backlog of a queue, put off until a moment, or in somebody's hands. In hands
//! it is a [`MatchedTask`], which comes back when it is dropped; only [`MatchedTask::taken`] lets go of it.

mod key;
mod limiter;
mod matching;
mod pollers;
mod queue;
mod rate;
mod task_queues;
mod wants;

pub use crate::{
    key::{MAX_NAME_BYTES, QueueKey, QueueKind},
    matching::{Clock, Match, MatchedTask, Matching, QueryAnswer, QueryError, QueryTask, Question},
    pollers::{Poller, SeenPoller},
    task_queues::{
        Description, HandedTask, MAX_POLLS, Matched, Output, PollRefused, PollerId, QueryId, Serial, TaskName,
        TaskQueues,
    },
    wants::HostId,
};
