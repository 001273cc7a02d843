//! What applications do, with the published SDKs: each scenario is written once and run with Python and with TypeScript.
//!
//! All of them share one server and a worker per SDK. `TESTS_SERVER=temporal` runs them against the real dev server.

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};
use tests::{
    sdk::{Language, Run, Sdk},
    server::Server,
    wait,
};

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::under_test("server"));
static PYTHON: LazyLock<Scene> = LazyLock::new(|| Scene::new(Language::Python, "python"));
static TYPESCRIPT: LazyLock<Scene> = LazyLock::new(|| Scene::new(Language::TypeScript, "typescript"));

/// An SDK with a worker on a queue.
struct Scene {
    sdk: Sdk,
    queue: &'static str,
}

impl Scene {
    fn new(language: Language, queue: &'static str) -> Self {
        let sdk = Sdk::start(language);
        sdk.work("main", SERVER.address(0), queue);
        Self { sdk, queue }
    }

    /// A workflow id that nobody else uses.
    fn id(&self, workflow: &str) -> String {
        static USED: AtomicU32 = AtomicU32::new(0);
        format!("{workflow}-{}-{}", self.queue, USED.fetch_add(1, Ordering::Relaxed))
    }

    #[track_caller]
    fn run(&self, workflow: &str, args: Value) -> Run<'_> {
        self.sdk.run(SERVER.address(0), self.queue, &self.id(workflow), workflow, args)
    }

    /// Start with options.
    fn start(&self, id: &str, workflow: &str, options: Value) -> Result<Value, String> {
        let mut request =
            json!({"address": SERVER.address(0), "queue": self.queue, "id": id, "workflow": workflow, "args": []});
        request.as_object_mut().expect("an object").extend(options.as_object().expect("an object").clone());
        self.sdk.ask("start", request)
    }

    fn count(&self, query: &str) -> Value {
        self.sdk.ask("count", json!({"address": SERVER.address(0), "query": query})).expect("count")
    }

    fn list(&self, query: &str) -> Value {
        self.sdk.ask("list", json!({"address": SERVER.address(0), "query": query})).expect("list")
    }
}

/// Each scenario as two tests.
macro_rules! scenarios {
    ($($(#[$doc:meta])* fn $name:ident($scene:ident) $body:block)*) => {
        mod scenario {
            use super::*;
            $($(#[$doc])* pub(super) fn $name($scene: &Scene) $body)*
        }
        mod python {
            $(#[test] fn $name() { super::scenario::$name(&super::PYTHON) })*
        }
        mod typescript {
            $(#[test] fn $name() { super::scenario::$name(&super::TYPESCRIPT) })*
        }
    };
}

#[track_caller]
fn check(run: &Run<'_>, expected: Value) {
    assert_eq!(run.result(), expected, "{}", run.id);
}

fn failure(told: &str) -> Value {
    json!({"failure": told})
}

scenarios! {
    /// The first thing anybody runs.
    fn hello(scene) {
        check(&scene.run("Greeting", json!(["Ada"])), json!("Hello, Ada!"));
    }

    fn payload_of_a_megabyte_comes_back(scene) {
        let name = "x".repeat(1 << 20);
        check(&scene.run("Greeting", json!([name])), json!(format!("Hello, {name}!")));
    }

    fn signals_arrive_in_order_and_queries_see_them(scene) {
        let run = scene.run("Counter", json!([]));
        for number in 1..=10 {
            run.signal("add", json!([number]));
        }
        run.until("total", &json!(55));
        run.signal("finish", json!([]));
        check(&run, json!(55));
    }

    fn query_of_a_closed_workflow(scene) {
        let run = scene.run("Counter", json!([]));
        run.signal("add", json!([7]));
        run.signal("finish", json!([]));
        check(&run, json!(7));
        assert_eq!(run.query("total"), json!(7));
    }

    fn query_that_the_workflow_does_not_know(scene) {
        let run = scene.run("Counter", json!([]));
        let error = run.ask("query", json!({"name": "no_such_query"})).expect_err("there is no such query");
        assert!(error.contains("no_such_query"), "{error}");
        run.signal("finish", json!([]));
    }

    fn timer(scene) {
        check(&scene.run("Sleeper", json!([50])), json!("awake"));
    }

    fn timer_is_cancelled(scene) {
        check(&scene.run("Race", json!([])), json!("the short timer"));
    }

    fn continue_as_new(scene) {
        let run = scene.run("Chain", json!([3, 0]));
        check(&run, json!(4));
    }

    fn activity_is_retried(scene) {
        check(&scene.run("Retrying", json!([3])), json!(3));
    }

    fn activity_is_not_retried(scene) {
        check(&scene.run("Hopeless", json!([])), failure("activity: application Hopeless: no use trying again"));
    }

    fn workflow_fails(scene) {
        let run = scene.run("Broken", json!([]));
        check(&run, failure("application OutOfOrder: out of order"));
        assert_eq!(run.ask("status", json!({})), Ok(json!("FAILED")));
    }

    fn next_attempt_knows_the_heartbeat(scene) {
        let remembered = scene.run("Remembering", json!([])).result();
        // Python has a list of details, TypeScript one.
        assert!([json!(["half", "way"]), json!([["half", "way"]])].contains(&remembered), "{remembered}");
    }

    fn activity_times_out_start_to_close(scene) {
        let timeouts = json!({"start_to_close_timeout": 100});
        check(&scene.run("Hanging", json!([timeouts, ""])), failure("activity: timeout START_TO_CLOSE"));
    }

    fn activity_times_out_schedule_to_close(scene) {
        let timeouts = json!({"schedule_to_close_timeout": 100});
        check(&scene.run("Hanging", json!([timeouts, ""])), failure("activity: timeout SCHEDULE_TO_CLOSE"));
    }

    fn activity_times_out_without_heartbeat(scene) {
        let timeouts = json!({"start_to_close_timeout": 60_000, "heartbeat_timeout": 100});
        check(&scene.run("Hanging", json!([timeouts, ""])), failure("activity: timeout HEARTBEAT"));
    }

    fn activity_times_out_that_nobody_takes(scene) {
        let timeouts = json!({"start_to_close_timeout": 60_000, "schedule_to_start_timeout": 100});
        let run = scene.run("Hanging", json!([timeouts, "nobody polls here"]));
        check(&run, failure("activity: timeout SCHEDULE_TO_START"));
    }

    fn activity_is_cancelled(scene) {
        let run = scene.run("Cancelling", json!([]));
        run.until_activity_runs();
        run.signal("cancel_it", json!([]));
        check(&run, json!("noticed"));
    }

    fn activity_is_completed_by_id(scene) {
        let run = scene.run("Elsewhere", json!([]));
        run.until_activity_runs();
        run.ask("complete_activity", json!({"activity": "elsewhere", "result": "from outside"})).expect("complete");
        check(&run, json!("from outside"));
    }

    fn local_activity(scene) {
        check(&scene.run("Local", json!(["Grace"])), json!("Hello, Grace!"));
    }

    fn workflow_is_cancelled_and_cleans_up(scene) {
        let run = scene.run("Stubborn", json!([]));
        run.ask("cancel", json!({})).expect("cancel");
        check(&run, failure("canceled"));
        assert_eq!(run.ask("status", json!({})), Ok(json!(if scene.queue == "python" { "CANCELED" } else { "CANCELLED" })));
    }

    fn workflow_is_terminated(scene) {
        let run = scene.run("Counter", json!([]));
        run.ask("terminate", json!({})).expect("terminate");
        check(&run, failure("terminated"));
        assert!(run.ask("signal", json!({"name": "add", "args": [1]})).is_err(), "a closed workflow takes no signals");
    }

    fn workflow_times_out(scene) {
        let id = scene.id("Counter");
        scene.start(&id, "Counter", json!({"timeout": 1_000})).expect("start");
        let result = scene.sdk.ask("result", json!({"address": SERVER.address(0), "id": id})).expect("wait");
        assert!(result["failure"].as_str().is_some_and(|told| told.starts_with("timeout")), "{result}");
    }

    fn signal_with_start_signals_the_running_one(scene) {
        let id = scene.id("Counter");
        let first = scene.start(&id, "Counter", json!({})).expect("start");
        let second = scene.start(&id, "Counter", json!({"signal": "finish"})).expect("signal with start");
        assert!(second.is_null() || second == first, "the same run");
        let result = scene.sdk.ask("result", json!({"address": SERVER.address(0), "id": id}));
        assert_eq!(result, Ok(json!(0)));
    }

    fn workflow_id_is_taken_while_the_workflow_runs(scene) {
        let run = scene.run("Counter", json!([]));
        let again = scene.start(&run.id, "Counter", json!({}));
        assert_eq!(again, Err("already started".to_owned()));
        scene.start(&run.id, "Counter", json!({"conflict": "USE_EXISTING"})).expect("the existing one is used");
        run.signal("finish", json!([]));
        check(&run, json!(0));
        let again = scene.start(&run.id, "Counter", json!({"reuse": "REJECT_DUPLICATE"}));
        assert_eq!(again, Err("already started".to_owned()));
    }

    fn worker_without_cache_replays_everything(scene) {
        let queue = format!("{}-without-cache", scene.queue);
        let worker = json!({"name": queue, "address": SERVER.address(0), "queue": queue, "cache": 0});
        scene.sdk.ask("work", worker).expect("start a worker");
        let run = scene.sdk.run(SERVER.address(0), &queue, &scene.id("Journey"), "Journey", json!(["Mary"]));
        run.until("place", &json!("platform"));
        run.signal("board", json!(["12C"]));
        check(&run, json!("Hello, Mary! Ticket 12C, attempt 3"));
        assert_eq!(run.query("place"), json!("arrived"));
        scene.sdk.ask("stop", json!({"name": queue})).expect("stop the worker");
    }

    fn work_waits_for_a_worker(scene) {
        let queue = format!("{}-late", scene.queue);
        let run = scene.sdk.run(SERVER.address(0), &queue, &scene.id("Greeting"), "Greeting", json!(["Joan"]));
        scene.sdk.work(&queue, SERVER.address(0), &queue);
        check(&run, json!("Hello, Joan!"));
        scene.sdk.ask("stop", json!({"name": queue})).expect("stop the worker");
    }

    fn list_and_count(scene) {
        let runs: Vec<_> = (0..3).map(|_| scene.run("Counter", json!([]))).collect();
        let ids = runs.iter().map(|run| format!("'{}'", run.id)).collect::<Vec<_>>().join(", ");
        let query = format!("WorkflowType = 'Counter' AND WorkflowId IN ({ids}) AND ExecutionStatus = 'Running'");
        wait::until_eq(&json!(3), || scene.count(&query));
        runs[0].signal("finish", json!([]));
        check(&runs[0], json!(0));
        wait::until_eq(&json!(2), || scene.count(&query));
        // Newest first.
        wait::until_eq(&json!([runs[2].id, runs[1].id]), || scene.list(&query));
        for run in &runs[1..] {
            run.signal("finish", json!([]));
        }
    }
}
