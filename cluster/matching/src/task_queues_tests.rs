//! What task queues promise.

use replicator::{ids::RunId, shard::io::DispatchQueue};
use uuid::Uuid;

use super::*;

/// Task queues, a clock, and a notation: a task is `workflow#attempt`, an answer `poller < what @ queue`.
struct World {
    queues: TaskQueues,
    now: Timestamp,
    handed: Vec<HandedTask>,
}

const NAMESPACE: NamespaceId = NamespaceId(Uuid::from_u128(1));

fn key(kind: QueueKind, name: &str) -> QueueKey {
    QueueKey::new(NAMESPACE, kind, name)
}

fn workflow(name: &str) -> QueueKey {
    key(QueueKind::Workflow, name)
}

fn sticky(name: &str) -> QueueKey {
    key(QueueKind::Sticky, name)
}

fn activity(name: &str) -> QueueKey {
    key(QueueKind::Activity, name)
}

fn name(id: &str) -> TaskName {
    let workflow = replicator::ids::WorkflowKey { namespace: NAMESPACE, workflow: id.into() };
    TaskName { run: RunKey { workflow, run: RunId(Uuid::from_u128(2)) }, scheduled: EventId(5) }
}

impl World {
    fn new() -> Self {
        Self { queues: TaskQueues::new(), now: Timestamp::from_millis(1_000_000), handed: Vec::new() }
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.queues.handle_timeout(self.now);
        assert!(self.queues.poll_timeout().is_none_or(|next| self.now < next), "what is due was done");
    }

    /// Offer `id#attempt`.
    fn offer_to(&mut self, queue: DispatchQueue, task: &str, scheduled_time: Timestamp) {
        let (id, attempt) = task.split_once('#').unwrap_or((task, "1"));
        let TaskName { run, scheduled } = name(id);
        let attempt = attempt.parse().unwrap();
        self.queues.offer(self.now, Dispatch { run, scheduled, attempt, queue, scheduled_time }, 0);
    }

    fn offer(&mut self, task: &str) {
        self.offer_to(DispatchQueue::Workflow("q".into()), task, self.now);
    }

    fn offer_activity(&mut self, task: &str) {
        self.offer_to(DispatchQueue::Activity("q".into()), task, self.now);
    }

    fn offer_sticky(&mut self, task: &str) {
        self.offer_to(DispatchQueue::Sticky("s".into(), "q".into()), task, self.now);
    }

    fn poll(&mut self, queue: QueueKey) -> PollerId {
        self.queues.poll(self.now, queue, Poller::default()).unwrap()
    }

    fn poll_limited(&mut self, rate: f64) -> PollerId {
        let poller = Poller { max_tasks_per_second: Some(rate), ..Poller::default() };
        self.queues.poll(self.now, activity("q"), poller).unwrap()
    }

    /// Everything that came out, and remember what was handed out.
    fn out(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.queues.poll_output())
            .map(|output| match output {
                Output::NoPoller(_) => "nobody".to_owned(),
                Output::Moved(_) | Output::Answer(_, Matched::Moved) => "moved".to_owned(),
                Output::Answer(_, Matched::Wanted(host)) => format!("wanted at {}", host.0),
                Output::Answer(_, Matched::Nothing) => "nothing".to_owned(),
                Output::Answer(_, Matched::Query(_, key)) => format!("query @ {}", key.name),
                Output::Answer(_, Matched::Task(handed)) => {
                    let id = handed.name.run.workflow.workflow.to_string();
                    let line = format!("{id}#{} @ {}", handed.attempt, handed.queue.name);
                    self.handed.push(handed);
                    line
                }
            })
            .collect()
    }

    /// Poll a queue and take what is there.
    fn take(&mut self, queue: QueueKey) -> String {
        let id = self.poll(queue);
        let out = self.out();
        if out.is_empty() {
            self.queues.leave(self.now, id);
        }
        out.join(", ")
    }

    fn backlog(&mut self, queue: &QueueKey) -> usize {
        self.queues.describe(self.now, queue).backlog
    }
}

#[test]
fn whoever_has_waited_longest_gets_the_task() {
    let mut world = World::new();
    let first = world.poll(workflow("q"));
    let second = world.poll(workflow("q"));
    assert_eq!(world.out(), [""; 0]);
    world.offer("a");
    assert!(matches!(world.queues.poll_output(), Some(Output::Answer(id, _)) if id == first));
    world.offer("b");
    assert!(matches!(world.queues.poll_output(), Some(Output::Answer(id, Matched::Task(_))) if id == second));
    assert_eq!(world.queues.pending_polls(), 0);
}

#[test]
fn without_a_poller_tasks_wait_and_the_oldest_goes_first() {
    let mut world = World::new();
    world.offer("a");
    world.offer("b");
    world.offer_to(DispatchQueue::Workflow("q".into()), "older", Timestamp::ZERO);
    assert_eq!(world.backlog(&workflow("q")), 3);
    assert_eq!(world.take(workflow("q")), "older#1 @ q");
    assert_eq!(world.take(workflow("q")), "a#1 @ q");
    assert_eq!(world.take(workflow("q")), "b#1 @ q");
    assert_eq!(world.take(workflow("q")), "");
}

#[test]
fn queues_of_one_name_and_different_kinds_are_apart() {
    let mut world = World::new();
    world.offer_activity("a");
    assert_eq!(world.take(workflow("q")), "");
    assert_eq!(world.take(sticky("q")), "");
    assert_eq!(world.take(activity("q")), "a#1 @ q");
}

#[test]
fn offers_may_repeat() {
    let mut world = World::new();
    world.offer("a");
    world.offer("a");
    assert_eq!(world.take(workflow("q")), "a#1 @ q");
    world.offer("a");
    assert_eq!(world.take(workflow("q")), "", "it is in somebody's hands");
    let handed = world.handed.pop().unwrap();
    world.queues.let_go(world.now, &handed, true);
    assert_eq!(world.queues.pending_tasks(), 0);
}

#[test]
fn another_attempt_replaces_the_one_before_wherever_that_is() {
    let mut world = World::new();
    world.offer_activity("a#1");
    world.offer_activity("a#2");
    assert_eq!(world.take(activity("q")), "a#2 @ q");
    world.offer_activity("a#3");
    assert_eq!(world.take(activity("q")), "a#3 @ q");
    // What is said of the old one changes nothing for the new one.
    let (second, third) = (world.handed.remove(0), world.handed.remove(0));
    world.queues.give_back(world.now, &second, Duration::ZERO);
    assert_eq!(world.take(activity("q")), "");
    world.queues.let_go(world.now, &second, true);
    world.queues.give_back(world.now, &third, Duration::ZERO);
    assert_eq!(world.take(activity("q")), "a#3 @ q");
}

#[test]
fn a_task_that_is_offered_to_another_queue_moves() {
    let mut world = World::new();
    world.offer("a");
    world.offer_to(DispatchQueue::Workflow("other".into()), "a", world.now);
    assert_eq!(world.take(workflow("q")), "");
    assert_eq!(world.take(workflow("other")), "a#1 @ other");
}

#[test]
fn what_is_withdrawn_is_forgotten_and_may_be_offered_anew() {
    let mut world = World::new();
    world.offer("a");
    world.queues.withdraw(&name("a"));
    assert_eq!(world.take(workflow("q")), "");
    world.offer("a");
    assert_eq!(world.take(workflow("q")), "a#1 @ q");
    world.queues.withdraw(&name("a"));
    let handed = world.handed.pop().unwrap();
    world.queues.give_back(world.now, &handed, Duration::ZERO);
    assert_eq!(world.take(workflow("q")), "", "it was withdrawn while in somebody's hands");
    world.queues.withdraw(&name("unknown"));
}

#[test]
fn what_comes_back_keeps_its_place() {
    let mut world = World::new();
    world.offer("a");
    world.pass(1);
    world.offer("b");
    assert_eq!(world.take(workflow("q")), "a#1 @ q");
    let handed = world.handed.pop().unwrap();
    world.queues.give_back(world.now, &handed, Duration::ZERO);
    assert_eq!(world.take(workflow("q")), "a#1 @ q");
}

#[test]
fn what_is_put_off_waits_its_time() {
    let mut world = World::new();
    world.offer("a");
    assert_eq!(world.take(workflow("q")), "a#1 @ q");
    let handed = world.handed.pop().unwrap();
    world.queues.give_back(world.now, &handed, Duration::from_millis(100));
    world.poll(workflow("q"));
    world.offer("a");
    world.pass(99);
    assert_eq!(world.out(), [""; 0]);
    world.pass(1);
    assert_eq!(world.out(), ["a#1 @ q"]);
}

#[test]
fn a_withdrawn_task_does_not_come_back_from_being_put_off() {
    let mut world = World::new();
    world.offer("a");
    world.take(workflow("q"));
    let handed = world.handed.pop().unwrap();
    world.queues.give_back(world.now, &handed, Duration::from_millis(100));
    world.queues.withdraw(&name("a"));
    world.pass(1000);
    assert_eq!(world.take(workflow("q")), "");
}

#[test]
fn a_sticky_task_goes_to_its_worker_while_that_was_seen_lately() {
    let mut world = World::new();
    world.take(sticky("s"));
    world.pass(10_000);
    world.offer_sticky("a");
    assert_eq!(world.take(workflow("q")), "");
    assert_eq!(world.take(sticky("s")), "a#1 @ s");
}

#[test]
fn a_sticky_task_whose_worker_was_not_seen_for_ten_seconds_goes_to_any_worker() {
    let mut world = World::new();
    world.offer_sticky("never");
    assert_eq!(world.take(workflow("q")), "never#1 @ q");
    world.take(sticky("s"));
    world.pass(10_001);
    world.offer_sticky("a");
    world.offer_sticky("a");
    assert_eq!(world.take(workflow("q")), "a#1 @ q");
    assert_eq!(world.take(workflow("q")), "");
}

#[test]
fn a_sticky_poller_that_waits_is_there_however_long_it_waits() {
    let mut world = World::new();
    world.poll(sticky("s"));
    world.pass(50_000);
    world.offer_sticky("a");
    assert_eq!(world.out(), ["a#1 @ s"]);
}

#[test]
fn what_waits_for_a_worker_that_shuts_down_moves_on_at_once() {
    let mut world = World::new();
    world.take(sticky("s"));
    world.offer_sticky("a");
    world.offer_sticky("b");
    world.poll(workflow("q"));
    world.queues.query(world.now, sticky("s")).unwrap();
    world.queues.shutdown_worker(world.now, NAMESPACE, "s");
    assert_eq!(world.out(), ["a#1 @ q", "nobody"]);
    world.offer_sticky("c");
    assert_eq!(world.take(workflow("q")), "b#1 @ q");
    assert_eq!(world.take(workflow("q")), "c#1 @ q");
}

#[test]
fn polls_of_a_worker_that_shuts_down_end_with_nothing() {
    let mut world = World::new();
    world.poll(sticky("s"));
    world.queues.shutdown_worker(world.now, NAMESPACE, "s");
    assert_eq!(world.out(), ["nothing"]);
    assert_eq!(world.queues.pending_polls(), 0);
    world.queues.shutdown_worker(world.now, NAMESPACE, "unknown");
}

#[test]
fn a_sticky_task_whose_worker_died_goes_to_any_worker() {
    let mut world = World::new();
    let id = world.poll(sticky("s"));
    world.offer_sticky("a");
    assert_eq!(world.out(), ["a#1 @ s"]);
    world.queues.lose(world.now, id, &sticky("s"));
    let handed = world.handed.pop().unwrap();
    world.queues.give_back(world.now, &handed, Duration::ZERO);
    assert_eq!(world.take(workflow("q")), "a#1 @ q");
}

#[test]
fn one_poller_of_a_worker_may_go_while_another_waits() {
    let mut world = World::new();
    let lost = world.poll(sticky("s"));
    world.poll(sticky("s"));
    world.queues.lose(world.now, lost, &sticky("s"));
    world.offer_sticky("a");
    assert_eq!(world.out(), ["a#1 @ s"]);
}

#[test]
fn a_poller_that_left_gets_nothing() {
    let mut world = World::new();
    let id = world.poll(workflow("q"));
    assert!(world.queues.leave(world.now, id));
    assert!(!world.queues.leave(world.now, id));
    world.offer("a");
    assert_eq!(world.out(), [""; 0]);
    assert_eq!(world.take(workflow("q")), "a#1 @ q");
}

#[test]
fn a_queue_hands_out_no_more_than_its_pollers_want() {
    let mut world = World::new();
    for task in ["a", "b", "c", "d"] {
        world.offer_activity(task);
    }
    for _ in 0..5 {
        world.poll_limited(2.0);
    }
    assert_eq!(world.out(), ["a#1 @ q", "b#1 @ q"]);
    world.pass(500);
    assert_eq!(world.queues.poll_timeout(), Some(world.now + Duration::from_nanos(1)));
    world.pass(1);
    assert_eq!(world.out(), ["c#1 @ q"]);
    world.pass(499);
    world.pass(1);
    assert_eq!(world.out(), ["d#1 @ q"]);
}

#[test]
fn the_last_poller_sets_the_rate_and_zero_pauses() {
    let mut world = World::new();
    world.offer_activity("a");
    world.poll_limited(0.0);
    world.pass(100_000);
    world.poll(activity("q"));
    world.pass(100_000);
    assert_eq!(world.out(), [""; 0]);
    assert_eq!(world.queues.describe(world.now, &activity("q")).rate_limit, Some(0.0));
    world.poll_limited(100.0);
    assert_eq!(world.out(), ["a#1 @ q"]);
    for nonsense in [-1.0, f64::NAN, f64::INFINITY] {
        world.poll_limited(nonsense);
        assert_eq!(world.queues.describe(world.now, &activity("q")).rate_limit, Some(100.0));
    }
}

#[test]
fn a_stale_task_costs_its_queue_nothing() {
    let mut world = World::new();
    for task in ["a", "b", "c"] {
        world.offer_activity(task);
    }
    for _ in 0..3 {
        world.poll_limited(1.0);
    }
    assert_eq!(world.out(), ["a#1 @ q"]);
    let handed = world.handed.pop().unwrap();
    world.queues.let_go(world.now, &handed, false);
    assert_eq!(world.out(), ["b#1 @ q"]);
    let handed = world.handed.pop().unwrap();
    world.queues.let_go(world.now, &handed, true);
    assert_eq!(world.out(), [""; 0]);
}

#[test]
fn a_limited_queue_has_one_wakeup_however_often_it_is_polled() {
    let mut world = World::new();
    world.offer_activity("a");
    world.offer_activity("b");
    for _ in 0..100 {
        world.poll_limited(0.3);
        world.now = world.now + Duration::from_nanos(7);
    }
    world.out();
    assert_eq!(world.queues.throttled.len(), 1);
    world.poll_limited(3.0);
    assert_eq!(world.queues.throttled.len(), 1);
    world.pass(400);
    assert_eq!(world.out(), ["b#1 @ q"]);
    assert_eq!(world.queues.throttled.len(), 0);
}

#[test]
fn a_query_goes_to_a_poller_that_waits() {
    let mut world = World::new();
    world.poll(workflow("q"));
    assert!(world.queues.query(world.now, workflow("q")).is_some());
    assert_eq!(world.out(), ["query @ q"]);
}

#[test]
fn a_query_waits_for_any_poller_but_not_for_one_that_had_the_run_cached_and_is_gone() {
    let mut world = World::new();
    world.take(sticky("s"));
    world.pass(20_000);
    assert_eq!(world.queues.query(world.now, sticky("s")), None);
    assert!(world.queues.query(world.now, workflow("q")).is_some());
    assert_eq!(world.take(workflow("q")), "query @ q");
}

#[test]
fn a_query_is_forlorn_where_it_waits_and_nobody_was_seen_lately() {
    let mut world = World::new();
    let never = world.queues.query(world.now, workflow("never")).unwrap();
    assert!(world.queues.is_forlorn(world.now, never));
    world.take(workflow("q"));
    let id = world.queues.query(world.now, workflow("q")).unwrap();
    world.pass(20_000);
    assert!(!world.queues.is_forlorn(world.now, id));
    world.pass(1);
    assert!(world.queues.is_forlorn(world.now, id));
    assert_eq!(world.take(workflow("q")), "query @ q");
    world.pass(20_001);
    assert!(!world.queues.is_forlorn(world.now, id));
}

#[test]
fn queries_and_tasks_go_in_the_order_they_came() {
    let mut world = World::new();
    world.take(workflow("q"));
    world.offer("a");
    world.pass(1);
    world.queues.query(world.now, workflow("q"));
    world.pass(1);
    world.offer("b");
    assert_eq!(world.take(workflow("q")), "a#1 @ q");
    assert_eq!(world.take(workflow("q")), "query @ q");
    assert_eq!(world.take(workflow("q")), "b#1 @ q");
}

#[test]
fn a_query_that_is_over_is_not_handed_out() {
    let mut world = World::new();
    world.take(workflow("q"));
    let id = world.queues.query(world.now, workflow("q")).unwrap();
    world.queues.end_query(id);
    assert_eq!(world.take(workflow("q")), "");
    world.queues.return_query(world.now, id);
    assert_eq!(world.take(workflow("q")), "");
}

#[test]
fn a_query_that_reached_nobody_is_put_again_or_given_up() {
    let mut world = World::new();
    world.take(sticky("s"));
    let id = world.queues.query(world.now, sticky("s")).unwrap();
    assert_eq!(world.take(sticky("s")), "query @ s");
    world.queues.return_query(world.now, id);
    assert_eq!(world.take(sticky("s")), "query @ s");
    world.pass(30_000);
    world.queues.return_query(world.now, id);
    assert_eq!(world.out(), ["nobody"]);
}

#[test]
fn polls_of_a_namespace_and_call_are_bounded() {
    let mut world = World::new();
    let first = world.poll(workflow("q"));
    for n in 1..MAX_POLLS {
        world.poll(if n % 2 == 0 { sticky("s") } else { workflow("other") });
    }
    let refused = world.queues.poll(world.now, workflow("q"), Poller::default());
    assert_eq!(refused, Err(PollRefused::TooMany));
    world.poll(activity("q"));
    let elsewhere = QueueKey { namespace: NamespaceId(Uuid::from_u128(9)), ..workflow("q") };
    world.poll(elsewhere);
    world.queues.leave(world.now, first);
    world.poll(workflow("q"));
}

#[test]
fn names_are_bounded() {
    let mut world = World::new();
    world.poll(workflow(&"x".repeat(1000)));
    for bad in ["", &"x".repeat(1001)] {
        let refused = world.queues.poll(world.now, workflow(bad), Poller::default());
        assert_eq!(refused, Err(PollRefused::BadName));
    }
}

#[test]
fn a_description_tells_who_polls_and_how_it_goes() {
    let mut world = World::new();
    for identity in ["one", "two", "one"] {
        world.pass(1000);
        let poller = Poller { identity: identity.into(), ..Poller::default() };
        let id = world.queues.poll(world.now, workflow("q"), poller).unwrap();
        world.queues.leave(world.now, id);
    }
    for task in ["a", "b", "c"] {
        world.offer(task);
    }
    world.pass(2000);
    world.take(workflow("q"));
    let described = world.queues.describe(world.now, &workflow("q"));
    let pollers: Vec<_> = described.pollers.iter().map(|seen| seen.poller.identity.as_str()).collect();
    assert_eq!(pollers, ["", "one", "two"]);
    assert_eq!((described.backlog, described.backlog_age), (2, Duration::from_secs(2)));
    assert_eq!((described.add_rate, described.dispatch_rate), (0.1, 1.0 / 30.0));
    assert_eq!(world.queues.describe(world.now, &workflow("unknown")), Description::default());
}

#[test]
fn a_match_tells_what_a_poller_may_want_to_know() {
    let mut world = World::new();
    world.poll(workflow("q"));
    world.pass(1500);
    world.offer("a");
    world.offer("b");
    world.offer("c");
    world.poll(workflow("q"));
    world.out();
    let seen: Vec<_> = world.handed.iter().map(|handed| (handed.is_sync, handed.waited, handed.backlog)).collect();
    assert_eq!(seen, [(true, Duration::from_millis(1500), 0), (false, Duration::ZERO, 1)]);
}

#[test]
fn an_unused_queue_is_unloaded_and_a_used_one_is_not() {
    let mut world = World::new();
    world.take(workflow("unused"));
    world.offer("waits");
    let poll = world.poll(sticky("polled"));
    world.pass(299_000);
    assert_eq!(world.queues.loaded(), 3);
    world.take(workflow("unused"));
    world.pass(1000);
    assert_eq!(world.queues.loaded(), 3);
    world.pass(299_000);
    assert_eq!(world.queues.loaded(), 2);
    world.queues.leave(world.now, poll);
    assert_eq!(world.take(workflow("q")), "waits#1 @ q");
    for _ in 0..3 {
        world.pass(300_000);
    }
    assert_eq!(world.queues.loaded(), 0);
    assert_eq!(world.queues.poll_timeout(), None, "nothing keeps an idle process awake");
    let handed = world.handed.pop().unwrap();
    world.queues.give_back(world.now, &handed, Duration::ZERO);
    assert_eq!(world.take(workflow("q")), "waits#1 @ q");
}

impl World {
    /// What other hosts are told.
    fn told(&mut self) -> Vec<usize> {
        let untold: Vec<_> = std::iter::from_fn(|| self.queues.poll_untold()).collect();
        untold.iter().map(|key| self.queues.lacking(key)).collect()
    }
}

#[test]
fn whoever_has_nothing_to_do_goes_where_he_is_wanted() {
    let mut world = World::new();
    for _ in 0..3 {
        world.poll(workflow("q"));
    }
    world.queues.want(world.now, activity("q"), HostId(7), 9);
    assert_eq!(world.out(), [""; 0]);
    world.queues.want(world.now, workflow("q"), HostId(7), 2);
    assert_eq!(world.out(), ["wanted at 7", "wanted at 7"]);
    world.offer("a");
    assert_eq!(world.out(), ["a#1 @ q"]);
    // What is here goes first.
    world.queues.want(world.now, workflow("q"), HostId(7), 5);
    world.offer("b");
    assert_eq!(world.take(workflow("q")), "b#1 @ q");
    assert_eq!(world.take(workflow("q")), "wanted at 7");
    world.queues.want(world.now, workflow("q"), HostId(7), 0);
    assert_eq!(world.take(workflow("q")), "");
    assert_eq!(world.queues.pending_polls(), 0);
}

#[test]
fn a_poller_whom_the_limiter_holds_back_is_not_sent_away() {
    let mut world = World::new();
    world.poll_limited(0.0);
    world.offer_activity("a");
    world.queues.want(world.now, activity("q"), HostId(7), 5);
    assert_eq!(world.out(), [""; 0]);
    world.poll_limited(0.0);
    assert_eq!(world.out(), ["wanted at 7"]);
}

#[test]
fn others_are_told_when_pollers_are_lacking_and_when_they_are_not() {
    let mut world = World::new();
    world.offer("a");
    world.offer_sticky("alone");
    assert_eq!(world.told(), [0; 0], "there is nobody to tell");
    world.queues.share(true);
    assert_eq!(world.told(), [2]);
    world.offer("b");
    world.offer("c");
    assert_eq!(world.told(), [0; 0], "it is about the same");
    world.offer("d");
    assert_eq!(world.told(), [5]);
    world.queues.tell_again();
    assert_eq!(world.told(), [5]);
    for _ in 0..5 {
        world.take(workflow("q"));
    }
    assert_eq!(world.told(), [0]);
    assert_eq!(world.told(), [0; 0]);
    world.queues.query(world.now, workflow("q"));
    assert_eq!(world.told(), [1]);
}

#[test]
fn others_are_told_when_the_last_poller_leaves_work_behind() {
    let mut world = World::new();
    world.queues.share(true);
    let poller = world.poll_limited(0.0);
    world.offer_activity("a");
    assert_eq!(world.told(), [0; 0]);
    world.queues.leave(world.now, poller);
    assert_eq!(world.told(), [1]);
    world.queues.withdraw(&name("a"));
    assert_eq!(world.told(), [0]);
}

#[test]
fn a_part_of_a_queue_hands_out_its_part_of_what_pollers_want() {
    let mut world = World::new();
    let poller = Poller { max_tasks_per_second: Some(8.0), share: Some(0.25), ..Poller::default() };
    for id in ["a", "b", "c"] {
        world.offer_activity(id);
        world.queues.poll(world.now, activity("q"), poller.clone()).unwrap();
    }
    assert_eq!(world.out(), ["a#1 @ q", "b#1 @ q"]);
    assert_eq!(world.queues.describe(world.now, &activity("q")).rate_limit, Some(8.0), "it is that of all parts");
    world.pass(501);
    assert_eq!(world.out(), ["c#1 @ q"]);
}

#[test]
fn what_is_kept_is_said_by_partition() {
    let mut world = World::new();
    for (partition, id) in [(0, "a"), (1, "b"), (2, "c")] {
        let TaskName { run, scheduled } = name(id);
        let queue = DispatchQueue::Workflow("q".into());
        let dispatch = Dispatch { run, scheduled, attempt: 1, queue, scheduled_time: world.now };
        world.queues.offer(world.now, dispatch, partition);
    }
    world.queues.keep(|_, _, partition| partition == 1, |_, _| true, |_| true);
    assert_eq!(world.take(workflow("q")), "b#1 @ q");
    assert_eq!(world.queues.pending_tasks(), 1);
}

#[test]
fn shutting_down_ends_every_wait() {
    let mut world = World::new();
    world.take(workflow("q"));
    world.queues.query(world.now, workflow("q"));
    world.poll(activity("q"));
    world.poll(sticky("s"));
    world.queues.shutdown();
    let mut out = world.out();
    out.sort();
    assert_eq!(out, ["nobody", "nothing", "nothing"]);
    assert_eq!(world.queues.pending_polls(), 0);
}
