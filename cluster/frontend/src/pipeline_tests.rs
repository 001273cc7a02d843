use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use proto::temporal::api::{
    common::v1::{WorkflowExecution, WorkflowType},
    enums::v1::QueryResultType,
    query::v1::WorkflowQuery,
    taskqueue::v1::TaskQueue,
    workflowservice::v1 as api,
};
use replicator::{
    ids::{EventId, RunKey, WorkflowKey},
    namespace::{Namespace, NamespaceState},
    shard::io::{
        Call, DirectQuery, Dispatch, DispatchQueue, Failure, Reply, Request, Response, RunView, StartedActivity,
        StartedWorkflowTask, TaskClaim,
    },
    time::Timestamp,
    version::FailoverVersion,
};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status, transport::Channel};

use crate::{
    Peers, Policy,
    errors::active_cluster,
    fake::{Empty, FakeRun, FakeShards, RUN, World, namespace, serve},
    rpcs::{RPCS, Scope},
    tokens::{TaskOf, TaskToken},
};

#[tokio::test(start_paused = true)]
async fn the_namespace_is_looked_at_first() {
    let world = World::alone(|_, _| Ok(Response::Done));
    let mut old = namespace("old");
    old.state = NamespaceState::Deprecated;
    world.namespaces.put(old);
    let check = async |method: &str, request: Vec<u8>, code: Code, text: &str| {
        let found = world.refusal(method, request).await;
        assert_eq!((found.0, found.1.as_str()), (code, text), "{method}");
    };
    let (invalid, missing) = (Code::InvalidArgument, Code::NotFound);

    let start = |namespace: &str| {
        api::StartWorkflowExecutionRequest { namespace: namespace.into(), ..Default::default() }.encode_to_vec()
    };
    let method = "StartWorkflowExecution";
    check(method, start(""), invalid, "Namespace is empty.").await;
    check(method, start(&"x".repeat(1001)), invalid, "Namespace length exceeds limit.").await;
    check(method, start("nope"), missing, "Namespace nope is not found.").await;
    check(method, start("orders"), invalid, "WorkflowId is not set on request.").await;
    let deprecated = "Namespace has invalid state: Deprecated. Must be Registered.";
    check(method, start("old"), Code::FailedPrecondition, deprecated).await;
    let signal = api::SignalWorkflowExecutionRequest { namespace: "old".into(), ..Default::default() };
    check("SignalWorkflowExecution", signal.encode_to_vec(), invalid, "Execution is not set on request.").await;

    let complete = |namespace: &str, token: &Bytes| {
        let (namespace, task_token) = (namespace.into(), token.clone());
        api::RespondWorkflowTaskCompletedRequest { namespace, task_token, ..Default::default() }.encode_to_vec()
    };
    let token = |namespace: &str, task| TaskToken { workflow: key(namespace), run: RUN, task }.encode();
    let (none, nonsense, task) = (Bytes::new(), Bytes::from_static(b"abc"), token("orders", workflow_task()));
    let method = "RespondWorkflowTaskCompleted";
    check(method, complete("", &none), invalid, "Task token not set on request.").await;
    check(method, complete("orders", &none), invalid, "Task token not set on request.").await;
    check(method, complete("orders", &nonsense), invalid, "Error deserializing task token.").await;
    check(method, complete("nope", &none), missing, "Namespace nope is not found.").await;
    let other = "Operation requested with a token from a different namespace.";
    check(method, complete("old", &task), invalid, other).await;
    let gone = format!("Namespace {} is not found.", namespace("gone").id);
    check(method, complete("", &token("gone", workflow_task())), missing, &gone).await;
    check(method, complete("", &token("orders", activity())), missing, "Workflow task not found.").await;
}

#[tokio::test(start_paused = true)]
async fn every_method_of_the_table_has_a_handler() {
    let world = World::alone(|_, _| Ok(Response::Done));
    let on_namespace = api::SignalWorkflowExecutionRequest { namespace: "orders".into(), ..Default::default() };
    for rpc in &RPCS {
        let request = if rpc.scope == Scope::Cluster { Vec::new() } else { on_namespace.encode_to_vec() };
        let (code, message) = world.refusal(rpc.name, request).await;
        assert_ne!(code, Code::Internal, "{}: {message}", rpc.name);
        assert_ne!(code, Code::Unimplemented, "{}: {message}", rpc.name);
    }
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_refused() {
    let world = World::alone(|_, _| Ok(Response::Done));
    for rpc in RPCS.iter().filter(|rpc| rpc.scope != Scope::Cluster) {
        let (code, _) = world.refusal(rpc.name, vec![0xff; 9]).await;
        assert_eq!(code, Code::Internal, "{}", rpc.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_with_its_deadline() {
    let world = World::alone(|_, _| panic!("nobody answers"));
    let request = api::GetWorkflowExecutionHistoryRequest {
        namespace: "orders".into(),
        execution: execution(),
        wait_new_event: true,
        history_event_filter_type: 2,
        ..Default::default()
    };
    world.shards.put(FakeRun { batches: "1-3".into(), ..Default::default() });
    let short = Some(Duration::ZERO);
    let outcome = world.call::<Empty>("GetWorkflowExecutionHistory", &request, &[], short).await;
    assert_eq!(outcome.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn polls_are_refused_without_time_to_wait() {
    let world = World::alone(|_, _| Ok(Response::Done));
    let check = async |timeout: Option<u64>, expected: Result<u128, (Code, &str)>| {
        let began = Instant::now();
        let timeout = timeout.map(Duration::from_millis);
        let outcome = world.call::<Empty>("PollWorkflowTaskQueue", &poll(), &[], timeout).await;
        let outcome = outcome.map(|_| began.elapsed().as_millis());
        let found = outcome.as_ref().map(|elapsed| *elapsed).map_err(|status| (status.code(), status.message()));
        assert_eq!(found, expected);
    };
    check(None, Err((Code::InvalidArgument, "Context timeout is not set."))).await;
    check(Some(1_999), Err((Code::FailedPrecondition, "Context timeout is too short."))).await;
    check(Some(2_200), Ok(1_200)).await;
    check(Some(70_000), Ok(60_000)).await;
}

/// Wherever a poll is broken off, the next one gets the task, although its shard starts it under one name and no other.
#[tokio::test(start_paused = true)]
async fn a_poll_that_is_broken_off_loses_no_task() {
    let mut started = 0;
    for looks in 0.. {
        let first = OnceLock::new();
        let world = World::alone(move |request, view| match &request.call {
            Call::StartWorkflowTask { request_id, .. } if first.get_or_init(|| request_id.clone()) != request_id => {
                Err(Failure::NotFound("started by another".into()))
            }
            _ => answer("order", request, view),
        });
        world.shards.put(FakeRun { batches: "1-2 3-3".into(), ..Default::default() });
        world.matching.offer(dispatch(DispatchQueue::Workflow("q".into())), 0);
        let mut broken_off = Box::pin(polled(&world));
        for _ in 0..looks {
            if futures_util::poll!(&mut broken_off).is_ready() {
                assert!(started > 0, "none was broken off after the start");
                return;
            }
            tokio::task::yield_now().await;
        }
        drop(broken_off);
        started += world.shards.calls().len();
        assert_eq!(polled(&world).await.unwrap().started_event_id, 3, "broken off after {looks} looks");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_gets_a_task_with_its_history() {
    let world = World::alone(|request, view| answer("order", request, view));
    world.shards.put(FakeRun { batches: "1-2 3-3".into(), ..Default::default() });
    world.matching.offer(dispatch(DispatchQueue::Workflow("q".into())), 0);
    let task = polled(&world).await.unwrap();
    let ids: Vec<_> = task.history.unwrap().events.iter().map(|event| event.event_id).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!((task.started_event_id, task.attempt), (3, 1));
    assert!(task.next_page_token.is_empty());
    let token = TaskToken::decode(&task.task_token).unwrap();
    assert_eq!((token.workflow, token.run, token.task), (key("orders"), RUN, workflow_task()));
}

#[tokio::test(start_paused = true)]
async fn a_long_history_goes_on_in_pages() {
    let world = World::alone(|request, view| answer("order", request, view));
    let batches: Vec<_> = (0..60).map(|n| format!("{}-{}", n * 5 + 1, n * 5 + 5)).collect();
    world.shards.put(FakeRun { batches: batches.join(" "), transient: vec![301, 302], ..Default::default() });
    world.matching.offer(dispatch(DispatchQueue::Workflow("q".into())), 0);
    let task = polled(&world).await.unwrap();
    let mut ids: Vec<_> = task.history.unwrap().events.iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), 260);
    let request = api::GetWorkflowExecutionHistoryRequest {
        namespace: "orders".into(),
        execution: task.workflow_execution,
        next_page_token: task.next_page_token,
        ..Default::default()
    };
    let page: api::GetWorkflowExecutionHistoryResponse =
        world.call("GetWorkflowExecutionHistory", &request, &[], None).await.unwrap();
    ids.extend(page.history.unwrap().events.iter().map(|event| event.event_id));
    assert!(page.next_page_token.is_empty());
    assert_eq!(ids, (1..=302).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_be_started_is_not_an_answer() {
    let refusals = Mutex::new(vec![
        Failure::Unavailable("busy".into()),
        Failure::NotFound("stale".into()),
        Failure::NotActive { namespace: "orders".into(), current: "a".into(), active: "b".into() },
    ]);
    let world = World::alone(move |request, view| match refusals.lock().unwrap().pop() {
        Some(refusal) => Err(refusal),
        None => answer("order", request, view),
    });
    world.shards.put(FakeRun { batches: "1-2 3-3".into(), ..Default::default() });
    let offers = async {
        for _ in 0..3 {
            world.matching.offer(dispatch(DispatchQueue::Workflow("q".into())), 0);
            sleep(Duration::from_secs(1)).await;
        }
        // Not active, then stale, then busy; what was busy, matching offers again by itself.
        world.matching.run().await;
    };
    let task = tokio::select! {
        task = polled(&world) => task.unwrap(),
        () = offers => unreachable!("it runs for ever"),
    };
    assert!(!task.task_token.is_empty());
    assert_eq!(world.shards.calls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn activities_come_with_a_token() {
    let world = World::alone(|_, _| {
        let poll = api::PollActivityTaskQueueResponse { activity_id: "a1".into(), attempt: 2, ..Default::default() };
        let started = StartedActivity { poll, scheduled: EventId(5), version: FailoverVersion(1) };
        Ok(Response::ActivityTask(Box::new(started)))
    });
    world.matching.offer(dispatch(DispatchQueue::Activity("q".into())), 0);
    let request =
        api::PollActivityTaskQueueRequest { namespace: "orders".into(), task_queue: queue(), ..Default::default() };
    let task: api::PollActivityTaskQueueResponse =
        world.call("PollActivityTaskQueue", &request, &[], minute()).await.unwrap();
    let token = TaskToken::decode(&task.task_token).unwrap();
    assert_eq!((token.task, task.attempt), (activity(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_query_goes_to_the_worker_that_has_the_run_and_then_to_any() {
    let world = World::alone(|request, view| match &request.call {
        Call::Query(_) => Ok(Response::QueryDirectly(Box::new(direct(view, Some("host"))))),
        Call::ResetSticky => Ok(Response::Done),
        call => panic!("{call:?}"),
    });
    world.shards.put(FakeRun { batches: "1-3 4-4".into(), ..Default::default() });
    let asked = query();
    let asker = async {
        sleep(Duration::from_secs(1)).await;
        world.call::<api::QueryWorkflowResponse>("QueryWorkflow", &asked, &[], minute()).await
    };
    let worker = async {
        let task = polled(&world).await.unwrap();
        assert_eq!(task.query.as_ref().map(|query| query.query_type.as_str()), Some("state"));
        assert_eq!(task.history.map(|history| history.events.len()), Some(4));
        assert_eq!((task.previous_started_event_id, task.started_event_id), (3, 0));
        let (method, answer) = ("RespondQueryTaskCompleted", answered(task.task_token));
        world.call::<Empty>(method, &answer, &[], None).await.unwrap();
        let again = world.call::<Empty>(method, &answer, &[], None).await.unwrap_err();
        assert_eq!((again.code(), again.message()), (Code::NotFound, "query task not found, or already expired"));
    };
    let (answer, ()) = tokio::join!(asker, worker);
    assert!(answer.unwrap().query_result.is_some());
    assert!(world.shards.calls().iter().any(|request| request.call == Call::ResetSticky));
}

#[tokio::test(start_paused = true)]
async fn a_query_waits_for_a_worker_that_comes_after_it() {
    let world = World::alone(|_, view| Ok(Response::QueryDirectly(Box::new(direct(view, None)))));
    let asked = query();
    let asker = world.call::<api::QueryWorkflowResponse>("QueryWorkflow", &asked, &[], minute());
    let worker = async {
        sleep(Duration::from_secs(58)).await;
        let task = polled(&world).await.unwrap();
        world.call::<Empty>("RespondQueryTaskCompleted", &answered(task.task_token), &[], None).await.unwrap();
    };
    let (answer, ()) = tokio::join!(asker, worker);
    assert!(answer.unwrap().query_result.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_query_that_nobody_can_answer() {
    let world = World::alone(|_, view| Ok(Response::QueryDirectly(Box::new(direct(view, None)))));
    let outcome = world.call::<Empty>("QueryWorkflow", &query(), &[], minute()).await.unwrap_err();
    let text = "no poller seen for task queue recently, worker may be down";
    assert_eq!((outcome.code(), outcome.message()), (Code::FailedPrecondition, text));
}

#[tokio::test(start_paused = true)]
async fn a_start_goes_to_the_active_cluster_and_appears_once() {
    let pair = Pair::new(Policy::AllApis);
    pair.everywhere("b");
    assert_eq!(pair.start_on_a(&[]).await.unwrap(), "b");
    assert_eq!(pair.calls(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn who_insists_is_answered_here() {
    let pair = Pair::new(Policy::AllApis);
    pair.everywhere("b");
    let refused = pair.start_on_a(&[("xdc-redirection", "false")]).await.unwrap_err();
    assert_eq!((refused.code(), active_cluster(&refused)), (Code::FailedPrecondition, Some("b".into())));
    assert_eq!(pair.calls(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_a_call_stays() {
    let pair = Pair::new(Policy::Noop);
    pair.everywhere("b");
    assert_eq!(active_cluster(&pair.start_on_a(&[]).await.unwrap_err()), Some("b".into()));
    assert_eq!(pair.calls(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_names_the_other_cluster_is_followed_once() {
    // The frontend of a is behind what its shards know.
    let pair = Pair::new(Policy::AllApis);
    pair.everywhere("b");
    pair.a.world.namespaces.put(active_in("a"));
    assert_eq!(pair.start_on_a(&[]).await.unwrap(), "b");
    assert_eq!(pair.calls(), (1, 1));

    // The same, the other way round.
    let pair = Pair::new(Policy::AllApis);
    pair.everywhere("a");
    pair.a.world.namespaces.put(active_in("b"));
    assert_eq!(pair.start_on_a(&[]).await.unwrap(), "a");
    assert_eq!(pair.calls(), (1, 1));

    // Each thinks it is the other's: a library repeats what is unavailable, and not what failed a precondition.
    let pair = Pair::new(Policy::AllApis);
    pair.a.believes("b");
    pair.b.believes("a");
    assert_eq!(pair.start_on_a(&[]).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(pair.calls(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_faster_than_the_news_waits_for_them() {
    let soon = || sleep(Duration::from_millis(20));
    // It was passed on to b, which does not know yet that it is active.
    let pair = Pair::new(Policy::AllApis);
    pair.a.believes_in("b", 2);
    pair.b.believes_in("a", 1);
    let news = async {
        soon().await;
        pair.b.believes_in("b", 2);
    };
    let (started, ()) = tokio::join!(pair.start_on_a(&[]), news);
    assert_eq!((started.unwrap().as_str(), pair.calls()), ("b", (0, 2)));

    // It was passed on to b, which knows that a is active, and says so at once; a hears of it later.
    let pair = Pair::new(Policy::AllApis);
    pair.a.believes_in("b", 2);
    pair.b.believes_in("a", 11);
    let news = async {
        soon().await;
        pair.a.believes_in("a", 11);
    };
    let (started, ()) = tokio::join!(pair.start_on_a(&[]), news);
    assert_eq!((started.unwrap().as_str(), pair.calls()), ("a", (2, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_not_reached_makes_a_call_unavailable() {
    let pair = Pair::new(Policy::AllApis);
    pair.everywhere("b");
    pair.cut();
    assert_eq!(pair.start_on_a(&[]).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_poll_on_the_standby_gets_the_active_clusters_task() {
    let pair = Pair::new(Policy::AllApis);
    pair.everywhere("b");
    let began = Instant::now();
    let later = async {
        sleep(Duration::from_secs(5)).await;
        pair.b.world.matching.offer(dispatch(DispatchQueue::Workflow("q".into())), 0);
    };
    let (task, ()) = tokio::join!(polled(&pair.a.world), later);
    assert_eq!(task.unwrap().workflow_type.unwrap().name, "b");
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_poll_outlives_failovers_in_both_directions() {
    for (before, after) in [("a", "b"), ("b", "a")] {
        let pair = Pair::new(Policy::AllApis);
        pair.everywhere(before);
        let began = Instant::now();
        let failover = async {
            sleep(Duration::from_secs(5)).await;
            pair.b.believes(after);
            sleep(Duration::from_millis(20)).await;
            pair.a.believes(after);
            pair.of(after).world.matching.offer(dispatch(DispatchQueue::Workflow("q".into())), 0);
        };
        let (task, ()) = tokio::join!(polled(&pair.a.world), failover);
        assert_eq!(task.unwrap().workflow_type.unwrap().name, after);
        assert!(began.elapsed() < Duration::from_millis(5_200), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_waits_on_while_the_active_cluster_is_away() {
    let pair = Pair::new(Policy::AllApis);
    pair.everywhere("b");
    pair.cut();
    let began = Instant::now();
    let promotion = async {
        sleep(Duration::from_secs(5)).await;
        pair.a.believes("a");
        pair.a.world.matching.offer(dispatch(DispatchQueue::Workflow("q".into())), 0);
    };
    let (task, ()) = tokio::join!(polled(&pair.a.world), promotion);
    assert!(!task.unwrap().task_token.is_empty());
    assert_eq!(began.elapsed().as_secs(), 5);

    pair.a.believes("b");
    let began = Instant::now();
    assert!(polled(&pair.a.world).await.unwrap().task_token.is_empty());
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_completion_goes_to_the_active_cluster() {
    let pair = Pair::new(Policy::AllApis);
    pair.everywhere("b");
    let task_token = TaskToken { workflow: key("orders"), run: RUN, task: workflow_task() }.encode();
    let request = api::RespondWorkflowTaskCompletedRequest { task_token, ..Default::default() };
    let _: Empty = pair.a.world.call("RespondWorkflowTaskCompleted", &request, &[], minute()).await.unwrap();
    assert_eq!(pair.calls(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_query_finds_the_cluster_that_asks() {
    let pair = Pair::new(Policy::AllApis);
    pair.everywhere("b");
    let (a, b) = (&pair.a.world, &pair.b.world);
    let asked = query();
    let asker = async {
        sleep(Duration::from_secs(1)).await;
        a.call::<api::QueryWorkflowResponse>("QueryWorkflow", &asked, &[], minute()).await
    };
    let worker = async {
        let task = polled(a).await.unwrap();
        let answer = answered(task.task_token);
        a.call::<Empty>("RespondQueryTaskCompleted", &answer, &[], minute()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(asker, worker);
    assert!(answer.unwrap().query_result.is_some());
    assert_eq!(b.shards.calls().len(), 1);
}

/// Two clusters that reach each other.
struct Pair {
    a: Member,
    b: Member,
    is_cut: Arc<AtomicBool>,
}

/// One of them.
struct Member {
    world: World,
    /// What its shards know; what its frontend knows may be older.
    active: Arc<Mutex<String>>,
}

impl Pair {
    fn new(policy: Policy) -> Self {
        let is_cut = Arc::new(AtomicBool::new(false));
        let ways: [Arc<OnceLock<Channel>>; 2] = Default::default();
        let member = |name: &'static str, way: &Arc<OnceLock<Channel>>| {
            let (way, is_cut) = (way.clone(), is_cut.clone());
            Member::new(name, policy, Arc::new(move |_| way.get().filter(|_| !is_cut.load(Relaxed)).cloned()))
        };
        let (a, b) = (member("a", &ways[0]), member("b", &ways[1]));
        ways[0].set(serve(b.world.service())).unwrap();
        ways[1].set(serve(a.world.service())).unwrap();
        Self { a, b, is_cut }
    }

    fn of(&self, name: &str) -> &Member {
        if name == "a" { &self.a } else { &self.b }
    }

    fn everywhere(&self, active: &str) {
        self.a.believes(active);
        self.b.believes(active);
    }

    fn cut(&self) {
        self.is_cut.store(true, Relaxed);
    }

    fn calls(&self) -> (usize, usize) {
        (self.a.world.shards.calls().len(), self.b.world.shards.calls().len())
    }

    /// Start a run through a; answers the cluster that did it.
    async fn start_on_a(&self, headers: &[(&'static str, &str)]) -> Result<String, Status> {
        let request = api::StartWorkflowExecutionRequest {
            namespace: "orders".into(),
            workflow_id: "w".into(),
            workflow_type: Some(WorkflowType { name: "order".into() }),
            task_queue: queue(),
            ..Default::default()
        };
        let world = &self.a.world;
        let started = world.call("StartWorkflowExecution", &request, headers, minute()).await;
        started.map(|started: api::StartWorkflowExecutionResponse| started.run_id)
    }
}

impl Member {
    fn new(name: &'static str, policy: Policy, peers: Peers) -> Self {
        let active = Arc::new(Mutex::new(String::new()));
        let known = active.clone();
        let shards = FakeShards::new(move |request, view| {
            let active = known.lock().unwrap().clone();
            if active == name {
                return answer(name, request, view);
            }
            Err(Failure::NotActive { namespace: "orders".into(), current: name.into(), active })
        });
        shards.put(FakeRun { batches: "1-2 3-3".into(), ..Default::default() });
        Self { world: World::new(name, shards, policy, peers), active }
    }

    fn believes(&self, active: &str) {
        self.believes_in(active, 1);
    }

    fn believes_in(&self, active: &str, version: i64) {
        *self.active.lock().unwrap() = active.into();
        self.world.namespaces.put(Namespace { failover_version: FailoverVersion(version), ..active_in(active) });
    }
}

fn active_in(cluster: &str) -> Namespace {
    Namespace { active: cluster.into(), ..namespace("orders") }
}

/// What the shards of a cluster say; its name is where there is room for one.
fn answer(name: &str, request: &Request, view: RunView) -> Reply {
    match &request.call {
        Call::Start(_) => {
            let started = api::StartWorkflowExecutionResponse { run_id: name.into(), ..Default::default() };
            Ok(Response::Started(Box::new(started)))
        }
        Call::StartWorkflowTask { .. } => {
            let TaskOf::Workflow(claim) = workflow_task() else { unreachable!() };
            Ok(Response::WorkflowTask(Box::new(StartedWorkflowTask {
                transient: view.transient.clone(),
                view,
                claim,
                workflow_type: name.into(),
                task_queue: "q".into(),
                previous_started: EventId::NONE,
                sticky: false,
                scheduled_time: Timestamp::ZERO,
                queries: Default::default(),
            })))
        }
        Call::CompleteWorkflowTask(..) => Ok(Response::WorkflowTaskCompleted { next: None }),
        Call::Query(_) => Ok(Response::QueryDirectly(Box::new(direct(view, None)))),
        call => panic!("{call:?}"),
    }
}

fn direct(view: RunView, sticky: Option<&str>) -> DirectQuery {
    DirectQuery {
        view,
        workflow_type: "order".into(),
        task_queue: "q".into(),
        previous_started: EventId(3),
        sticky: sticky.map(|name| (name.into(), Duration::from_secs(5))),
    }
}

fn key(namespace_name: &str) -> WorkflowKey {
    WorkflowKey { namespace: namespace(namespace_name).id, workflow: "w".into() }
}

fn workflow_task() -> TaskOf {
    TaskOf::Workflow(TaskClaim {
        scheduled: EventId(2),
        started: EventId(3),
        started_time: Timestamp(5),
        attempt: 1,
        version: FailoverVersion(1),
    })
}

fn activity() -> TaskOf {
    TaskOf::Activity { scheduled: EventId(5), attempt: 2, version: FailoverVersion(1), activity_id: "a1".into() }
}

fn dispatch(queue: DispatchQueue) -> Dispatch {
    let run = RunKey { workflow: key("orders"), run: RUN };
    Dispatch { run, scheduled: EventId(2), attempt: 1, queue, scheduled_time: Timestamp::ZERO }
}

fn poll() -> api::PollWorkflowTaskQueueRequest {
    api::PollWorkflowTaskQueueRequest { namespace: "orders".into(), task_queue: queue(), ..Default::default() }
}

async fn polled(world: &World) -> Result<api::PollWorkflowTaskQueueResponse, Status> {
    world.call("PollWorkflowTaskQueue", &poll(), &[], Some(Duration::from_secs(70))).await
}

fn query() -> api::QueryWorkflowRequest {
    api::QueryWorkflowRequest {
        namespace: "orders".into(),
        execution: execution(),
        query: Some(WorkflowQuery { query_type: "state".into(), ..Default::default() }),
        ..Default::default()
    }
}

fn answered(task_token: Bytes) -> api::RespondQueryTaskCompletedRequest {
    api::RespondQueryTaskCompletedRequest {
        task_token,
        completed_type: QueryResultType::Answered.into(),
        query_result: Some(Default::default()),
        ..Default::default()
    }
}

fn queue() -> Option<TaskQueue> {
    Some(TaskQueue { name: "q".into(), ..Default::default() })
}

fn execution() -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: "w".into(), run_id: String::new() })
}

fn minute() -> Option<Duration> {
    Some(Duration::from_secs(60))
}
