//! Writes what the fuzzers begin with: what a real cluster told, what our code writes, what people write.
//!
//! `cargo test -p fuzz-targets --test seeds -- --ignored` writes the files `seed-*` of every corpus again. Ids are drawn
//! from fixed seeds, so files change when formats do.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use frontend::tokens::{Direction, HistoryToken, QueryToken, TaskOf, TaskToken};
use fuzz_targets::{
    KINDS, Step, chunks,
    world::{self, World},
};
use prost::Message;
use prost_types::Duration;
use proto::meridian::replication::v1::{AckExtension, Seeded, Settled, StreamExtension, Wanted};
use proto::temporal::{
    api::{
        command::v1::{self as command, Command, command::Attributes as Ordered},
        common::v1::{ActivityType, DataBlob, WorkflowType},
        enums::v1::CommandType,
        history::v1::{History, HistoryEvent},
        taskqueue::v1::TaskQueue,
        workflowservice::v1 as api,
    },
    server::api::{
        adminservice::v1::{
            GetNamespaceReplicationMessagesResponse, StreamWorkflowReplicationMessagesRequest,
            StreamWorkflowReplicationMessagesResponse, stream_workflow_replication_messages_request::Attributes as Ack,
            stream_workflow_replication_messages_response::Attributes as Told,
        },
        history::v1::VersionHistoryItem as WireItem,
        replication::v1::{
            HistoryTaskAttributes, NamespaceTaskAttributes, ReplicationTask, SyncReplicationState,
            WorkflowReplicationMessages, replication_task::Attributes,
        },
    },
};
use replicator::{
    entropy::Entropy,
    history::Branch,
    ids::{EventId, RunKey},
    namespace::{Namespace, stored},
    shard::io::{Call, RunChange, StoredRun, TaskClaim, Transaction},
    version::{FailoverVersion, VersionHistory, VersionHistoryItem},
};

/// Corpora, and in them names and contents.
type Seeds = BTreeMap<(&'static str, String), Vec<u8>>;

#[test]
#[ignore = "writes into the repository"]
fn write() {
    let mut seeds = Seeds::new();
    written_by_people(&mut seeds);
    tokens(&mut seeds);
    told(&mut seeds);
    lived(&mut seeds);
    extremes(&mut seeds);
    told_anew(&mut seeds);
    gossip(&mut seeds);
    let corpus = repository().join("tests/fuzz/corpus");
    for ((target, name), data) in seeds {
        fs::create_dir_all(corpus.join(target)).expect("make a corpus");
        fs::write(corpus.join(target).join(format!("seed-{name}")), data).expect("write a seed");
    }
}

/// What a host hears of another one that comes.
fn gossip(seeds: &mut Seeds) {
    let second = std::time::Duration::from_secs(1);
    let [mut here, mut there] = [1, 2].map(|number| {
        let member = fuzz_targets::member(number);
        let mut gossip = membership::Gossip::new(member, fuzz_targets::CLUSTER, second, Entropy::new(number.into()));
        gossip.handle_seeds(std::time::Duration::ZERO, vec![fuzz_targets::member(3 - number)]);
        gossip
    });
    let mut heard = Vec::new();
    for step in 0..20 {
        let now = second * step / 4;
        while let Some((_, datagram)) = there.poll_datagram() {
            chunks::add(&mut heard, 0, &datagram);
            here.handle_datagram(now, &datagram);
        }
        while let Some((_, datagram)) = here.poll_datagram() {
            there.handle_datagram(now, &datagram);
        }
        here.handle_timeout(now);
        there.handle_timeout(now);
    }
    seeds.insert(("gossip", "two".into()), heard);
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn written_by_people(seeds: &mut Seeds) {
    for name in ["cluster-a.yaml", "cluster-b.yaml"] {
        let text = fs::read(repository().join("deploy").join(name)).expect("read a configuration");
        seeds.insert(("config", name.into()), text);
    }
    let odd: [(&str, &str); 5] = [
        ("aliases", "log: &log {level: info}\npersistence: *log\nglobal: [*log, *log]\n"),
        (
            "numbers",
            "persistence: {numHistoryShards: 99999999999999999999}\nclusterMetadata: {failoverVersionIncrement: -1}\n",
        ),
        ("twice", "log: {level: info}\nlog: {level: warn}\n"),
        ("tags", "log: !!str {level: !!binary aGVsbG8=}\n? [complex]\n: key\n"),
        ("deep", "a: [[[[[[[[[[[[[[[[{b: {c: {d: {e: {f: []}}}}}]]]]]]]]]]]]]]]]\n"),
    ];
    seeds.extend(odd.map(|(name, text)| (("config", name.into()), text.into())));
    let filters = [
        "",
        "WorkflowType = 'type'",
        "WorkflowId IN ('a', \"b\") AND (ExecutionStatus != 'Running' OR NOT CloseTime IS NULL)",
        "StartTime BETWEEN '2026-01-01T00:00:00Z' AND '2026-12-31T23:59:59.999999999+14:00'",
        "WorkflowId STARTS_WITH 'order-' AND ExecutionDuration > '1h30m' ORDER BY StartTime DESC, WorkflowId",
        "HistoryLength >= 10 AND HistorySizeBytes < 1e9 OR StateTransitionCount <= -3",
        "ExecutionStatus = 2 GROUP BY ExecutionStatus",
        "`WorkflowId` = 'it''s' and RunId <> \"\\\"\" -- comment",
        "((((((((((NOT NOT WorkflowId = 'a'))))))))))",
        "CloseTime > 1700000000000000000 ORDER BY CloseTime\0\u{1}\u{7f}",
    ];
    let filters = filters.iter().enumerate();
    seeds.extend(filters.map(|(number, text)| (("filter", number.to_string()), text.as_bytes().to_vec())));
}

/// As they travel, and what is inside.
fn tokens(seeds: &mut Seeds) {
    let RunKey { workflow, run } = world::run();
    let claim = TaskClaim {
        scheduled: EventId(2),
        started: EventId(3),
        started_time: world::NOW,
        attempt: 1,
        version: FailoverVersion(12),
    };
    let activity = TaskOf::Activity {
        scheduled: EventId(5),
        attempt: 3,
        version: FailoverVersion(1),
        activity_id: "activity".into(),
    };
    let item = |event, version| VersionHistoryItem { event_id: EventId(event), version: FailoverVersion(version) };
    let mut entropy = Entropy::new(2);
    let root = Branch::root(run, &mut entropy);
    let fork = root.fork(EventId(5), &mut entropy);
    let history = HistoryToken {
        run,
        first: EventId(4),
        end: EventId(9),
        is_open: true,
        branch: fork.token(),
        versions: VersionHistory::from_items([item(4, 1), item(8, 12)].into()).expect("a history"),
    };
    let query = QueryToken { namespace: workflow.namespace, task_queue: "queue".into(), query: "query".into() };
    let tokens = [
        ("workflow", TaskToken { workflow: workflow.clone(), run, task: TaskOf::Workflow(claim) }.encode()),
        ("activity", TaskToken { workflow, run, task: activity }.encode()),
        ("query", query.encode()),
        ("history", history.encode(Direction::Forward)),
        ("reverse", history.encode(Direction::Reverse)),
    ];
    for (name, token) in tokens {
        seeds.insert(("token", format!("{name}-inside")), token[2..token.len() - 4].to_vec());
        seeds.insert(("token", name.into()), token.into());
    }
    for (name, branch) in [("root", root), ("fork", fork)] {
        seeds.insert(("branch", name.into()), branch.token().into());
    }
}

/// What a real cluster told.
fn told(seeds: &mut Seeds) {
    let golden = repository().join("tests/golden");
    let names = fs::read_dir(golden).expect("the captured messages").map(|file| file.expect("a file").path());
    for path in names.filter(|path| path.extension().is_some_and(|extension| extension == "bin")) {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let data = fs::read(&path).expect("read a captured message");
        if name.starts_with("ns-") {
            let task = task_of_namespace(&data);
            if let Some(task) = task {
                let mut steps = Vec::new();
                chunks::add(&mut steps, tag(Step::Namespace), &task.encode_to_vec());
                seeds.insert(("shard", name.clone()), steps);
                seeds.insert(("namespace_task", name), data);
            }
        } else if name.starts_with("ev-") || name.starts_with("st-") || name.starts_with("stream-") {
            stream(seeds, &name, &data);
        }
    }
}

fn task_of_namespace(data: &[u8]) -> Option<NamespaceTaskAttributes> {
    let tasks = GetNamespaceReplicationMessagesResponse::decode(data).ok()?.messages?.replication_tasks;
    tasks.into_iter().find_map(|task| match task.attributes {
        Some(Attributes::NamespaceTaskAttributes(task)) => Some(task),
        _ => None,
    })
}

fn stream(seeds: &mut Seeds, name: &str, data: &[u8]) {
    let Ok(message) = StreamWorkflowReplicationMessagesResponse::decode(data) else { return };
    let Some(Told::Messages(messages)) = message.attributes else { return };
    for task in &messages.replication_tasks {
        seeds.insert(("frame", name.into()), task.encode_to_vec());
        if let Some(Attributes::HistoryTaskAttributes(attributes)) = &task.attributes {
            let mut history = Vec::new();
            for batch in attributes.events.iter().chain(&attributes.events_batches) {
                chunks::add(&mut history, 0, &batch.data);
            }
            seeds.insert(("history", name.into()), history);
        }
    }
    if name.starts_with("ev-") || name.starts_with("stream-") {
        let mut steps = Vec::new();
        chunks::add(&mut steps, tag(Step::Tasks), data);
        for step in [Step::Reconnect, Step::Promote, Step::Work, Step::Later, Step::Look] {
            chunks::add(&mut steps, tag(step), b"");
        }
        seeds.insert(("shard", name.into()), steps);
    }
}

/// Numbers where arithmetic ends, which mutations seldom find.
fn extremes(seeds: &mut Seeds) {
    for (name, number) in [("max", i64::MAX), ("min", i64::MIN)] {
        let told = WorkflowReplicationMessages {
            exclusive_high_watermark: number,
            replication_tasks: vec![ReplicationTask { source_task_id: number, ..ReplicationTask::default() }],
            meridian: Some(StreamExtension {
                settled: vec![Settled { namespace_id: world::namespace().id.to_string(), failover_version: number }],
                ..StreamExtension::default()
            }),
            ..WorkflowReplicationMessages::default()
        };
        let bare = WorkflowReplicationMessages { replication_tasks: Vec::new(), ..told.clone() };
        let ack = SyncReplicationState { inclusive_low_watermark: number, ..SyncReplicationState::default() };
        let ack = StreamWorkflowReplicationMessagesRequest { attributes: Some(Ack::SyncReplicationState(ack)) };
        let mut steps = Vec::new();
        for messages in [told, bare] {
            let message = StreamWorkflowReplicationMessagesResponse { attributes: Some(Told::Messages(messages)) };
            chunks::add(&mut steps, tag(Step::Tasks), &message.encode_to_vec());
        }
        chunks::add(&mut steps, tag(Step::Ack), &ack.encode_to_vec());
        chunks::add(&mut steps, tag(Step::Later), b"9");
        seeds.insert(("shard", format!("extreme-{name}")), steps);

        let event = |event_id| HistoryEvent { event_id, version: number.max(0), ..HistoryEvent::default() };
        let blob = |event_id| DataBlob {
            data: History { events: vec![event(event_id)] }.encode_to_vec().into(),
            ..DataBlob::default()
        };
        let RunKey { workflow, run } = world::run();
        let attributes = HistoryTaskAttributes {
            namespace_id: workflow.namespace.to_string(),
            workflow_id: workflow.workflow.to_string(),
            run_id: run.to_string(),
            version_history_items: vec![WireItem { event_id: i64::MAX, version: number.max(0) }],
            events_batches: vec![blob(i64::MAX), blob(i64::MAX)],
            ..HistoryTaskAttributes::default()
        };
        let attributes = Some(Attributes::HistoryTaskAttributes(attributes));
        let task = ReplicationTask { attributes, source_task_id: number, ..ReplicationTask::default() };
        seeds.insert(("frame", format!("extreme-{name}")), task.encode_to_vec());
    }
}

/// A peer that lost what we did not hear of, and one that wants to hear all from us.
fn told_anew(seeds: &mut Seeds) {
    let namespace_id = world::namespace().id.to_string();
    let tell = |watermark, extension| {
        let messages = WorkflowReplicationMessages {
            exclusive_high_watermark: watermark,
            meridian: Some(extension),
            ..WorkflowReplicationMessages::default()
        };
        StreamWorkflowReplicationMessagesResponse { attributes: Some(Told::Messages(messages)) }.encode_to_vec()
    };
    let seeded = |is_complete| Seeded {
        namespace_id: namespace_id.clone(),
        workflow_id: "workflow".into(),
        run_id: world::run().run.to_string(),
        is_complete,
        question: 1,
    };
    let gap = StreamExtension { gap: true, ..StreamExtension::default() };
    let page = StreamExtension { seeded: vec![seeded(false), seeded(true)], ..StreamExtension::default() };
    let ack = |wanted, done_tasks| {
        let meridian = Some(AckExtension { wanted, done_tasks });
        let ack = SyncReplicationState { inclusive_low_watermark: 1, meridian, ..SyncReplicationState::default() };
        StreamWorkflowReplicationMessagesRequest { attributes: Some(Ack::SyncReplicationState(ack)) }.encode_to_vec()
    };
    let wanted = |after: &str| Wanted {
        namespace_id: namespace_id.clone(),
        workflow_id: after.into(),
        run_id: if after.is_empty() { String::new() } else { world::run().run.to_string() },
        question: 1,
    };
    let mut steps = Vec::new();
    chunks::add(&mut steps, tag(Step::Tasks), &tell(100, gap));
    chunks::add(&mut steps, tag(Step::Later), b"1");
    chunks::add(&mut steps, tag(Step::Tasks), &tell(200, page));
    chunks::add(&mut steps, tag(Step::Ack), &ack(vec![wanted(""), wanted("workflow")], 0));
    chunks::add(&mut steps, tag(Step::Ack), &ack(Vec::new(), u64::MAX));
    chunks::add(&mut steps, tag(Step::Restart), b"");
    seeds.insert(("shard", "told-anew".into()), steps);
}

fn tag(step: Step) -> u8 {
    let at = Step::ALL.iter().position(|other| *other == step).expect("a step");
    u8::try_from(at).expect("few steps")
}

/// A run that lives here, and what is written of it on the way.
fn lived(seeds: &mut Seeds) {
    let namespace = world::namespace();
    seeds.insert(("namespace_row", "global".into()), stored::encode(&namespace));
    let local = Namespace::local(namespace.id, "local", "y".into(), namespace.retention);
    seeds.insert(("namespace_row", "local".into()), stored::encode(&local));

    let mut world = World::new();
    world.fail_over(world::HERE);
    // Nobody says that it settled.
    world.later(60);
    world.written = Some(Vec::new());
    let run = world::run();
    let start = api::StartWorkflowExecutionRequest {
        workflow_id: run.workflow.workflow.to_string(),
        workflow_type: Some(WorkflowType { name: "type".into() }),
        task_queue: Some(TaskQueue { name: "queue".into(), ..TaskQueue::default() }),
        request_id: "start".into(),
        workflow_run_timeout: Some(seconds(600)),
        workflow_task_timeout: Some(seconds(10)),
        ..api::StartWorkflowExecutionRequest::default()
    };
    world.call_current(&run.workflow, Call::Start(Box::new(start)));
    world.work();
    let signal = |name: &str| {
        let name = name.to_owned();
        let signal = api::SignalWorkflowExecutionRequest {
            signal_name: name.clone(),
            request_id: name,
            ..api::SignalWorkflowExecutionRequest::default()
        };
        Call::Signal(Box::new(signal))
    };
    world.call_current(&run.workflow, signal("buffered"));
    let claim = TaskClaim {
        scheduled: EventId(2),
        started: EventId(3),
        started_time: world.now(),
        attempt: 1,
        version: FailoverVersion(2),
    };
    let completion = api::RespondWorkflowTaskCompletedRequest {
        commands: commands(),
        ..api::RespondWorkflowTaskCompletedRequest::default()
    };
    world.call_current(&run.workflow, Call::CompleteWorkflowTask(claim, Box::new(completion)));
    world.work();
    world.call_current(&run.workflow, signal("second"));
    world.later(2);
    world.call_current(&run.workflow, Call::Terminate(Box::default()));

    let written = world.written.take().expect("it was asked for");
    assert!(written.len() > 5, "the run went on: {written:?}");
    rows(seeds, &written);
}

fn commands() -> Vec<Command> {
    let activity = command::ScheduleActivityTaskCommandAttributes {
        activity_id: "activity".into(),
        activity_type: Some(ActivityType { name: "type".into() }),
        task_queue: Some(TaskQueue { name: "queue".into(), ..TaskQueue::default() }),
        start_to_close_timeout: Some(seconds(60)),
        heartbeat_timeout: Some(seconds(5)),
        ..command::ScheduleActivityTaskCommandAttributes::default()
    };
    let timer =
        command::StartTimerCommandAttributes { timer_id: "timer".into(), start_to_fire_timeout: Some(seconds(1)) };
    let ordered = |kind: CommandType, attributes| Command {
        command_type: kind.into(),
        attributes: Some(attributes),
        ..Command::default()
    };
    vec![
        ordered(CommandType::ScheduleActivityTask, Ordered::ScheduleActivityTaskCommandAttributes(activity)),
        ordered(CommandType::StartTimer, Ordered::StartTimerCommandAttributes(timer)),
    ]
}

fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

fn rows(seeds: &mut Seeds, written: &[Transaction]) {
    let mut history = Vec::new();
    let mut items = BTreeMap::new();
    for (number, transaction) in written.iter().enumerate() {
        for task in &transaction.tasks {
            seeds.insert(("task_row", format!("{number}-{}", task.key.id)), task.encode().into());
        }
        for write in &transaction.history {
            chunks::add(&mut history, 0, &write.events);
        }
        for write in &transaction.runs {
            let RunChange::Put { record, state, upserts, deletes } = &write.change else { continue };
            items.extend(upserts.iter().cloned());
            items.retain(|key, _: &mut Bytes| !deletes.contains(key));
            let stored = StoredRun {
                run: write.run.clone(),
                record: *record,
                state: state.clone(),
                items: items.clone().into_iter().collect(),
            };
            seeds.insert(("run_row", number.to_string()), row_of_run(&stored));
        }
    }
    seeds.insert(("history", "lived".into()), history);
}

fn row_of_run(stored: &StoredRun) -> Vec<u8> {
    let mut row = Vec::new();
    chunks::add(&mut row, 0, &stored.state);
    for (key, value) in &stored.items {
        let length = u8::try_from(key.key.len()).expect("a short key");
        let item = [&[length][..], &key.key, value].concat();
        let kind = KINDS.iter().position(|kind| *kind == key.kind).expect("a known kind");
        chunks::add(&mut row, u8::try_from(kind).expect("few kinds"), &item);
    }
    row
}
