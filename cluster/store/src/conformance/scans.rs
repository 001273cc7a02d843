//! All runs of a namespace, as they rest.

use bytes::Bytes;
use replicator::{
    ids::{NamespaceId, RunKey},
    shard::io::Transaction,
};
use uuid::Uuid;

use super::{
    Fixture,
    model::{Owner, batch, delete, fork, namespace, nothing, point, put, root, run, start},
};

/// All runs in pages of a size, as `workflow/run#record`, `*` before those that are current.
async fn scan(owner: &Owner, page: usize) -> String {
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let place = after.as_ref().map(|(workflow, run)| (workflow, *run));
        let found = owner.store.scan(namespace(), place, page).await.expect("read");
        for run in &found {
            assert_eq!(run.state, Bytes::from(format!("state {}", run.record)));
            let mark = if run.is_current { "*" } else { "" };
            seen.push(format!("{mark}{}/{}#{}", run.workflow, run.run.0.as_u128(), run.record));
        }
        let Some(last) = found.last().filter(|_| found.len() == page) else { return seen.join(" ") };
        after = Some((last.workflow.clone(), last.run));
    }
}

/// A workflow that went on in a second run.
async fn go_on(owner: &Owner, from: &RunKey, to: &RunKey) {
    let current = Some(point(&from.workflow, Some(from), Some(to)));
    owner.commits(Transaction { current, runs: vec![put(from, Some(1), 2), put(to, None, 1)], ..nothing() }).await;
}

/// The order is that of workflow ids and then of run ids, whatever was written first, and pages neither skip nor repeat.
pub async fn runs_come_in_the_order_of_their_names(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    assert_eq!(scan(&owner, 10).await, "");
    for first in [run("b", 4), run("a", 9), run("c", 1)] {
        owner.commits(start(&first)).await;
    }
    go_on(&owner, &run("a", 9), &run("a", 2)).await;
    let expected = "*a/2#1 a/9#2 *b/4#1 *c/1#1";
    for page in 1..6 {
        assert_eq!(scan(&owner, page).await, expected, "pages of {page}");
    }
    let elsewhere = owner.store.scan(NamespaceId(Uuid::from_u128(77)), None, 9).await;
    assert_eq!(elsewhere, Ok(Vec::new()));
}

/// A tree may outlive its run, and a workflow its pointer.
pub async fn a_run_that_is_gone_is_not_scanned(fixture: &dyn Fixture) {
    let owner = Owner::of(fixture).await;
    let (first, second) = (run("a", 1), run("a", 2));
    let branch = root(&first, 1);
    owner.commits(Transaction { history: vec![batch(&branch, 1, 3, 1, 0)], ..start(&first) }).await;
    let forked = fork(&branch, 3);
    let current = Some(point(&first.workflow, Some(&first), Some(&second)));
    let history = vec![batch(&forked, 3, 4, 2, 0)];
    owner.commits(Transaction { current, runs: vec![put(&second, None, 1)], history, ..nothing() }).await;
    owner.commits(Transaction { runs: vec![delete(&first, 1, &[&branch])], ..nothing() }).await;
    assert_eq!(scan(&owner, 9).await, "*a/2#1");
    let current = Some(point(&first.workflow, Some(&second), None));
    owner.commits(Transaction { current, ..nothing() }).await;
    assert_eq!(scan(&owner, 9).await, "a/2#1");
}
