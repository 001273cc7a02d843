//! Processes that die, disks that are full, files that are not ours.

#![allow(clippy::disallowed_methods, reason = "a test has a runtime of its own, and a real clock")]
#![allow(clippy::print_stdout, reason = "a child says what was acknowledged")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use replicator::shard::io::{CommitOutcome, RunChange, Transaction};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};
use store::{
    Spawner, Store, Unavailable,
    conformance::model::{Owner, SHARD, acquire, delete, nothing, put, run, start},
    sqlite::{self, Location, SqliteStore, Tuning},
};
use uuid::Uuid;

mod kill;

fn spawner() -> Spawner {
    Arc::new(|task| drop(tokio::spawn(task)))
}

async fn open(path: &Path) -> SqliteStore {
    sqlite::open(&Location::File(path.to_owned()), &spawner()).await.expect("opens")
}

async fn owner(store: SqliteStore) -> Owner {
    let (range, _) = acquire(&store, SHARD).await;
    Owner { store: Arc::new(store), range }
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.expect("opens")
}

/// Not a test by itself: the process that [`what_a_killed_process_acknowledged_is_there`] kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(path) = std::env::var(kill::PLACE) else { return };
    kill::write_for_ever(owner(open(Path::new(&path)).await).await).await;
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cluster.db");
    let acknowledged = kill::Acknowledged::by_children(path.to_str().expect("plain"));
    let owner = owner(open(&path).await).await;
    acknowledged.check(&owner).await;
    owner.store.close().await;
    let mut connection = raw(&path).await;
    let checked: (String,) =
        sqlx::query_as("PRAGMA integrity_check").fetch_one(&mut connection).await.expect("checked");
    assert_eq!(checked.0, "ok");
}

#[tokio::test]
async fn a_lock_of_another_program_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cluster.db");
    let owner = owner(open(&path).await).await;
    let mut other = raw(&path).await;
    other.execute("BEGIN IMMEDIATE").await.expect("locks");
    let refused = owner.store.commit(Transaction { range: owner.range, ..start(&run("w", 1)) }).await;
    assert_eq!(refused, Err(Unavailable("the database is locked by another program".into())));
    assert_eq!(owner.current(&run("w", 1).workflow).await, None, "reads go on");
    other.execute("COMMIT").await.expect("unlocks");
    owner.commits(start(&run("w", 1))).await;
}

#[tokio::test]
async fn a_full_disk_is_unavailable_until_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let location = Location::File(folder.path().join("cluster.db"));
    let tuning = Tuning { max_pages: Some(60), ..Tuning::default() };
    let owner = owner(sqlite::open_tuned(&location, &tuning, &spawner()).await.expect("opens")).await;
    let mut stored = Vec::new();
    let full = loop {
        let run = run(&format!("w{}", stored.len()), stored.len() as u128);
        let mut transaction = Transaction { range: owner.range, ..start(&run) };
        let RunChange::Put { state, .. } = &mut transaction.runs[0].change else { unreachable!() };
        *state = Bytes::from(vec![7; 9000]);
        match owner.store.commit(transaction).await {
            Ok(outcome) => assert_eq!(outcome, CommitOutcome::Committed),
            Err(unavailable) => break unavailable,
        }
        stored.push(run);
        assert!(stored.len() < 100);
    };
    assert_eq!(full, Unavailable("the disk that holds the database is full".into()));
    for run in &stored {
        assert!(owner.run(run).await.is_some(), "what was acknowledged is there");
    }
    owner.commits(Transaction { runs: vec![put(&stored[0], Some(1), 2)], ..nothing() }).await;
    owner.commits(Transaction { runs: vec![delete(&stored[0], 2, &[])], ..nothing() }).await;
    owner.commits(start(&run("new", 900))).await;
}

/// By hand, on a file system of a few megabytes that is named in the environment:
///
/// ```text
/// mount -t tmpfs -o size=4M none /mnt/small && STORE_SMALL_DISK=/mnt/small cargo test -p store --test faults small
/// ```
#[tokio::test]
async fn a_small_disk_fills_and_empties() {
    let Ok(folder) = std::env::var("STORE_SMALL_DISK") else { return };
    let (path, ballast) = (Path::new(&folder).join("cluster.db"), Path::new(&folder).join("ballast"));
    for end in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    std::fs::write(&ballast, vec![1; 1 << 20]).expect("written");
    let owner = owner(open(&path).await).await;
    let mut stored = Vec::new();
    for round in 0..3 {
        let refused = loop {
            let run = run(&format!("w{}", stored.len()), stored.len() as u128);
            let transaction = Transaction { range: owner.range, ..start(&run) };
            match owner.store.commit(transaction).await {
                Ok(outcome) => assert_eq!(outcome, CommitOutcome::Committed),
                Err(unavailable) => break unavailable,
            }
            stored.push(run);
            assert!(stored.len() < 100_000);
        };
        println!("round {round}: {} stored, then: {refused}", stored.len());
        for run in &stored {
            assert!(owner.run(run).await.is_some(), "what was acknowledged is there");
        }
        let left = (1 << 20) - (round + 1) * (300 << 10);
        std::fs::write(&ballast, vec![1; left]).expect("written");
        let again = run(&format!("w{}", stored.len()), stored.len() as u128);
        owner.commits(start(&again)).await;
        stored.push(again);
    }
    owner.store.close().await;
    let owner = self::owner(open(&path).await).await;
    for run in &stored {
        assert!(owner.run(run).await.is_some(), "and still after a restart");
    }
}

#[tokio::test]
async fn one_process_has_a_file_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cluster.db");
    let store = open(&path).await;
    let refused = sqlite::open(&Location::File(path.clone()), &spawner()).await.expect_err("in use");
    assert_eq!(refused.0, format!("{} is in use by another process", path.display()));
    store.close().await;
    open(&path).await.close().await;
}

#[tokio::test]
async fn an_older_file_is_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cluster.db");
    let store = open(&path).await;
    let identity = store.begin_incarnation(Uuid::from_u128(1)).await.expect("written");
    store.close().await;
    let mut connection = raw(&path).await;
    connection.execute("DROP TABLE member; PRAGMA user_version = 1").await.expect("written");
    connection.close().await.expect("closes");

    let store = open(&path).await;
    assert_eq!(store.members().await, Ok(Vec::new()));
    assert_eq!(store.begin_incarnation(Uuid::from_u128(2)).await.map(|known| known.id), Ok(identity.id));
}

#[tokio::test]
async fn files_of_others_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = async |path: PathBuf, expected: String| {
        let before = std::fs::read(&path).ok();
        let refused = sqlite::open(&Location::File(path.clone()), &spawner()).await.expect_err("not ours");
        assert_eq!(refused.0, expected);
        assert_eq!(std::fs::read(&path).ok(), before);
    };
    let path = folder.path().join("newer.db");
    open(&path).await.close().await;
    let mut connection = raw(&path).await;
    connection.execute("PRAGMA user_version = 7").await.expect("written");
    connection.close().await.expect("closes");
    let text = "has schema version 7 and this program knows versions up to 2: it was written by a newer release, use that one or a newer";
    check(path.clone(), format!("{} {text}", path.display())).await;

    let path = folder.path().join("other.db");
    let mut connection = raw(&path).await;
    connection.execute("CREATE TABLE theirs (a); PRAGMA application_id = 5").await.expect("written");
    connection.close().await.expect("closes");
    check(path.clone(), format!("{} is a database of another program (its application id is 5)", path.display())).await;

    let path = folder.path().join("text.db");
    std::fs::write(&path, "a letter to somebody else, long enough to be read as a header of a database".repeat(20))
        .expect("written");
    check(path.clone(), format!("{} is not a database: it holds something else", path.display())).await;

    let path = folder.path().join("nowhere/cluster.db");
    let refused = sqlite::open(&Location::File(path.clone()), &spawner()).await.expect_err("no folder");
    assert!(refused.0.starts_with(&format!("{} cannot be opened: ", path.display())), "{refused}");
}
