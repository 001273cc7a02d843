//! Lists and counts of runs.

use std::fmt;

use bytes::Bytes;
use replicator::shard::io::VisibilityRecord;

use crate::contract::Unavailable;

pub mod filter;
pub(crate) mod listing;
pub mod token;

/// Runs on a page at most, and when nothing is said (api 9.5).
pub const MAX_PAGE_SIZE: usize = 1000;

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The runs.
    pub records: Vec<VisibilityRecord>,
    /// Where to go on; empty: this was all.
    pub next: Bytes,
}

/// An answer to a count.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Count {
    /// Runs that match.
    pub total: i64,
    /// By `temporal.api.enums.v1.WorkflowExecutionStatus`, ascending, if the query asked for groups.
    pub groups: Option<Vec<(i32, i64)>>,
}

/// Why a list or count was not answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum VisibilityError {
    /// The query or token is wrong and stays wrong. The text names what is wrong in it.
    InvalidArgument(String),
    /// Try again.
    Unavailable(Unavailable),
}

impl fmt::Display for VisibilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument(text) => f.write_str(text),
            Self::Unavailable(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for VisibilityError {}

/// The page size that counts, of one that was asked for.
#[must_use]
pub fn page_size(asked: usize) -> usize {
    if (1..=MAX_PAGE_SIZE).contains(&asked) { asked } else { MAX_PAGE_SIZE }
}
