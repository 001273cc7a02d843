//! A workflow task is with a worker, and signals wait behind it, when the namespace moves: the cases of MU-6; and streams
//! that begin again.

use std::string::ToString;

use super::world::{A, B, C, World};

/// A run in `a` whose task is with a worker, and every cluster knows that.
fn taken(clusters: usize) -> (World, crate::ids::RunId) {
    let mut world = World::new(clusters);
    let run = world.start(A, 0);
    world.poll(A);
    world.deliver_all();
    (world, run)
}

/// Ours, then another cluster's: what waits is written under the version that it has.
#[test]
fn ct_7_active_to_passive() {
    let (mut world, run) = taken(2);
    world.signal(A, "kept");
    world.failover(B, &[A, B]);
    world.deliver_all();
    let story = "1@1:Started 2@1:TaskScheduled 3@1:TaskStarted 4@1:TaskFailed 5@1:!kept 6@1:TaskScheduled";
    assert_eq!([A, B].map(|cluster| world.story(cluster, run)), [story, story]);
    world.agree();
}

/// Ours, and ours again. Temporal writes what waits under the old version, and the rest under the new one. Here all events
/// behind one task share a version, which is the new one: nobody else can have written under the old one.
#[test]
fn ct_7_active_to_active() {
    let (mut world, run) = taken(2);
    world.signal(A, "kept");
    world.failover(B, &[]);
    world.failover(A, &[A, B]);
    world.signal(A, "new");
    world.deliver_all();
    let story = world.story(A, run);
    assert!(story.contains("3@1:TaskStarted 4@11:TaskFailed"), "{story}");
    assert_eq!((world.signals(A, run), world.signals(B, run)), ("kept new".to_string(), "kept new".to_string()));
    assert!(story.contains("!kept") && !story.contains("@1:!"), "{story}");
    world.agree();
}

/// Another cluster's, then ours: its task fails under our version, with the first change that we make.
#[test]
fn ct_7_passive_to_active() {
    let (mut world, run) = taken(2);
    world.failover(B, &[B]);
    assert_eq!(world.story(B, run), "1@1:Started 2@1:TaskScheduled 3@1:TaskStarted", "nothing is touched before that");
    world.signal(B, "new");
    assert_eq!(
        world.story(B, run),
        "1@1:Started 2@1:TaskScheduled 3@1:TaskStarted 4@2:TaskFailed 5@2:TaskScheduled 6@2:!new"
    );
    world.deliver_all();
    world.hear(&[A]);
    world.agree();
}

/// Another cluster's, then yet another's: who only follows writes nothing.
#[test]
fn ct_7_passive_to_passive() {
    let (mut world, run) = taken(3);
    world.failover(B, &[A, B, C]);
    assert_eq!(world.story(C, run), "1@1:Started 2@1:TaskScheduled 3@1:TaskStarted");
    world.signal(B, "new");
    world.deliver_all();
    assert_eq!(world.story(C, run), world.story(B, run));
    world.agree();
}

/// A source that forgot how far its peer is tells everything once more; nothing changes, and it is acknowledged.
#[test]
fn ct_11_a_source_begins_again_from_an_older_cursor() {
    let (mut world, run) = taken(2);
    world.signal(A, "one");
    world.deliver_all();
    let before = world.picture(B);
    world.restart(A);
    world.flush();
    assert!(!world.wires.is_empty(), "it tells again");
    world.deliver_all();
    assert_eq!(world.picture(B), before);
    assert_eq!(world.tree(B, run), world.tree(A, run));
    assert!(world.complaints().is_empty());
}
