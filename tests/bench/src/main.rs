//! Meridian and the real Temporal dev server, one after the other under the same load, as ratios.
//!
//! Each server is started on an empty database on disk with full synchronous commits, and drives workflows of one activity
//! at several concurrencies. Client and worker are raw gRPC: what an SDK costs is not measured. Every result is verified.

mod catch_up;
mod conflict;
mod crowd;
mod handover;
mod hosts;
mod isolation;
mod load;
mod memory;
mod postgres;
mod regions;
mod replication;
mod report;
mod scaling;
mod side;
mod steady;
mod usage;
mod verification;
mod worker;

use clap::{Parser, Subcommand, ValueEnum};

use crate::{report::Report, side::Side};

/// Compares the cost and speed of Meridian with those of the real Temporal dev server.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// Measure one side only.
    #[arg(long)]
    only: Option<Side>,
    /// Workflows at each concurrency above 1.
    #[arg(long, default_value_t = 1_000)]
    workflows: usize,
    /// Workflows at concurrency 1.
    #[arg(long, default_value_t = 200)]
    sequential: usize,
    /// Workflows before the measurement.
    #[arg(long, default_value_t = 50)]
    warm_up: usize,
    /// Concurrencies, and so many workers of each kind.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 50, 100])]
    concurrency: Vec<usize>,
    /// Clusters of `meridian dev`; with more than one, the cost includes replication.
    #[arg(long, default_value_t = 1)]
    clusters: u16,
    /// Keep everything in memory.
    #[arg(long)]
    in_memory: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Fail unless the goals of the table are met.
    #[arg(long)]
    require: bool,
}

/// Other measurements than the comparison.
#[derive(Debug, Subcommand)]
enum Other {
    /// Lag, standby cost and forced failover of two clusters of Meridian, as JSON.
    Replication(replication::Options),
    /// How long a standby takes to make a long run anew when its branch has lost, as JSON.
    Conflict(conflict::Options),
    /// How fast two clusters are compared, as JSON.
    Verification(verification::Options),
    /// How fast a standby catches up on what it missed, and what that costs, as JSON.
    CatchUp(catch_up::Options),
    /// What one namespace suffers from a quarantined workflow, a loud neighbour and a dead peer, as JSON.
    Isolation(isolation::Options),
    /// What a workflow costs the databases of two clusters on PostgreSQL, by their own counters, as JSON.
    Postgres(postgres::Options),
    /// How long a load stands still when hosts of a cluster of several processes are killed and drained, as JSON.
    Hosts(hosts::Options),
    /// Graceful handovers to and fro between two clusters of eight processes each, whose hosts are killed meanwhile, as JSON.
    Regions(regions::Options),
    /// How much memory a host takes with very many open workflows, and whether they all work, as JSON.
    Memory(memory::Options),
    /// What a workflow or a call costs as shards, workflows, histories and pending activities grow, as JSON.
    Scaling(scaling::Options),
    /// Graceful handovers to and fro under half of the load that two clusters of Meridian sustain, as JSON.
    Handover(handover::Options),
}

impl Other {
    /// The figures, and whether they are as they must be.
    async fn measure(&self) -> anyhow::Result<(serde_json::Value, anyhow::Result<()>)> {
        let figures = match self {
            Self::Replication(options) => serde_json::to_value(replication::measure(options).await?)?,
            Self::Conflict(options) => serde_json::to_value(conflict::measure(options).await?)?,
            Self::CatchUp(options) => serde_json::to_value(catch_up::measure(options).await?)?,
            Self::Isolation(options) => serde_json::to_value(isolation::measure(options).await?)?,
            Self::Postgres(options) => serde_json::to_value(postgres::measure(options).await?)?,
            Self::Hosts(options) => {
                let figures = hosts::measure(options).await?;
                return Ok((serde_json::to_value(&figures)?, figures.check()));
            }
            Self::Regions(options) => {
                let figures = regions::measure(options).await?;
                return Ok((serde_json::to_value(&figures)?, figures.check()));
            }
            Self::Memory(options) => {
                let figures = memory::measure(options).await?;
                return Ok((serde_json::to_value(&figures)?, figures.check()));
            }
            Self::Scaling(options) => {
                let figures = scaling::measure(options).await?;
                return Ok((serde_json::to_value(&figures)?, figures.check()));
            }
            Self::Verification(options) => serde_json::to_value(verification::measure(options).await?)?,
            Self::Handover(options) => {
                let figures = handover::measure(options).await?;
                return Ok((serde_json::to_value(&figures)?, figures.check()));
            }
        };
        Ok((figures, Ok(())))
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[allow(clippy::print_stdout, reason = "the result")]
fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(other) = &options.other {
        let (figures, verdict) = tokio::runtime::Runtime::new()?.block_on(other.measure())?;
        println!("{}", serde_json::to_string_pretty(&figures)?);
        return verdict;
    }
    let sides =
        [Side::Temporal, Side::Meridian].into_iter().filter(|&side| options.only.is_none_or(|only| only == side));
    let mut report = Report::default();
    for side in sides {
        report.add(side, side::measure(side, &options)?);
    }
    match options.output {
        Output::Text => print!("{report}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    anyhow::ensure!(!options.require || report.goals_met(), "a goal was missed");
    Ok(())
}
