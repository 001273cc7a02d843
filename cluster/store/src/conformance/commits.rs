//! Conditions, groups, ranges, rows.

use bytes::Bytes;
use replicator::{
    ids::{EventId, NamespaceId, RangeId, RecordVersion, RunKey, ShardId, TaskId, WorkflowKey},
    shard::io::{CommitOutcome, ItemKind, Load, Loaded, RunChange, RunWrite, Transaction},
    task::{Category, HistoryTask, TaskKey},
    time::Timestamp,
};

use super::{
    Fixture,
    model::{
        Owner, SHARD, acquire, batch, delete, item, listed, namespace, nothing, point, put, root, run, show, start,
        timer, transfer, workflow,
    },
};

/// The range first, then the pointer and the records; what fails writes nothing.
pub async fn conditions_are_checked_in_order(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let (first, second) = (run("w", 1), run("w", 2));
    owner.commits(start(&first)).await;

    let fails = |transaction| async { assert_eq!(owner.commit(transaction).await, CommitOutcome::ConditionFailed) };
    fails(start(&first)).await;
    fails(start(&second)).await;
    fails(Transaction { runs: vec![put(&first, Some(7), 8)], ..nothing() }).await;
    fails(Transaction { runs: vec![put(&second, Some(1), 2)], ..nothing() }).await;
    fails(Transaction { runs: vec![put(&first, Some(1), 2), put(&second, Some(1), 2)], ..nothing() }).await;
    fails(Transaction { current: Some(point(&first.workflow, Some(&second), None)), ..nothing() }).await;
    let nowhere = Some(point(&first.workflow, Some(&first), Some(&second)));
    fails(Transaction { current: nowhere, ..nothing() }).await;
    fails(Transaction { visibility: vec![show(&listed(&second, 1))], ..nothing() }).await;

    let stale = Transaction { range: RangeId(owner.range.0 - 1), ..start(&second) };
    assert_eq!(owner.store.commit(stale).await, Ok(CommitOutcome::ShardOwnershipLost));
    let foreign = Transaction { shard: ShardId(99), range: owner.range, ..nothing() };
    assert_eq!(owner.store.commit(foreign).await, Ok(CommitOutcome::ShardOwnershipLost));

    assert_eq!(owner.run(&second).await, None);
    let found = owner.current(&first.workflow).await.expect("the first run");
    assert_eq!((found.run, found.record, found.state), (first, RecordVersion(1), Bytes::from_static(b"state 1")));
}

/// Transactions that wait together share a write, not a fate.
pub async fn a_failed_condition_leaves_its_neighbours_alone(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let runs: Vec<_> = (0..60).map(|number| run(&format!("w{number}"), number)).collect();
    let commits = runs.iter().enumerate().map(|(at, run)| {
        let mut transaction = start(run);
        transaction.tasks = vec![transfer(run, at as i64 + 1)];
        match at % 3 {
            0 => {}
            1 => transaction.runs[0].expected = Some(RecordVersion(5)),
            _ => transaction.range = RangeId(owner.range.0 + 1),
        }
        let range = if at % 3 == 2 { transaction.range } else { owner.range };
        owner.store.commit(Transaction { range, ..transaction })
    });
    let outcomes = futures_util::future::join_all(commits).await;
    for (at, outcome) in outcomes.into_iter().enumerate() {
        let expected =
            [CommitOutcome::Committed, CommitOutcome::ConditionFailed, CommitOutcome::ShardOwnershipLost][at % 3];
        assert_eq!(outcome, Ok(expected), "transaction {at}");
        assert_eq!(owner.run(&runs[at]).await.is_some(), at % 3 == 0, "run {at}");
    }
    assert_eq!(tasks(&owner, Category::Transfer, None, 100).await.len(), 20);
}

/// Who takes the shard shuts out whoever had it.
pub async fn a_range_fences_older_ones(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let kept = Transaction { shard_state: Some(Bytes::from_static(b"acks")), ..start(&run("w", 1)) };
    owner.commits(kept).await;
    let (range, state) = acquire(&*owner.store, SHARD).await;
    assert_eq!((range, state), (RangeId(owner.range.0 + 1), Bytes::from_static(b"acks")));
    assert_eq!(owner.commit(start(&run("v", 2))).await, CommitOutcome::ShardOwnershipLost);
    assert_eq!(owner.run(&run("v", 2)).await, None);
    let owner = Owner { range, ..owner };
    owner.commits(start(&run("v", 2))).await;
    let (other, state) = acquire(&*owner.store, ShardId(SHARD.0 + 1)).await;
    assert_eq!((other, state), (RangeId(1), Bytes::new()), "shards are apart");
}

/// Above whatever was given and forgotten, whoever else asks at the same moment.
pub async fn a_range_may_leap_and_a_restart_is_no_other_life(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let life = owner.store.life().await.expect("it says");
    let store = &owner.store;
    let take = |leaps| async move {
        match store.load(SHARD, Load::AcquireShard { leaps }).await {
            Loaded::Shard { range, life, .. } => (range, life),
            other => panic!("{other:?}"),
        }
    };
    let leapt = owner.range.next(true);
    assert!(leapt > RangeId(owner.range.0 + 1_000_000));
    assert_eq!(take(true).await, (leapt, life));
    assert_eq!(take(false).await, (leapt.next(false), life));
    if !fixture.survives() {
        return;
    }
    owner.store.close().await;
    drop(owner);
    let again = Owner::of(fixture).await;
    assert_eq!((again.range, again.store.life().await), (leapt.next(false).next(false), Ok(life)));
}

/// Close and open.
pub async fn what_was_answered_is_there_after_a_restart(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let (first, second) = (run("w", 1), run("v", 2));
    let mut transaction = start(&first);
    transaction.tasks = vec![transfer(&first, 5)];
    transaction.visibility = vec![show(&listed(&first, 9))];
    owner.commits(transaction).await;
    owner.store.close().await;
    let late = owner.store.commit(Transaction { range: owner.range, ..start(&second) }).await;
    assert!(late.is_err(), "a closed store takes nothing");
    if !fixture.survives() {
        return;
    }
    let range = owner.range;
    drop(owner);
    let owner = Owner::of(fixture).await;
    assert_eq!(owner.range, RangeId(range.0 + 1));
    assert_eq!(owner.current(&first.workflow).await.map(|found| found.run), Some(first.clone()));
    assert_eq!(tasks(&owner, Category::Transfer, None, 9).await, [transfer(&first, 5)]);
    owner.commits(start(&second)).await;
    owner.commits(Transaction { runs: vec![put(&first, Some(1), 2)], ..nothing() }).await;
    let page = owner.store.list(first.workflow.namespace, "", 0, b"").await.expect("listed");
    assert_eq!(page.records, [listed(&first, 9)]);
    owner.store.close().await;
}

async fn tasks(owner: &Owner, category: Category, after: Option<TaskKey>, limit: usize) -> Vec<HistoryTask> {
    match owner.store.load(SHARD, Load::Tasks { category, after, limit }).await {
        Loaded::Tasks(tasks) => tasks,
        other => panic!("{other:?}"),
    }
}

/// Queues are ranges of their own.
pub async fn tasks_come_in_order_and_go_when_done(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let run = run("w", 1);
    let timers = [timer(&run, -5, 9), timer(&run, 10, 4), timer(&run, 10, 6), timer(&run, 20, 1)];
    let mut transaction = start(&run);
    transaction.tasks =
        vec![timers[3].clone(), timers[1].clone(), transfer(&run, 7), timers[2].clone(), timers[0].clone()];
    owner.commits(transaction).await;
    assert_eq!(tasks(&owner, Category::Timer, None, 9).await, timers);
    assert_eq!(tasks(&owner, Category::Timer, None, 2).await, timers[..2]);
    assert_eq!(tasks(&owner, Category::Timer, Some(timers[1].key), 9).await, timers[2..]);
    let between = TaskKey { fire_time: Timestamp(10), id: TaskId(5) };
    assert_eq!(tasks(&owner, Category::Timer, Some(between), 9).await, timers[2..]);
    assert_eq!(tasks(&owner, Category::Replication, None, 9).await, []);
    let elsewhere = Load::Tasks { category: Category::Timer, after: None, limit: 9 };
    assert_eq!(owner.store.load(ShardId(SHARD.0 + 1), elsewhere).await, Loaded::Tasks(Vec::new()));

    let completed =
        vec![(Category::Timer, timers[1].key), (Category::Timer, between), (Category::Transfer, timers[3].key)];
    owner.commits(Transaction { completed, ..nothing() }).await;
    let left = [timers[0].clone(), timers[2].clone(), timers[3].clone()];
    assert_eq!(tasks(&owner, Category::Timer, None, 9).await, left);
    assert_eq!(tasks(&owner, Category::Transfer, None, 9).await, [transfer(&run, 7)]);
}

/// Whoever writes a row again means it.
pub async fn a_row_that_is_there_is_replaced(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let (first, second) = (run("w", 1), run("v", 2));
    owner.commits(Transaction { tasks: vec![transfer(&first, 5), timer(&first, 7, 6)], ..start(&first) }).await;
    let branch = root(&first, 1);
    let events = |transaction| vec![batch(&branch, 1, transaction, 10, 0)];
    owner.commits(Transaction { runs: vec![put(&first, Some(1), 2)], history: events(3), ..nothing() }).await;
    owner.commits(Transaction { runs: vec![put(&first, Some(2), 3)], history: events(4), ..nothing() }).await;
    owner.commits(Transaction { tasks: vec![transfer(&second, 5), transfer(&second, 8)], ..start(&second) }).await;
    assert_eq!(tasks(&owner, Category::Transfer, None, 9).await, [transfer(&second, 5), transfer(&second, 8)]);
    assert_eq!(tasks(&owner, Category::Timer, None, 9).await, [timer(&first, 7, 6)]);
    let page = owner.store.read_history(SHARD, &first.workflow, &branch, EventId(1), EventId(9), 99).await;
    let events: Vec<_> = page.expect("read").batches.into_iter().map(|batch| batch.events).collect();
    assert_eq!(events, [Bytes::from_static(b"1-4@10")]);
}

/// A write names the items that change.
pub async fn items_change_one_by_one(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let run = run("w", 1);
    let write = |expected: Option<i64>, upserts, deletes| {
        let record = RecordVersion(expected.unwrap_or(0) + 1);
        let change = RunChange::Put { record, state: Bytes::new(), upserts, deletes };
        let write = RunWrite { run: run.clone(), expected: expected.map(RecordVersion), change };
        let current = expected.is_none().then(|| point(&run.workflow, None, Some(&run)));
        Transaction { current, runs: vec![write], ..nothing() }
    };
    let start = (item(ItemKind::Start, ""), Bytes::from_static(b"start"));
    let activity = |value: &'static str| (item(ItemKind::Activity, "5"), Bytes::from_static(value.as_bytes()));
    let same_key = (item(ItemKind::Timer, "5"), Bytes::from_static(b"timer"));
    let signal = (item(ItemKind::SignalRequest, "request"), Bytes::new());
    let items = |run: Option<replicator::shard::io::StoredRun>| {
        let mut items = run.expect("stored").items;
        items.sort();
        items
    };

    owner.commits(write(None, vec![start.clone(), activity("a"), same_key.clone()], Vec::new())).await;
    assert_eq!(items(owner.run(&run).await), [start.clone(), activity("a"), same_key.clone()]);
    owner.commits(write(Some(1), vec![activity("b"), signal.clone()], vec![same_key.0.clone()])).await;
    assert_eq!(items(owner.current(&run.workflow).await), [start.clone(), activity("b"), signal.clone()]);
    owner.commits(write(Some(2), Vec::new(), vec![activity("").0, start.0, same_key.0])).await;
    assert_eq!(items(owner.run(&run).await), [signal]);
}

/// A deleted run is nobody's current run, and its id may be used again.
pub async fn a_pointer_goes_with_its_run(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let (first, second) = (run("w", 1), run("w", 2));
    owner.commits(start(&first)).await;
    let current = Some(point(&workflow("w"), Some(&first), Some(&second)));
    owner.commits(Transaction { current, runs: vec![put(&second, None, 1)], ..nothing() }).await;
    owner.commits(Transaction { runs: vec![delete(&first, 1, &[])], ..nothing() }).await;
    assert_eq!(owner.current(&workflow("w")).await.map(|found| found.run), Some(second.clone()));
    owner.commits(Transaction { runs: vec![delete(&second, 1, &[])], ..nothing() }).await;
    assert_eq!(owner.current(&workflow("w")).await, None);
    assert_eq!(owner.run(&second).await, None);
    owner.commits(start(&first)).await;
    assert_eq!(owner.current(&workflow("w")).await.map(|found| found.run), Some(first));
}

/// Who asks for the current run of a workflow learns whether there is any other.
pub async fn a_workflow_without_runs_says_so(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let (first, second) = (run("w", 1), run("w", 2));
    let asked = || owner.store.load(SHARD, Load::Current(workflow("w")));
    owner.commits(start(&run("v", 3))).await;
    assert_eq!(asked().await, Loaded::NoRuns);
    owner.commits(start(&first)).await;
    let current = Some(point(&workflow("w"), Some(&first), Some(&second)));
    owner.commits(Transaction { current, runs: vec![put(&second, None, 1)], ..nothing() }).await;
    owner.commits(Transaction { runs: vec![delete(&second, 1, &[])], ..nothing() }).await;
    assert_eq!(asked().await, Loaded::Current(None), "the first is still there");
    owner.commits(Transaction { runs: vec![delete(&first, 1, &[])], ..nothing() }).await;
    assert_eq!(asked().await, Loaded::NoRuns);
}

/// Whoever tells a peer everything walks over all runs of a namespace: each once, and nothing that is no run.
pub async fn runs_of_a_namespace_come_in_order(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let other = RunKey {
        workflow: WorkflowKey { namespace: NamespaceId::from_bytes([7; 16]), workflow: "w".into() },
        run: run("w", 9).run,
    };
    let expected = [run("a", 3), run("b", 1), run("b", 2), run("c", 4)];
    for run in [&expected[3], &expected[1], &other, &expected[0]] {
        owner.commits(start(run)).await;
    }
    owner.commits(Transaction { runs: vec![put(&expected[2], None, 1)], ..nothing() }).await;
    let gone = run("b", 5);
    owner.commits(Transaction { runs: vec![put(&gone, None, 1)], ..nothing() }).await;
    owner.commits(Transaction { runs: vec![delete(&gone, 1, &[])], ..nothing() }).await;
    let page = async |after: Option<&RunKey>, limit| {
        let after = after.map(|run| (run.workflow.workflow.clone(), run.run));
        match owner.store.load(SHARD, Load::Runs { namespace: namespace(), after, limit }).await {
            Loaded::Runs(runs) => runs,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(page(None, 100).await, expected);
    assert_eq!(page(None, 2).await, expected[..2]);
    assert_eq!(page(Some(&expected[1]), 100).await, expected[2..]);
    assert_eq!(page(Some(&expected[3]), 100).await, []);
}

/// Sent together, decided one after the other.
pub async fn members_of_a_group_see_those_before(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let runs: Vec<_> = (1..=8).map(|number| run("w", number)).collect();
    let commits =
        runs.iter().map(|run| owner.store.commit(Transaction { range: owner.range, ..start(run) })).collect::<Vec<_>>();
    let outcomes = futures_util::future::join_all(commits).await;
    let won = outcomes.iter().filter(|outcome| **outcome == Ok(CommitOutcome::Committed)).count();
    let lost = outcomes.iter().filter(|outcome| **outcome == Ok(CommitOutcome::ConditionFailed)).count();
    assert_eq!((won, lost), (1, 7));
    let winner = outcomes.iter().position(|outcome| *outcome == Ok(CommitOutcome::Committed));
    let current = owner.current(&workflow("w")).await.expect("one won");
    assert_eq!(runs.iter().position(|run| *run == current.run), winner);
}
