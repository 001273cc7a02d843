//! What the program can be told to do.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use simulations::written;

/// Many clusters, one seed, every promise checked.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Plant a known defect.
    #[cfg(feature = "defects")]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) defect: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run seeds. Without more: the corpus of seeds that once failed, then fresh ones. Exits with 1 if a promise breaks.
    Run(Run),
    /// Run one world again and tell what happens.
    Replay(Replay),
    /// Make a failing world small: fewer steps, clusters and faults, as long as the same promise breaks.
    Shrink(Shrink),
    /// List the stories that can be played.
    Scenarios,
    /// Run whole servers: real clusters over a simulated network. Exits with 1 if a promise breaks.
    #[cfg(feature = "servers")]
    Servers(Servers),
    /// Plant known defects one at a time, or the one that was named, and see how many seeds each takes to be found. Exits with 1 if one survives.
    #[cfg(feature = "defects")]
    Power(Power),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// So many fresh seeds.
    #[arg(long, value_name = "N", default_value_t = FRESH, conflicts_with = "time")]
    pub(crate) seeds: u64,
    /// This seed alone.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "time"])]
    pub(crate) seed: Option<u64>,
    /// Fresh seeds for so long: 90s, 10m, 8h.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub(crate) time: Option<Duration>,
    /// The first of the fresh seeds, instead of one drawn from the clock. The corpus is not run.
    #[arg(long, value_name = "SEED")]
    pub(crate) from: Option<u64>,
    /// This story alone.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["seeds", "seed", "from", "time"])]
    pub(crate) scenario: Option<String>,
    /// Worlds at the same time; one for each core if not said.
    #[arg(long, value_name = "J")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Go on after a broken promise.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Fail, too, if something that must be exercised never happened.
    #[arg(long)]
    pub(crate) all_covered: bool,
    /// What is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Write a report of every seed as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write the whole result as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Print broken promises as annotations that GitHub, and what understands the same, shows beside a change.
    #[arg(long)]
    pub(crate) annotations: bool,
    /// Another corpus than the one that this program was built with.
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus: Option<PathBuf>,
}

/// Which world.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// That of a seed.
    #[arg(value_name = "SEED")]
    pub(crate) seed: Option<u64>,
    /// That of a plan that was written down.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// That of a story.
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Stop after so much simulated time: 12.5s, 800ms.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) until: Option<Duration>,
    /// Print every happening, and not only the story.
    #[arg(long)]
    pub(crate) log: bool,
    /// Write a page that a browser shows: a lane for each cluster, messages, faults, failovers and branches.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Shrink {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Where to write what is left.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Stop after this long: 2m if not said.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub(crate) time: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Servers {
    /// So many seeds.
    #[arg(long, value_name = "N", default_value_t = FRESH_SERVERS)]
    pub(crate) seeds: u64,
    /// This seed alone, in this process.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "jobs", "keep_going"])]
    pub(crate) seed: Option<u64>,
    /// The first of the seeds, instead of one drawn from the clock.
    #[arg(long, value_name = "SEED")]
    pub(crate) from: Option<u64>,
    /// Worlds at the same time; one for each core if not said.
    #[arg(long, value_name = "J")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Go on after a broken promise.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Print what happened.
    #[arg(long, requires = "seed")]
    pub(crate) log: bool,
    /// Print the outcome for the process that asked for it.
    #[arg(long, requires = "seed", hide = true)]
    pub(crate) told_as_json: bool,
}

#[cfg(feature = "defects")]
#[derive(Debug, clap::Args)]
pub(crate) struct Power {
    /// The first seed.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) from: u64,
    /// Seeds until a defect counts as one that survives.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) most: u64,
    /// Worlds at the same time; one for each core if not said.
    #[arg(long, value_name = "J")]
    pub(crate) jobs: Option<NonZeroUsize>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// Parse a length of time as a person writes it.
fn time(text: &str) -> Result<Duration, String> {
    written::duration(text).ok_or_else(|| "a number and one of ms, s, m, h, like 90s".into())
}

/// Fresh seeds, when nobody says how many.
const FRESH: u64 = 300;
const FRESH_SERVERS: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
