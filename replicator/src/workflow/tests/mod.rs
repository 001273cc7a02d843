//! Runs that live through whole transactions, in one cluster and in one that follows it.

mod cluster;
mod flush;
mod life;
mod peers;
mod refusals;
mod requests;
mod states;
mod tasks;
