//! What was acknowledged is there, on every cluster, and had its effect once: nothing is lost unseen, nothing is doubled.
//!
//! An event that was acknowledged stays in its run for ever, if only on a branch that lost. A signal is more than its
//! event: it is in what survived of the workflow once, wherever its caller or a failover took it, or its loss was reported. Whoever dies before it reports a loss that it has
//! written says so in the record of the run that lost.

use std::collections::{BTreeMap, BTreeSet};

use proto::temporal::api::history::v1::{HistoryEvent, history_event::Attributes};
use replicator::{
    history::event::next_run,
    ids::{EventId, RunId, RunKey, WorkflowKey},
    ndc::divergence::Fate,
    shard::io::Report,
    workflow::reapplied::Origin,
};

use super::{AtRest, Checker, Fact, Finding, Seen, state_of};
use crate::{store::Store, trace::name};

/// Everything that anybody was told.
pub(super) struct Acknowledged {
    /// Whether both sides of a failover may write in this world.
    may_conflict: bool,
    facts: Vec<Fact>,
    /// Workflows of which a run may be gone because somebody wanted that.
    deleting: BTreeSet<WorkflowKey>,
    /// Workflows of which something is lost for good, because a store was and nobody else had it.
    lost: BTreeSet<WorkflowKey>,
    /// Inputs of losing branches that nobody could be given, by workflow, as far as that was reported.
    reported_lost: BTreeMap<WorkflowKey, usize>,
}

impl Acknowledged {
    pub(super) fn new(may_conflict: bool) -> Self {
        let (facts, deleting, lost, reported_lost) = Default::default();
        Self { may_conflict, facts, deleting, lost, reported_lost }
    }
}

impl Checker for Acknowledged {
    fn promise(&self) -> &'static str {
        "what was acknowledged is there, and once"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        match seen {
            Seen::TakenBack => self.may_conflict = true,
            Seen::Deleting { workflow } => drop(self.deleting.insert((*workflow).clone())),
            Seen::Restored { lost, .. } => self.lost.extend(lost.iter().cloned()),
            Seen::Acknowledged { fact } => self.facts.push((*fact).clone()),
            Seen::Reported { report: Report::Reapplied { from, lost, .. }, .. } => {
                *self.reported_lost.entry(from.workflow.clone()).or_default() += lost;
            }
            _ => {}
        }
        Ok(())
    }

    fn rest(&mut self, world: &AtRest<'_>) -> Result<(), Finding> {
        let mut noted = BTreeSet::new();
        for store in &world.stores {
            noted.append(&mut noted_lost(store)?);
        }
        for (cluster, store) in world.stores.iter().enumerate() {
            let mut told = Told::by(store)?;
            let cluster = name(cluster);
            // An activity that signals and is tried again hears of one signal more than once.
            let mut missing: BTreeMap<&WorkflowKey, BTreeSet<&str>> = BTreeMap::new();
            let is_gone = |workflow: &WorkflowKey| self.deleting.contains(workflow) || self.lost.contains(workflow);
            for fact in self.facts.iter().filter(|fact| !is_gone(fact.workflow())) {
                match fact {
                    Fact::Signaled { workflow, request_id, .. } => {
                        if !told.has_signal(workflow, request_id) {
                            missing.entry(workflow).or_default().insert(request_id);
                        }
                    }
                    fact => told.check(fact, cluster)?,
                }
            }
            for (workflow, requests) in missing {
                let reported = self.reported_lost.get(workflow).copied().unwrap_or(0);
                let unnoted = requests.iter().filter(|request| !told.is_noted(&noted, workflow, request)).count();
                let noted = requests.len() - unnoted;
                if unnoted > reported.saturating_sub(noted) {
                    let subject = Some(workflow.workflow.clone());
                    let count = requests.len();
                    let said = format!("reported {reported} and noted {noted}");
                    let text = format!("{cluster} lacks {count} signals, {requests:?}, and {said}");
                    return Err(Finding { subject, text });
                }
            }
            told.starts.retain(|(workflow, _), _| !self.deleting.contains(workflow));
            told.none_doubled(self.may_conflict)?;
        }
        Ok(())
    }
}

/// Inputs of which records of runs that lost say that nobody could be given them.
fn noted_lost(store: &Store) -> Result<BTreeSet<Origin>, Finding> {
    let mut noted = BTreeSet::new();
    for run in store.runs() {
        let state = state_of(store, run)?;
        let lost = state.local.fates.iter().filter(|(_, outcome)| outcome.fate == Fate::Over);
        noted.extend(lost.map(|(origin, _)| *origin));
    }
    Ok(noted)
}

/// What the histories of a cluster say.
#[derive(Default)]
struct Told {
    /// Runs that a request started; of a chain, its first.
    starts: BTreeMap<(WorkflowKey, String), Vec<RunId>>,
    branches: BTreeMap<RunKey, Vec<Line>>,
    /// Runs that lost to another one, and were ended for that.
    lost: BTreeSet<RunKey>,
    /// Of each run that continues another one: the run as which it was begun, before any reset, and what that continues.
    continues: BTreeMap<RunKey, (RunId, RunId)>,
    /// Completions on any branch, by run and what was completed.
    completions: BTreeSet<(RunKey, Completion)>,
    /// Workflows that were terminated from outside, on any branch.
    terminated: BTreeSet<WorkflowKey>,
    /// Signals that had their effect in what survived: by workflow, the run, where they were first written, the request.
    survived: BTreeMap<WorkflowKey, Vec<(RunId, Signal)>>,
}

/// What a branch holds.
#[derive(Default)]
struct Line {
    is_current: bool,
    /// The run to which it leads.
    next: Option<RunId>,
    signals: Vec<Signal>,
}

type Signal = (Origin, String);

/// Something that is completed once on a branch: what scheduled it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Completion {
    WorkflowTask(i64),
    Activity(i64),
}

impl Told {
    fn by(store: &Store) -> Result<Self, Finding> {
        let mut told = Self::default();
        for run in store.runs() {
            let state = state_of(store, run)?;
            if state.execution.start.first_run == run.run {
                let key = (run.workflow.clone(), state.execution.start.request_id.clone());
                told.starts.entry(key).or_default().push(run.run);
            }
            if state.execution.close().is_some_and(|close| close.lost) {
                told.lost.insert(run.clone());
            }
            for (index, history) in state.histories.all().iter().enumerate() {
                let is_current = index == state.histories.current_index();
                let end = history.versions.last().event_id.next();
                let mut line = Line { is_current, ..Line::default() };
                let mut completed = BTreeSet::new();
                for event in store.events(&history.branch, EventId::FIRST, end).flat_map(|batch| batch.iter()) {
                    told.hear(run, event, &mut line, &mut completed)?;
                }
                told.completions.extend(completed.into_iter().map(|what| (run.clone(), what)));
                told.branches.entry(run.clone()).or_default().push(line);
            }
        }
        for run in store.runs().filter(|run| store.current(&run.workflow) == Some(run.run)) {
            told.survive(run);
        }
        Ok(told)
    }

    fn hear(
        &mut self,
        run: &RunKey,
        event: &HistoryEvent,
        line: &mut Line,
        completed: &mut BTreeSet<Completion>,
    ) -> Result<(), Finding> {
        let Some(attributes) = &event.attributes else { return Ok(()) };
        line.next = next_run(attributes).and_then(|next| RunId::parse(next).ok()).or(line.next);
        let what = match attributes {
            Attributes::WorkflowExecutionStartedEventAttributes(start) => {
                if let Ok(before) = RunId::parse(&start.continued_execution_run_id) {
                    let begun_as = RunId::parse(&start.original_execution_run_id).unwrap_or(run.run);
                    self.continues.insert(run.clone(), (begun_as, before));
                }
                return Ok(());
            }
            Attributes::WorkflowExecutionSignaledEventAttributes(signal) => {
                line.signals.push((Origin::of(run.run, event), signal.request_id.clone()));
                return Ok(());
            }
            Attributes::WorkflowExecutionTerminatedEventAttributes(_) => {
                self.terminated.insert(run.workflow.clone());
                return Ok(());
            }
            Attributes::WorkflowTaskCompletedEventAttributes(task) => Completion::WorkflowTask(task.scheduled_event_id),
            Attributes::ActivityTaskCompletedEventAttributes(activity) => {
                Completion::Activity(activity.scheduled_event_id)
            }
            _ => return Ok(()),
        };
        if completed.insert(what) { Ok(()) } else { Err(Finding::of(run, format!("{what:?} is completed twice"))) }
    }

    /// The current run survived, and of those before it the branches that led to it.
    fn survive(&mut self, current: &RunKey) {
        let (mut run, mut leads_to) = (current.clone(), None);
        loop {
            let lines = self.branches.get(&run).map_or(&[][..], Vec::as_slice);
            let leads = lines.iter().find(|line| leads_to.is_some() && line.next == leads_to);
            let line = leads.or_else(|| lines.iter().find(|line| line.is_current));
            let signals = line.map(|line| line.signals.clone()).unwrap_or_default();
            let all = self.survived.entry(run.workflow.clone()).or_default();
            all.extend(signals.into_iter().map(|signal| (run.run, signal)));
            let Some((begun_as, before)) = self.continues.get(&run) else { return };
            leads_to = Some(*begun_as);
            run.run = *before;
        }
    }

    fn check(&self, fact: &Fact, cluster: &str) -> Result<(), Finding> {
        let is_completed = |run: &RunKey, what| self.completions.contains(&(run.clone(), what));
        let (run, is_there, what) = match fact {
            Fact::Started { workflow, request_id, run } => {
                // Who asks again after a reset is told the run that goes on for the one that he started.
                let run = RunKey { workflow: workflow.clone(), run: *run };
                let is_there = self.branches.contains_key(&run);
                (run, is_there, format!("start by {request_id}"))
            }
            Fact::WorkflowTaskCompleted { run, scheduled } => {
                let is_there = is_completed(run, Completion::WorkflowTask(scheduled.0));
                (run.clone(), is_there, format!("completion of workflow task {scheduled}"))
            }
            Fact::ActivityCompleted { run, scheduled } => {
                let is_there = is_completed(run, Completion::Activity(scheduled.0));
                (run.clone(), is_there, format!("completion of activity {scheduled}"))
            }
            Fact::Terminated { workflow } => {
                if self.terminated.contains(workflow) {
                    return Ok(());
                }
                let text = format!("the acknowledged termination is nowhere in {cluster}");
                return Err(Finding { subject: Some(workflow.workflow.clone()), text });
            }
            Fact::Signaled { .. } => return Ok(()),
        };
        if is_there {
            return Ok(());
        }
        Err(Finding::of(&run, format!("the acknowledged {what} is nowhere in {cluster}")))
    }

    /// Whether a signal had its effect: in what survived, or in a run that came to its own end before it lost.
    fn has_signal(&self, workflow: &WorkflowKey, request_id: &str) -> bool {
        let is_it = |signal: &Signal| signal.1 == request_id;
        let survived = self.survived.get(workflow).into_iter().flatten();
        let own_end = self.branches.iter().filter(|(run, _)| run.workflow == *workflow && !self.lost.contains(run));
        let mut own_end = own_end.flat_map(|(_, lines)| lines).filter(|line| line.is_current);
        survived.into_iter().any(|(_, signal)| is_it(signal)) || own_end.any(|line| line.signals.iter().any(is_it))
    }

    /// Whether the loss of a signal is noted, wherever it was written.
    fn is_noted(&self, noted: &BTreeSet<Origin>, workflow: &WorkflowKey, request_id: &str) -> bool {
        let lines = self.branches.iter().filter(|(run, _)| run.workflow == *workflow).flat_map(|(_, lines)| lines);
        let mut signals = lines.flat_map(|line| &line.signals);
        signals.any(|(origin, request)| request == request_id && noted.contains(origin))
    }

    fn none_doubled(&self, may_conflict: bool) -> Result<(), Finding> {
        for (workflow, signals) in &self.survived {
            let (mut origins, mut requests) = (BTreeSet::new(), BTreeSet::new());
            for (run, (origin, request)) in signals {
                let found = |text| Err(Finding::of(&RunKey { workflow: workflow.clone(), run: *run }, text));
                if !origins.insert(origin) {
                    return found(format!("what survived has {origin:?} of {request} twice"));
                }
                // A caller who asks again in a later run of the workflow is taken for another; in one run he is known.
                if !requests.insert((run, request)) {
                    return found(format!("it has the signal of {request} twice"));
                }
            }
        }
        // Whoever asks both sides for a start may get it from both.
        let is_doubled = |((_, id), runs): &(&(WorkflowKey, String), &Vec<RunId>)| runs.len() > 1 && !id.is_empty();
        match self.starts.iter().find(is_doubled).filter(|_| !may_conflict) {
            Some(((workflow, request), runs)) => {
                let run = RunKey { workflow: workflow.clone(), run: runs[0] };
                Err(Finding::of(&run, format!("{request} started {} runs", runs.len())))
            }
            None => Ok(()),
        }
    }
}
