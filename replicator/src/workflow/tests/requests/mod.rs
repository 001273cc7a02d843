//! What callers and workers ask of a workflow, and what its history says of it.
//!
//! A test tells a [`world::World`] what to do and compares the history: one line a run, events by short names.

mod activities;
mod closing;
mod commands;
mod failovers;
mod limits;
mod queries;
mod signals;
mod starts;
mod timers;
mod workflow_tasks;
mod world;
