//! The same raw scripts, valid and invalid, against Meridian and the real dev server: codes, details and answers must be equal
//! once what may differ is replaced (`normal.rs`). Differences that stay are listed with their reason (`known.rs`).
//!
//! `TESTS_SERVER=temporal` runs the real server against itself, which shows whether the scripts are deterministic.

mod compare;
mod known;
mod normal;
mod side;

mod activities;
mod bad_input;
mod commands;
mod control;
mod history;
mod limits;
mod namespaces;
mod operator;
mod queries;
mod resets;
mod start;
mod task_queues;
mod visibility;
mod workflow_tasks;
