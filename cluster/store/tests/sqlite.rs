//! The contract, held by SQLite in a file and in memory.

#![allow(clippy::disallowed_methods, reason = "a test has a runtime of its own")]

use std::sync::Arc;

use store::{Answer, Spawner, Store, conformance::Fixture, sqlite};

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }
}

impl Fixture for Scratch {
    fn open(&self) -> Answer<'_, Arc<dyn Store>> {
        Box::pin(async {
            let location = sqlite::Location::File(self.0.path().join("cluster.db"));
            Arc::new(sqlite::open(&location, &spawner()).await.expect("opens")) as Arc<dyn Store>
        })
    }

    fn survives(&self) -> bool {
        true
    }
}

struct Memory;

impl Fixture for Memory {
    fn open(&self) -> Answer<'_, Arc<dyn Store>> {
        Box::pin(async {
            Arc::new(sqlite::open(&sqlite::Location::Memory, &spawner()).await.expect("opens")) as Arc<dyn Store>
        })
    }

    fn survives(&self) -> bool {
        false
    }
}

fn spawner() -> Spawner {
    Arc::new(|task| drop(tokio::spawn(task)))
}

mod in_a_file {
    store::suite!(super::Scratch::new());
}

mod in_memory {
    store::suite!(super::Memory);
}
