//! One server from its start to its end, and what it used.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use tests::server::{ON_DISK, Server};

use crate::{
    Options,
    load::{Load, Outcome, percentile},
    usage::Usage,
    worker::Place,
};

/// Which server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Side {
    /// The binary under test.
    Meridian,
    /// The real dev server.
    Temporal,
}

/// Figures of one side.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    /// From the start of the program to its first answer.
    pub(crate) first_answer_ms: f64,
    /// Highest resident set of the server.
    pub(crate) peak_megabytes: f64,
    /// In the order measured.
    pub(crate) levels: Vec<Level>,
}

/// Figures at one concurrency.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Level {
    pub(crate) concurrency: usize,
    pub(crate) cpu_seconds_per_1000: f64,
    pub(crate) kilobytes_written_per_workflow: f64,
    pub(crate) workflows_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Start the server, run all loads, stop it.
pub(crate) fn measure(side: Side, options: &Options) -> anyhow::Result<Figures> {
    let server = start(side, options);
    let address = server.address(0);
    let process = server.process().id();
    let runtime = tokio::runtime::Runtime::new()?;
    let run = |queue: String, workflows, concurrency| {
        let place = Place { namespace: "default".to_owned(), queue };
        runtime.block_on(Load { place, workflows, concurrency }.run(address))
    };
    run("warm-up".to_owned(), options.warm_up, 10)?;
    let mut levels = Vec::new();
    for &concurrency in &options.concurrency {
        let workflows = if concurrency == 1 { options.sequential } else { options.workflows };
        let before = Usage::of(process)?;
        let outcome = run(format!("bench-{concurrency}"), workflows, concurrency)?;
        let used = Usage::of(process)?.since(before);
        levels.push(Level::of(concurrency, &outcome, used));
    }
    let peak_megabytes = Usage::of(process)?.peak_bytes / 1e6;
    Ok(Figures { first_answer_ms: milliseconds(server.first_answer()), peak_megabytes, levels })
}

fn start(side: Side, options: &Options) -> Server {
    match side {
        Side::Meridian if options.in_memory => Server::meridian("meridian", options.clusters, &[]),
        Side::Meridian => Server::meridian_on_disk("meridian", options.clusters),
        Side::Temporal if options.in_memory => Server::temporal("temporal", &[]),
        Side::Temporal => Server::temporal("temporal", &ON_DISK),
    }
}

impl Level {
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn of(concurrency: usize, outcome: &Outcome, used: Usage) -> Self {
        let workflows = outcome.latencies.len() as f64;
        Self {
            concurrency,
            cpu_seconds_per_1000: used.cpu_seconds / workflows * 1e3,
            kilobytes_written_per_workflow: used.bytes_written / workflows / 1e3,
            workflows_per_second: workflows / outcome.elapsed.as_secs_f64(),
            p50_ms: milliseconds(percentile(&outcome.latencies, 50)),
            p99_ms: milliseconds(percentile(&outcome.latencies, 99)),
        }
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
