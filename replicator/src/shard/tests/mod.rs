//! Shards of several clusters that tell each other what they wrote, in any order.

mod convergence;
mod deletion;
mod examples;
mod failover;
mod moves;
mod quarantine;
mod reapplication;
mod reset;
mod shard_counts;
mod store;
mod tables;
mod tasks;
mod world;
