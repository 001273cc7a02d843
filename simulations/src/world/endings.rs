//! What each cluster holds when a run is over.

use replicator::{
    ids::{EventId, RunKey},
    version::VersionHistoryItem,
    workflow::{MutableState, execution::Phase},
};

use super::World;

/// A run, as a cluster holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// The cluster.
    pub cluster: usize,
    /// The run.
    pub run: RunKey,
    /// Whether the workflow's id names it.
    pub is_current: bool,
    /// Whether it runs, is a zombie, or how it came to its end.
    pub phase: String,
    /// Its branches: of each the stretches of versions.
    pub branches: Vec<Vec<VersionHistoryItem>>,
    /// The branch that counts.
    pub current_branch: usize,
    /// Types of the events of that branch.
    pub events: Vec<String>,
}

impl World {
    /// Everything that rests in the stores.
    pub(super) fn endings(&self) -> Vec<Ending> {
        let clusters = self.clusters.iter().enumerate();
        clusters
            .flat_map(|(cluster, here)| here.store.runs().filter_map(move |run| self.ending(cluster, run)))
            .collect()
    }

    fn ending(&self, cluster: usize, run: &RunKey) -> Option<Ending> {
        let store = &self.clusters[cluster].store;
        let state = MutableState::decode(store.run(run)?).ok()?;
        let histories = &state.histories;
        let batches = store.events(&histories.current().branch, EventId::FIRST, state.next_event_id());
        let events = batches.flat_map(|batch| batch.iter());
        Some(Ending {
            cluster,
            run: run.clone(),
            is_current: store.current(&run.workflow) == Some(run.run),
            phase: match &state.execution.phase {
                Phase::Running => "running".into(),
                Phase::Zombie => "zombie".into(),
                Phase::Closed(close) => close.status.as_str_name().trim_start_matches(STATUS).to_lowercase(),
            },
            branches: histories.all().iter().map(|branch| branch.versions.items().to_vec()).collect(),
            current_branch: histories.current_index(),
            events: events
                .map(|event| event.event_type().as_str_name().trim_start_matches(EVENT).to_lowercase())
                .collect(),
        })
    }
}

const STATUS: &str = "WORKFLOW_EXECUTION_STATUS_";
const EVENT: &str = "EVENT_TYPE_";
