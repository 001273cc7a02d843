//! Task queues: who polls them, what waits in them, and which a run prefers.

use std::collections::BTreeMap;

use hosts::Service;
use matching::{Description, QueueKey, QueueKind, SeenPoller};
use proto::temporal::api::{
    enums::v1::{DescribeTaskQueueMode, TaskQueueKind, TaskQueueType},
    taskqueue::v1::{
        PollerInfo, TaskIdBlock, TaskQueueStats, TaskQueueStatus, TaskQueueTypeInfo, TaskQueueVersionInfo,
    },
    workflowservice::v1::{
        DescribeTaskQueueRequest, DescribeTaskQueueResponse, ResetStickyTaskQueueRequest, ResetStickyTaskQueueResponse,
        ShutdownWorkerRequest, ShutdownWorkerResponse,
    },
};
use replicator::{
    shard::io::{self, Failure},
    time::proto_duration,
};

use super::{Call, task_queue_parts};
use crate::{errors::Error, frontend::Frontend, validation};

pub(super) async fn describe(
    frontend: &Frontend,
    call: Call<'_>,
    request: DescribeTaskQueueRequest,
) -> Result<DescribeTaskQueueResponse, Error> {
    let queue = request.task_queue.as_ref();
    validation::task_queue(queue, call.sizes)?;
    let here = describe_here(frontend, call, &request)?;
    let queue = queue.filter(|queue| queue.kind() != TaskQueueKind::Sticky);
    let parts = match queue {
        Some(queue) => task_queue_parts::of_others(frontend, call, &queue.name).await,
        None => Vec::new(),
    };
    Ok(parts.into_iter().fold(here, task_queue_parts::merged))
}

/// The part of a queue that this host has.
#[allow(deprecated, reason = "tools still ask in both ways")]
fn describe_here(
    frontend: &Frontend,
    call: Call<'_>,
    request: &DescribeTaskQueueRequest,
) -> Result<DescribeTaskQueueResponse, Error> {
    let queue = request.task_queue.as_ref();
    let is_sticky = queue.is_some_and(|queue| queue.kind() == TaskQueueKind::Sticky);
    let name = queue.map(|queue| queue.name.as_str()).unwrap_or_default();
    let look = |kind| frontend.matching.describe(&QueueKey::new(call.id(), kind, name));
    if request.api_mode() != DescribeTaskQueueMode::Enhanced {
        let kind = match request.task_queue_type() {
            TaskQueueType::Activity => QueueKind::Activity,
            TaskQueueType::Nexus => return unbuilt("task_queue_type NEXUS"),
            TaskQueueType::Workflow | TaskQueueType::Unspecified if is_sticky => QueueKind::Sticky,
            TaskQueueType::Workflow | TaskQueueType::Unspecified => QueueKind::Workflow,
        };
        return Ok(described(look(kind), request.include_task_queue_status, request.report_stats));
    }
    if is_sticky {
        return Err(Error::invalid(
            "Enhanced DescribeTaskQueue is not valid for a sticky queue, use api_mode=UNSPECIFIED or a normal queue.",
        ));
    }
    if request.report_task_reachability {
        return unbuilt("report_task_reachability");
    }
    if request.versions.as_ref().is_some_and(|versions| !versions.build_ids.is_empty()) {
        return unbuilt("versions.build_ids");
    }
    let mut types_info = BTreeMap::new();
    for (kind, of) in [(QueueKind::Workflow, TaskQueueType::Workflow), (QueueKind::Activity, TaskQueueType::Activity)] {
        let of = i32::from(of);
        if request.task_queue_types.is_empty() || request.task_queue_types.contains(&of) {
            types_info.insert(of, of_type(look(kind), request.report_pollers, request.report_stats));
        }
    }
    let unversioned = TaskQueueVersionInfo { types_info, ..Default::default() };
    Ok(DescribeTaskQueueResponse { versions_info: [(String::new(), unversioned)].into(), ..Default::default() })
}

fn unbuilt<T>(what: &str) -> Result<T, Error> {
    Err(Failure::Unimplemented(format!("DescribeTaskQueueRequest.{what} is not implemented")).into())
}

#[allow(deprecated, reason = "tools still read it")]
fn described(description: Description, with_status: bool, with_stats: bool) -> DescribeTaskQueueResponse {
    let status = with_status.then(|| TaskQueueStatus {
        backlog_count_hint: count(description.backlog),
        rate_per_second: description.rate_limit.unwrap_or(UNLIMITED),
        task_id_block: Some(TaskIdBlock::default()),
        ..Default::default()
    });
    DescribeTaskQueueResponse {
        stats: with_stats.then(|| stats(&description)),
        pollers: pollers(description),
        task_queue_status: status,
        ..Default::default()
    }
}

fn of_type(description: Description, with_pollers: bool, with_stats: bool) -> TaskQueueTypeInfo {
    TaskQueueTypeInfo {
        stats: with_stats.then(|| stats(&description)),
        pollers: if with_pollers { pollers(description) } else { Vec::new() },
    }
}

fn stats(description: &Description) -> TaskQueueStats {
    TaskQueueStats {
        approximate_backlog_count: count(description.backlog),
        approximate_backlog_age: Some(proto_duration(description.backlog_age)),
        tasks_add_rate: description.add_rate,
        tasks_dispatch_rate: description.dispatch_rate,
        ..Default::default()
    }
}

#[allow(deprecated, reason = "tools still read it")]
fn pollers(description: Description) -> Vec<PollerInfo> {
    let info = |seen: SeenPoller| PollerInfo {
        last_access_time: Some(seen.last_access.into()),
        identity: seen.poller.identity,
        rate_per_second: seen.poller.max_tasks_per_second.unwrap_or(UNLIMITED),
        worker_version_capabilities: seen.poller.version,
        deployment_options: seen.poller.deployment,
    };
    description.pollers.into_iter().map(info).collect()
}

fn count(backlog: usize) -> i64 {
    i64::try_from(backlog).unwrap_or(i64::MAX)
}

pub(super) async fn reset_sticky(
    frontend: &Frontend,
    call: Call<'_>,
    request: ResetStickyTaskQueueRequest,
) -> Result<ResetStickyTaskQueueResponse, Error> {
    let (workflow, run) = validation::execution(call.id(), request.execution.as_ref())?;
    frontend.tell(workflow, run, io::Call::ResetSticky).await?;
    Ok(ResetStickyTaskQueueResponse::default())
}

/// A worker goes. It polled here and in the active cluster, so both are told; it does not wait to hear what came of it. Its
/// queue may be on any host of this one.
pub(super) async fn shutdown_worker(
    frontend: &Frontend,
    call: Call<'_>,
    request: ShutdownWorkerRequest,
) -> Result<ShutdownWorkerResponse, Error> {
    if !request.sticky_task_queue.is_empty() {
        frontend.matching.shutdown_worker(call.id(), &request.sticky_task_queue);
    }
    if call.caller.is_inside {
        return Ok(ShutdownWorkerResponse::default());
    }
    for host in frontend.hosts.iter().flat_map(|hosts| hosts.others(Service::Matching)) {
        if let Err(error) = frontend.pass(&host, call.caller).await {
            tracing::debug!(host = host.member().address, ?error, "a host was not told that a worker goes");
        }
    }
    if let Some(cluster) = frontend.elsewhere(call.caller, call.namespace)
        && let Err(status) = frontend.forward(call.caller, &cluster, call.id()).await
    {
        tracing::debug!(%cluster, %status, "the active cluster was not told that a worker goes");
    }
    Ok(ShutdownWorkerResponse::default())
}

/// Tasks a second of a queue that nobody limits (api 10.4).
const UNLIMITED: f64 = 100_000.0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use matching::Poller;
    use replicator::time::Timestamp;

    use super::*;

    #[test]
    fn what_is_told_of_a_queue() {
        let description = Description {
            pollers: vec![SeenPoller {
                last_access: Timestamp::from_millis(5),
                poller: Poller { identity: "me".into(), ..Default::default() },
            }],
            backlog: 3,
            backlog_age: Duration::from_secs(7),
            add_rate: 1.5,
            dispatch_rate: 0.5,
            rate_limit: Some(10.0),
        };
        let short = described(description.clone(), false, false);
        assert_eq!(short.pollers.len(), 1);
        assert_eq!((short.pollers[0].identity.as_str(), short.pollers[0].rate_per_second), ("me", UNLIMITED));
        assert_eq!(short.stats, None);
        let typed = of_type(description.clone(), true, true);
        assert_eq!((typed.pollers.len(), typed.stats.map(|stats| stats.approximate_backlog_count)), (1, Some(3)));
        assert_eq!(of_type(description.clone(), false, false), TaskQueueTypeInfo::default());
        let long = described(description, true, true);
        let stats = long.stats.unwrap();
        assert_eq!((stats.approximate_backlog_count, stats.tasks_add_rate), (3, 1.5));
        #[allow(deprecated, reason = "tools still read it")]
        let status = long.task_queue_status.unwrap();
        assert_eq!((status.backlog_count_hint, status.rate_per_second), (3, 10.0));
    }
}
