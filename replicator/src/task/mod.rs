//! What a transaction leaves to be done, and in which order.

pub mod key;
pub mod kind;
pub mod quarantined;
mod stored;

pub use key::{Category, TaskKey};
pub use kind::{HistoryStretch, HistoryTask, ReplicationTask, TaskKind, TimerTask, TransferTask, WrittenBatch};
pub use quarantined::Quarantined;
