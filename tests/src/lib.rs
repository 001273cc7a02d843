//! What tests share that need real processes: servers, SDKs, the command line and raw clients.
//!
//! - [`provision`]: the published SDKs, CLI and dev server, installed by the test run itself.
//! - [`process`], [`server`], [`pair`], [`apart`], [`regions`]: a process that never outlives the test; Meridian and the real
//!   dev server as such processes; two of Meridian's clusters that are one process each; one cluster of several processes; two
//!   of those.
//! - [`secured`], [`certificates`]: two clusters that are reached by TLS alone, and what everybody shows there.
//! - [`proxy`]: a link between two of them that can be cut.
//! - [`written`], [`pages`]: what each host wrote, as its database saw it; what a server counts.
//! - [`sdk`]: the Python and the TypeScript SDK behind one line protocol; [`cli`]: the command lines.
//! - [`raw`], [`request`]: the public API without an SDK; [`load`]: many calls that outlive a server; [`wait`]: waiting for a
//!   condition with a deadline.
//!
//! A test that cannot run has failed, so everything here panics instead of returning errors. Nothing measures time: the
//! deadlines only keep a broken server from hanging the run.

pub mod apart;
pub mod certificates;
pub mod cli;
pub mod load;
pub mod pages;
pub mod pair;
pub mod process;
pub mod provision;
pub mod proxy;
pub mod raw;
pub mod regions;
pub mod request;
pub mod sdk;
pub mod secured;
pub mod server;
pub mod wait;
pub mod written;
