//! A peer's task is acknowledged when it is durable and not before, and no cluster lets go of one that a peer lacks.

use std::collections::{BTreeMap, BTreeSet};

use replicator::{
    ids::{ClusterId, EventId, NamespaceId, RunKey, ShardId, TaskId, shard_of},
    shard::io::Report,
    task::{HistoryTask, ReplicationTask, TaskKind},
    version::{FailoverVersion, VersionHistories, VersionHistoryItem},
};

use super::{Checker, Finding, Seen};
use crate::{plan::Plan, trace::name, world::cluster_id};

/// What each cluster has told, and what each has.
pub(super) struct Watermark {
    shards: Vec<u32>,
    /// Whether what a peer lacks may be let go: then it is told everything anew, and all is there at the end.
    is_bounded: bool,
    /// Tasks that a shard wrote for its peers.
    told: BTreeMap<(usize, ShardId), BTreeMap<TaskId, Told>>,
    have: BTreeMap<(usize, RunKey), VersionHistories>,
    /// Tasks that a cluster keeps apart because it cannot apply them yet: its, whose, of which shard, and their number there.
    kept: BTreeSet<(usize, usize, ShardId, TaskId)>,
    /// Clusters that were not there from the beginning: what was written before is told to them as it is.
    late: BTreeSet<usize>,
    /// Runs that a cluster deleted, and how far they had come: what is told of them late is dropped.
    buried: BTreeMap<(usize, RunKey), VersionHistoryItem>,
    /// Namespaces of which a cluster let go of what it could not place: it is told all of them when it knows them.
    forsaken: BTreeSet<(usize, NamespaceId)>,
    /// Who was told by whom that what it lacks is gone: it asks for everything anew.
    gaps: BTreeSet<(usize, usize)>,
    /// Marks that were acknowledged, so that each task is looked at once.
    marks: BTreeMap<(usize, ShardId, usize, ShardId), TaskId>,
}

/// A task that was written for peers.
struct Told {
    /// The run, and where it stood.
    run: RunKey,
    item: VersionHistoryItem,
    /// The one peer that it is for; `None`: all of them.
    to: Option<ClusterId>,
}

impl Told {
    fn is_for(&self, peer: usize) -> bool {
        self.to.is_none_or(|to| to == cluster_id(peer))
    }
}

impl Watermark {
    pub(super) fn new(plan: &Plan) -> Self {
        let (told, have, kept, buried, forsaken, gaps, marks) = Default::default();
        Self {
            shards: plan.shards.clone(),
            is_bounded: plan.backlog.is_some(),
            told,
            have,
            kept,
            late: plan.late.iter().copied().collect(),
            buried,
            forsaken,
            gaps,
            marks,
        }
    }

    fn has(&self, cluster: usize, run: &RunKey, item: VersionHistoryItem) -> bool {
        self.have.get(&(cluster, run.clone())).is_some_and(|histories| histories.containing(item).is_some())
    }

    fn lacks(
        &self,
        cluster: usize,
        source: (usize, ShardId),
        task: TaskId,
        run: &RunKey,
        item: VersionHistoryItem,
    ) -> Result<(), Finding> {
        let is_told_anew = self.gaps.contains(&(source.0, cluster));
        let is_forsaken = self.forsaken.contains(&(cluster, run.workflow.namespace));
        // The one that has deleted it tells of that instead.
        let is_buried = [source.0, cluster]
            .iter()
            .any(|by| self.buried.get(&(*by, run.clone())).is_some_and(|last| order(item) <= order(*last)));
        if is_told_anew
            || is_forsaken
            || is_buried
            || self.late.contains(&cluster)
            || self.has(cluster, run, item)
            || self.kept.contains(&(cluster, source.0, source.1, task))
        {
            return Ok(());
        }
        Err(Finding::of(run, format!("task {} reaches to {item}, which is not durable in {}", task.0, name(cluster))))
    }
}

impl Checker for Watermark {
    fn promise(&self) -> &'static str {
        "what is acknowledged to a peer is durable, and what a peer lacks is kept for it"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        match seen {
            Seen::Reported { cluster, report: Report::Forsaken { namespace, .. } } => {
                self.forsaken.insert((*cluster, *namespace));
                Ok(())
            }
            Seen::Reported { cluster, report: Report::Recovered { .. } } => {
                self.gaps.extend((0..self.shards.len()).map(|to| (*cluster, to)));
                Ok(())
            }
            Seen::Reported { cluster, report: Report::GapTold { to } } => {
                let to = usize::try_from(to.0 - 1).expect("a known cluster");
                self.gaps.insert((*cluster, to));
                Ok(())
            }
            // It is told anew what it had, and tells on from where it was.
            Seen::Restored { cluster, runs, store, .. } => {
                self.late.insert(*cluster);
                self.have.retain(|(of, _), _| of != cluster);
                self.told.retain(|(of, _), _| of != cluster);
                self.marks.retain(|(by, _, source, _), _| by != cluster && source != cluster);
                self.have.extend(runs.iter().map(|state| ((*cluster, state.run.clone()), state.histories.clone())));
                for (shard, task) in store.tasks() {
                    self.told.entry((*cluster, shard)).or_default().extend(told_by(task));
                }
                Ok(())
            }
            Seen::Committed { cluster, transaction, runs, .. } => {
                for state in *runs {
                    self.have.insert((*cluster, state.run.clone()), state.histories.clone());
                }
                for task in &transaction.tasks {
                    match &task.kind {
                        TaskKind::Quarantined(kept) => {
                            let source = usize::try_from(kept.cluster.0 - 1).expect("a known cluster");
                            self.kept.insert((*cluster, source, kept.shard, kept.source));
                        }
                        TaskKind::Tombstone(last) => drop(self.buried.insert((*cluster, task.run.clone()), *last)),
                        _ => {}
                    }
                }
                let told = self.told.entry((*cluster, transaction.shard)).or_default();
                told.extend(transaction.tasks.iter().filter_map(told_by));
                let Some(replicated) = transaction.replicated else { return Ok(()) };
                let kept = told.split_off(&replicated.next());
                let let_go = std::mem::replace(told, kept);
                if self.is_bounded {
                    return Ok(());
                }
                for (task, told) in let_go {
                    for peer in (0..self.shards.len()).filter(|peer| peer != cluster && told.is_for(*peer)) {
                        self.lacks(peer, (*cluster, transaction.shard), task, &told.run, told.item)?;
                    }
                }
                Ok(())
            }
            Seen::Acked { by, by_shard, source, source_shard, low } => {
                let key = (*by, *by_shard, *source, *source_shard);
                let before = self.marks.get(&key).copied().unwrap_or_default();
                if *low > before {
                    self.marks.insert(key, *low);
                    let told = self.told.get(&(*source, *source_shard));
                    let tasks = told.into_iter().flat_map(|told| told.range(before..*low));
                    for (task, told) in tasks.filter(|(_, told)| told.is_for(*by)) {
                        let workflow = &told.run.workflow;
                        if shard_of(workflow.namespace, &workflow.workflow, self.shards[*by]) == *by_shard {
                            self.lacks(*by, (*source, *source_shard), *task, &told.run, told.item)?;
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What a task tells peers, if it tells them events.
fn told_by(task: &HistoryTask) -> Option<(TaskId, Told)> {
    let TaskKind::Replication(ReplicationTask::History(stretch)) = &task.kind else { return None };
    let last = stretch.batch.next.previous();
    let version = stretch.batch.versions.version_of(last).expect("it lies on its branch");
    let item = VersionHistoryItem { event_id: last, version };
    Some((task.key.id, Told { run: task.run.clone(), item, to: stretch.to }))
}

/// Of two items of one run's histories the later one is greater.
fn order(item: VersionHistoryItem) -> (FailoverVersion, EventId) {
    (item.version, item.event_id)
}
