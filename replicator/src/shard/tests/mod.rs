//! Shards of several clusters that tell each other what they wrote, in any order.

mod convergence;
mod deletion;
mod examples;
mod failover;
mod failovers;
mod frames;
mod handovers;
mod limits;
mod memory;
mod moves;
mod oversized;
mod ownership;
mod quarantine;
mod reapplication;
mod recovery;
mod reset;
mod seeding;
mod shard_counts;
mod store;
mod strangers;
mod tables;
mod tasks;
mod world;
