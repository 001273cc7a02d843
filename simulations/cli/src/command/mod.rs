//! A file for each command.

pub(crate) mod replay;
pub(crate) mod run;
