//! Shards of several clusters that tell each other what they wrote, in any order.

mod convergence;
mod examples;
mod quarantine;
mod reapplication;
mod store;
mod tables;
mod tasks;
mod world;
