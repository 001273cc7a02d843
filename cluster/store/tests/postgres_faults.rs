//! Processes that die, servers that die, shards that change hands, databases that are not ours.

#![allow(clippy::disallowed_methods, reason = "a test has a runtime of its own")]
#![allow(clippy::print_stdout, reason = "a child says what was acknowledged")]

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use replicator::{
    ids::{RangeId, RunKey},
    shard::io::{CommitOutcome, Transaction},
};
use scratch_postgres::{NAME, Server, TlsServer};
use sqlx::{ConnectOptions as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use store::{
    Address, Spawner, Tls, Unavailable,
    conformance::model::{Owner, SHARD, acquire, delete, nothing, put, run, start},
    postgres::{self, Options, PostgresStore, schema},
};

mod kill;

/// A prepared database of its own.
async fn database() -> Options {
    let options = Options::from_url(&scratch_postgres::shared().database()).expect("a URL");
    schema::setup(&options).await.expect("prepared");
    options
}

async fn open(options: &Options) -> PostgresStore {
    let spawner: Spawner = Arc::new(|task| drop(tokio::spawn(task)));
    postgres::open(options, &spawner).await.expect("opens")
}

/// A host that takes the shard.
async fn owner(options: &Options) -> Owner {
    let store = open(options).await;
    let (range, _) = acquire(&store, SHARD).await;
    Owner { store: Arc::new(store), range }
}

async fn raw(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().expect("a URL").connect().await.expect("connects")
}

/// Not a test by itself: the process that [`what_a_killed_process_acknowledged_is_there`] kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(url) = std::env::var(kill::PLACE) else { return };
    kill::write_for_ever(owner(&Options::from_url(&url).expect("a URL")).await).await;
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_there() {
    let url = scratch_postgres::shared().database();
    let options = Options::from_url(&url).expect("a URL");
    schema::setup(&options).await.expect("prepared");
    let acknowledged = kill::Acknowledged::by_children(&url);
    acknowledged.check(&owner(&options).await).await;
}

/// Nobody opens anything again: the store finds back by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_is_unavailable_until_it_is_back() {
    let server = Server::start(&[]);
    let options = Options::from_url(&server.url("postgres")).expect("a URL");
    schema::setup(&options).await.expect("prepared");
    let owner = Arc::new(owner(&options).await);
    let (mut acknowledged, mut doubted) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let writers = (0..4_u128).map(|worker| {
            let owner = owner.clone();
            tokio::spawn(async move {
                let (mut stored, mut doubted) = (Vec::new(), Vec::new());
                for number in 0.. {
                    let run = run(&format!("w{round}-{worker}-{number}"), number + 1);
                    match owner.store.commit(Transaction { range: owner.range, ..start(&run) }).await {
                        Ok(CommitOutcome::Committed) => stored.push(run),
                        Ok(CommitOutcome::Unknown) => doubted.push(run),
                        Ok(other) => panic!("{other:?}"),
                        Err(_) => break,
                    }
                }
                (stored, doubted)
            })
        });
        let writers: Vec<_> = writers.collect();
        // Some are written before it dies.
        let early = run(&format!("early{round}"), 1);
        owner.commits(start(&early)).await;
        server.kill();
        for writer in writers {
            let (stored, unsure) = writer.await.expect("no panic");
            acknowledged.extend(stored);
            doubted.extend(unsure);
        }
        acknowledged.push(early);
        let refused = owner.store.commit(Transaction { range: owner.range, ..start(&run("gone", 1)) }).await;
        assert!(matches!(refused, Err(Unavailable(_))), "{refused:?}");
        assert!(owner.store.namespaces().await.is_err());
        server.restart();
        // A connection that broke says so once.
        while owner.store.namespaces().await.is_err() {}
        let late = run(&format!("late{round}"), 1);
        owner.commits(start(&late)).await;
        acknowledged.push(late);
    }
    for run in &acknowledged {
        assert!(owner.run(run).await.is_some(), "{run:?} was acknowledged");
    }
    assert_eq!(owner.run(&run("gone", 1)).await, None);
    // Of what is in doubt nothing is half there.
    for run in &doubted {
        assert_eq!(owner.run(run).await.is_some(), owner.current(&run.workflow).await.is_some(), "{run:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_ended_is_replaced() {
    let options = database().await;
    let owner = owner(&options).await;
    owner.commits(start(&run("w", 1))).await;
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE application_name = 'meridian' AND datname = current_database()";
    let name = options.database().to_owned();
    assert_ne!(scratch_postgres::shared().ask(&name, ended), "0");
    let outcome = owner.store.commit(Transaction { range: owner.range, ..start(&run("v", 2)) }).await;
    assert_ne!(outcome, Ok(CommitOutcome::Committed));
    // The shard fences itself, as it does after every doubt.
    let (range, _) = acquire(&*owner.store, SHARD).await;
    let owner = Owner { range, ..owner };
    while owner.store.namespaces().await.is_err() {}
    if owner.run(&run("v", 2)).await.is_none() {
        owner.commits(start(&run("v", 2))).await;
    }
    owner.commits(Transaction { runs: vec![put(&run("w", 1), Some(1), 2)], ..nothing() }).await;
}

/// What a host remembers of workflows is worth nothing once another one had the shard.
#[tokio::test]
async fn a_shard_goes_to_another_host_and_comes_back() {
    let options = database().await;
    let first = owner(&options).await;
    let (w, v) = (run("w", 1), run("v", 2));
    first.commits(start(&w)).await;
    first.commits(start(&v)).await;
    let second = owner(&options).await;
    assert_eq!(second.range, RangeId(first.range.0 + 1));
    second.commits(Transaction { runs: vec![put(&w, Some(1), 2)], ..nothing() }).await;
    second.commits(Transaction { runs: vec![delete(&v, 1, &[])], ..nothing() }).await;

    let lost = CommitOutcome::ShardOwnershipLost;
    assert_eq!(first.commit(Transaction { runs: vec![put(&w, Some(1), 2)], ..nothing() }).await, lost);
    assert_eq!(
        first.commit(Transaction { runs: vec![put(&w, Some(7), 8)], ..nothing() }).await,
        lost,
        "the range first"
    );
    assert_eq!(first.commit(nothing()).await, lost);

    let (range, _) = acquire(&*first.store, SHARD).await;
    let first = Owner { range, ..first };
    let stale = Transaction { runs: vec![put(&w, Some(1), 2)], ..nothing() };
    assert_eq!(first.commit(stale).await, CommitOutcome::ConditionFailed);
    first.commits(Transaction { runs: vec![put(&w, Some(2), 3)], ..nothing() }).await;
    first.commits(start(&v)).await;
    assert_eq!(second.commit(Transaction { runs: vec![put(&w, Some(2), 3)], ..nothing() }).await, lost);
}

/// A write that was sent before and is carried out after the shard was taken.
#[tokio::test]
async fn a_write_that_comes_too_late_writes_nothing() {
    let options = database().await;
    let owner = owner(&options).await;
    owner.commits(start(&run("w", 1))).await;
    let mut other = raw(&scratch_postgres::shared().url(options.database())).await;
    other.execute("BEGIN; UPDATE shard SET range = range + 1").await.expect("locks");
    let late = Transaction { range: owner.range, ..start(&run("v", 2)) };
    let (outcome, ()) = tokio::join!(owner.store.commit(late), async {
        // It waits for the lock.
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut other).await.expect("read") == 0 {}
        other.execute("COMMIT").await.expect("commits");
    });
    assert_eq!(outcome, Ok(CommitOutcome::ShardOwnershipLost));
    assert_eq!(owner.current(&run("v", 2).workflow).await, None);
}

#[tokio::test]
async fn a_lock_of_another_program_passes() {
    let mut options = database().await;
    options.statement_timeout = Duration::from_secs(1);
    let owner = owner(&options).await;
    let mut other = raw(&scratch_postgres::shared().url(options.database())).await;
    other.execute("BEGIN; LOCK TABLE run").await.expect("locks");
    let refused = owner.store.commit(Transaction { range: owner.range, ..start(&run("w", 1)) }).await;
    let text = "the database is stopping or too busy: canceling statement due to statement timeout";
    assert_eq!(refused, Err(Unavailable(text.into())));
    other.execute("COMMIT").await.expect("unlocks");
    owner.commits(start(&run("w", 1))).await;
}

/// A workflow id that no index takes: only its own transaction fails.
#[tokio::test]
async fn a_row_at_fault_leaves_its_neighbours_alone() {
    let options = database().await;
    let owner = owner(&options).await;
    let mut entropy = replicator::entropy::Entropy::new(7);
    let long: String = (0..9000).map(|_| char::from(b'!' + (entropy.next_u64() % 90) as u8)).collect();
    let name = |number| if number == 5 { long.clone() } else { format!("w{number}") };
    let runs: Vec<RunKey> = (1..9).map(|number| run(&name(number), number)).collect();
    let commits = runs.iter().map(|run| owner.store.commit(Transaction { range: owner.range, ..start(run) }));
    let outcomes = futures_util::future::join_all(commits).await;
    for (at, (run, outcome)) in runs.iter().zip(outcomes).enumerate() {
        assert_eq!(outcome.is_ok(), at != 4, "{at}: {outcome:?}");
        assert_eq!(owner.current(&run.workflow).await.is_some(), at != 4);
    }
}

/// What a host is told it may keep: the record of the shard.
#[tokio::test]
async fn two_hosts_take_many_shards_at_once() {
    let options = database().await;
    let (first, second) = (open(&options).await, open(&options).await);
    let shards: Vec<_> = (1..=64).map(replicator::ids::ShardId).collect();
    let take = |store: &PostgresStore| {
        let store = store.clone();
        let shards = shards.clone();
        async move { futures_util::future::join_all(shards.iter().map(|shard| acquire(&store, *shard))).await }
    };
    let (a, b) = tokio::join!(take(&first), take(&second));
    for (one, other) in a.into_iter().zip(b) {
        let mut ranges = [one.0.0, other.0.0];
        ranges.sort_unstable();
        assert_eq!(ranges, [1, 2]);
        assert_eq!((one.1, other.1), (Bytes::new(), Bytes::new()));
    }
}

#[tokio::test]
async fn databases_of_others_are_refused_and_left_alone() {
    let server = scratch_postgres::shared();
    let check = async |options: &Options, expected: &str| {
        let spawner: Spawner = Arc::new(|task| drop(tokio::spawn(task)));
        let refused = postgres::open(options, &spawner).await.expect_err("not ours");
        assert_eq!(refused.0, format!("{options} {expected}"));
    };
    let empty = Options::from_url(&server.database()).expect("a URL");
    check(&empty, "has no tables yet: run meridian schema setup --store URL").await;
    let none = schema::update(&empty).await.expect_err("nothing to update");
    assert_eq!(none.0, format!("{empty} has no tables yet: run meridian schema setup --store URL"));
    assert_eq!(schema::inspect(&empty).await, Ok(schema::Found::Empty));

    let older = database().await;
    server.query(
        older.database(),
        "DROP TABLE member; DELETE FROM counter WHERE counter > 4; UPDATE meridian_schema SET version = 1",
    );
    let text = "has schema version 1 and this program needs version 3: run meridian schema update --store URL";
    check(&older, text).await;
    assert_eq!(schema::setup(&older).await.expect_err("older").0, format!("{older} {text}"));
    assert_eq!(schema::update(&older).await, Ok(schema::VERSION));
    owner(&older).await;

    let newer = database().await;
    server.query(newer.database(), "UPDATE meridian_schema SET version = 7");
    let text = "has schema version 7 and this program knows versions up to 3: it was prepared by a newer release, use \
                that one or a newer";
    check(&newer, text).await;
    assert_eq!(schema::setup(&newer).await.expect_err("newer").0, format!("{newer} {text}"));

    let other = Options::from_url(&server.database()).expect("a URL");
    server.query(other.database(), "CREATE TABLE theirs (a INT)");
    check(&other, "holds tables of another program").await;
    assert!(schema::setup(&other).await.is_err());
    assert_eq!(server.ask(other.database(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1");

    let nowhere = Options::from_url(&server.url("nowhere")).expect("a URL");
    check(&nowhere, "cannot be opened: database \"nowhere\" does not exist").await;
}

#[tokio::test]
async fn one_process_has_a_database_for_itself() {
    let mut options = database().await;
    options.exclusive = true;
    let first = owner(&options).await;
    let spawner: Spawner = Arc::new(|task| drop(tokio::spawn(task)));
    let mut hasty = options.clone();
    hasty.statement_timeout = Duration::from_secs(1);
    let refused = postgres::open(&hasty, &spawner).await.expect_err("in use");
    assert_eq!(refused.0, format!("{options} cannot be opened: it is in use by another process"));
    first.commits(start(&run("w", 1))).await;
    first.store.close().await;
    owner(&options).await.commits(start(&run("v", 2))).await;
}

/// The server has to be who it says it is, if anybody asks.
#[tokio::test]
async fn a_database_is_reached_by_tls() {
    let server = TlsServer::start();
    let options = |host: &str, tls: Option<Tls>| {
        let (database, user) = ("postgres".to_owned(), "meridian".to_owned());
        Options::from_address(&Address {
            host: host.into(),
            port: server.port,
            database,
            user,
            tls,
            ..Address::default()
        })
    };
    let checked = |authorities: &Path, verify_host| {
        Some(Tls { is_verified: true, verify_host, authorities: Some(authorities.to_owned()), client: None })
    };
    let look = async |options: Options| schema::inspect(&options).await.map_err(|failed| failed.0);
    let empty = Ok(schema::Found::Empty);
    assert_eq!(look(options(NAME, Some(Tls::default()))).await, empty);
    assert_eq!(look(options(NAME, checked(&server.authority, true))).await, empty);
    assert_eq!(look(options("127.0.0.1", checked(&server.authority, false))).await, empty);
    let by_another_name = look(options("127.0.0.1", checked(&server.authority, true))).await.expect_err("refused");
    assert!(by_another_name.contains("certificate not valid for name \"127.0.0.1\""), "{by_another_name}");
    let unknown = look(options(NAME, checked(&server.stranger, true))).await.expect_err("refused");
    assert!(unknown.contains("invalid peer certificate"), "{unknown}");
    let url = format!("postgres://meridian@{NAME}:{}/postgres?sslmode=verify-full&sslrootcert=", server.port);
    let with = |file: &Path| Options::from_url(&format!("{url}{}", file.display())).expect("a URL");
    assert_eq!(look(with(&server.authority)).await, empty);
    assert!(look(with(&server.stranger)).await.is_err());
}

/// Preparing is done once, whoever begins.
#[tokio::test]
async fn two_operators_prepare_one_database() {
    let options = Options::from_url(&scratch_postgres::shared().database()).expect("a URL");
    let (one, other) = tokio::join!(schema::setup(&options), schema::setup(&options));
    assert_eq!((one, other), (Ok(schema::VERSION), Ok(schema::VERSION)));
    assert_eq!(schema::update(&options).await, Ok(schema::VERSION));
}
