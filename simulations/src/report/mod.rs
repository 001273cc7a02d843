//! What a run came to, for people.

pub mod page;
pub mod story;
