//! PostgreSQL as an operator meets it: prepared by a command, refused when it is not, and never with its password.

use serde_json::json;
use tests::{cli::meridian, provision};

#[test]
fn a_database_is_prepared_by_command() {
    let server = scratch_postgres::shared();
    let name = server.create();
    let url = server.url(&name);
    let store = format!("database {name} at {}:5432", server.folder().display());
    let schema = |verb: &str| meridian(&["schema", verb, "--store", &url, "-o", "json"]);
    let answer = |version: Option<i64>, before: Option<i64>| json!({"store": store, "version": version, "before": before, "known": 3});
    assert_eq!(schema("version").json(), answer(None, None));
    let refused = schema("update");
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.err, format!("meridian: {store} has no tables yet: run meridian schema setup --store URL\n"));
    assert_eq!(schema("setup").json(), answer(Some(3), None));
    for verb in ["setup", "update", "version"] {
        assert_eq!(schema(verb).json(), answer(Some(3), Some(3)), "{verb}");
    }
    server.query(&name, "UPDATE meridian_schema SET version = 4");
    assert_eq!(schema("version").json(), answer(Some(4), Some(4)));
    for verb in ["setup", "update"] {
        let refused = schema(verb);
        assert!(!refused.success && refused.err.contains("has schema version 4 and this program knows"), "{refused:?}");
    }
}

#[test]
fn a_url_that_is_wrong_is_not_repeated() {
    for url in [
        "mysql://me:hunter2@127.0.0.1:1/m",
        "oracle://me:hunter2@db/m",
        "postgres://me:hunter2@db:x/m",
        "postgres://me:hunter2@127.0.0.1:1/m",
    ] {
        let refused = meridian(&["schema", "version", "--store", url]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(!refused.err.contains("hunter2") && refused.err.lines().count() == 1, "{}", refused.err);
    }
}

#[test]
fn a_server_refuses_a_database_that_is_not_prepared() {
    let server = scratch_postgres::shared();
    let name = server.create();
    let folder = provision::scratch("unprepared");
    let file = folder.join("cluster.yaml");
    let example = include_str!("../../deploy/cluster-a.yaml");
    let sql = format!(
        "      sql: {{pluginName: postgres12, databaseName: {name}, connectProtocol: unix, connectAddr: '{}', \
         user: meridian, password: hunter2}}",
        server.folder().display()
    );
    let lines = example.lines().map(|line| if line.trim_start().starts_with("sql:") { sql.as_str() } else { line });
    let text = lines.collect::<Vec<_>>().join("\n");
    // Any ports: it refuses before it listens to anybody.
    let base = tests::server::free_port(1);
    let text = text.replace(": 7233", &format!(": {base}")).replace(": 7243", &format!(": {}", base + 10));
    let text = text.replace("\"127.0.0.1:7253\"", &format!("\"127.0.0.1:{}\"", base + 20));
    std::fs::write(&file, text).expect("write the configuration");
    let refused = meridian(&["server", "--config", file.to_str().expect("a path in UTF-8")]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let said = format!("{}{}", refused.out, refused.err);
    assert!(said.contains("has no tables yet: run meridian schema setup --store URL"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
