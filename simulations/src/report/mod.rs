//! What a run came to, for people.

pub mod story;
