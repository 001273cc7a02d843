//! A cluster's memory: the contract of its store, answered from tables in memory that survive its crashes.

mod disk;
mod lists;
mod shared;
mod tables;
mod trees;

pub use disk::{Disk, Hardware, Weather, Witness};
pub use tables::Tables;
