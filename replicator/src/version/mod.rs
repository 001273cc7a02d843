//! Who may write, and who wrote: failover versions and the lines of history they mark.

pub mod failover;
pub mod histories;
pub mod history;
mod stored;

pub use failover::{ClusterName, FailoverVersion, Topology};
pub use histories::VersionHistories;
pub use history::{MalformedVersionHistory, VersionHistory, VersionHistoryItem};
