//! `meridian dev`: connected clusters in this process, to develop with.

use std::{
    fmt,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
};

use config::{Config, Level, Location};
use serde::Serialize;

use super::{Answer, Failed, Output, table::Table};
use crate::{
    dev::{NAMESPACE, Plan},
    listen::Listeners,
    logs, process,
};

/// Run connected clusters in this process, to develop with, on 127.0.0.1.
#[derive(Debug, clap::Args)]
pub struct Dev {
    /// How many; they are named a, b, c and so on.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    clusters: u8,
    /// gRPC port of the first cluster; those of the next are 100 higher each.
    #[arg(long, default_value_t = 7233, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Keep everything in this folder, in one file for each cluster; without it everything is in memory.
    #[arg(long, value_name = "DIR")]
    db_dir: Option<PathBuf>,
    /// Run without a console. There is none yet.
    #[arg(long)]
    headless: bool,
    /// The least severe entries of the log that are written, to standard error.
    #[arg(long, value_enum, default_value_t = LogLevel::Warn, value_name = "LEVEL")]
    log_level: LogLevel,
}

/// How severe an entry of the log is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum LogLevel {
    /// Something is broken.
    Error,
    /// Something may break.
    Warn,
    /// Something changed.
    Info,
    /// Everything.
    Debug,
}

/// What runs where.
#[derive(Debug, Serialize)]
struct Running {
    clusters: Vec<Place>,
    namespace: &'static str,
    active: String,
}

#[derive(Debug, Serialize)]
struct Place {
    name: String,
    initial_failover_version: i64,
    grpc: String,
    health: String,
    metrics: String,
    /// A file, or nothing when it is in memory.
    store: Option<String>,
}

impl Dev {
    /// Run until somebody wants the process to stop.
    ///
    /// # Errors
    ///
    /// [`Failed`] before anything has started.
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        let plan = Plan::new(self.clusters.into(), self.port, self.db_dir.as_deref(), self.log_level.into());
        let plan = plan.map_err(|error| Failed(error.to_string()))?;
        let mut members = Vec::new();
        for config in &plan.clusters {
            members
                .push(Listeners::bind(config).await.map_err(|error| Failed(format!("{error}; try another --port")))?);
        }
        if let Some(folder) = &self.db_dir {
            prepare(folder, &plan.clusters)?;
        }
        logs::begin(&plan.clusters[0].log);
        let running = Running::new(&plan.clusters);
        let members = plan.clusters.into_iter().zip(members).collect();
        process::run_connected(members, |active| Running { active, ..running }.write(output)).await
    }
}

/// See that the folder is there and takes the files.
fn prepare(folder: &Path, clusters: &[Config]) -> Result<(), Failed> {
    let refused =
        |path: &Path, error| Failed(format!("cannot write to {} ({error}); give another --db-dir", path.display()));
    fs::create_dir_all(folder).map_err(|error| refused(folder, error))?;
    for config in clusters {
        if let Location::File(file) = &config.persistence.location {
            let opened = OpenOptions::new().append(true).create(true).open(file);
            opened.map_err(|error| refused(file, error))?;
        }
    }
    Ok(())
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
        }
    }
}

impl Running {
    fn new(clusters: &[Config]) -> Self {
        let page = |address: Option<std::net::SocketAddr>, path| {
            address.map_or_else(String::new, |address| format!("http://{address}/{path}"))
        };
        let places = clusters.iter().map(|config| Place {
            name: config.cluster.name.clone(),
            initial_failover_version: config.cluster.initial_failover_version,
            grpc: config.frontend.grpc.to_string(),
            health: page(config.frontend.http, "healthz"),
            metrics: page(config.metrics, "metrics"),
            store: match &config.persistence.location {
                Location::Memory => None,
                Location::File(file) => Some(file.display().to_string()),
                Location::Postgres(database) | Location::Mysql(database) => Some(database.database.clone()),
            },
        });
        Self { clusters: places.collect(), namespace: NAMESPACE, active: clusters[0].cluster.name.clone() }
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clusters, namespace, active } = self;
        let mut table = Table::new(&["CLUSTER", "VERSION", "GRPC", "HEALTH", "METRICS", "STORE"]);
        for place in clusters {
            table.row([
                place.name.clone(),
                place.initial_failover_version.to_string(),
                place.grpc.clone(),
                place.health.clone(),
                place.metrics.clone(),
                place.store.clone().unwrap_or_else(|| "memory".to_owned()),
            ]);
        }
        let first = &clusters[0].grpc;
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "Namespace {namespace} is in all of them and active in {active}. SDKs connect to any; for example:\n"
        )?;
        writeln!(f, "  temporal workflow list --address {first}")?;
        writeln!(f, "  meridian status --address {first}")?;
        if let Some(other) = clusters.get(1) {
            writeln!(f, "  meridian failover {namespace} --to {} --address {first}", other.name)?;
        }
        writeln!(f, "\nCtrl-C stops.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(clusters: usize, folder: Option<&Path>) -> Running {
        Running::new(&Plan::new(clusters, 7233, folder, Level::Warn).unwrap().clusters)
    }

    #[test]
    fn text() {
        let expected = "\
CLUSTER  VERSION  GRPC            HEALTH                         METRICS                        STORE
a        1        127.0.0.1:7233  http://127.0.0.1:7243/healthz  http://127.0.0.1:7253/metrics  memory
b        2        127.0.0.1:7333  http://127.0.0.1:7343/healthz  http://127.0.0.1:7353/metrics  memory

Namespace default is in all of them and active in a. SDKs connect to any; for example:

  temporal workflow list --address 127.0.0.1:7233
  meridian status --address 127.0.0.1:7233
  meridian failover default --to b --address 127.0.0.1:7233

Ctrl-C stops.
";
        assert_eq!(running(2, None).render(Output::Text), expected);
    }

    #[test]
    fn json() {
        let text = running(1, Some(Path::new("d"))).render(Output::Json);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["clusters"][0]["store"], "d/a.db");
        assert_eq!(value["active"], "a");
    }

    #[test]
    fn a_folder_that_takes_no_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let folder = file.join("below");
        let plan = Plan::new(1, 7233, Some(&folder), Level::Warn).unwrap();
        let failed = prepare(&folder, &plan.clusters).unwrap_err().to_string();
        assert!(failed.starts_with(&format!("cannot write to {} (Not a directory", folder.display())), "{failed}");
        let folder = directory.path().join("a/b");
        let plan = Plan::new(2, 7233, Some(&folder), Level::Warn).unwrap();
        prepare(&folder, &plan.clusters).unwrap();
        assert!(folder.join("b.db").exists());
    }
}
