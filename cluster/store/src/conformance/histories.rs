//! Branches: reading, forking, deleting.

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{EventId, RunKey, TaskId},
    shard::io::{Load, Loaded, Transaction},
    task::{Category, HistoryStretch, HistoryTask, ReplicationTask, TaskKind, WrittenBatch},
    time::Timestamp,
    version::{FailoverVersion, VersionHistory, VersionHistoryItem},
};

use super::{
    Fixture,
    model::{Owner, SHARD, batch, delete, fork, nothing, put, root, run, start, task, transfer},
};
use crate::{HistoryError, HistoryPage};

const ALL: i64 = i64::MAX;

async fn read(
    owner: &Owner,
    run: &RunKey,
    branch: &Branch,
    first: i64,
    end: i64,
    max: usize,
) -> Result<HistoryPage, HistoryError> {
    owner.store.read_history(SHARD, &run.workflow, branch, EventId(first), EventId(end), max).await
}

async fn read_back(
    owner: &Owner,
    run: &RunKey,
    branch: &Branch,
    first: i64,
    end: i64,
    max: usize,
) -> Result<HistoryPage, HistoryError> {
    owner.store.read_history_reverse(SHARD, &run.workflow, branch, EventId(first), EventId(end), max).await
}

/// A page as its batches, then where it goes on.
fn picture(page: Result<HistoryPage, HistoryError>) -> String {
    let page = match page {
        Ok(page) => page,
        Err(HistoryError::NotFound) => return "none".into(),
        Err(HistoryError::DataLoss(_)) => return "loss".into(),
        Err(HistoryError::Unavailable(cause)) => panic!("{cause}"),
    };
    let mut parts: Vec<_> =
        page.batches.iter().map(|batch| String::from_utf8_lossy(&batch.events).into_owned()).collect();
    for (batch, part) in page.batches.iter().zip(&parts) {
        assert!(part.starts_with(&format!("{}-{}@", batch.node.first, batch.node.next)), "{part}");
    }
    parts.extend(page.next.map(|next| format!("then {next}")));
    parts.join(" ")
}

/// Never part of a batch, always at least one.
pub async fn batches_come_whole_and_in_pages(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let run = run("w", 1);
    let branch = root(&run, 100);
    let mut transaction = start(&run);
    transaction.history = vec![batch(&branch, 1, 4, 10, 0), batch(&branch, 4, 5, 11, 10)];
    owner.commits(transaction).await;
    let history = vec![batch(&branch, 5, 9, 12, 11)];
    owner.commits(Transaction { runs: vec![put(&run, Some(1), 2)], history, ..nothing() }).await;

    let check = async |first, end, max, expected: &str| {
        assert_eq!(picture(read(&owner, &run, &branch, first, end, max).await), expected, "{first} to {end} by {max}");
    };
    check(1, ALL, 100, "1-4@10 4-5@11 5-9@12").await;
    check(1, 9, 100, "1-4@10 4-5@11 5-9@12").await;
    check(1, 5, 100, "1-4@10 4-5@11").await;
    check(4, ALL, 100, "4-5@11 5-9@12").await;
    check(1, ALL, 0, "1-4@10 then 4").await;
    check(1, ALL, 4, "1-4@10 4-5@11 then 5").await;
    check(1, ALL, 8, "1-4@10 4-5@11 5-9@12").await;
    check(5, ALL, 1, "5-9@12").await;
    check(9, ALL, 1, "none").await;
    let back = async |first, end, max, expected: &str| {
        let page = read_back(&owner, &run, &branch, first, end, max).await;
        assert_eq!(picture(page), expected, "back to {first} from {end} by {max}");
    };
    back(1, ALL, 100, "5-9@12 4-5@11 1-4@10").await;
    back(1, 9, 5, "5-9@12 4-5@11 then 4").await;
    back(1, 4, 5, "1-4@10").await;
    back(4, 9, 0, "5-9@12 then 5").await;
    back(4, 5, 9, "4-5@11").await;
    assert_eq!(picture(read(&owner, &run, &root(&run, 101), 1, ALL, 9).await), "none");
    let elsewhere = super::model::run("v", 1);
    assert_eq!(picture(read(&owner, &elsewhere, &branch, 1, ALL, 9).await), "none");
}

/// Trunk, fork, and fork of the fork.
pub async fn a_fork_reads_its_ancestors(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let run = run("w", 1);
    let trunk = root(&run, 100);
    let left = fork(&trunk, 5);
    let right = fork(&left, 8);
    let mut transaction = start(&run);
    transaction.history = vec![batch(&trunk, 1, 3, 10, 0), batch(&trunk, 3, 5, 11, 10), batch(&trunk, 5, 9, 12, 11)];
    owner.commits(transaction).await;
    let history = vec![batch(&left, 5, 8, 13, 11), batch(&left, 8, 10, 14, 13), batch(&right, 8, 9, 15, 13)];
    owner.commits(Transaction { runs: vec![put(&run, Some(1), 2)], history, ..nothing() }).await;
    for (branch, forth, back) in [
        (&trunk, "1-3@10 3-5@11 5-9@12", "5-9@12 3-5@11 1-3@10"),
        (&left, "1-3@10 3-5@11 5-8@13 8-10@14", "8-10@14 5-8@13 3-5@11 1-3@10"),
        (&right, "1-3@10 3-5@11 5-8@13 8-9@15", "8-9@15 5-8@13 3-5@11 1-3@10"),
    ] {
        assert_eq!(picture(read(&owner, &run, branch, 1, ALL, 100).await), forth);
        assert_eq!(picture(read_back(&owner, &run, branch, 1, ALL, 100).await), back);
    }
    assert_eq!(picture(read(&owner, &run, &right, 3, 8, 100).await), "3-5@11 5-8@13");
    assert_eq!(picture(read(&owner, &run, &right, 3, ALL, 5).await), "3-5@11 5-8@13 then 8");
    assert_eq!(picture(read_back(&owner, &run, &right, 3, ALL, 4).await), "8-9@15 5-8@13 then 5");
}

/// Leftovers of writes that lost are stepped over (BR-5).
pub async fn the_highest_transaction_counts(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let run = run("w", 1);
    let branch = root(&run, 100);
    let mut transaction = start(&run);
    transaction.history = vec![
        batch(&branch, 1, 3, 10, 0),
        // Replaced by the next, as is what follows it.
        batch(&branch, 3, 5, 11, 10),
        batch(&branch, 5, 7, 12, 11),
        batch(&branch, 3, 8, 20, 10),
        // Backfilled: chained to nothing (BR-6).
        batch(&branch, 8, 9, 21, 0),
        // Made to follow a write that lost.
        batch(&branch, 9, 12, 22, 12),
        batch(&branch, 9, 10, 23, 21),
    ];
    owner.commits(transaction).await;
    assert_eq!(picture(read(&owner, &run, &branch, 1, ALL, 100).await), "1-3@10 3-8@20 8-9@21 9-10@23");
    assert_eq!(picture(read_back(&owner, &run, &branch, 1, 10, 100).await), "9-10@23 8-9@21 3-8@20 1-3@10");
}

/// What is missing is said, not skipped.
pub async fn a_gap_is_data_loss(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let run = run("w", 1);
    let branch = root(&run, 100);
    let mut transaction = start(&run);
    transaction.history = vec![batch(&branch, 1, 3, 10, 0), batch(&branch, 5, 7, 11, 10)];
    owner.commits(transaction).await;
    assert_eq!(picture(read(&owner, &run, &branch, 1, ALL, 100).await), "loss");
    assert_eq!(picture(read(&owner, &run, &branch, 3, ALL, 100).await), "loss");
    assert_eq!(picture(read_back(&owner, &run, &branch, 1, ALL, 100).await), "loss");
    assert_eq!(picture(read(&owner, &run, &branch, 5, ALL, 100).await), "5-7@11");
}

/// Deleting counts references (BR-8).
pub async fn a_shared_stretch_outlives_its_run(fixture: &dyn Fixture) {
    // The base run goes first, or last; and once more after a restart in the middle.
    for (base_first, restart) in [(true, false), (false, false), (true, true)] {
        let owner = Owner::of(fixture).await;
        let name = format!("w{base_first}{restart}");
        let (base, reset) = (run(&name, 1), run(&name, 2));
        let trunk = root(&base, 100);
        let side = fork(&trunk, 7);
        let copy = fork(&trunk, 5);
        let mut transaction = start(&base);
        transaction.history = vec![
            batch(&trunk, 1, 5, 10, 0),
            batch(&trunk, 5, 7, 11, 10),
            batch(&trunk, 7, 9, 12, 11),
            batch(&side, 7, 8, 13, 11),
        ];
        owner.commits(transaction).await;
        let history = vec![batch(&copy, 5, 6, 14, 10)];
        owner.commits(Transaction { runs: vec![put(&reset, None, 1)], history, ..nothing() }).await;

        let delete_base = Transaction { runs: vec![delete(&base, 1, &[&trunk, &side])], ..nothing() };
        let delete_reset = Transaction { runs: vec![delete(&reset, 1, &[&copy])], ..nothing() };
        let owner = if base_first {
            owner.commits(delete_base).await;
            let owner = if restart && fixture.survives() {
                owner.store.close().await;
                drop(owner);
                Owner::of(fixture).await
            } else {
                owner
            };
            assert_eq!(picture(read(&owner, &reset, &copy, 1, ALL, 9).await), "1-5@10 5-6@14");
            assert_eq!(picture(read(&owner, &base, &trunk, 5, ALL, 9).await), "none");
            assert_eq!(picture(read(&owner, &base, &side, 7, ALL, 9).await), "none");
            assert_eq!(owner.run(&base).await, None);
            owner.commits(delete_reset).await;
            owner
        } else {
            owner.commits(delete_reset).await;
            assert_eq!(picture(read(&owner, &base, &trunk, 1, ALL, 9).await), "1-5@10 5-7@11 7-9@12");
            assert_eq!(picture(read(&owner, &base, &side, 1, ALL, 9).await), "1-5@10 5-7@11 7-8@13");
            assert_eq!(picture(read(&owner, &reset, &copy, 5, ALL, 9).await), "none");
            owner.commits(delete_base).await;
            owner
        };
        for branch in [&trunk, &side, &copy] {
            assert_eq!(picture(read(&owner, &base, branch, 1, ALL, 9).await), "none");
        }
        owner.commits(start(&base)).await;
        owner.commits(Transaction { runs: vec![delete(&base, 1, &[])], ..nothing() }).await;
        owner.store.close().await;
    }
}

/// Branches that diverged: the one that was not written to last is added to without a chain, and read as it is.
pub async fn branches_of_one_run_are_read_and_go_together(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let run = run("w", 1);
    let trunk = root(&run, 100);
    let (side, late) = (fork(&trunk, 5), fork(&trunk, 3));
    let mut transaction = start(&run);
    transaction.history = vec![batch(&trunk, 1, 3, 10, 0), batch(&trunk, 3, 5, 11, 10), batch(&trunk, 5, 9, 12, 11)];
    owner.commits(transaction).await;
    let write =
        |expected, history| Transaction { runs: vec![put(&run, Some(expected), expected + 1)], history, ..nothing() };
    owner.commits(write(1, vec![batch(&side, 5, 6, 13, 0), batch(&side, 6, 8, 14, 13)])).await;
    owner.commits(write(2, vec![batch(&trunk, 9, 10, 15, 0), batch(&late, 3, 4, 16, 0)])).await;
    owner.commits(write(3, vec![batch(&side, 8, 9, 17, 14)])).await;
    for (branch, end, whole) in [
        (&trunk, 10, "1-3@10 3-5@11 5-9@12 9-10@15"),
        (&side, 9, "1-3@10 3-5@11 5-6@13 6-8@14 8-9@17"),
        (&late, 4, "1-3@10 3-4@16"),
    ] {
        assert_eq!(picture(read(&owner, &run, branch, 1, ALL, 100).await), whole);
        let load = |first| Load::Branch {
            workflow: run.workflow.clone(),
            branch: branch.clone(),
            first: EventId(first),
            end: EventId(end),
        };
        // All of it, in as many pages as the store likes.
        let (mut first, mut parts) = (Some(EventId(1)), Vec::new());
        while let Some(at) = first {
            match owner.store.load(SHARD, load(at.0)).await {
                Loaded::Branch { batches, next } => {
                    parts.extend(batches.iter().map(|events| String::from_utf8_lossy(events).into_owned()));
                    first = next;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(parts.join(" "), whole);
    }
    let delete = Transaction { runs: vec![delete(&run, 4, &[&trunk, &side, &late])], ..nothing() };
    owner.commits(delete).await;
    for branch in [&trunk, &side, &late] {
        assert_eq!(picture(read(&owner, &run, branch, 1, ALL, 100).await), "none");
        let load =
            Load::Branch { workflow: run.workflow.clone(), branch: branch.clone(), first: EventId(1), end: EventId(4) };
        assert!(matches!(owner.store.load(SHARD, load).await, Loaded::Failed(_)));
    }
}

/// What a peer that was away is told.
pub async fn a_backlog_comes_with_its_events(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let (first, second) = (run("w", 1), run("w", 2));
    let (trunk, next) = (root(&first, 100), root(&second, 101));
    let written = |branch: &Branch, first: i64, next: i64| WrittenBatch {
        branch: branch.clone(),
        versions: VersionHistory::new(VersionHistoryItem { event_id: EventId(next - 1), version: FailoverVersion(1) }),
        first: EventId(first),
        next: EventId(next),
        start_request_id: String::new(),
        digest: Some(5),
    };
    let told = |id: i64, batch, new_run| {
        let stretch = HistoryStretch { written: Timestamp(9), batch, new_run, base: None, to: None };
        task(&first, 0, id, TaskKind::Replication(ReplicationTask::History(Box::new(stretch))))
    };
    let attributes = Bytes::from_static(b"attributes");
    let sync = ReplicationTask::SyncActivity { written: Timestamp(9), scheduled: EventId(5), attributes, to: None };
    let tasks: [HistoryTask; 4] = [
        told(20, written(&trunk, 1, 3), None),
        told(21, written(&trunk, 3, 6), Some((second.run, written(&next, 1, 2)))),
        task(&first, 0, 22, TaskKind::Replication(sync)),
        told(23, written(&root(&first, 999), 3, 6), None),
    ];
    let mut transaction = start(&first);
    transaction.history = vec![batch(&trunk, 1, 3, 10, 0), batch(&trunk, 3, 6, 11, 10), batch(&next, 1, 2, 12, 0)];
    transaction.runs.push(put(&second, None, 1));
    transaction.tasks = [tasks.to_vec(), vec![transfer(&first, 24)]].concat();
    owner.commits(transaction).await;

    let backlog =
        async |after, limit| match owner.store.load(SHARD, Load::Backlog { after: TaskId(after), limit }).await {
            Loaded::Backlog(backlog) => backlog,
            other => panic!("{other:?}"),
        };
    let found = backlog(0, 100).await;
    assert_eq!(found.iter().map(|found| found.task.clone()).collect::<Vec<_>>(), tasks);
    let text = |events: &Bytes| String::from_utf8_lossy(events).into_owned();
    let events: Vec<Vec<_>> = found.iter().map(|found| found.events.iter().map(text).collect()).collect();
    assert_eq!(events, [vec!["1-3@10"], vec!["3-6@11"], vec![], vec![]]);
    let new_runs: Vec<_> = found.iter().map(|found| found.new_run_events.as_ref().map(text)).collect();
    assert_eq!(new_runs, [None, Some("1-2@12".to_owned()), None, None]);
    assert_eq!(backlog(20, 1).await[0].task, tasks[1]);

    owner.commits(Transaction { replicated: Some(TaskId(21)), ..nothing() }).await;
    assert_eq!(backlog(0, 100).await.len(), 2);
    match owner.store.load(SHARD, Load::Tasks { category: Category::Transfer, after: None, limit: 9 }).await {
        Loaded::Tasks(left) => assert_eq!(left.len(), 1),
        other => panic!("{other:?}"),
    }
}
