//! Histories that diverged: what a peer's events mean for the branches of a run, which branch is current, and which run of
//! a workflow is.
//!
//! The decisions are pure functions over version histories and clocks (`preparation`, `clock`, `policy`), with the tables of
//! the rules as their tests. What follows from them is done to a draft (`resolution`, `placement`, `reapplication`), and what lost is found again afterwards (`divergence`).

pub mod clock;
pub mod divergence;
pub mod placement;
pub mod policy;
pub mod preparation;
pub mod reapplication;
pub mod resolution;

pub use clock::RunClock;
pub use preparation::Preparation;
