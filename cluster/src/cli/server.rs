//! `meridian server`: one cluster from a configuration file.

use std::path::PathBuf;

use config::{Service, Services};

use super::{Failed, answer::write_note};
use crate::{listen::Listeners, logs, process};

/// Run one cluster, or a part of it, from a configuration file.
#[derive(Debug, clap::Args)]
pub struct Server {
    /// The file, in the layout of Temporal's static configuration.
    #[arg(long, env = "TEMPORAL_SERVER_CONFIG_FILE_PATH", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    services: Chosen,
}

/// What a process runs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Chosen {
    /// Services that this process runs, one of several that find each other through their database: frontend, history,
    /// matching, worker. Without this it is the whole cluster.
    #[arg(long, alias = "service", value_delimiter = ',', value_parser = service, value_name = "SERVICES")]
    services: Vec<Service>,
}

fn service(name: &str) -> Result<Service, String> {
    Service::from_name(name).ok_or_else(|| "there are frontend, history, matching and worker".to_owned())
}

impl Chosen {
    /// The services, if it was said which.
    pub(crate) fn get(&self) -> Option<Services> {
        (!self.services.is_empty()).then(|| self.services.iter().copied().collect())
    }
}

impl Server {
    /// Run until somebody wants the process to stop.
    ///
    /// # Errors
    ///
    /// [`Failed`] before anything has started.
    pub async fn run(&self) -> Result<(), Failed> {
        let (config, notices) =
            config::load(&self.config, self.services.get()).map_err(|error| Failed(error.to_string()))?;
        for notice in notices {
            write_note(&format!("{}: {notice}", self.config.display()));
        }
        let listeners = Listeners::bind(&config).await.map_err(|error| Failed(error.to_string()))?;
        logs::begin(&config.log);
        process::run(config, listeners).await
    }
}
