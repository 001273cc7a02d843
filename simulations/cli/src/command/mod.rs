//! A file for each command.

#[cfg(feature = "defects")]
pub(crate) mod power;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod scenarios;
#[cfg(feature = "servers")]
pub(crate) mod servers;
pub(crate) mod shrink;
