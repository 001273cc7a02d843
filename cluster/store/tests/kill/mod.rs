//! A process that writes until it is killed, and what must be there afterwards.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use store::{
    NamespaceWrite, NamespacesWritten,
    conformance::model::{Owner, SHARD, batch, namespace, root, run, start},
};

/// Names the store to the child.
pub(crate) const PLACE: &str = "STORE_CHILD";

/// Write and say what was acknowledged, until somebody kills this process.
pub(crate) async fn write_for_ever(owner: Owner) {
    let owner = Arc::new(owner);
    let first = u128::from(std::process::id()) << 32;
    let mut workers = Vec::new();
    for worker in 0..8_u128 {
        let owner = owner.clone();
        workers.push(tokio::spawn(async move {
            for number in 0.. {
                let number = first + number * 8 + worker;
                let run = run(&format!("w{number}"), number);
                let mut transaction = start(&run);
                transaction.history = vec![batch(&root(&run, number), 1, 4, 10, 0)];
                owner.commits(transaction).await;
                println!("acknowledged {number}");
                let table = owner.store.namespaces().await.expect("read");
                let put = vec![NamespaceWrite::Put(namespace(), Bytes::from(number.to_string()))];
                let message = vec![Bytes::from(number.to_string())];
                let written = owner.store.write_namespaces(table.notification, put, message).await.expect("written");
                if let NamespacesWritten::Committed { notification } = written {
                    println!("notified {notification}");
                }
            }
        }));
    }
    futures_util::future::join_all(workers).await;
}

/// What was acknowledged by those that were killed.
#[derive(Default)]
pub(crate) struct Acknowledged {
    workflows: Vec<u128>,
    notified: i64,
}

impl Acknowledged {
    /// Start this program again as the test `child`, with `place` in its environment, and kill it after some hundred
    /// acknowledgements, four times.
    pub(crate) fn by_children(place: &str) -> Self {
        let mut all = Self::default();
        for round in 1..=4 {
            let mut child = Command::new(std::env::current_exe().expect("this test"))
                .args(["child", "--exact", "--nocapture"])
                .env(PLACE, place)
                .stdout(Stdio::piped())
                .spawn()
                .expect("starts");
            let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
            lines.by_ref().take(100 * round).for_each(|line| all.take(&line));
            child.kill().expect("killed");
            child.wait().expect("gone");
            // What it had said before it died counts too.
            lines.for_each(|line| all.take(&line));
        }
        assert!(all.workflows.len() > 100, "{} commits", all.workflows.len());
        all
    }

    fn take(&mut self, line: &str) {
        if let Some(number) = line.split("acknowledged ").nth(1).and_then(|text| text.parse::<u128>().ok()) {
            self.workflows.push(number);
        }
        if let Some(number) = line.split("notified ").nth(1).and_then(|text| text.parse::<i64>().ok()) {
            self.notified = self.notified.max(number);
        }
    }

    /// See that all of it is there.
    pub(crate) async fn check(self, owner: &Owner) {
        for number in self.workflows {
            let run = run(&format!("w{number}"), number);
            let found = owner.current(&run.workflow).await;
            assert_eq!(found.map(|found| found.run), Some(run.clone()));
            let (first, end) = (replicator::ids::EventId(1), replicator::ids::EventId(4));
            let page = owner.store.read_history(SHARD, &run.workflow, &root(&run, number), first, end, 9).await;
            assert_eq!(page.expect("history").batches.len(), 1);
        }
        let table = owner.store.namespaces().await.expect("read");
        assert!(table.notification >= self.notified);
        let last = owner.store.last_published().await.expect("read");
        assert_eq!(last + 1, table.notification, "a namespace and its message are one write");
        let messages = owner.store.published(-1, usize::MAX).await.expect("read");
        assert_eq!(messages.last().map(|(_, message)| message.clone()), Some(table.namespaces[0].record.clone()));
    }
}
