//! What is told of a task queue that several hosts have parts of.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use hosts::ROOT;
use prost::Message;
use proto::temporal::api::{
    taskqueue::v1::{PollerInfo, TaskQueuePartitionMetadata, TaskQueueStats, TaskQueueStatus, TaskQueueTypeInfo},
    workflowservice::v1::{DescribeTaskQueueResponse, ListTaskQueuePartitionsRequest, ListTaskQueuePartitionsResponse},
};
use replicator::time::{Timestamp, duration, proto_duration};
use tonic::metadata::MetadataValue;

use super::Call;
use crate::{
    errors::Error,
    frontend::Frontend,
    redirection::{KEPT, keep},
    validation,
};

/// The partitions of a queue and whose they are, by the address that `meridian cluster members` has. A host that is alone has
/// all of it.
pub(super) async fn list(
    frontend: &Frontend,
    call: Call<'_>,
    request: ListTaskQueuePartitionsRequest,
) -> Result<ListTaskQueuePartitionsResponse, Error> {
    let queue = request.task_queue.as_ref();
    validation::task_queue(queue, call.sizes)?;
    let name = queue.map(|queue| queue.name.as_str()).unwrap_or_default();
    let owners: Vec<String> = match &frontend.hosts {
        None => vec![frontend.about.host.clone()],
        Some(hosts) => hosts.owners_of_partitions(call.id(), name).into_iter().map(|member| member.address).collect(),
    };
    let partitions = (0..).zip(owners).map(|(partition, owner_host_name)| TaskQueuePartitionMetadata {
        key: if partition == ROOT { name.to_owned() } else { format!("/_sys/{name}/{partition}") },
        owner_host_name,
    });
    let partitions: Vec<_> = partitions.collect();
    Ok(ListTaskQueuePartitionsResponse {
        activity_task_queue_partitions: partitions.clone(),
        workflow_task_queue_partitions: partitions,
    })
}

/// What the other hosts tell of their parts of a queue. Nothing when this host is asked for its own part alone.
pub(super) async fn of_others(frontend: &Frontend, call: Call<'_>, queue: &str) -> Vec<DescribeTaskQueueResponse> {
    if !call.caller.header(PART).is_empty() {
        return Vec::new();
    }
    let others = frontend.hosts.iter().flat_map(|hosts| hosts.other_parts(call.id(), queue));
    let mut headers = keep(&call.caller.headers, &KEPT);
    headers.insert(PART, MetadataValue::from_static("true"));
    let (method, request) = (call.caller.rpc.name, &call.caller.request);
    let asked = others.map(|host| {
        let headers = headers.clone();
        async move {
            let answer = host.pass(method, request.clone(), headers, Some(PATIENCE)).await;
            let missing =
                |why: String| tracing::warn!(host = host.member().address, why, "a part of a queue is missing");
            let answer: Bytes = answer.map_err(|trouble| missing(format!("{trouble:?}"))).ok()?;
            DescribeTaskQueueResponse::decode(answer).map_err(|error| missing(error.to_string())).ok()
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// One answer for a queue, from those for two parts of it.
#[allow(deprecated, reason = "tools still ask in both ways")]
pub(super) fn merged(one: DescribeTaskQueueResponse, other: DescribeTaskQueueResponse) -> DescribeTaskQueueResponse {
    let mut versions_info = one.versions_info;
    for (version, info) in other.versions_info {
        let known = versions_info.entry(version).or_default();
        for (kind, of_other) in info.types_info {
            let of_one = known.types_info.remove(&kind).unwrap_or_default();
            let of_both = TaskQueueTypeInfo {
                pollers: pollers(of_one.pollers, of_other.pollers),
                stats: both(of_one.stats, of_other.stats, stats),
            };
            known.types_info.insert(kind, of_both);
        }
    }
    DescribeTaskQueueResponse {
        pollers: pollers(one.pollers, other.pollers),
        stats: both(one.stats, other.stats, stats),
        task_queue_status: both(one.task_queue_status, other.task_queue_status, status),
        versions_info,
        ..one
    }
}

fn both<T>(one: Option<T>, other: Option<T>, merge: impl FnOnce(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(merge(one, other)),
        (one, other) => one.or(other),
    }
}

/// By identity, as the part told that saw each last.
fn pollers(one: Vec<PollerInfo>, other: Vec<PollerInfo>) -> Vec<PollerInfo> {
    let mut all = BTreeMap::<String, PollerInfo>::new();
    let seen = |poller: &PollerInfo| poller.last_access_time.map(Timestamp::from);
    for poller in one.into_iter().chain(other) {
        if all.get(&poller.identity).is_none_or(|known| seen(known) < seen(&poller)) {
            all.insert(poller.identity.clone(), poller);
        }
    }
    all.into_values().collect()
}

fn stats(one: TaskQueueStats, other: TaskQueueStats) -> TaskQueueStats {
    let age = |stats: &TaskQueueStats| duration(stats.approximate_backlog_age.as_ref());
    TaskQueueStats {
        approximate_backlog_count: one.approximate_backlog_count.saturating_add(other.approximate_backlog_count),
        approximate_backlog_age: Some(proto_duration(age(&one).max(age(&other)))),
        tasks_add_rate: one.tasks_add_rate + other.tasks_add_rate,
        tasks_dispatch_rate: one.tasks_dispatch_rate + other.tasks_dispatch_rate,
        rate_limiting_active: one.rate_limiting_active || other.rate_limiting_active,
    }
}

#[allow(deprecated, reason = "tools still read it")]
fn status(one: TaskQueueStatus, other: TaskQueueStatus) -> TaskQueueStatus {
    TaskQueueStatus {
        backlog_count_hint: one.backlog_count_hint.saturating_add(other.backlog_count_hint),
        // Each part tells the limit of the whole queue, if a poller has come to it that said one.
        rate_per_second: one.rate_per_second.min(other.rate_per_second),
        ..one
    }
}

/// Header of a host that asks for the part of a queue that another host has.
const PART: &str = "meridian-part";

/// How long a host may take to tell of its part.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use proto::temporal::api::taskqueue::v1::TaskQueueVersionInfo;

    use super::*;

    fn of(millis: i64, backlog: i64) -> TaskQueueTypeInfo {
        let poller = |identity: &str, millis: i64| PollerInfo {
            identity: identity.into(),
            last_access_time: Some(Timestamp::from_millis(millis).into()),
            ..Default::default()
        };
        let stats = TaskQueueStats {
            approximate_backlog_count: backlog,
            approximate_backlog_age: Some(proto_duration(Duration::from_secs(backlog.unsigned_abs()))),
            tasks_add_rate: 1.0,
            tasks_dispatch_rate: 0.5,
            ..Default::default()
        };
        TaskQueueTypeInfo { pollers: vec![poller("all", millis), poller(&millis.to_string(), 0)], stats: Some(stats) }
    }

    #[track_caller]
    fn check(pollers: &[PollerInfo], stats: Option<TaskQueueStats>) {
        let seen = |poller: &PollerInfo| poller.last_access_time.map(|time| Timestamp::from(time).0 / 1_000_000);
        let pollers: Vec<_> = pollers.iter().map(|poller| (poller.identity.as_str(), seen(poller).unwrap())).collect();
        assert_eq!(pollers, [("5", 0), ("7", 0), ("all", 7)]);
        let stats = stats.unwrap();
        assert_eq!((stats.approximate_backlog_count, stats.tasks_add_rate, stats.tasks_dispatch_rate), (5, 2.0, 1.0));
        assert_eq!(stats.approximate_backlog_age.unwrap().seconds, 3);
    }

    #[test]
    #[allow(deprecated, reason = "tools still read it")]
    fn parts_make_a_whole() {
        let plain = |millis, backlog, rate_per_second| {
            let TaskQueueTypeInfo { pollers, stats } = of(millis, backlog);
            let status = TaskQueueStatus { backlog_count_hint: backlog, rate_per_second, ..Default::default() };
            DescribeTaskQueueResponse { pollers, stats, task_queue_status: Some(status), ..Default::default() }
        };
        let whole = merged(plain(5, 3, 100_000.0), plain(7, 2, 10.0));
        check(&whole.pollers, whole.stats);
        let status = whole.task_queue_status.unwrap();
        assert_eq!((status.backlog_count_hint, status.rate_per_second), (5, 10.0));

        let enhanced = |millis, backlog| {
            let info = TaskQueueVersionInfo { types_info: [(1, of(millis, backlog))].into(), ..Default::default() };
            DescribeTaskQueueResponse { versions_info: [(String::new(), info)].into(), ..Default::default() }
        };
        let mut whole = merged(enhanced(5, 3), enhanced(7, 2));
        let info = whole.versions_info.remove("").unwrap().types_info.remove(&1).unwrap();
        check(&info.pollers, info.stats);
        assert_eq!(whole.task_queue_status, None);
    }
}
