//! Where the log goes.

use std::io::{self, IsTerminal};

use config::{Format, Level, Log};
use tracing_subscriber::{EnvFilter, fmt::writer::BoxMakeWriter};

/// Log from now on as a configuration says. Only the first call of a process has an effect.
pub fn begin(log: &Log) {
    #[cfg(feature = "otel")]
    if let Some(endpoint) = crate::telemetry::endpoint() {
        return begin_followed(log, &endpoint);
    }
    let (writer, is_terminal) = output(log);
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter(log.level)).with_ansi(is_terminal).with_writer(writer);
    // Only fails when something else logs already.
    let _second = match log.format {
        Format::Json => subscriber.json().flatten_event(true).with_current_span(false).try_init(),
        Format::Text => subscriber.with_target(false).try_init(),
    };
}

/// The same, and calls are followed.
#[cfg(feature = "otel")]
fn begin_followed(log: &Log, endpoint: &str) {
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

    let (writer, is_terminal) = output(log);
    let layer = tracing_subscriber::fmt::layer().with_ansi(is_terminal).with_writer(writer);
    let layer = match log.format {
        Format::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
        Format::Text => layer.with_target(false).boxed(),
    };
    let (followed, trouble) = match crate::telemetry::layer(endpoint) {
        Ok(layer) => (Some(layer), None),
        Err(trouble) => (None, Some(trouble)),
    };
    // Only fails when something else logs already.
    let _second = tracing_subscriber::registry().with(layer.with_filter(filter(log.level))).with(followed).try_init();
    if let Some(trouble) = trouble {
        tracing::error!(endpoint, trouble, "calls are not followed");
    }
}

/// Where entries go, and whether somebody watches.
fn output(log: &Log) -> (BoxMakeWriter, bool) {
    match log.stdout {
        true => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal()),
        false => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
    }
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
