//! Lists and counts.

use proto::temporal::api::common::v1::WorkflowExecution;
use replicator::{
    ids::NamespaceId,
    shard::io::{Transaction, VisibilityRecord},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    Fixture,
    model::{Owner, delete, listed, namespace, nothing, put, root, run, show, start},
};
use crate::visibility::{Page, VisibilityError, filter};

const SECOND: i64 = 1_000_000_000;

/// Start runs and let lists see them.
async fn add(owner: &Owner, records: &[VisibilityRecord]) {
    for record in records {
        let mut transaction = start(&record.run);
        // Seen open first, so that runs that closed move.
        let open = VisibilityRecord { close_time: None, status: 1, ..record.clone() };
        transaction.visibility = vec![show(&open)];
        owner.commits(transaction).await;
        if record.close_time.is_some() {
            let runs = vec![put(&record.run, Some(1), 2)];
            owner.commits(Transaction { runs, visibility: vec![show(record)], ..nothing() }).await;
        }
    }
}

/// Runs `a` to `f`.
fn runs() -> Vec<VisibilityRecord> {
    let open = |name: &str, number, started: i64| VisibilityRecord {
        memo: bytes::Bytes::from(name.to_owned()),
        ..listed(&run(name, number), started * SECOND)
    };
    let closed = |record: VisibilityRecord, closed: i64, status| VisibilityRecord {
        close_time: Some(Timestamp(closed * SECOND)),
        status,
        history_length: closed,
        history_size: closed * 100,
        state_transitions: closed - 1,
        ..record
    };
    let mut all = vec![
        open("a", 1, 10),
        closed(open("b", 2, 20), 25, 2),
        closed(open("c", 3, 30), 90, 3),
        open("d'\"\\%_", 4, 40),
        closed(open("e", 5, 50), 60, 2),
        open("order-f", 6, 40),
    ];
    all[1].workflow_type = "Other".into();
    all[2].task_queue = "second".into();
    all[2].parent = Some(WorkflowExecution { workflow_id: "p".into(), run_id: "pr".into() });
    all[2].root = Some(WorkflowExecution { workflow_id: "r".into(), run_id: "rr".into() });
    all[4].execution_time = Timestamp(55 * SECOND);
    all
}

async fn list(owner: &Owner, query: &str, size: usize, token: &[u8]) -> Page {
    owner.store.list(namespace(), query, size, token).await.unwrap_or_else(|error| panic!("{query}: {error}"))
}

fn names(records: &[VisibilityRecord]) -> String {
    let first =
        |record: &VisibilityRecord| record.run.workflow.workflow.as_str().trim_start_matches("order-")[..1].to_owned();
    records.iter().map(first).collect()
}

/// Query, and the runs it finds in order.
const QUERIES: &[(&str, &str)] = &[
    ("", "fdaceb"),
    ("  ", "fdaceb"),
    ("WorkflowId = 'a'", "a"),
    ("WorkflowId = \"a\" and ExecutionStatus='Running'", "a"),
    ("WorkflowId = 'a' AND ExecutionStatus = 'Completed'", ""),
    ("`WorkflowId` != 'a'", "fdceb"),
    ("WorkflowId = 'd\\'\\\"\\\\%_'", "d"),
    ("WorkflowId = 'd''\"\\\\%_'", "d"),
    ("WorkflowId = ''", ""),
    ("WorkflowId = '%'", ""),
    ("WorkflowId > 'c' AND WorkflowId <= 'e'", "de"),
    ("WorkflowId in ('a', 'e', 'zzz')", "ae"),
    ("WorkflowId NOT IN ('a', 'e')", "fdcb"),
    ("WorkflowId STARTS_WITH 'order-'", "f"),
    ("WorkflowId NOT STARTS_WITH 'order-'", "daceb"),
    ("WorkflowId STARTS_WITH ''", "fdaceb"),
    ("WorkflowId BETWEEN 'b' AND 'c'", "cb"),
    ("RunId = '00000000-0000-0000-0000-000000000003'", "c"),
    ("RunId = '3'", ""),
    ("RunId STARTS_WITH '00000000-'", "fdaceb"),
    ("RunId > '00000000-0000-0000-0000-000000000004'", "fe"),
    ("WorkflowType = 'Other' OR TaskQueue = 'second'", "cb"),
    ("ExecutionStatus = 'Running'", "fda"),
    ("ExecutionStatus != \"Running\"", "ceb"),
    ("ExecutionStatus = 2", "eb"),
    ("ExecutionStatus IN ('Completed', 'Failed')", "ceb"),
    ("StartTime = '1970-01-01T00:00:40Z'", "fd"),
    ("StartTime >= '1970-01-01T00:00:40+00:00' AND StartTime < 50000000000", "fd"),
    ("StartTime BETWEEN '1970-01-01T00:00:10Z' AND '1970-01-01T00:00:30Z'", "acb"),
    ("StartTime NOT BETWEEN 10000000000 AND 30000000000", "fde"),
    ("CloseTime IS NULL", "fda"),
    ("CloseTime IS NOT NULL", "ceb"),
    ("NOT CloseTime IS NULL", "ceb"),
    ("CloseTime > 0", "ceb"),
    ("CloseTime <= '1970-01-01T00:01:00Z'", "eb"),
    ("NOT CloseTime > 60000000000", "eb"),
    ("ExecutionTime = 55000000000", "e"),
    ("ExecutionDuration = '5s'", "eb"),
    ("ExecutionDuration > '00:00:05'", "c"),
    ("ExecutionDuration < 6000000000", "eb"),
    ("HistoryLength > 25", "ce"),
    ("HistoryLength >= 0", "ceb"),
    ("HistorySizeBytes = 2500", "b"),
    ("StateTransitionCount = 89", "c"),
    ("ParentWorkflowId = 'p'", "c"),
    ("ParentWorkflowId != 'q'", "c"),
    ("ParentWorkflowId IS NULL", "fdaeb"),
    ("ParentRunId = 'pr' AND RootWorkflowId = 'r' AND RootRunId = 'rr'", "c"),
    ("NOT (ParentWorkflowId = 'p' OR WorkflowId = 'a')", ""),
    ("NOT ParentWorkflowId = 'p' AND WorkflowId = 'a'", ""),
    ("WorkflowId = 'a' OR WorkflowId = 'b' AND WorkflowId = 'c'", "a"),
    ("(WorkflowId = 'a' OR WorkflowId = 'b') AND WorkflowId = 'b'", "b"),
    ("NOT WorkflowId = 'a' AND NOT (WorkflowId = 'b')", "fdce"),
    ("WorkflowId = 'a' ORDER BY StartTime", "a"),
    ("ORDER BY StartTime", "abcfde"),
    ("ORDER BY StartTime ASC, WorkflowId DESC", "abcfde"),
    ("ORDER BY StartTime DESC, WorkflowId ASC", "edfcba"),
    ("CloseTime IS NOT NULL order by CloseTime asc", "bec"),
    ("ORDER BY CloseTime DESC", "fdaceb"),
    ("ORDER BY ParentWorkflowId DESC, WorkflowId", "cabdef"),
    ("ORDER BY HistoryLength", "fdabec"),
];

/// Against SQL and against the model of `filter`.
pub async fn filters_find_what_they_say(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    add(&owner, &runs()).await;
    for (query, expected) in QUERIES {
        let page = list(&owner, query, 0, b"").await;
        assert_eq!(names(&page.records), *expected, "{query}");
        assert!(page.next.is_empty(), "{query}");
        for record in &page.records {
            assert!(runs().contains(record), "{query}: a record is read as written");
        }
        let parsed = filter::parse(query).expect("parsed above");
        let mut matching: Vec<_> = runs();
        matching.retain(|record| parsed.condition.as_ref().is_none_or(|condition| condition.matches(record)));
        matching.sort_by_key(|record| {
            let order = page.records.iter().position(|found| found == record);
            order.expect("the model finds what the store finds")
        });
        assert_eq!(matching, page.records, "{query}");
        if parsed.order_by.is_empty() {
            let count = owner.store.count(namespace(), query).await.expect("counted");
            assert_eq!((count.total, count.groups), (expected.len() as i64, None), "{query}");
        }
    }
    let elsewhere = NamespaceId(Uuid::from_u128(0xb));
    assert_eq!(owner.store.list(elsewhere, "", 0, b"").await, Ok(Page::default()));
    assert_eq!(owner.store.list(elsewhere, "WorkflowId = 'a'", 0, b"").await, Ok(Page::default()));
}

/// What is added or closes between two pages neither hides nor repeats what was there.
pub async fn pages_do_not_shift(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    add(&owner, &runs()).await;
    let first = list(&owner, "", 2, b"").await;
    assert_eq!(names(&first.records), "fd");
    let late = [
        listed(&run("x", 21), 99 * SECOND),
        VisibilityRecord { close_time: Some(Timestamp(999 * SECOND)), ..listed(&run("y", 22), 1) },
    ];
    add(&owner, &late).await;
    let second = list(&owner, "", 2, &first.next).await;
    assert_eq!(names(&second.records), "ay");
    let third = list(&owner, "", 3, &second.next).await;
    assert_eq!(names(&third.records), "ceb");
    assert!(third.next.is_empty());
    for token in [&b"x"[..], &first.next[..5], &[first.next.clone(), first.next.clone()].concat()] {
        let refused = owner.store.list(namespace(), "", 2, token).await;
        assert!(matches!(refused, Err(VisibilityError::InvalidArgument(_))), "{token:?}");
    }
    let refused = owner.store.list(namespace(), "ORDER BY StartTime", 2, &first.next).await;
    assert!(matches!(refused, Err(VisibilityError::InvalidArgument(_))));
}

/// Page by page gives what one page gives.
pub async fn orders_and_pages_agree(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    add(&owner, &runs()).await;
    for (query, expected) in QUERIES {
        for size in [1, 2, 4] {
            let (mut found, mut token) = (Vec::new(), bytes::Bytes::new());
            loop {
                let page = list(&owner, query, size, &token).await;
                assert!(page.records.len() <= size);
                found.extend(page.records);
                token = page.next;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(names(&found), *expected, "{query} by {size}");
        }
    }
}

/// By status.
pub async fn counts_come_in_groups(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let count = async |query| {
        let count = owner.store.count(namespace(), query).await.expect("counted");
        (count.total, count.groups)
    };
    assert_eq!(count("").await, (0, None));
    assert_eq!(count("GROUP BY ExecutionStatus").await, (0, Some(vec![])));
    add(&owner, &runs()).await;
    assert_eq!(count("").await, (6, None));
    assert_eq!(count("GROUP BY ExecutionStatus").await, (6, Some(vec![(1, 3), (2, 2), (3, 1)])));
    assert_eq!(
        count("StartTime > 20000000000 group by ExecutionStatus").await,
        (4, Some(vec![(1, 2), (2, 1), (3, 1)]))
    );
}

/// Nor counted.
pub async fn a_deleted_run_is_not_listed(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    add(&owner, &runs()).await;
    let (open, closed) = (run("a", 1), run("b", 2));
    owner.commits(Transaction { runs: vec![delete(&open, 1, &[&root(&open, 1)])], ..nothing() }).await;
    owner.commits(Transaction { runs: vec![delete(&closed, 2, &[])], ..nothing() }).await;
    assert_eq!(names(&list(&owner, "", 0, b"").await.records), "fdce");
    assert_eq!(names(&list(&owner, "WorkflowId = 'a'", 0, b"").await.records), "");
    assert_eq!(owner.store.count(namespace(), "").await.map(|count| count.total), Ok(4));
}

/// With a text that names what is wrong.
pub async fn wrong_queries_are_refused(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    for query in ["Nothing = 1", "WorkflowId =", "WorkflowId = 'a' GROUP BY ExecutionStatus"] {
        let refused = owner.store.list(namespace(), query, 0, b"").await;
        assert!(matches!(refused, Err(VisibilityError::InvalidArgument(_))), "{query}");
    }
    for query in ["GROUP BY WorkflowType", "ORDER BY StartTime"] {
        let refused = owner.store.count(namespace(), query).await;
        assert!(matches!(refused, Err(VisibilityError::InvalidArgument(_))), "{query}");
    }
}
