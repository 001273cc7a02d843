//! `meridian replication`: what operators do about replication.

use super::{Failed, Output, divergence::Report, quarantine::Quarantine, verify::Verify};

/// The commands about replication.
#[derive(Debug, clap::Subcommand)]
pub enum Replication {
    /// Look at tasks of peers that could not be applied, and decide about them.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Show what two clusters wrote at the same time, and what became of it.
    Report(Report),
    /// Compare what two clusters hold.
    Verify(Verify),
}

impl Replication {
    /// Do it.
    ///
    /// # Errors
    ///
    /// [`Failed`].
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        match self {
            Self::Quarantine(quarantine) => quarantine.run(output).await,
            Self::Report(report) => report.run(output).await,
            Self::Verify(verify) => verify.run(output).await,
        }
    }
}
