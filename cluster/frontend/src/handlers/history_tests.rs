use std::time::Duration;

use bytes::Bytes;
use proto::temporal::api::{
    common::v1::WorkflowExecution,
    enums::v1::HistoryEventFilterType as Filter,
    history::v1::History,
    workflowservice::v1::{
        GetWorkflowExecutionHistoryRequest as Request, GetWorkflowExecutionHistoryResponse as Page,
        GetWorkflowExecutionHistoryReverseRequest as ReverseRequest,
        GetWorkflowExecutionHistoryReverseResponse as ReversePage,
    },
};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use crate::fake::{FakeRun, World};

#[tokio::test(start_paused = true)]
async fn pages_align_with_batches() {
    let world = world("1-3 4-9 10-10 11-12");
    check(&world, request().size(1), &["1 2 3", "4 5 6 7 8 9", "10", "11 12"]).await;
    check(&world, request().size(2), &["1 2 3", "4 5 6 7 8 9", "10 11 12"]).await;
    check(&world, request().size(4), &["1 2 3 4 5 6 7 8 9", "10 11 12"]).await;
    check(&world, request(), &["1 2 3 4 5 6 7 8 9 10 11 12"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_reading_ends_where_it_began_to_end() {
    let world = world("1-3 4-4");
    let first = page(&world, request().size(1)).await.unwrap();
    assert_eq!(ids(&first.history), "1 2 3");
    world.shards.put(run("1-3 4-4 5-6"));
    let second = page(&world, request().size(1).token(&first)).await.unwrap();
    assert_eq!(ids(&second.history), "4");
    assert!(second.next_page_token.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_tail_of_a_transient_task_is_for_workers() {
    let world = world("");
    world.shards.put(FakeRun { transient: vec![5, 6], ..run("1-3 4-4") });
    for (client, expected) in
        [("temporal-go", "1 2 3 4 5 6"), ("", "1 2 3 4 5 6"), ("temporal-cli", "1 2 3 4"), ("temporal-ui", "1 2 3 4")]
    {
        let page: Page = world.call(METHOD, &request().0, &[("client-name", client)], None).await.expect("an answer");
        assert_eq!(ids(&page.history), expected, "{client}");
    }
    check(&world, request().size(1), &["1 2 3", "4 5 6"]).await;
    // Waiting: once, and not again while nothing happens.
    let first = page(&world, request().waiting()).await.unwrap();
    assert_eq!(ids(&first.history), "1 2 3 4 5 6");
    let second = page(&world, request().waiting().token(&first)).await.unwrap();
    assert_eq!(ids(&second.history), "");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_all_events_gets_what_is_there_and_then_what_comes() {
    let world = world("1-3");
    let first = page(&world, request().waiting()).await.unwrap();
    assert_eq!(ids(&first.history), "1 2 3");

    let began = Instant::now();
    let nothing = page(&world, request().waiting().token(&first)).await.unwrap();
    assert_eq!((ids(&nothing.history).as_str(), began.elapsed().as_secs()), ("", 20));

    let later = async {
        sleep(Duration::from_secs(3)).await;
        world.shards.put(run("1-3 4-5"));
    };
    let began = Instant::now();
    let (more, ()) = tokio::join!(page(&world, request().waiting().token(&nothing)), later);
    let more = more.unwrap();
    assert_eq!((ids(&more.history).as_str(), began.elapsed().as_secs()), ("4 5", 3));

    world.shards.put(FakeRun { is_closed: true, ..run("1-3 4-5 6-6") });
    let last = page(&world, request().waiting().token(&more)).await.unwrap();
    assert_eq!(ids(&last.history), "6");
    assert!(last.next_page_token.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_answered_while_he_listens() {
    let world = world("1-3");
    let first = page(&world, request().waiting()).await.unwrap();
    for (timeout, expected) in [(30, 20_000), (10, 9_000), (1, 500)] {
        let began = Instant::now();
        let request = request().waiting().token(&first);
        let page: Page = world.call(METHOD, &request.0, &[], Some(Duration::from_secs(timeout))).await.unwrap();
        assert_eq!((ids(&page.history).as_str(), began.elapsed().as_millis()), ("", expected));
        assert!(!page.next_page_token.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_closing_event_alone() {
    let world = world("1-3 4-6");
    let open = page(&world, request().closing()).await.unwrap();
    assert_eq!(open, Page { history: Some(History::default()), ..Default::default() });

    let began = Instant::now();
    let waited = page(&world, request().closing().waiting()).await.unwrap();
    assert_eq!((ids(&waited.history).as_str(), began.elapsed().as_secs()), ("", 20));
    assert!(!waited.next_page_token.is_empty());

    let later = async {
        sleep(Duration::from_secs(1)).await;
        world.shards.put(run("1-3 4-6 7-7"));
        sleep(Duration::from_secs(1)).await;
        world.shards.put(FakeRun { is_closed: true, ..run("1-3 4-6 7-7 8-9") });
    };
    let began = Instant::now();
    let (closed, ()) = tokio::join!(page(&world, request().closing().waiting().token(&waited)), later);
    let closed = closed.unwrap();
    assert_eq!((ids(&closed.history).as_str(), began.elapsed().as_secs()), ("9", 2));
    assert!(closed.next_page_token.is_empty());
    check(&world, request().closing(), &["9"]).await;
    check(&world, request().closing().waiting(), &["9"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_reading_stays_on_its_branch_and_a_wait_does_not_outlive_it() {
    let world = world("1-3 4-4");
    let first = page(&world, request().size(1)).await.unwrap();
    let waiting = page(&world, request().waiting()).await.unwrap();
    world.shards.put(FakeRun { branch: 1, ..run("1-3 4-4") });
    let second = page(&world, request().size(1).token(&first)).await.unwrap();
    assert_eq!(ids(&second.history), "4");
    let refused = page(&world, request().waiting().token(&waiting)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "Invalid NextPageToken."));
    // Who only waits for the end does not care.
    let closing = request().closing().waiting().token(&waiting);
    world.shards.put(FakeRun { branch: 1, is_closed: true, ..run("1-3 4-4") });
    assert_eq!(ids(&page(&world, closing).await.unwrap().history), "4");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_others() {
    let world = world("1-3 4-4");
    let first = page(&world, request().size(1)).await.unwrap();
    let check = async |run: &str, token: Bytes, expected: (Code, &str)| {
        let mut request = request();
        request.0.execution.as_mut().unwrap().run_id = run.into();
        request.0.next_page_token = token;
        let refused = page(&world, request).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), expected);
    };
    let other = "00000000-0000-4000-8000-000000000001";
    let mismatch = "RunId in the request does not match the NextPageToken.";
    check(other, first.next_page_token.clone(), (Code::InvalidArgument, mismatch)).await;
    check("", Bytes::from_static(b"abc"), (Code::InvalidArgument, "Invalid NextPageToken.")).await;
    check("abc", Bytes::new(), (Code::InvalidArgument, "Invalid RunId.")).await;
    check(other, Bytes::new(), (Code::NotFound, "workflow execution not found")).await;
    let reverse: ReversePage =
        world.call(REVERSE, &ReverseRequest { maximum_page_size: 1, ..reverse_request() }, &[], None).await.unwrap();
    check("", reverse.next_page_token, (Code::InvalidArgument, "Invalid NextPageToken.")).await;
}

#[tokio::test(start_paused = true)]
async fn reverse_pages() {
    let world = world("1-3 4-9 10-10");
    let check = async |size, expected: &[&str]| {
        let mut request = ReverseRequest { maximum_page_size: size, ..reverse_request() };
        for (index, expected_ids) in expected.iter().enumerate() {
            let page: ReversePage = world.call(REVERSE, &request, &[], None).await.unwrap();
            assert_eq!(ids(&page.history), *expected_ids);
            assert_eq!(page.next_page_token.is_empty(), index + 1 == expected.len());
            request.next_page_token = page.next_page_token;
        }
    };
    check(1, &["10", "9 8 7 6 5 4", "3 2 1"]).await;
    check(2, &["10 9 8 7 6 5 4", "3 2 1"]).await;
    check(0, &["10 9 8 7 6 5 4 3 2 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn only_so_many_may_wait() {
    let world = world("1-3");
    let first = page(&world, request().waiting()).await.unwrap();
    let waits = (0..1201).map(|_| page(&world, request().waiting().token(&first)));
    let outcomes = futures_util::future::join_all(waits).await;
    let refused: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].code(), Code::ResourceExhausted);
}

const METHOD: &str = "GetWorkflowExecutionHistory";
const REVERSE: &str = "GetWorkflowExecutionHistoryReverse";

fn world(batches: &str) -> World {
    let world = World::alone(|request, _| panic!("not about history: {request:?}"));
    world.shards.put(run(batches));
    world
}

fn run(batches: &str) -> FakeRun {
    FakeRun { batches: batches.into(), ..Default::default() }
}

/// Read page after page.
async fn check(world: &World, mut request: Asked, expected: &[&str]) {
    for (index, expected_ids) in expected.iter().enumerate() {
        let page = page(world, Asked(request.0.clone())).await.unwrap();
        assert_eq!(ids(&page.history), *expected_ids);
        assert_eq!(page.next_page_token.is_empty(), index + 1 == expected.len());
        request.0.next_page_token = page.next_page_token;
    }
}

async fn page(world: &World, request: Asked) -> Result<Page, Status> {
    world.call(METHOD, &request.0, &[], None).await
}

struct Asked(Request);

fn request() -> Asked {
    Asked(Request { namespace: "orders".into(), execution: Some(execution()), ..Default::default() })
}

fn reverse_request() -> ReverseRequest {
    ReverseRequest { namespace: "orders".into(), execution: Some(execution()), ..Default::default() }
}

fn execution() -> WorkflowExecution {
    WorkflowExecution { workflow_id: "w".into(), run_id: String::new() }
}

impl Asked {
    fn size(mut self, size: i32) -> Self {
        self.0.maximum_page_size = size;
        self
    }

    fn waiting(mut self) -> Self {
        self.0.wait_new_event = true;
        self
    }

    fn closing(mut self) -> Self {
        self.0.set_history_event_filter_type(Filter::CloseEvent);
        self
    }

    fn token(mut self, page: &Page) -> Self {
        assert!(!page.next_page_token.is_empty());
        self.0.next_page_token = page.next_page_token.clone();
        self
    }
}

fn ids(history: &Option<History>) -> String {
    let events = &history.as_ref().expect("a history").events;
    events.iter().map(|event| event.event_id.to_string()).collect::<Vec<_>>().join(" ")
}
