//! Whose tables a database holds, and of which age.

use std::fmt;

use crate::Failed;

/// What stands in a database that was opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    /// Nothing: it may become ours.
    Empty,
    /// Our tables, of this version, which this program may be too old for.
    Ours(i64),
    /// Tables of somebody else.
    Foreign,
}

/// The version of tables that this program can work with, which is `version`, or why it cannot.
pub(crate) fn known(options: &impl fmt::Display, found: Found, version: i64) -> Result<i64, Failed> {
    match found {
        Found::Ours(found) if found > version => Err(Failed(format!(
            "{options} has schema version {found} and this program knows versions up to {version}: it was prepared by \
             a newer release, use that one or a newer"
        ))),
        Found::Ours(found) if found == version => Ok(found),
        Found::Ours(found) => Err(Failed(format!(
            "{options} has schema version {found} and this program needs version {version}: run meridian schema update \
             --store URL"
        ))),
        Found::Empty => Err(Failed(format!("{options} has no tables yet: run meridian schema setup --store URL"))),
        Found::Foreign => Err(Failed(format!("{options} holds tables of another program"))),
    }
}
