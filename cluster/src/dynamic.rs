//! Limits that change while a cluster runs: a file is looked at again and again. One that is wrong changes nothing.

use std::sync::{Arc, Mutex, PoisonError};

use config::{Config, Dynamic, DynamicFile, Problem, Setting};
use frontend::Limits;
use history::History;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::{failed::Failed, metrics::Metrics, ports::Spawner};

/// What the file said last.
#[derive(Clone, Default)]
pub(crate) struct DynamicConfig {
    file: Option<DynamicFile>,
    now: Arc<Mutex<Dynamic>>,
}

impl DynamicConfig {
    /// Read the file that a configuration names, if it does.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(crate) fn load(config: &Config) -> Result<Self, Vec<Problem>> {
        let Some(file) = config.dynamic.clone() else { return Ok(Self::default()) };
        let (dynamic, notices) = Dynamic::load(&file.path)?;
        for notice in notices {
            warn!(%notice, "dynamic configuration");
        }
        Ok(Self { file: Some(file), now: Arc::new(Mutex::new(dynamic)) })
    }

    /// The same, for a process that is about to start.
    pub(crate) fn begin(config: &Config) -> Result<Self, Failed> {
        Self::load(config).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
            Failed(format!("the dynamic configuration of cluster {} is refused{}", config.cluster.name, lines.concat()))
        })
    }

    /// What limits are now.
    pub(crate) fn limits(&self) -> Limits {
        let now = self.now.clone();
        Arc::new(move |setting, namespace| {
            let value = now.lock().unwrap_or_else(PoisonError::into_inner).get(setting, namespace)?;
            Some(u32::try_from(value).unwrap_or(u32::MAX))
        })
    }

    /// Look at the file from now on. The shards of this host are told what it says.
    pub(crate) fn watch(&self, spawn: &Spawner, metrics: &Metrics, history: History) {
        let Some(file) = self.file.clone() else { return };
        let (now, metrics) = (self.now.clone(), metrics.clone());
        tell(&history, &now.lock().unwrap_or_else(PoisonError::into_inner));
        spawn(Box::pin(async move {
            let mut said = Vec::new();
            loop {
                sleep(file.poll).await;
                let is_bad = match Dynamic::load(&file.path) {
                    Ok((dynamic, _)) => {
                        said.clear();
                        let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
                        if *now != dynamic {
                            info!(before = ?*now, after = ?dynamic, "the dynamic configuration has changed");
                            *now = dynamic;
                            tell(&history, &now);
                        }
                        false
                    }
                    Err(problems) => {
                        // Said once, and not with every look.
                        if said != problems {
                            for problem in &problems {
                                error!(%problem, "the dynamic configuration cannot be used, and the old one is kept");
                            }
                            said = problems;
                        }
                        true
                    }
                };
                metrics.families().dynamic_config_update_failure.set(is_bad.into());
            }
        }));
    }
}

fn tell(history: &History, dynamic: &Dynamic) {
    let bytes = dynamic.get(Setting::HistoryCacheBytes, "");
    history.limit_cache(bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)));
}
