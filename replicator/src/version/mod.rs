//! Who may write, and who wrote: failover versions and the lines of history they mark.

pub mod failover;
pub mod histories;
pub mod history;
mod stored;

pub use failover::{ClusterName, FailoverVersion, Topology};
pub use histories::VersionHistories;
pub use history::{MalformedVersionHistory, VersionHistory, VersionHistoryItem};

/// Events of a run that are not here: after the first, before the second; open where nothing is known.
pub type Gap = (Option<VersionHistoryItem>, Option<VersionHistoryItem>);
