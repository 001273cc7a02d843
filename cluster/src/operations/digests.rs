//! Digests of what rests in this cluster's store, for whoever compares it with another.

use std::collections::BTreeSet;

use hosts::is_moved;
use prost::Message as _;
use proto::{
    meridian::verification::v1::{
        BatchDigest, BranchDigest, ListBatchDigestsRequest, ListBatchDigestsResponse, ListRunDigestsRequest,
        ListRunDigestsResponse, RunDigest, RunName, ShardDigest, SumRunDigestsRequest, SumRunDigestsResponse,
        verification_service_client::VerificationServiceClient,
    },
    temporal::api::history::v1::History as HistoryMessage,
};
use replicator::{
    history::content::content,
    ids::{EventId, NamespaceId, RunId, RunKey, ShardId, WorkflowId, WorkflowKey, shard_of},
    shard::io::{Call, Load, Loaded, Request as Ask, Response as Answer, RunView},
    version::VersionHistories,
    workflow::summary::Summary,
};
use store::ScannedRun;
use tonic::Status;

use super::{Operations, refused, routing::told, run_id};

/// Digests by shard, for so many shards.
pub(super) async fn sum(
    operations: &Operations,
    request: SumRunDigestsRequest,
) -> Result<SumRunDigestsResponse, Status> {
    let namespace = operations.namespace(&request.namespace)?.id;
    let count = shard_count(request.shard_count)?;
    let mut shards = vec![ShardDigest::default(); count as usize];
    let mut after = None;
    loop {
        let page = scan(operations, namespace, after, SCANNED).await?;
        for run in &page {
            let shard = &mut shards[shard_of(namespace, &run.workflow, count).0 as usize - 1];
            shard.runs += 1;
            shard.digest = shard.digest.wrapping_add(of_run(run)?.1);
        }
        match page.last() {
            Some(last) if page.len() == SCANNED => after = Some((last.workflow.clone(), last.run)),
            _ => return Ok(SumRunDigestsResponse { shards }),
        }
    }
}

/// Digests of runs, of all or of some shards, or of runs that are named.
pub(super) async fn list(
    operations: &Operations,
    request: ListRunDigestsRequest,
) -> Result<ListRunDigestsResponse, Status> {
    let namespace = operations.namespace(&request.namespace)?.id;
    if !request.runs.is_empty() {
        let mut runs = Vec::new();
        for name in &request.runs {
            runs.extend(named(operations, namespace, name).await?);
        }
        return Ok(ListRunDigestsResponse { runs, ..Default::default() });
    }
    let count = shard_count(request.shard_count.max(1))?;
    let shards: BTreeSet<ShardId> = request.shard_ids.iter().copied().map(ShardId).collect();
    let is_wanted = |run: &ScannedRun| shards.is_empty() || shards.contains(&shard_of(namespace, &run.workflow, count));
    let size = usize::try_from(request.page_size).ok().filter(|size| *size > 0).unwrap_or(SCANNED).min(SCANNED);
    let mut after = place(&request.next_page_token)?;
    let mut runs = Vec::new();
    loop {
        let page = scan(operations, namespace, after, size).await?;
        for run in page.iter().filter(|run| is_wanted(run)) {
            runs.push(of_run(run)?.0);
        }
        let Some(last) = page.last().filter(|_| page.len() == size) else {
            return Ok(ListRunDigestsResponse { runs, ..Default::default() });
        };
        if runs.len() >= size {
            return Ok(ListRunDigestsResponse { runs, next_page_token: token(last).into() });
        }
        after = Some((last.workflow.clone(), last.run));
    }
}

/// Digests of the batches of one branch, as the host tells them that has the run.
pub(super) async fn batches(
    operations: &Operations,
    request: ListBatchDigestsRequest,
) -> Result<ListBatchDigestsResponse, Status> {
    let namespace = operations.namespace(&request.namespace)?.id;
    let workflow = WorkflowKey { namespace, workflow: request.workflow_id.as_str().into() };
    let mut way = operations.way_to(&workflow);
    loop {
        let answer = match way.next().await? {
            None => batches_here(operations, workflow.clone(), &request).await,
            Some(host) => {
                let client = VerificationServiceClient::new(host.channel());
                let mut client = client.max_decoding_message_size(usize::MAX);
                told(host.ask(client.list_batch_digests(request.clone())).await)
            }
        };
        match answer {
            Err(status) if is_moved(&status) => {}
            answer => return answer,
        }
    }
}

async fn batches_here(
    operations: &Operations,
    workflow: WorkflowKey,
    request: &ListBatchDigestsRequest,
) -> Result<ListBatchDigestsResponse, Status> {
    let ask = Ask { workflow, run: run_id(&request.run_id)?, call: Call::View };
    let Answer::View(view) = operations.history.call(ask).await.map_err(refused)? else {
        return Err(Status::internal("an answer to another question"));
    };
    let branch = view.histories.all().iter().find(|branch| branch.versions.to_string() == request.versions);
    let branch = branch.ok_or_else(|| Status::not_found(format!("the run has no branch [{}]", request.versions)))?;
    let end = branch.versions.last().event_id.next();
    let histories = VersionHistories::new(branch.branch.clone(), branch.versions.clone());
    let first = EventId(request.first_event_id.max(1));
    let page = operations.history.events(&RunView { histories, ..*view }, first, end, EVENTS).await.map_err(refused)?;
    let batches = page.batches.iter().map(|batch| {
        let events = HistoryMessage::decode(batch.clone()).map(|history| history.events).unwrap_or_default();
        BatchDigest { first_event_id: events.first().map_or(0, |event| event.event_id), content: content(batch) }
    });
    Ok(ListBatchDigestsResponse { batches: batches.collect(), next_event_id: page.next.map_or(0, |next| next.0) })
}

/// The digest of one run, if it is here.
async fn named(operations: &Operations, namespace: NamespaceId, name: &RunName) -> Result<Option<RunDigest>, Status> {
    let run = run_id(&name.run_id)?.ok_or_else(|| Status::invalid_argument("run_id is missing"))?;
    let workflow = WorkflowKey { namespace, workflow: name.workflow_id.as_str().into() };
    let shard = shard_of(namespace, &workflow.workflow, operations.history.shard_count());
    let load = |load| operations.store.load(shard, load);
    let Some(stored) = found(load(Load::Run(RunKey { workflow: workflow.clone(), run })).await)? else {
        return Ok(None);
    };
    let current = found(load(Load::Current(workflow.clone())).await)?;
    let is_current = current.is_some_and(|current| current.run.run == run);
    let scanned =
        ScannedRun { workflow: workflow.workflow, run, record: stored.record, state: stored.state, is_current };
    Ok(Some(of_run(&scanned)?.0))
}

fn found(loaded: Loaded) -> Result<Option<replicator::shard::io::StoredRun>, Status> {
    match loaded {
        Loaded::Run(run) | Loaded::Current(run) => Ok(run),
        Loaded::NoRuns => Ok(None),
        Loaded::Failed(why) => Err(Status::unavailable(why)),
        _ => Err(Status::internal("an answer to another question")),
    }
}

async fn scan(
    operations: &Operations,
    namespace: NamespaceId,
    after: Option<(WorkflowId, RunId)>,
    limit: usize,
) -> Result<Vec<ScannedRun>, Status> {
    let after = after.as_ref().map(|(workflow, run)| (workflow, *run));
    let page = operations.store.scan(namespace, after, limit).await;
    page.map_err(|cause| metadata::status::unavailable(&cause))
}

/// The digest of a run, and one number that stands for all of it that clusters must have alike.
fn of_run(run: &ScannedRun) -> Result<(RunDigest, u64), Status> {
    let summary = Summary::of(run.state.clone());
    let summary = summary.map_err(|why| Status::data_loss(format!("run {} of {}: {why}", run.run, run.workflow)))?;
    let mut digest = RunDigest {
        workflow_id: run.workflow.as_str().to_owned(),
        run_id: run.run.as_bytes().to_vec().into(),
        state: summary.state,
        phase: summary.phase,
        status: summary.status,
        is_current: run.is_current,
        current_branch: i32::try_from(summary.current).unwrap_or(-1),
        branches: summary.branches.into_iter().map(|(versions, content)| BranchDigest { versions, content }).collect(),
        record_version: 0,
    };
    let number = content(&digest.encode_to_vec());
    digest.record_version = run.record.0;
    Ok((digest, number))
}

fn shard_count(count: u32) -> Result<u32, Status> {
    match count {
        1..=MOST_SHARDS => Ok(count),
        _ => Err(Status::invalid_argument(format!("shard_count is not one of 1 to {MOST_SHARDS}"))),
    }
}

/// Where a page begins: behind a run.
fn place(token: &[u8]) -> Result<Option<(WorkflowId, RunId)>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let malformed = || Status::invalid_argument("next_page_token is none");
    let (run, workflow) = token.split_first_chunk::<16>().ok_or_else(malformed)?;
    let workflow = std::str::from_utf8(workflow).map_err(|_| malformed())?;
    Ok(Some((workflow.into(), RunId::from_bytes(*run))))
}

fn token(last: &ScannedRun) -> Vec<u8> {
    [last.run.as_bytes().as_slice(), last.workflow.as_str().as_bytes()].concat()
}

/// Runs that are read at a time.
const SCANNED: usize = 1000;
/// Events that are read at a time.
const EVENTS: usize = 1000;
/// What Temporal allows.
const MOST_SHARDS: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use replicator::ids::RecordVersion;

    #[test]
    fn a_token_is_a_place() {
        let run = ScannedRun {
            workflow: "größer".into(),
            run: RunId::from_bytes([7; 16]),
            record: RecordVersion(3),
            state: Default::default(),
            is_current: true,
        };
        assert_eq!(place(&token(&run)).unwrap(), Some((run.workflow.clone(), run.run)));
        assert_eq!(place(b"").unwrap(), None);
        assert!(place(b"short").is_err());
        assert!(place(&[255; 17]).is_err());
    }
}
