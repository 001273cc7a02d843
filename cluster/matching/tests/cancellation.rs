//! Nothing is lost by whoever goes away, whenever that is.

#![allow(clippy::disallowed_methods, reason = "a test brings its own world")]

use std::{
    future::{Future, pending},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use matching::{Clock, Match, MatchedTask, Matching, PollRefused, Poller, QueryError, Question, QueueKey, QueueKind};
use proto::temporal::api::{query::v1::WorkflowQuery, workflowservice::v1::RespondQueryTaskCompletedRequest};
use replicator::{
    entropy::Entropy,
    history::Branch,
    ids::{EventId, NamespaceId, RunId, RunKey, WorkflowKey},
    shard::io::{DirectQuery, Dispatch, DispatchQueue, RunView},
    time::Timestamp,
    version::{FailoverVersion, VersionHistories, VersionHistory, VersionHistoryItem},
};
use tokio::{
    spawn,
    task::yield_now,
    time::{Instant, sleep},
};
use uuid::Uuid;

const NAMESPACE: NamespaceId = NamespaceId(Uuid::from_u128(1));

/// A handle whose clock is the runtime's, and something that keeps it running.
fn matching() -> Matching {
    let start = Instant::now();
    let clock: Clock = Arc::new(move || Timestamp::from_millis(1_000_000) + start.elapsed());
    let matching = Matching::new(clock);
    let runs = matching.clone();
    spawn(async move { runs.run().await });
    matching
}

fn queue(kind: QueueKind) -> QueueKey {
    QueueKey::new(NAMESPACE, kind, if kind == QueueKind::Sticky { "s" } else { "q" })
}

fn run(id: &str) -> RunKey {
    let workflow = WorkflowKey { namespace: NAMESPACE, workflow: id.into() };
    RunKey { workflow, run: RunId(Uuid::from_u128(2)) }
}

fn task(id: &str, queue: DispatchQueue) -> Dispatch {
    Dispatch { run: run(id), scheduled: EventId(2), attempt: 1, queue, scheduled_time: Timestamp::ZERO }
}

fn normal(id: &str) -> Dispatch {
    task(id, DispatchQueue::Workflow("q".into()))
}

fn direct() -> DirectQuery {
    let item = VersionHistoryItem { event_id: EventId(4), version: FailoverVersion(1) };
    let history = VersionHistory::new(item);
    let view = RunView {
        run: run("a"),
        first_run: RunId(Uuid::from_u128(2)),
        start_request_id: String::new(),
        is_open: true,
        status: 1,
        histories: VersionHistories::new(Branch::root(RunId(Uuid::from_u128(2)), &mut Entropy::new(1)), history),
        next_event_id: EventId(5),
        last_batch: EventId(3),
        transient: Vec::new(),
    };
    DirectQuery {
        view,
        workflow_type: "type".into(),
        task_queue: "q".into(),
        previous_started: EventId(3),
        sticky: None,
    }
}

/// Poll until `wait` has passed.
async fn poll(matching: &Matching, kind: QueueKind, wait: Duration) -> Option<Match> {
    let deadline = matching.now() + wait;
    matching.poll(queue(kind), Poller::default(), deadline, pending()).await.unwrap()
}

async fn poll_task(matching: &Matching, kind: QueueKind) -> MatchedTask {
    match poll(matching, kind, Duration::from_secs(1)).await {
        Some(Match::Task(task)) => task,
        other => panic!("a task was expected and not {other:?}"),
    }
}

/// Poll a future once; it must not be ready.
async fn begin<F: Future>(future: &mut std::pin::Pin<&mut F>) {
    std::future::poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_with_nothing_at_its_deadline() {
    let matching = matching();
    let start = Instant::now();
    assert!(poll(&matching, QueueKind::Workflow, Duration::from_secs(60)).await.is_none());
    assert_eq!(start.elapsed().as_secs(), 60);
    assert_eq!(matching.counts(), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_called_back_ends_with_nothing() {
    let matching = matching();
    let start = Instant::now();
    let (deadline, called_back) = (matching.now() + Duration::from_secs(60), sleep(Duration::from_secs(3)));
    let found = matching.poll(queue(QueueKind::Workflow), Poller::default(), deadline, called_back).await.unwrap();
    assert!(found.is_none());
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(matching.counts(), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_called_back_when_its_task_has_come_brings_it() {
    let matching = matching();
    let deadline = matching.now() + Duration::from_secs(60);
    let (call_back, called_back) = tokio::sync::oneshot::channel::<()>();
    let called_back = async { drop(called_back.await) };
    let mut poll = pin!(matching.poll(queue(QueueKind::Workflow), Poller::default(), deadline, called_back));
    begin(&mut poll).await;
    matching.offer(normal("a"), 0);
    call_back.send(()).unwrap();
    let Ok(Some(Match::Task(task))) = poll.await else { panic!("its task was expected") };
    assert_eq!(task.run(), &run("a"));
    task.taken();
    assert_eq!(matching.counts(), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_when_a_task_comes() {
    let matching = matching();
    let offers = matching.clone();
    spawn(async move {
        sleep(Duration::from_millis(100)).await;
        offers.offer(normal("a"), 0);
    });
    let start = Instant::now();
    let task = poll_task(&matching, QueueKind::Workflow).await;
    assert_eq!(start.elapsed().as_millis(), 100);
    assert_eq!((task.run(), task.scheduled(), task.attempt()), (&run("a"), EventId(2), 1));
    assert_eq!(task.queue(), &queue(QueueKind::Workflow));
    task.taken();
    assert_eq!(matching.counts(), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_while_it_waits_no_longer_waits() {
    let matching = matching();
    {
        let mut waits = pin!(poll(&matching, QueueKind::Workflow, Duration::from_secs(60)));
        begin(&mut waits).await;
        assert_eq!(matching.counts().1, 1);
    }
    assert_eq!(matching.counts().1, 0);
    matching.offer(normal("a"), 0);
    poll_task(&matching, QueueKind::Workflow).await.taken();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_at_the_moment_of_its_match_loses_nothing() {
    let matching = matching();
    {
        let mut waits = pin!(poll(&matching, QueueKind::Workflow, Duration::from_secs(60)));
        begin(&mut waits).await;
        matching.offer(normal("a"), 0); // The match is on its way, and nobody looks for it.
        assert_eq!(matching.counts(), (1, 0, 1));
    }
    poll_task(&matching, QueueKind::Workflow).await.taken();
    assert_eq!(matching.counts().2, 0);
}

#[tokio::test(start_paused = true)]
async fn a_match_at_the_moment_of_the_deadline_is_not_lost() {
    let matching = matching();
    let mut waits = pin!(poll(&matching, QueueKind::Workflow, Duration::from_secs(1)));
    begin(&mut waits).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    matching.offer(normal("a"), 0);
    assert!(matches!(waits.await, Some(Match::Task(_))));
    assert_eq!(matching.counts().2, 1);
}

#[tokio::test(start_paused = true)]
async fn the_task_of_a_caller_that_went_reaches_the_next_one_at_once() {
    let matching = matching();
    let next = matching.clone();
    let mut first = Box::pin(poll(&matching, QueueKind::Workflow, Duration::from_secs(60)));
    begin(&mut first.as_mut()).await;
    let next = spawn(async move { poll_task(&next, QueueKind::Workflow).await });
    yield_now().await;
    matching.offer(normal("a"), 0);
    drop(first);
    let start = Instant::now();
    next.await.unwrap().taken();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_dropped_is_offered_again() {
    let matching = matching();
    matching.offer(normal("a"), 0);
    drop(poll_task(&matching, QueueKind::Workflow).await);
    drop(poll_task(&matching, QueueKind::Workflow).await);
    poll_task(&matching, QueueKind::Workflow).await.stale();
    assert_eq!(matching.counts().2, 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_put_off_comes_back_in_time() {
    let matching = matching();
    matching.offer(normal("a"), 0);
    poll_task(&matching, QueueKind::Workflow).await.put_off(Duration::from_millis(200));
    let start = Instant::now();
    poll_task(&matching, QueueKind::Workflow).await.taken();
    assert!((200..=201).contains(&start.elapsed().as_millis()));
}

#[tokio::test(start_paused = true)]
async fn a_limited_queue_wakes_its_pollers() {
    let matching = matching();
    let poller = Poller { max_tasks_per_second: Some(2.0), ..Poller::default() };
    let start = Instant::now();
    for id in ["a", "b", "c", "d"] {
        matching.offer(task(id, DispatchQueue::Activity("q".into())), 0);
    }
    for _ in 0..4 {
        let deadline = matching.now() + Duration::from_secs(10);
        let matched = matching.poll(queue(QueueKind::Activity), poller.clone(), deadline, pending()).await.unwrap();
        let Some(Match::Task(task)) = matched else { panic!("{matched:?}") };
        task.taken();
    }
    assert!((1000..=1010).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_sticky_task_of_a_worker_that_died_goes_to_any_worker() {
    let matching = matching();
    {
        let mut waits = pin!(poll(&matching, QueueKind::Sticky, Duration::from_secs(60)));
        begin(&mut waits).await;
        matching.offer(task("a", DispatchQueue::Sticky("s".into(), "q".into())), 0);
    }
    poll_task(&matching, QueueKind::Workflow).await.taken();
}

#[tokio::test(start_paused = true)]
async fn a_query_gets_its_answer() {
    let matching = matching();
    let worker = matching.clone();
    spawn(async move {
        let Some(Match::Query(query)) = poll(&worker, QueueKind::Workflow, Duration::from_secs(5)).await else {
            panic!("a query was expected")
        };
        let Question::Run(question, _) = query.question() else { panic!("a question about a run") };
        assert_eq!((question.query_type.as_str(), query.question().normal()), ("state", "q"));
        let id = query.id();
        query.taken();
        let answer = RespondQueryTaskCompletedRequest { namespace: "n".into(), ..Default::default() };
        let elsewhere = NamespaceId(Uuid::from_u128(9));
        assert!(!worker.answer_query(elsewhere, id, Box::new(answer.clone())), "it is of another namespace");
        assert!(worker.answer_query(NAMESPACE, id, Box::new(answer.clone())));
        assert!(!worker.answer_query(NAMESPACE, id, Box::new(answer)), "it is over");
    });
    yield_now().await;
    let answer = ask(&matching, 5).await.unwrap();
    assert_eq!(answer.namespace, "n");
}

async fn ask(matching: &Matching, seconds: u64) -> Result<Box<RespondQueryTaskCompletedRequest>, QueryError> {
    let query = WorkflowQuery { query_type: "state".into(), ..Default::default() };
    let deadline = matching.now() + Duration::from_secs(seconds);
    matching.query(queue(QueueKind::Workflow), Question::Run(query, Box::new(direct())), deadline).await
}

#[tokio::test(start_paused = true)]
async fn a_query_nobody_can_answer_is_told_so_before_its_deadline_and_one_nobody_answers_times_out() {
    let matching = matching();
    let start = Instant::now();
    assert_eq!(ask(&matching, 5).await, Err(QueryError::NoPoller));
    assert_eq!(start.elapsed(), Duration::from_secs(4));
    poll(&matching, QueueKind::Workflow, Duration::from_secs(1)).await;
    assert_eq!(ask(&matching, 5).await, Err(QueryError::Timeout));
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_reached_nobody_is_put_to_the_next_poller() {
    let matching = matching();
    let asks = matching.clone();
    let mut waits = Box::pin(poll(&matching, QueueKind::Workflow, Duration::from_secs(60)));
    begin(&mut waits.as_mut()).await;
    let asked = spawn(async move { ask(&asks, 5).await });
    yield_now().await;
    drop(waits);
    let Some(Match::Query(query)) = poll(&matching, QueueKind::Workflow, Duration::from_secs(1)).await else {
        panic!("a query was expected")
    };
    let id = query.id();
    query.taken();
    assert!(matching.answer_query(NAMESPACE, id, Box::default()));
    assert!(asked.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_query_whose_caller_went_is_put_to_nobody() {
    let matching = matching();
    poll(&matching, QueueKind::Workflow, Duration::from_millis(1)).await;
    {
        let mut asks = pin!(ask(&matching, 5));
        begin(&mut asks).await;
    }
    assert!(poll(&matching, QueueKind::Workflow, Duration::from_secs(1)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn shutting_down_answers_polls_with_nothing_and_keeps_tasks() {
    let matching = matching();
    let waits = matching.clone();
    let waits = spawn(async move { poll(&waits, QueueKind::Workflow, Duration::from_secs(60)).await });
    yield_now().await;
    let start = Instant::now();
    matching.shutdown();
    assert!(waits.await.unwrap().is_none());
    assert!(poll(&matching, QueueKind::Workflow, Duration::from_secs(60)).await.is_none());
    assert_eq!(ask(&matching, 5).await, Err(QueryError::NoPoller));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// Another host joins, and is given the queue. Whoever waits at it is told to wait there; what waits is forgotten, for its
/// shard offers it there.
#[tokio::test(start_paused = true)]
async fn a_queue_goes_to_another_host() {
    let matching = matching();
    let worker = matching.clone();
    let waiting = spawn(async move {
        let deadline = worker.now() + Duration::from_secs(60);
        let activities = QueueKey::new(NAMESPACE, QueueKind::Activity, "q");
        worker.poll(activities, Poller::default(), deadline, pending()).await.map(|found| found.is_some())
    });
    let asker = matching.clone();
    let asking = spawn(async move { ask(&asker, 60).await });
    matching.offer(task("a", DispatchQueue::Sticky("mine".into(), "q".into())), 0);
    matching.offer(task("b", DispatchQueue::Activity("other".into())), 0);
    yield_now().await;
    let is_kept = |namespace, queue: &str| namespace == NAMESPACE && queue == "other";
    matching.keep(|namespace, queue, _| is_kept(namespace, queue), is_kept, |_| true);
    assert_eq!(waiting.await.unwrap(), Err(PollRefused::Moved));
    assert_eq!(asking.await.unwrap(), Err(QueryError::Moved));
    assert_eq!(matching.counts().2, 1, "the other queue stays");
}
