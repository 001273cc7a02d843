//! What a transaction leaves to be done, and in which order.

pub mod key;
pub mod kind;

pub use key::{Category, TaskKey};
pub use kind::{HistoryTask, ReplicationTask, TaskKind, TimerTask, TransferTask};
