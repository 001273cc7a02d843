//! Why another host did not answer a call.

use std::error::Error;

use tonic::{Code, ConnectError, Status};
use uuid::Uuid;

/// Why another host did not answer a call, by what may be done next.
#[derive(Debug)]
pub enum Trouble {
    /// It answered, with this.
    Refused(Status),
    /// It does not have what the call is about, and did nothing: ask again where the ring points to then.
    Moved,
    /// It was not reached, so it did nothing either.
    NotReached,
    /// It was reached and has not answered. Whether it did anything is not known.
    Lost,
}

impl Trouble {
    /// Why a call failed.
    #[must_use]
    pub fn of(status: Status) -> Self {
        // What the other host said has no source.
        match status.source() {
            None if is_moved(&status) => Self::Moved,
            None => Self::Refused(status),
            Some(source) if is_about_the_way(source) => Self::NotReached,
            Some(_) => Self::Lost,
        }
    }

    /// Whether nothing was done.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Moved | Self::NotReached)
    }
}

/// Whether a host says that it does not have what a call is about.
#[must_use]
pub fn is_moved(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.metadata().contains_key(MOVED)
}

fn is_about_the_way(error: &(dyn Error + 'static)) -> bool {
    error.is::<ConnectError>() || error.source().is_some_and(is_about_the_way)
}

/// The life of the host at which a poll is wanted, if a status says so.
#[must_use]
pub fn wanted_at(status: &Status) -> Option<Uuid> {
    status.metadata().get(WANTED_AT)?.to_str().ok()?.parse().ok()
}

/// Metadata of a status: there is work on the host of this life for the poll that ends with it.
pub const WANTED_AT: &str = "meridian-wanted-at";

/// Metadata of a status: whoever says it does not have what the call is about, and did nothing.
pub const MOVED: &str = "meridian-moved";

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataValue;

    use super::*;

    #[test]
    fn what_may_be_done_next() {
        let broken = || std::io::Error::other("broken");
        let mut moved = Status::unavailable("elsewhere");
        moved.metadata_mut().insert(MOVED, MetadataValue::from_static("true"));
        check(moved, "Moved");
        check(Status::unavailable("busy"), "Refused");
        check(Status::not_found("gone"), "Refused");
        check(Status::from_error(Box::new(ConnectError(Box::new(broken())))), "NotReached");
        check(Status::from_error(Box::new(broken())), "Lost");
    }

    #[track_caller]
    fn check(status: Status, expected: &str) {
        let found = format!("{:?}", Trouble::of(status));
        assert!(found.starts_with(expected), "{found}");
    }
}
