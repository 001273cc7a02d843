//! The contract, held by SQLite in a file and in memory.

#![allow(clippy::disallowed_methods, reason = "a test has a runtime of its own")]

use std::sync::Arc;

use replicator::ids::Life;
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

/// A copy in the place of a file is noticed, and so is an operator who says so. A restart is neither.
#[tokio::test]
async fn a_file_that_was_brought_back_lives_another_life() {
    let scratch = Scratch::new();
    let life = || async {
        let store = scratch.open().await;
        let life = store.life().await.expect("it says");
        store.close().await;
        life
    };
    assert_eq!((life().await, life().await), (Life::FIRST, Life::FIRST));
    let (file, copy) = (scratch.0.path().join("cluster.db"), scratch.0.path().join("copy.db"));
    std::fs::copy(&file, &copy).expect("copied");
    std::fs::rename(&copy, &file).expect("moved");
    let _ = std::fs::remove_file(scratch.0.path().join("cluster.db-wal"));
    assert_eq!((life().await, life().await), (Life::counted(2), Life::counted(2)));
    assert_eq!(sqlite::restored(&file).await, Ok(3));
    assert_eq!(life().await, Life::counted(3));
}

mod in_memory {
    store::suite!(super::Memory);
}
