//! The shard: the protocol's endpoint, one state machine.
//!
//! `io` is the whole seam. `shard` routes; the other files are its parts: what a workflow waits for (`slot`, `work`), which of
//! them are in memory (`slots`), how one decides (`turn`), what a write's outcome means (`flight`), what is read (`loading`), how namespaces move (`gate`,
//! `handover`), what is told (`streams`) and heard (`hearing`), what is told from the beginning (`seeding`), what is told of
//! namespaces that are not known (`strangers`), what cannot be applied (`quarantine`), what was deleted (`tombstones`), what
//! peers do not have (`exposure`), and what a backup does not have (`recovery`).

pub mod io;

mod exposure;
mod flight;
mod gate;
mod handover;
mod hearing;
mod loading;
mod outbox;
mod ownership;
mod quarantine;
mod recovery;
mod report;
mod request;
mod seeding;
#[expect(clippy::module_inception, reason = "the type that the module is named after")]
mod shard;
mod slot;
mod slots;
mod strangers;
mod streams;
mod tombstones;
mod turn;
mod work;

pub use exposure::{Exposure, Standing};
pub use handover::HandoverProgress;
pub use shard::{Cache, Shard};

#[cfg(test)]
mod tests;
