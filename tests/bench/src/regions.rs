//! Graceful handovers between two clusters of eight processes each, on one PostgreSQL, while a host of one of them is killed.
//!
//! The load goes through both clusters in turn; what came of it is compared between the two stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::ensure;
use clap::Args;
use serde::Serialize;
use tests::{raw::Client as Raw, regions::Regions};

use crate::{
    handover::Spread,
    load::percentile,
    side::milliseconds,
    steady::{Outcome, Rate, Steady, latencies, start_idle},
    worker::Place,
};

/// Measures graceful handovers while hosts are killed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each host is killed while its cluster gives the namespace away, and while it gets it back.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Workflows of one activity that are started each second.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Runs that are signalled all the time.
    #[arg(long, default_value_t = 8)]
    signalled: usize,
    /// Milliseconds between the handover's begin and the kill: one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 50, 100])]
    after: Vec<u64>,
    /// Milliseconds between a restart and the next handover.
    #[arg(long, default_value_t = 2_000)]
    every: u64,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Without anybody being killed.
    undisturbed: Moves,
    /// By the service of the host that was killed.
    killed: BTreeMap<String, Moves>,
    workflows_finished: usize,
    workflow_p99_ms: f64,
    signals_acknowledged: usize,
    signals_lost: usize,
    signals_doubled: usize,
    /// Histories that the two stores do not have alike, or that have something twice.
    histories_differing: usize,
    calls_repeated: usize,
    /// Errors that reached a client or worker and that no SDK repeats or takes for a lost task.
    errors_after_retry: Vec<String>,
}

/// Some moves of the namespace.
#[derive(Debug, Serialize)]
struct Moves {
    moves: usize,
    /// Commands that were given again, because what became of one was not known or the namespace stayed where it was.
    repeated_commands: usize,
    /// What those said, each once.
    refusals: BTreeSet<String>,
    /// For how long writes were held back, of the moves whose command says it.
    paused: Spread,
    /// Of each move, the longest time in which a signalled run got no signal.
    client_gap: Spread,
}

/// Moves as they are counted.
#[derive(Default)]
struct Seen {
    moves: usize,
    repeated: usize,
    refusals: BTreeSet<String>,
    paused: Vec<Duration>,
    gaps: Vec<Duration>,
}

impl Seen {
    fn add(&mut self, moved: &tests::regions::Moved, gap: Duration) {
        self.moves += 1;
        self.repeated += moved.refusals.len();
        self.refusals.extend(moved.refusals.iter().map(|refusal| refusal.trim().to_owned()));
        self.paused.extend(moved.paused.map(Duration::from_secs_f64));
        self.gaps.push(gap);
    }

    fn figures(self) -> Moves {
        let (paused, client_gap) = (Spread::of(self.paused), Spread::of(self.gaps));
        Moves { moves: self.moves, repeated_commands: self.repeated, refusals: self.refusals, paused, client_gap }
    }
}

impl Figures {
    /// Whether nothing was lost, and no error reached anybody.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.signals_lost == 0 && self.signals_doubled == 0, "signals were lost or doubled");
        ensure!(self.histories_differing == 0, "histories differ");
        ensure!(self.errors_after_retry.is_empty(), "errors reached clients");
        Ok(())
    }
}

/// Hand the namespace over, to and fro, and kill a host of one cluster each time.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let services = ["frontend", "frontend", "history", "history", "history", "matching", "matching", "worker"];
    let database = scratch_postgres::Server::start(&[]);
    let mut regions = Regions::start("bench-regions", &database, &services).await;
    let addresses = [regions.links[0].address().to_owned(), regions.links[1].address().to_owned()];
    let signalled: Vec<_> = (0..options.signalled).map(|run| format!("signalled-{run}")).collect();
    let client = Raw::connect(&addresses[0]).await?;
    for id in &signalled {
        start_idle(&client, "default", id).await?;
    }
    let place = Place { namespace: "default".to_owned(), queue: "steady".to_owned() };
    let rate = Rate { per_second: options.rate, workers: 4, pause: Duration::from_millis(20) };
    let load = Steady::start(addresses, place, &signalled, rate).await?;
    let every = Duration::from_millis(options.every);
    let gap = |load: &Steady| load.standstills().into_values().max().unwrap_or_default();
    tokio::time::sleep(every).await;

    let mut undisturbed = Seen::default();
    for to in ["b", "a"].repeat(4) {
        load.look_from_now_on();
        let moving = regions.hand_over(to);
        let moved = tokio::task::spawn_blocking(|| moving.join().expect("it moves")).await?;
        tokio::time::sleep(every).await;
        undisturbed.add(&moved, gap(&load));
    }
    let mut killed = BTreeMap::<String, Seen>::new();
    let mut after = options.after.iter().cycle();
    for round in 0..options.rounds {
        for (host, service) in services.iter().enumerate() {
            for to in ["b", "a"] {
                let cluster = (host + round) % 2;
                load.look_from_now_on();
                let moving = regions.hand_over(to);
                tokio::time::sleep(Duration::from_millis(after.next().copied().unwrap_or_default())).await;
                regions.clusters[cluster].hosts[host].1.kill();
                let moved = tokio::task::spawn_blocking(|| moving.join().expect("it moves")).await?;
                tokio::time::sleep(every).await;
                let side = if (cluster == 0) == (to == "b") { "old" } else { "new" };
                killed.entry(format!("{service} of the {side} side")).or_default().add(&moved, gap(&load));
                tokio::task::block_in_place(|| regions.clusters[cluster].hosts[host].1.restart());
                tokio::time::sleep(every).await;
            }
        }
    }
    let Outcome { workflows, acknowledged, lost, doubled, differing, repeated, fatal, .. } = load.end().await?;
    Ok(Figures {
        undisturbed: undisturbed.figures(),
        killed: killed.into_iter().map(|(name, seen)| (name, seen.figures())).collect(),
        workflows_finished: workflows.len(),
        workflow_p99_ms: milliseconds(percentile(&latencies(&workflows), 99)),
        signals_acknowledged: acknowledged,
        signals_lost: lost,
        signals_doubled: doubled,
        histories_differing: differing,
        calls_repeated: repeated,
        errors_after_retry: fatal,
    })
}
