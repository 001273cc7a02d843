//! `meridian server`: one cluster from a configuration file.

use std::path::PathBuf;

use super::{Failed, answer::write_note};
use crate::{listen::Listeners, logs, process};

/// Run one cluster from a configuration file.
#[derive(Debug, clap::Args)]
pub struct Server {
    /// The file, in the layout of Temporal's static configuration.
    #[arg(long, env = "TEMPORAL_SERVER_CONFIG_FILE_PATH", value_name = "FILE")]
    config: PathBuf,
}

impl Server {
    /// Run until somebody wants the process to stop.
    ///
    /// # Errors
    ///
    /// [`Failed`] before anything has started.
    pub async fn run(&self) -> Result<(), Failed> {
        let (config, notices) = config::load(&self.config).map_err(|error| Failed(error.to_string()))?;
        for notice in notices {
            write_note(&format!("{}: {notice}", self.config.display()));
        }
        let listeners = Listeners::bind(&config).await.map_err(|error| Failed(error.to_string()))?;
        logs::begin(&config.log);
        process::run(config, listeners).await
    }
}
