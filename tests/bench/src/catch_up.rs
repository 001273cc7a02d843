//! A standby that was away while the other side worked, and catches up: events per second, and what that costs it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tests::{
    pair::{self, Keep},
    raw::Client as Raw,
};

use crate::{
    load::Load,
    replication::{NAMESPACE, register},
    usage::Usage,
    worker::Place,
};

/// Events of one workflow of the load: of one activity.
const EVENTS: usize = 11;

/// Measures how fast a standby catches up, on disk.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Events that it has missed.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Workflows at a time while they are written.
    #[arg(long, default_value_t = 50)]
    concurrency: usize,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    events: usize,
    /// What the active side took to write them.
    written_in_seconds: f64,
    /// From the first answer of the standby until it had all of them.
    caught_up_in_seconds: f64,
    events_per_second: f64,
    /// Processor time of the active side while it wrote them.
    active_cpu_seconds: f64,
    /// Processor time of the standby until it had them, its start included.
    standby_cpu_seconds: f64,
    standby_cpu_share: f64,
    /// Processor time of the active side while it told them.
    telling_cpu_seconds: f64,
    standby_peak_megabytes: f64,
}

/// Measure it.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let [a, mut b] = pair::start("catch-up", Keep::OnDisk);
    pair::join(&a, &b);
    register(&a, &b).await?;
    let workflows = options.events.div_ceil(EVENTS);
    b.kill();

    let before = Usage::of(a.process().id())?;
    let place = Place { namespace: NAMESPACE.to_owned(), queue: "load".to_owned() };
    let outcome = Load { place, workflows, concurrency: options.concurrency }.run(a.address(0)).await;
    let written = outcome.context("the load of the active side")?;
    let wrote = Usage::of(a.process().id())?;

    b.restart();
    let began = Instant::now();
    let standby = Raw::connect(b.address(0)).await?.without_redirection();
    while closed(&standby).await? < workflows {
        ensure!(began.elapsed() < LONGEST, "the standby has {} of {workflows} workflows", closed(&standby).await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed().as_secs_f64();
    let (active, standby) = (wrote.since(before), Usage::of(b.process().id())?);
    let events = workflows * EVENTS;
    Ok(Figures {
        events,
        written_in_seconds: written.elapsed.as_secs_f64(),
        caught_up_in_seconds: took,
        events_per_second: events as f64 / took,
        active_cpu_seconds: active.cpu_seconds,
        standby_cpu_seconds: standby.cpu_seconds,
        standby_cpu_share: standby.cpu_seconds / active.cpu_seconds,
        telling_cpu_seconds: Usage::of(a.process().id())?.since(wrote).cpu_seconds,
        standby_peak_megabytes: standby.peak_bytes / 1e6,
    })
}

/// Workflows that the cluster knows to be over.
async fn closed(client: &Raw) -> anyhow::Result<usize> {
    let request = json!({"namespace": NAMESPACE, "query": "ExecutionStatus = 'Completed'"});
    let answer = client.call("CountWorkflowExecutions", request).await;
    match answer {
        Ok(answer) => match &answer["count"] {
            Value::String(count) => Ok(count.parse()?),
            count => Ok(count.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)),
        },
        // The namespace is not there yet.
        Err(_) => Ok(0),
    }
}

/// Something is wrong when it takes so long.
const LONGEST: Duration = Duration::from_secs(3600);
