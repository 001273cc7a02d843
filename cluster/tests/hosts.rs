//! A cluster of several hosts: whoever is asked, the answer is the same; and hosts come and go.

#![allow(clippy::disallowed_methods, reason = "a test brings its own world")]

mod world;

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use http::uri::PathAndQuery;
use membership::Service::{Frontend, History, Matching, Worker};
use prost::Message;
use proto::{
    meridian::{
        divergence::v1::{DescribeDivergenceRequest, divergence_service_client::DivergenceServiceClient},
        failover::v1::{
            HandOverRequest, HandoverResult, failover_service_client::FailoverServiceClient, handover_progress::Stage,
        },
        internal::v1::{Change, Kind, OfferRequest, Run, Task, change, host_service_client::HostServiceClient},
        membership::v1::{SetDrainingRequest, SetDrainingResponse, membership_service_client::MembershipServiceClient},
        status::v1::{GetReplicationStatusRequest, status_service_client::StatusServiceClient},
        verification::v1::{ListBatchDigestsRequest, verification_service_client::VerificationServiceClient},
    },
    temporal::api::{enums::v1::EventType, workflowservice::v1::DescribeTaskQueueResponse},
};
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Response, Status, client::Grpc, metadata::MetadataValue};

use self::world::{Client, Host, LONG, NAMESPACE, World};

/// What a workflow of one activity leaves, each thing once.
const STORY: [EventType; 11] = [
    EventType::WorkflowExecutionStarted,
    EventType::WorkflowTaskScheduled,
    EventType::WorkflowTaskStarted,
    EventType::WorkflowTaskCompleted,
    EventType::ActivityTaskScheduled,
    EventType::ActivityTaskStarted,
    EventType::ActivityTaskCompleted,
    EventType::WorkflowTaskScheduled,
    EventType::WorkflowTaskStarted,
    EventType::WorkflowTaskCompleted,
    EventType::WorkflowExecutionCompleted,
];

/// Eight shards on two hosts, task queues on a third, clients at a fourth and fifth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_apart_are_one_cluster() {
    let world = World::new().await;
    let frontends = [world.start(&[Frontend]).await, world.start(&[Frontend]).await];
    let others = [
        world.start(&[History]).await,
        world.start(&[History]).await,
        world.start(&[Matching]).await,
        world.start(&[Worker]).await,
    ];
    for host in frontends.iter().chain(&others) {
        host.sees(6).await;
    }
    let [here, there] = frontends.each_ref().map(|host| host.client());
    // Known to all hosts when it is answered.
    here.register().await;
    let _workers = [here.work(), there.work()];
    begin(&there, 0..20).await;
    finish(&here, 0..20).await;

    let said = timeout(LONG, there.query("w3")).await.expect("in time").expect("a worker answers");
    assert_eq!(said, "state of 11 events");
}

/// A host that runs everything dies under load; a new one takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_dies_and_another_one_comes() {
    let all = [Frontend, History, Matching, Worker];
    let world = World::new().await;
    let (one, two, three) = (world.start(&all).await, world.start(&all).await, world.start(&all).await);
    for host in [&one, &two, &three] {
        host.sees(3).await;
    }
    let client = one.client();
    client.register().await;
    let _workers = [client.work(), client.work()];
    begin(&client, 0..40).await;
    two.kill();
    begin(&client, 40..80).await;
    one.sees(2).await;
    let _four = world.start(&all).await;
    one.sees(3).await;
    begin(&client, 80..120).await;
    three.kill();
    finish(&client, 0..120).await;
}

/// An operator has a host give away what it has. It is not missed, answers, and takes its part again when it is told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_drained_and_resumed() {
    let all = [Frontend, History, Matching, Worker];
    let world = World::new().await;
    let (one, two) = (world.start(&all).await, world.start(&all).await);
    for host in [&one, &two] {
        host.sees(2).await;
    }
    let client = two.client();
    client.register().await;
    let _workers = [client.work(), client.work()];
    begin(&client, 0..20).await;
    let [here, there] = [&one, &two].map(|host| host.cluster.membership().view().me().address.clone());
    // Whoever is asked.
    for (asked, process) in [(&one, "host-2"), (&two, &here)] {
        let answer = set_draining(asked, process, true).await.expect("it drains");
        assert!(answer.member.expect("a member").is_draining);
        assert_eq!(answer.shard_ids, [0u32; 0]);
        begin(&client, 20..30).await;
        let refused = set_draining(asked, if process == "host-2" { &here } else { &there }, true).await;
        let refused = refused.expect_err("the last one");
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        let answer = set_draining(asked, process, false).await.expect("it resumes");
        assert!(!answer.member.expect("a member").is_draining);
    }
    finish(&client, 0..30).await;

    for (process, code) in [("", Code::InvalidArgument), ("host-3", Code::NotFound)] {
        assert_eq!(set_draining(&one, process, true).await.map_err(|status| status.code()), Err(code), "{process}");
    }
}

/// One that is about to stop is not given its part again, whatever an operator says who has not heard of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_about_to_stop_is_not_resumed() {
    let all = [Frontend, History, Matching, Worker];
    let world = World::new().await;
    let (one, two) = (world.start(&all).await, world.start(&all).await);
    for host in [&one, &two] {
        host.sees(2).await;
    }
    one.cluster.drain().await;
    let refused = set_draining(&two, "host-1", false).await.expect_err("it is about to stop");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let member = one.cluster.membership().view().me().clone();
    assert!(member.is_draining(), "{member:?}");
}

async fn set_draining(asked: &Host, process: &str, is_draining: bool) -> Result<SetDrainingResponse, Status> {
    let mut client = MembershipServiceClient::new(asked.channel());
    let request = SetDrainingRequest { process: process.to_owned(), is_draining };
    client.set_draining(request).await.map(Response::into_inner)
}

/// A host has not heard yet that a queue is its own, or hears late that it is not any more. It says so instead of taking a
/// task that it would forget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_takes_no_task_of_a_queue_that_is_not_its_own() {
    let world = World::new().await;
    let (one, two) = (world.start(&[Matching]).await, world.start(&[Matching]).await);
    one.sees(2).await;
    two.sees(2).await;
    let task = |number: u32| Task {
        run: Some(Run {
            namespace_id: "00000000-0000-0000-0000-000000000001".into(),
            workflow_id: "w".into(),
            run_id: "00000000-0000-0000-0000-000000000002".into(),
        }),
        scheduled_event_id: 2,
        attempt: 1,
        kind: Kind::Workflow.into(),
        queue: format!("q{number}"),
        scheduled_time: Some(prost_types::Timestamp::default()),
        ..Task::default()
    };
    let offered = |number| Change { change: Some(change::Change::Offered(task(number))) };
    let request = OfferRequest { changes: (0..32).map(offered).collect() };
    let mut refused = Vec::new();
    for host in [&one, &two] {
        let answer = HostServiceClient::new(host.inside()).offer(request.clone()).await.expect("it answers");
        refused.extend(answer.into_inner().elsewhere);
    }
    refused.sort_unstable();
    assert_eq!(refused, (0..32).collect::<Vec<_>>(), "each queue is taken by one of the two");
}

/// One queue is worked off by all hosts that run matching, whichever a worker's few polls come to; what an operator is told
/// is of all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_shared_out_among_hosts() {
    let world = World::new().await;
    let front = world.start(&[Frontend, History, Worker]).await;
    let parts = [world.start(&[Matching]).await, world.start(&[Matching]).await, world.start(&[Matching]).await];
    for host in parts.iter().chain([&front]) {
        host.sees(4).await;
    }
    let client = front.client();
    client.register().await;
    // Nobody is there yet: what is begun waits where it was put.
    begin(&client, 0..40).await;
    let spread = async {
        let mut waiting = [0; 3];
        while waiting.iter().sum::<i64>() < 40 {
            for (host, waiting) in parts.iter().zip(&mut waiting) {
                *waiting = part(host).await.stats.map_or(0, |stats| stats.approximate_backlog_count);
            }
            sleep(Duration::from_millis(20)).await;
        }
        waiting
    };
    let waiting = timeout(LONG, spread).await.expect("all of it is offered");
    assert!(waiting.iter().all(|count| 0 < *count), "{waiting:?}");
    let whole = client.describe().await;
    assert_eq!(whole.stats.map(|stats| stats.approximate_backlog_count), Some(40));
    let partitions = client.partitions().await;
    let keys: Vec<_> = partitions.iter().map(|partition| partition.key.as_str()).collect();
    assert_eq!(keys, ["q", "/_sys/q/1", "/_sys/q/2", "/_sys/q/3"]);
    let owners: BTreeSet<_> = partitions.into_iter().map(|partition| partition.owner_host_name).collect();
    let addresses = parts.each_ref().map(|host| host.cluster.membership().view().me().address.clone());
    assert_eq!(owners, addresses.into());

    // One poll at a time: it goes where it is wanted.
    let _workers = client.work();
    finish(&client, 0..40).await;
    for host in &parts {
        let part = part(host).await;
        assert_eq!(part.stats.map(|stats| stats.approximate_backlog_count), Some(0));
        assert_eq!(part.pollers.len(), 1, "{part:?}");
    }
    assert_eq!(client.describe().await.pollers.len(), 1, "it is the same worker");
    let said = timeout(LONG, client.query("w3")).await.expect("in time").expect("a worker answers");
    assert_eq!(said, "state of 11 events");
}

/// One partition is the root, and all of the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_has_as_many_partitions_as_somebody_says() {
    let mut world = World::new().await;
    world.partitions = Some(1);
    let all = [Frontend, History, Matching, Worker];
    let (one, two) = (world.start(&all).await, world.start(&all).await);
    for host in [&one, &two] {
        host.sees(2).await;
    }
    let client = one.client();
    client.register().await;
    begin(&client, 0..20).await;
    let offered = async {
        while client.describe().await.stats.is_none_or(|stats| stats.approximate_backlog_count < 20) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, offered).await.expect("all of it is offered");
    let mut waiting = Vec::new();
    for host in [&one, &two] {
        waiting.push(part(host).await.stats.map_or(0, |stats| stats.approximate_backlog_count));
    }
    waiting.sort_unstable();
    assert_eq!(waiting, [0, 20]);
    let _workers = [one.client().work(), two.client().work()];
    finish(&client, 0..20).await;
}

/// Tasks wait on all of them when one dies, and one that it did not have when another comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_with_a_part_of_a_queue() {
    let world = World::new().await;
    let front = world.start(&[Frontend, History, Worker]).await;
    let [one, two, three] =
        [world.start(&[Matching]).await, world.start(&[Matching]).await, world.start(&[Matching]).await];
    for host in [&one, &two, &three, &front] {
        host.sees(4).await;
    }
    let client = front.client();
    client.register().await;
    begin(&client, 0..30).await;
    two.kill();
    begin(&client, 30..40).await;
    let _workers = client.work();
    finish(&client, 0..20).await;
    let four = world.start(&[Matching]).await;
    front.sees(4).await;
    begin(&client, 40..60).await;
    one.kill();
    three.kill();
    finish(&client, 20..60).await;
    assert_eq!(part(&four).await.pollers.len(), 1);
}

/// What a host tells of its part of the queue.
async fn part(host: &Host) -> DescribeTaskQueueResponse {
    let mut request = Request::new(Bytes::from(world::describe().encode_to_vec()));
    request.metadata_mut().insert("meridian-part", MetadataValue::from_static("true"));
    let mut way = Grpc::new(host.inside());
    way.ready().await.expect("it is there");
    let path = PathAndQuery::from_static("/meridian.internal.v1.WorkflowService/DescribeTaskQueue");
    let answer = way.unary(request, path, hosts::BytesCodec).await.expect("it answers").into_inner();
    DescribeTaskQueueResponse::decode(answer).expect("an answer")
}

/// Two clusters of several hosts. What happens in one is known in the other, though peers dial frontends alone and shards
/// are elsewhere; and again when a host with shards is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_reach_shards_on_any_host() {
    let (a, b) = (World::of(0).await, World::of(1).await);
    let (near, far) = (a.start(&[Frontend, Matching, Worker]).await, b.start(&[Frontend, Matching, Worker]).await);
    let (lost, _stays) = (a.start(&[History]).await, a.start(&[History]).await);
    let _others = [b.start(&[History]).await, b.start(&[History]).await];
    near.sees(3).await;
    far.sees(3).await;
    near.cluster.join(&far.address).await.expect("they meet");
    far.cluster.join(&near.address).await.expect("they meet");
    near.cluster.provide_namespace(NAMESPACE, vec!["a".into(), "b".into()]).await.expect("it is registered");
    far.cluster.namespace_appeared(NAMESPACE).await;

    let client = near.client();
    let _workers = client.work();
    begin(&client, 0..20).await;
    finish(&far.client().here(), 0..20).await;
    operators_are_told(&far, 0..20).await;
    lost.kill();
    begin(&client, 20..40).await;
    finish(&far.client().here(), 20..40).await;
    // By a host that has no shard, of those too that have just got another one.
    operators_are_told(&near, 0..40).await;
}

/// What operators ask of single runs is answered by whichever host they ask.
async fn operators_are_told(host: &Host, workflows: std::ops::Range<usize>) {
    let mut divergence = DivergenceServiceClient::new(host.channel());
    let mut verification = VerificationServiceClient::new(host.channel());
    for number in workflows {
        let (namespace, workflow_id) = (NAMESPACE.to_owned(), format!("w{number}"));
        let request = DescribeDivergenceRequest { namespace: namespace.clone(), workflow_id, run_id: String::new() };
        let run = divergence.describe_divergence(request).await.expect("it is told").into_inner().run.expect("a run");
        assert_eq!((run.workflow_id.as_str(), run.conflicts.as_slice()), (format!("w{number}").as_str(), &[][..]));
        let versions: Vec<_> = run.current.iter().map(|item| format!("{}@{}", item.event_id, item.version)).collect();
        let request = ListBatchDigestsRequest {
            namespace,
            workflow_id: run.workflow_id,
            run_id: run.run_id,
            versions: versions.join(" "),
            first_event_id: 1,
        };
        let digests = verification.list_batch_digests(request).await.expect("they are told").into_inner();
        assert!(!digests.batches.is_empty());
    }
}

/// Shards on two hosts of each cluster, and clients at a third. Every shard says that it is near, and then that everything is
/// on the other side, to whichever host drives it. What operators are told is of all shards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_handed_over_by_several_hosts() {
    let (a, b) = (World::of(0).await, World::of(1).await);
    let mut others = Vec::new();
    let mut fronts = Vec::new();
    for world in [&a, &b] {
        fronts.push(world.start(&[Frontend, Matching]).await);
        for services in [&[History][..], &[History], &[Worker]] {
            others.push(world.start(services).await);
        }
    }
    let [near, far] = [&fronts[0], &fronts[1]];
    near.sees(4).await;
    far.sees(4).await;
    near.cluster.join(&far.address).await.expect("they meet");
    far.cluster.join(&near.address).await.expect("they meet");
    near.cluster.provide_namespace(NAMESPACE, vec!["a".into(), "b".into()]).await.expect("it is registered");
    far.cluster.namespace_appeared(NAMESPACE).await;
    let _workers = [near.client().work(), far.client().work()];
    begin(&near.client(), 0..10).await;

    let mut operator = StatusServiceClient::new(near.channel());
    let connected = async {
        loop {
            let status = operator.get_replication_status(GetReplicationStatusRequest::default()).await;
            let peers = status.expect("it is answered").into_inner().peers;
            if peers.iter().any(|peer| peer.connected && peer.lag_tasks == Some(0)) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, connected).await.expect("all shards are connected and have told everything");

    let request = HandOverRequest { namespace: NAMESPACE.into(), to_cluster: "b".into(), ..Default::default() };
    // The other side may just be reading what it is to have.
    let begun = async {
        loop {
            match FailoverServiceClient::new(near.channel()).hand_over(request.clone()).await {
                Ok(progress) => return progress.into_inner(),
                Err(status) => assert_eq!(status.code(), Code::FailedPrecondition, "{status}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let mut progress = timeout(LONG, begun).await.expect("it begins");
    let mut last = None;
    while let Some(message) = timeout(LONG, progress.message()).await.expect("in time").expect("it is told") {
        last = message.stage;
    }
    let Some(Stage::Ended(ended)) = last else { panic!("the last word is {last:?}") };
    assert_eq!(ended.result(), HandoverResult::Moved, "{ended:?}");
    begin(&far.client(), 10..20).await;
    finish(&far.client(), 0..20).await;
}

async fn begin(client: &Client, workflows: std::ops::Range<usize>) {
    for number in workflows {
        client.begin(&format!("w{number}")).await;
    }
}

async fn finish(client: &Client, workflows: std::ops::Range<usize>) {
    for number in workflows {
        let id = format!("w{number}");
        let story = timeout(LONG, client.finished(&id)).await.unwrap_or_else(|_| panic!("{id} is not finished"));
        // An attempt that was lost with a host is repeated, and nothing else is.
        let count = |wanted: EventType| story.iter().filter(|event| **event == wanted).count();
        for event in [EventType::WorkflowExecutionStarted, EventType::ActivityTaskScheduled, *STORY.last().unwrap()] {
            assert_eq!(count(event), 1, "{id}: {story:?}");
        }
    }
}
