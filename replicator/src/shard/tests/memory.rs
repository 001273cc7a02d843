//! What is forgotten to make room is in the store, and what only memory knows is not forgotten.

use core::time::Duration;
use std::{format, string::ToString, vec, vec::Vec};

use proto::temporal::api::{
    enums::v1::ResourceExhaustedCause,
    query::v1::WorkflowQuery,
    taskqueue::v1::{StickyExecutionAttributes, TaskQueue},
    workflowservice::v1 as api,
};

use super::world::{A, World, activity, go_on, signal_call, timer, workflow};
use crate::{
    ids::EventId,
    shard::io::{Call, Dispatch, Failure, Reply, Request, Response, StartedWorkflowTask},
    time::proto_duration,
    workflow::MutableState,
};

/// A worker with a cache takes the run through all that no event tells: attempts of workflow tasks and of an activity, signs of life,
/// its own queue, a signal that waits for a task to end. Whoever forgets the run after each step sees the same.
#[test]
fn attempts_and_signs_of_life_and_queues_are_not_only_in_memory() {
    let (kept, forgotten) = (long_life(1 << 30), long_life(0));
    assert_eq!(kept.0, forgotten.0, "state");
    assert_eq!(kept.1, forgotten.1, "answers");
    assert_eq!(kept.2, forgotten.2, "offers");
}

fn long_life(limit: usize) -> (MutableState, Vec<Reply>, Vec<Dispatch>) {
    let mut world = World::new(1);
    world.clusters[A].shard.limit_cache(limit);
    let run = world.start(A, 0);
    let mut replies = Vec::new();
    let task = world.poll(A);
    replies.push(complete_and_stay(&mut world, &task));
    replies.extend(world.try_start_activity(A));
    replies.extend(world.try_end_activity(A, 0));
    replies.extend(world.try_end_activity(A, 2));
    world.tick(10_000);
    replies.extend(world.try_start_activity(A));
    replies.extend(world.try_end_activity(A, 0));
    world.signal(A, "one");
    for attempt in 0..3 {
        let task = world.poll(A);
        world.signal(A, &format!("while a worker has attempt {attempt}"));
        let failed =
            Call::FailWorkflowTask(task.claim.clone(), api::RespondWorkflowTaskFailedRequest::default().into());
        replies.push(world.call(A, Some(run), failed));
        world.tick(15_000);
    }
    let is_empty = world.clusters[A].shard.cache().workflows == 0;
    assert_eq!(is_empty, limit == 0);
    (world.state(A, run), replies, world.clusters[A].offers.clone())
}

fn complete_and_stay(world: &mut World, task: &StartedWorkflowTask) -> Reply {
    let completion = api::RespondWorkflowTaskCompletedRequest {
        commands: vec![activity("x"), timer("t", 3_600)],
        sticky_attributes: Some(StickyExecutionAttributes {
            worker_task_queue: Some(TaskQueue { name: "own".to_string(), ..TaskQueue::default() }),
            schedule_to_start_timeout: Some(proto_duration(Duration::from_secs(5))),
        }),
        ..api::RespondWorkflowTaskCompletedRequest::default()
    };
    world.call(A, Some(task.view.run.run), Call::CompleteWorkflowTask(task.claim.clone(), completion.into()))
}

/// A question waits for the next workflow task, and there is no room for its run.
#[test]
fn a_question_that_waits_keeps_its_run() {
    let mut world = World::new(1);
    let run = world.start(A, 0);
    world.work(A, vec![]);
    world.signal(A, "something to do");
    world.clusters[A].shard.limit_cache(0);
    let query = WorkflowQuery { query_type: "how".to_string(), ..WorkflowQuery::default() };
    let question = api::QueryWorkflowRequest { query: Some(query), ..api::QueryWorkflowRequest::default() };
    let asked = world.ask(A, Request { workflow: workflow(), run: Some(run), call: Call::Query(question.into()) });
    world.clusters[A].shard.trim();
    assert_eq!(world.reply(A, asked), None);
    let task = world.poll(A);
    assert_eq!(task.queries.len(), 1);
    world.complete(A, &task, vec![]).expect("the completion is taken");
    assert!(world.reply(A, asked).is_some());
    assert_eq!(world.clusters[A].shard.cache().workflows, 0);
}

/// A signal is on its way to the store, and another one waits behind it, when everything is forgotten that can be.
#[test]
fn a_write_under_way_and_what_waits_behind_it_stay() {
    let mut world = World::new(1);
    let run = world.start(A, 0);
    world.clusters[A].shard.limit_cache(0);
    world.slow(A, true);
    let ask =
        |world: &mut World, name| world.ask(A, Request { workflow: workflow(), run: None, call: signal_call(name) });
    let asked = [ask(&mut world, "first"), ask(&mut world, "second")];
    world.clusters[A].shard.trim();
    assert_eq!(world.clusters[A].shard.cache().workflows, 1);
    world.written(A);
    assert!(asked.iter().all(|asked| matches!(world.reply(A, *asked), Some(Ok(Response::Signaled { .. })))));
    assert_eq!(world.signals(A, run), "first second");
    assert_eq!(world.clusters[A].shard.cache().workflows, 0);
}

/// A read is under way when everything is forgotten that can be.
#[test]
fn whoever_waits_for_a_read_is_answered() {
    let mut world = World::new(1);
    let run = world.start(A, 0);
    world.restart(A);
    world.clusters[A].shard.limit_cache(0);
    let request = Request { workflow: workflow(), run: None, call: signal_call("late") };
    let (now, id) = (world.now, crate::shard::io::RequestId(1 << 40));
    world.clusters[A].shard.handle_request(now, id, request);
    world.clusters[A].shard.trim();
    world.settle(A);
    assert!(matches!(world.reply(A, id), Some(Ok(_))));
    assert_eq!(world.signals(A, run), "late");
}

/// Workflows come and go on, and memory keeps to its limit, with those that were used last.
#[test]
fn the_limit_is_kept_whatever_comes() {
    let mut world = World::new(1);
    world.start(A, 0);
    let one = world.clusters[A].shard.cache().bytes;
    world.clusters[A].shard.limit_cache(10 * one);
    for number in 0..200 {
        let mut key = workflow();
        key.workflow = format!("{number}").as_str().into();
        let call = world.start_call(0);
        world.ask(A, Request { workflow: key, run: None, call });
        assert!(world.clusters[A].shard.cache().bytes <= 10 * one);
    }
    let cache = world.clusters[A].shard.cache();
    assert!((5..=10).contains(&cache.workflows), "{cache:?}");
    assert_eq!(cache.evicted, 201 - cache.workflows as u64);
}

/// A run with many pending activities weighs more than one with few, and as much less when they are done.
#[test]
fn pending_things_weigh() {
    let mut world = World::new(1);
    let run = world.start(A, 0);
    let bytes = |world: &World| world.clusters[A].shard.cache().bytes;
    let before = bytes(&world);
    world.work(A, (0..100).map(|number| activity(&format!("{number}"))).collect());
    let with = bytes(&world);
    assert!(100 * 500 < with - before && with - before < 100 * 5_000, "{before} {with}");
    world.restart(A);
    world.signal(A, "read again");
    let read = bytes(&world);
    assert!(with.abs_diff(read) < with / 20, "{with} when written, {read} when read");
    assert!(world.has(A, run));
}

/// A workflow continues as new for ever. The runs that it leaves behind do not stay in memory, and are there when asked for.
#[test]
fn a_workflow_that_goes_on_for_ever_stays_small() {
    let mut world = World::new(1);
    let first = world.start(A, 0);
    let mut most = [0, 0];
    for round in 0..40 {
        world.work(A, vec![go_on()]);
        world.tick(1_000);
        let most = &mut most[usize::from(round >= 20)];
        *most = (*most).max(world.clusters[A].shard.cache().bytes);
    }
    assert!(most[1] <= most[0] + most[0] / 10, "{most:?}");
    assert!(matches!(world.call(A, Some(first), Call::View), Ok(Response::View(view)) if !view.is_open));
    assert!(!matches!(world.try_signal(A, None, "goes on"), Err(Failure::NotFound(_))));
}

/// Callers signal a workflow faster than it can be written. They are told to come later, and the worker is not.
#[test]
fn a_busy_workflow_refuses_callers_and_not_its_worker() {
    let mut world = World::new(1);
    let run = world.start(A, 0);
    world.slow(A, true);
    let ask = |world: &mut World, call| world.ask(A, Request { workflow: workflow(), run: Some(run), call });
    let asked: Vec<_> = (0..2_010).map(|number| ask(&mut world, signal_call(&format!("{number}")))).collect();
    let (scheduled, poll) = (EventId(2), api::PollWorkflowTaskQueueRequest::default().into());
    let taken = ask(&mut world, Call::StartWorkflowTask { scheduled, request_id: "poll".to_string(), poll });
    let busy = ResourceExhaustedCause::BusyWorkflow.into();
    let is_busy = |reply: &Reply| matches!(reply, Err(Failure::ResourceExhausted { cause, .. }) if *cause == busy);
    let refused = asked.iter().filter_map(|asked| world.reply(A, *asked)).filter(is_busy).count();
    assert_eq!(refused, 9, "one is under way, and 2,000 wait");
    world.written(A);
    assert!(matches!(world.reply(A, taken), Some(Ok(_))));
    assert_eq!(world.signals(A, run).split(' ').count(), 2_001);
}
