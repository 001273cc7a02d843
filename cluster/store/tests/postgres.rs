//! The contract, held by PostgreSQL.

#![allow(clippy::disallowed_methods, reason = "a test has a runtime of its own")]

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use replicator::ids::Life;
use store::{
    Answer, Spawner, Store,
    conformance::Fixture,
    postgres::{self, Options, schema},
};

/// Tables of its own in a database that all cases share.
struct Scratch(Options);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("case{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let server = scratch_postgres::shared();
        server.query("postgres", &format!("CREATE SCHEMA {name}"));
        let url = format!("{}&options[search_path]={name}", server.url("postgres"));
        Self(Options::from_url(&url).expect("a URL"))
    }
}

impl Fixture for Scratch {
    fn open(&self) -> Answer<'_, Arc<dyn Store>> {
        Box::pin(async {
            schema::setup(&self.0).await.expect("prepared");
            let spawner: Spawner = Arc::new(|task| drop(tokio::spawn(task)));
            Arc::new(postgres::open(&self.0, &spawner).await.expect("opens")) as Arc<dyn Store>
        })
    }

    fn survives(&self) -> bool {
        true
    }
}

store::suite!(Scratch::new());

#[tokio::test]
async fn a_database_that_was_brought_back_lives_another_life() {
    let scratch = Scratch::new();
    let before = scratch.open().await.life().await.expect("it says");
    assert_eq!(schema::restored(&scratch.0).await, Ok(2));
    let after = scratch.open().await.life().await;
    assert_eq!((before, after), (Life::FIRST, Ok(Life::counted(2))));
}

#[tokio::test]
async fn a_copy_of_a_database_lives_another_life() {
    let server = scratch_postgres::shared();
    let original = Options::from_url(&server.database()).expect("a URL");
    let life = async |options: &Options| {
        schema::setup(options).await.expect("prepared");
        let spawner: Spawner = Arc::new(|task| drop(tokio::spawn(task)));
        let store = postgres::open(options, &spawner).await.expect("opens");
        let life = store.life().await;
        store.close().await;
        life
    };
    assert_eq!(life(&original).await, Ok(Life::FIRST));
    let copy = format!("copy_of_{}", original.database());
    server.query("postgres", &format!("CREATE DATABASE {copy} TEMPLATE {}", original.database()));
    let copy = Options::from_url(&server.url(&copy)).expect("a URL");
    assert_eq!((life(&copy).await, life(&copy).await), (Ok(Life::counted(2)), Ok(Life::counted(2))));
    assert_eq!(life(&original).await, Ok(Life::FIRST));
}
