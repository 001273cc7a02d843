//! `kill -9` under load, again and again: what was acknowledged is there afterwards, nothing is there twice.
//!
//! Clients send a request until it is acknowledged, with the same request id, as SDKs do. `TESTS_KILLS` says how often the
//! server is killed, 20 times unless it is set. `TESTS_SERVER=temporal` kills the real dev server.
//!
//! On PostgreSQL and on MariaDB the server is killed, and in another test the database.
//!
//! A power cut is a kill after which the disk has forgotten everything that was not synced: see the package `powercut`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tests::{load::Load, pair, raw::Client, server::Server};

#[tokio::test(flavor = "multi_thread")]
async fn kill_under_load() {
    survive(Server::under_test_on_disk("server"), |server| {
        server.kill();
        server.restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_under_load_on_postgres() {
    let database = scratch_postgres::shared();
    let server = on_postgres("killed", database).await;
    survive(server, |server| {
        server.kill();
        server.restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_under_load_on_mariadb() {
    let database = scratch_mariadb::shared();
    let server = on_mariadb("killed-on-mariadb", database).await;
    survive(server, |server| {
        server.kill();
        server.restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_killed_under_load() {
    let database = scratch_mariadb::Server::start(&[]);
    let server = on_mariadb("outlived-mariadb", &database).await;
    survive(server, |_| {
        database.kill();
        database.restart();
    })
    .await;
}

/// The server lives on, says that it cannot write now, and goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_killed_under_load() {
    let database = scratch_postgres::Server::start(&[]);
    let server = on_postgres("outlived", &database).await;
    survive(server, |_| {
        database.kill();
        database.restart();
    })
    .await;
}

/// One cluster on a database of its own, with the namespace of the load.
async fn on_postgres(name: &str, database: &scratch_postgres::Server) -> Server {
    with_namespace(pair::on_postgres(name, "a", database, &database.create())).await
}

/// The same on MariaDB.
async fn on_mariadb(name: &str, database: &scratch_mariadb::Server) -> Server {
    with_namespace(pair::on_mariadb(name, "a", database, &database.create())).await
}

async fn with_namespace(server: Server) -> Server {
    let client = Client::connect(server.address(0)).await.expect("connect");
    let request = json!({"namespace": "default", "workflowExecutionRetentionPeriod": "86400s"});
    client.call("RegisterNamespace", request).await.expect("registered");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_under_load() {
    let library = powercut();
    let preload = format!("LD_PRELOAD={}", library.to_str().expect("a path in UTF-8"));
    let server = Server::meridian_on_disk_with("powercut", 2, &[preload]);
    survive(server, |server| {
        server.kill();
        forget_unsynced(&server.folder().join("data"));
        server.restart();
    })
    .await;
}

/// The library to preload. It is of no use to a test binary, so it is built by name.
fn powercut() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--package", "powercut", "--message-format", "json"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("run cargo build");
    assert!(output.status.success(), "cargo build: {}", String::from_utf8_lossy(&output.stderr));
    let messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let names = messages.filter(|message: &Value| message["target"]["name"] == "powercut");
    let name = names.filter_map(|message| Some(message["filenames"][0].as_str()?.into())).next();
    name.expect("cargo says what it built")
}

/// Of every database file in `folder` only what was synced is left.
#[expect(clippy::print_stdout, reason = "says whether the cut fell into a sync")]
fn forget_unsynced(folder: &Path) {
    let files = fs::read_dir(folder).expect("the folder of the databases").map(|file| file.expect("a file").path());
    let (mut kept, mut lost) = (0, 0);
    for file in files.filter(|file| [".db", ".db-wal"].iter().any(|end| file.to_string_lossy().ends_with(end))) {
        let durable = PathBuf::from(format!("{}.durable", file.display()));
        let had = fs::read(&file).expect("read a database");
        if durable.exists() {
            let has = fs::read(&durable).expect("read what was synced");
            lost += usize::from(has != had);
            kept += 1;
            fs::write(&file, has).expect("put what was synced in its place");
        } else {
            lost += 1;
            fs::remove_file(&file).expect("remove what was never synced");
        }
    }
    assert!(kept > 0, "nothing was ever synced: is the library preloaded?");
    println!("power cut: {kept} files kept, {lost} of all lost something");
}

/// Put a server under load, do it harm again and again, and look.
async fn survive(mut server: Server, harm: impl Fn(&mut Server)) {
    let kills = env::var("TESTS_KILLS").map_or(20, |kills| kills.parse().expect("TESTS_KILLS is a number"));
    let load = Load::on(&server.addresses()[..1]);
    for kill in 0..kills {
        // After ever different numbers of acknowledgements, so that it happens in the middle of ever different things.
        load.more(20 + kill * 7 % 13).await;
        harm(&mut server);
    }
    let ledger = load.end().await;
    for address in server.addresses() {
        let client = Client::connect(address).await.expect("connect").without_redirection();
        ledger.check(&client).await;
    }
}
