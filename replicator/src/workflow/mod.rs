//! One workflow run: its state, the one function that changes it, and what callers and workers may ask of it.

pub mod activity;
pub mod draft;
pub mod execution;
pub mod mutable_state;
pub mod outstanding;
pub mod signal;
pub mod table;
pub mod timer;
pub mod workflow_task;

pub use mutable_state::MutableState;
