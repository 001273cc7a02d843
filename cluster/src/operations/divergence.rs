//! `meridian.divergence.v1.DivergenceService`: what became of events that two clusters wrote at the same time.
//!
//! Nothing is copied for this: a branch that lost is read from the tree of its run, where it stays for as long as the run
//! is kept. Of inputs the shard says what it decided, or sees in the winner. So clusters that hold the same tree list the
//! same events; why an input was not put into the winner only the cluster knows that was active then.

use hosts::is_moved;
use prost::Message as _;
use proto::{
    meridian::divergence::v1::{
        Conflict, DescribeDivergenceRequest, DescribeDivergenceResponse, DivergedEvent, Fate, ListDivergencesRequest,
        ListDivergencesResponse, RunDivergence, VersionItem, divergence_service_client::DivergenceServiceClient,
        divergence_service_server::DivergenceService,
    },
    temporal::api::history::v1::{History as HistoryMessage, HistoryEvent, history_event::Attributes},
};
use replicator::{
    ids::{EventId, RunId, ShardId, TaskId, WorkflowKey},
    ndc::divergence::{self, Input, Outcome, View},
    shard::io::{Call, Load, Loaded, Request as Ask, Response as Answer, RunView},
    task::{Category, HistoryTask, TaskKey},
    time::Timestamp,
    version::{VersionHistories, VersionHistoryItem},
    workflow::reapplied::{Origin, is_input},
};
use tonic::{Request, Response, Status, async_trait};

use super::{Operations, page_size, refused, routing::told, run_id};

#[async_trait]
impl DivergenceService for Operations {
    async fn describe_divergence(
        &self,
        request: Request<DescribeDivergenceRequest>,
    ) -> Result<Response<DescribeDivergenceResponse>, Status> {
        let request = request.into_inner();
        let namespace = self.namespace(&request.namespace)?.id;
        if request.workflow_id.is_empty() {
            return Err(Status::invalid_argument("workflow_id is missing"));
        }
        let workflow = WorkflowKey { namespace, workflow: request.workflow_id.as_str().into() };
        let run = self.divergence(workflow, run_id(&request.run_id)?).await?;
        Ok(Response::new(DescribeDivergenceResponse { run: Some(run) }))
    }

    async fn list_divergences(
        &self,
        request: Request<ListDivergencesRequest>,
    ) -> Result<Response<ListDivergencesResponse>, Status> {
        let request = request.into_inner();
        let namespace = self.namespace(&request.namespace)?.id;
        let (mut shard, mut after) = place(&request.next_page_token)?;
        let size = page_size(request.page_size);
        let mut runs = Vec::new();
        while shard.0 <= self.history.shard_count() {
            let tasks = self.diverged(shard, after).await?;
            after = tasks.last().map(|task| task.key);
            for task in tasks.iter().filter(|task| task.run.workflow.namespace == namespace) {
                let run = match self.divergence(task.run.workflow.clone(), Some(task.run.run)).await {
                    Ok(run) => only(run, request.winning_version),
                    // It was deleted meanwhile.
                    Err(status) if status.code() == tonic::Code::NotFound => None,
                    Err(status) => return Err(status),
                };
                runs.extend(run);
                if runs.len() == size {
                    let next_page_token = token(shard, task.key.id).into();
                    return Ok(Response::new(ListDivergencesResponse { runs, next_page_token }));
                }
            }
            if after.is_none() {
                shard.0 += 1;
            }
        }
        Ok(Response::new(ListDivergencesResponse { runs, ..Default::default() }))
    }
}

impl Operations {
    /// Runs of a shard that diverged, after one of them.
    async fn diverged(&self, shard: ShardId, after: Option<TaskKey>) -> Result<Vec<HistoryTask>, Status> {
        let load = Load::Tasks { category: Category::Divergence, after, limit: TASKS };
        match self.store.load(shard, load).await {
            Loaded::Tasks(tasks) => Ok(tasks),
            Loaded::Failed(why) => Err(Status::unavailable(why)),
            _ => Err(Status::internal("an answer to another question")),
        }
    }

    /// Every conflict of a run, as the host tells it that has the run.
    async fn divergence(&self, workflow: WorkflowKey, run: Option<RunId>) -> Result<RunDivergence, Status> {
        let request = DescribeDivergenceRequest {
            namespace: workflow.namespace.to_string(),
            workflow_id: workflow.workflow.as_str().to_owned(),
            run_id: run.map(|run| run.to_string()).unwrap_or_default(),
        };
        let mut way = self.way_to(&workflow);
        loop {
            let answer = match way.next().await? {
                None => self.divergence_here(workflow.clone(), run).await,
                Some(host) => {
                    let client = DivergenceServiceClient::new(host.channel());
                    let mut client = client.max_decoding_message_size(usize::MAX);
                    let told = told(host.ask(client.describe_divergence(request.clone())).await);
                    told.and_then(|told| told.run.ok_or_else(|| Status::internal("an answer to another question")))
                }
            };
            match answer {
                Err(status) if is_moved(&status) => {}
                answer => return answer,
            }
        }
    }

    /// The same of a run that is here.
    async fn divergence_here(&self, workflow: WorkflowKey, run: Option<RunId>) -> Result<RunDivergence, Status> {
        let ask = |run, call| self.history.call(Ask { workflow: workflow.clone(), run, call });
        let Answer::Divergence(diverged) = ask(run, Call::Divergence).await.map_err(refused)? else {
            return Err(Status::internal("an answer to another question"));
        };
        let Answer::View(view) = ask(Some(diverged.run.run), Call::View).await.map_err(refused)? else {
            return Err(Status::internal("an answer to another question"));
        };
        let mut conflicts = Vec::new();
        for conflict in diverged.conflicts() {
            conflicts.push(self.conflict(&diverged, &view, conflict).await?);
        }
        Ok(RunDivergence {
            workflow_id: workflow.workflow.as_str().to_owned(),
            run_id: diverged.run.run.to_string(),
            current: diverged.histories.current().versions.items().iter().map(|it| item(*it)).collect(),
            conflicts,
        })
    }

    async fn conflict(
        &self,
        diverged: &View,
        view: &RunView,
        conflict: divergence::Conflict,
    ) -> Result<Conflict, Status> {
        let lost = &diverged.histories.all()[conflict.branch];
        let histories = VersionHistories::new(lost.branch.clone(), lost.versions.clone());
        let on_branch = RunView { histories, ..view.clone() };
        let mut told = Conflict {
            kept_up_to: conflict.kept.map(item),
            winning_version: conflict.winner.0,
            lost: lost.versions.items().iter().map(|it| item(*it)).collect(),
            winning_run_id: conflict.winning_run.map(|run| run.to_string()).unwrap_or_default(),
            resolved: diverged.gave_way.map(|winner| winner.time).or(diverged.resolved).map(Into::into),
            ..Conflict::default()
        };
        let mut next = Some(conflict.first);
        while let Some(first) = next {
            let page = self.history.events(&on_branch, first, conflict.end, EVENTS).await.map_err(refused)?;
            let batches = page.batches.into_iter().filter_map(|batch| HistoryMessage::decode(batch).ok());
            let events: Vec<_> = batches.flat_map(|batch| batch.events).collect();
            let fates = self.fates(&diverged.run.workflow, diverged.run.run, &events).await?;
            for (event, fate) in events.iter().zip(fates) {
                add(&mut told, diverged.run.run, event, fate);
            }
            next = page.next;
        }
        Ok(told)
    }

    /// What became of each event that is an input, as far as this cluster knows; nothing for the others.
    async fn fates(
        &self,
        workflow: &WorkflowKey,
        run: RunId,
        events: &[HistoryEvent],
    ) -> Result<Vec<Option<Outcome>>, Status> {
        let asks = |event: &&HistoryEvent| event.attributes.as_ref().is_some_and(is_input);
        let inputs = events.iter().filter(asks).map(|event| Input {
            origin: Origin::of(run, event),
            request_id: match &event.attributes {
                Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal)) => signal.request_id.clone(),
                _ => String::new(),
            },
        });
        let call = Call::Fates(inputs.collect());
        let answer = self.history.call(Ask { workflow: workflow.clone(), run: Some(run), call }).await;
        let Answer::Fates(fates) = answer.map_err(refused)? else {
            return Err(Status::internal("an answer to another question"));
        };
        let mut fates = fates.into_iter();
        Ok(events.iter().map(|event| if asks(&event) { fates.next().flatten() } else { None }).collect())
    }
}

/// Count an event, and list it unless there are too many.
fn add(told: &mut Conflict, run: RunId, event: &HistoryEvent, outcome: Option<Outcome>) {
    let is_input = event.attributes.as_ref().is_some_and(is_input);
    let (fate, reason) = fate(is_input, outcome, event);
    let bytes = i64::try_from(event.encoded_len()).unwrap_or(i64::MAX);
    told.event_count += 1;
    told.bytes = told.bytes.saturating_add(bytes);
    *match fate {
        Fate::Reapplied => &mut told.reapplied,
        Fate::Known => &mut told.known,
        Fate::Pending => &mut told.pending,
        Fate::Discarded | Fate::Unspecified => &mut told.discarded,
    } += 1;
    if told.events.len() >= LISTED {
        return;
    }
    let origin = Origin::of(run, event);
    let elsewhere = Some(origin).filter(|_| Origin::told(event).is_some());
    let into = outcome.and_then(|outcome| outcome.into).filter(|_| matches!(fate, Fate::Reapplied | Fate::Known));
    told.events.push(DivergedEvent {
        event_id: event.event_id,
        version: event.version,
        event_type: event.event_type().as_str_name().to_owned(),
        bytes,
        fate: fate.into(),
        reason: reason.to_owned(),
        into_run_id: into.map(|run| run.to_string()).unwrap_or_default(),
        origin_run_id: elsewhere.map(|origin| origin.run.to_string()).unwrap_or_default(),
        origin: elsewhere.map(|origin| item(origin.item())),
    });
}

fn fate(is_input: bool, outcome: Option<Outcome>, event: &HistoryEvent) -> (Fate, &'static str) {
    use divergence::Fate as Decided;
    match outcome.map(|outcome| outcome.fate) {
        _ if !is_input => (Fate::Discarded, divergence::why(event.event_type())),
        Some(Decided::Given) => (Fate::Reapplied, "it was put into the winner"),
        Some(Decided::Known) => (Fate::Known, "the winner had it: its caller asked both sides"),
        Some(Decided::Over) => (Fate::Discarded, "the workflow is over, and is not run again for it"),
        Some(Decided::NotMeant) => (Fate::Discarded, "it was to stop this run, and the winner was started later"),
        None => (Fate::Pending, "the active cluster decides; this one does not see it in the winner"),
    }
}

/// The run with the conflicts that a version won; nothing when there are none.
fn only(run: RunDivergence, version: i64) -> Option<RunDivergence> {
    let mut run = run;
    run.conflicts.retain(|conflict| version == 0 || conflict.winning_version == version);
    (!run.conflicts.is_empty()).then_some(run)
}

fn item(item: VersionHistoryItem) -> VersionItem {
    let EventId(event_id) = item.event_id;
    VersionItem { event_id, version: item.version.0 }
}

/// Where a page begins: a shard, and the place behind which.
fn place(token: &[u8]) -> Result<(ShardId, Option<TaskKey>), Status> {
    if token.is_empty() {
        return Ok((ShardId(1), None));
    }
    let parts = token.split_first_chunk::<4>().and_then(|(shard, id)| Some((shard, id.try_into().ok()?)));
    let (shard, id) = parts.ok_or_else(|| Status::invalid_argument("next_page_token is none"))?;
    let id = TaskId(i64::from_be_bytes(id));
    Ok((ShardId(u32::from_be_bytes(*shard).max(1)), Some(TaskKey { fire_time: Timestamp::ZERO, id })))
}

fn token(shard: ShardId, id: TaskId) -> Vec<u8> {
    [shard.0.to_be_bytes().as_slice(), &id.0.to_be_bytes()].concat()
}

/// Runs that are looked at at a time.
const TASKS: usize = 100;
/// Events that are read at a time.
const EVENTS: usize = 1000;
/// Events of a conflict that are listed; the rest is counted.
const LISTED: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_place() {
        assert_eq!(place(b"").unwrap(), (ShardId(1), None));
        let key = TaskKey { fire_time: Timestamp::ZERO, id: TaskId(16_777_300) };
        assert_eq!(place(&token(ShardId(7), key.id)).unwrap(), (ShardId(7), Some(key)));
        assert!(place(b"nonsense").is_err());
    }

    #[test]
    fn only_conflicts_of_one_failover_are_shown() {
        let conflict = |winning_version| Conflict { winning_version, ..Conflict::default() };
        let run = RunDivergence { conflicts: vec![conflict(2), conflict(11)], ..RunDivergence::default() };
        assert_eq!(only(run.clone(), 0), Some(run.clone()));
        assert_eq!(only(run.clone(), 11).unwrap().conflicts, [conflict(11)]);
        assert_eq!(only(run, 12), None);
    }
}
