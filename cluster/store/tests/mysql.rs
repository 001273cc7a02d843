//! The contract, held by MariaDB.

#![allow(clippy::disallowed_methods, reason = "a test has a runtime of its own")]

use std::sync::Arc;

use replicator::ids::Life;
use store::{
    Answer, Spawner, Store,
    conformance::Fixture,
    mysql::{self, Options, schema},
};

/// A database of its own.
struct Scratch(Options);

impl Scratch {
    fn new() -> Self {
        Self(Options::from_url(&scratch_mariadb::shared().database()).expect("a URL"))
    }
}

impl Fixture for Scratch {
    fn open(&self) -> Answer<'_, Arc<dyn Store>> {
        Box::pin(async {
            schema::setup(&self.0).await.expect("prepared");
            let spawner: Spawner = Arc::new(|task| drop(tokio::spawn(task)));
            Arc::new(mysql::open(&self.0, &spawner).await.expect("opens")) as Arc<dyn Store>
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

/// As a dump leaves them when it is read.
#[tokio::test]
async fn tables_that_are_made_again_live_another_life() {
    let scratch = Scratch::new();
    let before = scratch.open().await.life().await.expect("it says");
    // Databases tell the age of tables in seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let name = scratch.0.database();
    let again = "CREATE TABLE copy LIKE meridian_schema; INSERT INTO copy SELECT * FROM meridian_schema; \
                 DROP TABLE meridian_schema; RENAME TABLE copy TO meridian_schema";
    again.split("; ").for_each(|step| scratch_mariadb::shared().query(name, step));
    let after = scratch.open().await.life().await;
    assert_eq!((before, after), (Life::FIRST, Ok(Life::counted(2))));
}
