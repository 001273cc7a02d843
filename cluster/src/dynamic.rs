//! Limits that change while a cluster runs: a file is looked at again and again. One that is wrong changes nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use config::{Change, Config, Dynamic, DynamicFile, Notice, Problem, Setting};
use frontend::Limits;
use history::History;
use matching::Matching;
use replicator::workflow::limits::{self, HistoryLimit, RunLimits};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::{failed::Failed, metrics::Metrics, ports::Spawner};

/// What the file said last.
#[derive(Clone, Default)]
pub(crate) struct DynamicConfig {
    file: Option<DynamicFile>,
    now: Arc<Mutex<Dynamic>>,
    /// What of it has no effect.
    notices: Vec<Notice>,
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
        say_what_has_no_effect(&[], &notices);
        Ok(Self { file: Some(file), now: Arc::new(Mutex::new(dynamic)), notices })
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
            let value = lock(&now).get(setting, namespace)?;
            Some(u32::try_from(value).unwrap_or(u32::MAX))
        })
    }

    /// How large runs may grow now.
    pub(crate) fn run_limits(&self) -> limits::Limits {
        run_limits(&lock(&self.now))
    }

    /// Look at the file from now on. The shards and task queues of this host are told what it says.
    pub(crate) fn watch(&self, spawn: &Spawner, metrics: &Metrics, history: History, matching: Matching) {
        let Some(file) = self.file.clone() else { return };
        let (now, metrics) = (self.now.clone(), metrics.clone());
        tell(&history, &lock(&now));
        let mut named = self.notices.clone();
        spawn(Box::pin(async move {
            let mut said = Vec::new();
            loop {
                sleep(file.poll).await;
                let is_bad = match Dynamic::load(&file.path) {
                    Ok((dynamic, notices)) => {
                        said.clear();
                        say_what_has_no_effect(&named, &notices);
                        named = notices;
                        let mut now = lock(&now);
                        let changes = now.changes(&dynamic);
                        if !changes.is_empty() {
                            changes.iter().for_each(say_what_changed);
                            *now = dynamic;
                            tell(&history, &now);
                            // Other hosts may have partitions of queues now.
                            matching.tell_again();
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

/// Name what has no effect and was not named before.
fn say_what_has_no_effect(named: &[Notice], notices: &[Notice]) {
    for notice in notices.iter().filter(|notice| !named.contains(notice)) {
        warn!(%notice, "dynamic configuration");
    }
}

fn say_what_changed(Change { key, namespace, before, after }: &Change) {
    let said = |value: &Option<u64>| value.map_or_else(|| "unset".to_owned(), |value| value.to_string());
    let (before, after) = (said(before), said(after));
    match namespace {
        Some(namespace) => info!(key, namespace, before, after, "a dynamic setting has changed"),
        None => info!(key, before, after, "a dynamic setting has changed"),
    }
}

/// What the file says of runs, for all namespaces and for those that it names.
fn run_limits(dynamic: &Dynamic) -> limits::Limits {
    let of = |namespace: &str| {
        let usual = RunLimits::default();
        let said = |setting| dynamic.get(setting, namespace);
        let long = |setting, usual| said(setting).map_or(usual, |value| i64::try_from(value).unwrap_or(i64::MAX));
        let history = |usual: HistoryLimit, most, warning, suggestion| HistoryLimit {
            most: long(most, usual.most),
            warning: long(warning, usual.warning),
            suggestion: long(suggestion, usual.suggestion),
        };
        let pending = said(Setting::PendingActivities).map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        RunLimits {
            history_size: history(
                usual.history_size,
                Setting::HistorySize,
                Setting::HistorySizeWarning,
                Setting::HistorySizeSuggestion,
            ),
            history_count: history(
                usual.history_count,
                Setting::HistoryCount,
                Setting::HistoryCountWarning,
                Setting::HistoryCountSuggestion,
            ),
            pending_activities: pending.unwrap_or(usual.pending_activities),
        }
    };
    let named = dynamic.namespaces().into_iter().map(|namespace| (namespace.to_owned(), of(namespace)));
    limits::Limits { usual: of(""), by_namespace: named.collect() }
}

fn lock(now: &Mutex<Dynamic>) -> MutexGuard<'_, Dynamic> {
    // Nothing is left half done by a panic.
    now.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(history: &History, dynamic: &Dynamic) {
    history.limit_runs(run_limits(dynamic));
    let bytes = dynamic.get(Setting::HistoryCacheBytes, "");
    history.limit_cache(bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_runs_by_namespace() {
        let text = "
limit.historyCount.error: [{value: 100}, {value: 7, constraints: {namespace: small}}]
limit.historySize.suggestContinueAsNew: [{value: 5000, constraints: {namespace: small}}]
limit.numPendingActivities.error: [{value: 3}]
frontend.namespaceRPS: [{value: 3, constraints: {namespace: slow}}]
";
        let limits = run_limits(&Dynamic::parse(text).expect("it reads").0);
        let (usual, mut all) = (RunLimits::default(), RunLimits::default());
        all.history_count.most = 100;
        all.pending_activities = 3;
        let history_count = HistoryLimit { most: 7, ..usual.history_count };
        let history_size = HistoryLimit { suggestion: 5000, ..usual.history_size };
        let small = RunLimits { history_count, history_size, pending_activities: 3 };
        assert_eq!([limits.of("small"), limits.of("slow"), limits.of("other")], [&small, &all, &all]);
        assert_eq!(run_limits(&Dynamic::default()), limits::Limits::default());
    }
}
