//! Replication between two shards: what is told, what is heard, and how far both have come.
//!
//! A source tells its tasks in the order of their ids and says how far that reaches; a target applies them, each workflow
//! in order, and says how far everything is durable. Nothing else is remembered about a peer, so a broken stream costs
//! repetition and never a gap.

pub mod backlog;
pub mod incoming;
pub mod lanes;
pub mod outgoing;
pub mod receive;
pub mod seeds;
pub mod source;
pub mod tail;
pub mod target;

pub use backlog::{Backlog, BacklogLimit};
pub use incoming::Incoming;
pub use lanes::Lanes;
pub use seeds::Seeds;
pub use source::Source;
pub use tail::Tail;
pub use target::Target;
