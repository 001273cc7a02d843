//! One workflow run: its state, the one function that changes it, and what callers and workers may ask of it.

pub mod activity;
pub mod apply;
pub mod begin;
pub mod close;
pub mod contents;
pub mod digest;
pub mod draft;
pub mod execution;
pub mod lifetime;
pub mod limits;
pub mod lineage;
pub mod mutable_state;
pub mod outstanding;
pub mod reapplied;
pub mod rebuild;
pub mod signal;
pub mod stored;
pub mod summary;
pub mod sync_activity;
pub mod table;
pub mod task_generation;
pub mod timer;
pub mod transition;
mod visibility;
pub mod weight;
pub mod workflow_task;

mod activity_attempt;
mod activity_close;
mod command;
pub mod describe;
pub mod dispatch;
pub mod due;
pub mod failover;
pub mod failure;
pub mod request;
pub mod reset;
pub mod retry;
mod succession;
mod task_failure;

pub use apply::ApplyError;
pub use close::Closed;
pub use mutable_state::MutableState;
pub use transition::EventMeta;

#[cfg(test)]
mod tests;
