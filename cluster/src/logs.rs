//! Where the log goes.

use std::io::{self, IsTerminal};

use config::{Format, Level, Log};
use tracing_subscriber::{EnvFilter, fmt::writer::BoxMakeWriter};

/// Log from now on as a configuration says. Only the first call of a process has an effect.
pub fn begin(log: &Log) {
    let writer = if log.stdout { BoxMakeWriter::new(io::stdout) } else { BoxMakeWriter::new(io::stderr) };
    let is_terminal = if log.stdout { io::stdout().is_terminal() } else { io::stderr().is_terminal() };
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter(log.level)).with_ansi(is_terminal).with_writer(writer);
    // Only fails when something else logs already.
    let _second = match log.format {
        Format::Json => subscriber.json().flatten_event(true).with_current_span(false).try_init(),
        Format::Text => subscriber.with_target(false).try_init(),
    };
}

/// Ours at the level that was asked for, others only when they warn; spans of calls never.
fn filter(level: Level) -> EnvFilter {
    let (ours, others) = match level {
        Level::Error => ("error", "error"),
        Level::Warn => ("warn", "warn"),
        Level::Info => ("info", "warn"),
        Level::Debug => ("debug", "info"),
    };
    let ours = OURS.map(|target| format!("{target}={ours}")).join(",");
    EnvFilter::new(format!("{others},{ours},{}=off", hosts::calls::TARGET))
}

/// The crates that make up a cluster.
const OURS: [&str; 8] = ["cluster", "meridian", "config", "frontend", "history", "matching", "metadata", "store"];
