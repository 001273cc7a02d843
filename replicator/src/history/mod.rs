//! What happened: events, the batches they were written in, and the branches they lie on.

pub mod batch;
pub mod branch;
pub mod content;
pub mod event;
pub mod stretch;

pub use batch::HistoryBatch;
pub use branch::Branch;
pub use stretch::{Stretch, Stretches};
