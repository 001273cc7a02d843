//! What waits while a workflow task is started, and in which order it is written.

use super::cluster::{Cluster, namespace, start, story};
use crate::{ids::EventId, workflow::draft::Transition};
use std::string::ToString;

#[test]
fn first_transaction_schedules_the_first_task() {
    let mut cluster = Cluster::new(namespace(), 1);
    assert_eq!(story(&cluster.start(start(0, 0))), "1:WorkflowExecutionStarted 2:Sched1");
}

#[test]
fn what_comes_before_the_task_starts_is_written_at_once() {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(0, 0));
    assert_eq!(story(&cluster.step(|t| t.signal("a"))), "3:Signal");
}

#[test]
fn ends_are_written_after_everything_else() {
    check(
        |t| {
            t.close_activity(EventId(5), 0);
            t.signal("a");
            t.close_activity(EventId(6), 2);
            t.fire_timer(EventId(7));
        },
        "11:Completed 12:Began5 13:Signal 14:Fired7 15:Done5(12) 16:Late6(0) 17:Sched1",
    );
}

#[test]
fn an_end_names_the_start_of_its_own_activity() {
    check(
        |t| {
            t.close_activity(EventId(6), 0);
            t.close_activity(EventId(5), 0);
        },
        "11:Completed 12:Began5 13:Done6(0) 14:Done5(12) 15:Sched1",
    );
}

#[test]
fn a_cancelled_timer_takes_back_its_firing() {
    check(
        |t| {
            t.fire_timer(EventId(7));
            assert!(t.timer(EventId(7)).is_none());
            assert!(t.remove_buffered_timer_fired(EventId(7)));
            assert!(!t.remove_buffered_timer_fired(EventId(7)));
            assert!(t.timer(EventId(7)).is_some());
        },
        "11:Completed",
    );
}

#[test]
fn what_is_buffered_is_known() {
    check(
        |t| {
            t.signal("a");
            assert!(t.signal_request_known("a") && !t.signal_request_known("b") && !t.signal_request_known(""));
            t.close_activity(EventId(5), 0);
            assert!(t.activity(EventId(5)).is_none() && t.activity(EventId(6)).is_some());
            assert!(!t.flush_buffered(), "the task is started");
        },
        "11:Completed 12:Signal 13:Began5 14:Done5(13) 15:Sched1",
    );
}

#[test]
fn unbuffered_ends_name_their_starts() {
    let mut cluster = two_activities_and_a_timer();
    let closed = cluster.step(|t| {
        t.complete_task();
        t.close_activity(EventId(5), 0);
    });
    assert_eq!(story(&closed), "11:Completed 12:Began5 13:Done5(12) 14:Sched1");
}

#[test]
fn a_buffer_has_a_limit() {
    let mut cluster = two_activities_and_a_timer();
    cluster.step(|t| {
        (0..100).for_each(|_| t.signal(""));
        assert!(!t.buffer_is_full());
        t.signal("");
        assert!(t.buffer_is_full());
    });
}

#[test]
fn a_transient_task_gives_way_to_what_waited() {
    let mut cluster = two_activities_and_a_timer();
    let closed = cluster.step(|t| {
        t.signal("a");
        t.fail_task(14);
    });
    assert_eq!(story(&closed), "11:Failed 12:Signal 13:Sched1");
    cluster.step(|t| t.start_task());
    assert_eq!(story(&cluster.step(|t| t.fail_task(14))), "15:Failed");
    let task = cluster.state().workflow_task.pending.clone().unwrap();
    assert!(task.is_transient());
    assert_eq!((task.scheduled, task.attempt), (EventId(16), 2));
}

#[test]
fn a_failover_or_reset_begins_a_new_streak() {
    for cause in [18, 20] {
        let mut cluster = two_activities_and_a_timer();
        assert_eq!(story(&cluster.step(|t| t.fail_task(cause))), "11:Failed 12:Sched1");
    }
}

#[test]
fn a_batch_ends_where_a_workflow_task_starts() {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(0, 0));
    let closed = cluster.step(|t| {
        t.start_task();
        t.complete_task();
    });
    assert_eq!(story(&closed), "3:Start | 4:Completed");
}

/// A run whose second workflow task is started, with activities 5 (started) and 6, and timer 7. `work` is done, then the
/// task completes; `expected` is what is written then.
#[track_caller]
fn check(work: impl FnOnce(&mut Transition<'_>), expected: &str) {
    let mut cluster = two_activities_and_a_timer();
    cluster.step(work);
    let closed = cluster.step(|t| {
        t.complete_task();
    });
    assert_eq!(story(&closed), expected);
}

fn two_activities_and_a_timer() -> Cluster {
    let mut cluster = Cluster::new(namespace(), 1);
    cluster.start(start(0, 0));
    cluster.step(|t| t.start_task());
    let closed = cluster.step(|t| {
        t.complete_task();
        t.schedule_activity("x".to_string(), [60, 0, 0, 0]);
        t.schedule_activity("y".to_string(), [60, 0, 0, 0]);
        t.start_timer("t".to_string(), 30);
    });
    assert!(story(&closed).starts_with("4:Completed 5:"));
    cluster.step(|t| t.start_activity(EventId(5)));
    cluster.step(|t| t.signal(""));
    assert_eq!(story(&cluster.step(|t| t.start_task())), "10:Start");
    cluster
}
