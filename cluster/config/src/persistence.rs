//! `persistence`: where this cluster keeps everything, and in how many shards.

use std::path::PathBuf;

use crate::{
    backlog::ReplicationBacklog,
    database::{Database, Server},
    report::Report,
    section::Section,
};

/// Where this cluster keeps everything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Persistence {
    /// The one database.
    pub location: Location,
    /// Number of history shards; 1 ≤ it ≤ [`MAX_HISTORY_SHARDS`]. Never changes in the life of a database.
    pub num_history_shards: u32,
    /// What each of them keeps for peers that are away.
    pub backlog: ReplicationBacklog,
}

/// Where a database is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// In the memory of SQLite: gone when the process ends.
    Memory,
    /// In this file of SQLite, which is created if it does not exist. A relative path starts where the process was started.
    File(PathBuf),
    /// In PostgreSQL, prepared by `meridian schema setup`.
    Postgres(Database),
    /// In MariaDB or MySQL, prepared by `meridian schema setup`.
    Mysql(Database),
}

impl Location {
    /// Whether several processes may share it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Memory | Self::File(_) => false,
            Self::Postgres(_) | Self::Mysql(_) => true,
        }
    }
}

impl Persistence {
    pub(crate) fn read(mut persistence: Section<'_>, report: &mut Report) -> Option<Self> {
        let num_history_shards = persistence.integer("numHistoryShards", 1..=i64::from(MAX_HISTORY_SHARDS), report);
        let default = persistence.required_text("defaultStore", "the name of one of the datastores", report);
        let datastores = persistence.section("datastores", report);
        let visibility = persistence.text("visibilityStore", report).filter(|store| !store.is_empty());
        if let (Some(default), Some(visibility)) = (&default, visibility)
            && *default != visibility
        {
            let problem =
                format!("is {visibility:?}; visibility records are kept in the default store: write {default}");
            report.problem(persistence.path("visibilityStore"), problem);
        }
        for key in ["secondaryVisibilityStore", "advancedVisibilityStore"] {
            persistence.refused(key, "visibility records are kept in the default store only; remove this key", report);
        }
        let backlog = if persistence.is_set("replicationBacklog") {
            let backlog = persistence.section("replicationBacklog", report);
            backlog.and_then(|section| ReplicationBacklog::read(section, report)).unwrap_or_default()
        } else {
            ReplicationBacklog::default()
        };
        persistence.finish(report);
        let location = read_datastores(datastores?, &default?, report);
        let num_history_shards = u32::try_from(num_history_shards?).expect("in range");
        Some(Self { location: location?, num_history_shards, backlog })
    }
}

fn read_datastores(mut datastores: Section<'_>, default: &str, report: &mut Report) -> Option<Location> {
    let mut location = None;
    let mut found = false;
    for name in datastores.names() {
        if name == default {
            found = true;
            location = datastores.section(name, report).and_then(|store| read_datastore(store, report));
        } else {
            datastores.inert(name, "only the default store is opened", report);
        }
    }
    if !found {
        report.problem(datastores.path(default), "is missing, and defaultStore names it");
    }
    location
}

fn read_datastore(mut store: Section<'_>, report: &mut Report) -> Option<Location> {
    let other_kinds = ["cassandra", "elasticsearch", "customDatastore"];
    let refused = other_kinds.map(|kind| {
        store.refused(
            kind,
            "does not exist yet; the only store is sql with pluginName: sqlite, postgres12 or mysql8",
            report,
        );
        store.is_set(kind)
    });
    store.inert("faultInjection", "a server does not contain its own faults", report);
    // Without this a store of another kind would also be told that it lacks `sql`.
    let sql = if refused.contains(&true) && !store.is_set("sql") { None } else { store.section("sql", report) };
    store.finish(report);
    read_sql(sql?, report)
}

fn read_sql(mut sql: Section<'_>, report: &mut Report) -> Option<Location> {
    let plugin = sql.required_text("pluginName", "sqlite, postgres12 or mysql8", report)?;
    match plugin.as_str() {
        "sqlite" => read_sqlite(sql, report),
        "postgres12" | "postgres12_pgx" => Database::read(sql, Server::Postgres, report).map(Location::Postgres),
        "mysql8" => Database::read(sql, Server::Mariadb, report).map(Location::Mysql),
        _ => {
            let problem =
                format!("{plugin:?} does not exist yet; there are sqlite, postgres12, postgres12_pgx and mysql8");
            report.problem(sql.path("pluginName"), problem);
            // The other keys are those of another database.
            None
        }
    }
}

fn read_sqlite(mut sql: Section<'_>, report: &mut Report) -> Option<Location> {
    let name = sql.text("databaseName", report);
    let in_memory = sql.section("connectAttributes", report).and_then(|attributes| read_mode(attributes, report));
    for key in ["user", "password", "connectAddr", "connectProtocol", "tls", "authPlugin"] {
        sql.inert(key, "SQLite is a file and not a server", report);
    }
    for key in ["maxConns", "maxIdleConns", "maxConnLifetime", "taskScanPartitions"] {
        sql.inert(key, "the server chooses how it uses SQLite", report);
    }
    let path = sql.path("databaseName");
    sql.finish(report);
    let (name, in_memory) = (name?, in_memory?);
    if in_memory {
        return Some(Location::Memory);
    }
    let problem = match name.as_str() {
        "" => "is missing; the path of the database is required".to_owned(),
        name if name == ":memory:" || name.starts_with("file:") => {
            format!("is {name:?}; a plain path is required, or connectAttributes: {{mode: memory}} to keep nothing")
        }
        name => return Some(Location::File(PathBuf::from(name))),
    };
    report.problem(path, problem);
    None
}

/// Whether the database is in memory.
fn read_mode(mut attributes: Section<'_>, report: &mut Report) -> Option<bool> {
    let in_memory = attributes.choice("mode", &MODES, report);
    for name in attributes.names().filter(|name| *name != "mode") {
        attributes.inert(name, "the server chooses how it uses SQLite", report);
    }
    in_memory
}

/// `ro` and `rw` are missing on purpose: a server that may not write or create its database cannot start.
const MODES: [(&str, bool); 2] = [("rwc", false), ("memory", true)];

/// Each shard costs a row, queues and memory for as long as the database lives; a number above this one is a slip.
pub const MAX_HISTORY_SHARDS: u32 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::read;

    #[test]
    fn locations() {
        let check = |sql: &str, location| {
            let expected = Persistence { location, num_history_shards: 4, backlog: ReplicationBacklog::default() };
            assert_eq!(read("persistence", &with_sql(sql), Persistence::read), (Some(expected), vec![]), "{sql}");
        };
        let file = Location::File("a.db".into());
        check("pluginName: sqlite, databaseName: a.db", file.clone());
        check("pluginName: sqlite, databaseName: a.db, connectAttributes: {mode: rwc}", file.clone());
        check("pluginName: sqlite, databaseName: a.db, connectAttributes: {mode: }, user: '', maxConns: 0", file);
        check("pluginName: sqlite, databaseName: /var/lib/7.db", Location::File("/var/lib/7.db".into()));
        check("pluginName: sqlite, databaseName: default, connectAttributes: {mode: memory}", Location::Memory);
        check("pluginName: sqlite, connectAttributes: {mode: memory}", Location::Memory);
    }

    #[test]
    fn postgres_by_either_of_its_plugins() {
        for plugin in ["postgres12", "postgres12_pgx"] {
            let keys = "databaseName: m, connectAddr: 'db:5432', user: me, password: hunter2";
            let (found, report) =
                read("persistence", &with_sql(&format!("pluginName: {plugin}, {keys}")), Persistence::read);
            let location = found.expect("accepted").location;
            assert!(matches!(&location, Location::Postgres(database) if database.host == "db"), "{location:?}");
            assert_eq!(report, Vec::<String>::new());
        }
    }

    #[test]
    fn mariadb_by_the_plugin_of_mysql() {
        let keys = "pluginName: mysql8, databaseName: m, connectAddr: 'db:3306', user: me, password: hunter2";
        let (found, report) = read("persistence", &with_sql(keys), Persistence::read);
        let location = found.expect("accepted").location;
        assert!(matches!(&location, Location::Mysql(database) if database.port == 3306), "{location:?}");
        assert_eq!(report, Vec::<String>::new());
    }

    #[test]
    fn sql_problems() {
        check_sql(
            "",
            "! persistence.datastores.default.sql.pluginName: is missing; sqlite, postgres12 or mysql8 is required",
        );
        for plugin in ["postgres", "mysql", "cassandra"] {
            check_sql(
                &format!("pluginName: {plugin}, databaseName: temporal, connectAddr: 'db:1', password: hunter2"),
                &format!(
                    "! persistence.datastores.default.sql.pluginName: \"{plugin}\" does not exist yet; there are sqlite, \
                     postgres12, postgres12_pgx and mysql8"
                ),
            );
        }
        check_sql(
            "pluginName: sqlite",
            "! persistence.datastores.default.sql.databaseName: is missing; the path of the database is required",
        );
        check_sql(
            "pluginName: sqlite, databaseName: ':memory:'",
            "! persistence.datastores.default.sql.databaseName: is \":memory:\"; a plain path is required, or \
             connectAttributes: {mode: memory} to keep nothing",
        );
        check_sql(
            "pluginName: sqlite, databaseName: a.db, connectAttributes: {mode: ro}",
            "! persistence.datastores.default.sql.connectAttributes.mode: is \"ro\"; allowed are: rwc, memory",
        );
    }

    #[test]
    fn sql_notices() {
        check_sql(
            "pluginName: sqlite, databaseName: a.db, maxConns: 20, password: hunter2, journal: off, \
             connectAttributes: {journal_mode: wal, setup: true, cache: }",
            "~ persistence.datastores.default.sql.connectAttributes.journal_mode: has no effect: the server chooses \
             how it uses SQLite\n\
             ~ persistence.datastores.default.sql.connectAttributes.setup: has no effect: the server chooses how it \
             uses SQLite\n\
             ~ persistence.datastores.default.sql.password: has no effect: SQLite is a file and not a server\n\
             ~ persistence.datastores.default.sql.maxConns: has no effect: the server chooses how it uses SQLite\n\
             ~ persistence.datastores.default.sql.journal: is not a known key and is ignored",
        );
    }

    #[test]
    fn stores_of_other_kinds() {
        let check = |datastores: &str, expected: &str| {
            check(&format!("{{numHistoryShards: 1, defaultStore: default, datastores: {{{datastores}}}}}"), expected);
        };
        check(
            "default: {cassandra: {hosts: a}}",
            "! persistence.datastores.default.cassandra: does not exist yet; the only store is sql with pluginName: \
             sqlite, postgres12 or mysql8",
        );
        check(
            "other: {sql: {pluginName: sqlite}}",
            "! persistence.datastores.default: is missing, and defaultStore names it\n\
             ~ persistence.datastores.other: has no effect: only the default store is opened",
        );
        check("", "! persistence.datastores.default: is missing, and defaultStore names it");
        check(
            "default: {faultInjection: {rate: 0.1}, sql: {pluginName: sqlite, databaseName: a.db}}",
            "~ persistence.datastores.default.faultInjection: has no effect: a server does not contain its own faults",
        );
        check("default: 1", "! persistence.datastores.default: is a whole number; a section of keys is required");
    }

    #[test]
    fn visibility_is_in_the_default_store() {
        let sql = "datastores: {default: {sql: {pluginName: sqlite, databaseName: a.db}}}";
        let check = |keys: &str, expected: &str| {
            check(&format!("{{numHistoryShards: 1, defaultStore: default, {sql}, {keys}}}"), expected);
        };
        check("visibilityStore: default", "");
        check("visibilityStore: ", "");
        check("secondaryVisibilityStore: ''", "");
        check(
            "visibilityStore: es",
            "! persistence.visibilityStore: is \"es\"; visibility records are kept in the default store: write default",
        );
        check(
            "secondaryVisibilityStore: es",
            "! persistence.secondaryVisibilityStore: visibility records are kept in the default store only; remove \
             this key",
        );
    }

    #[test]
    fn shards() {
        let sql = "datastores: {default: {sql: {pluginName: sqlite, databaseName: a.db}}}";
        for (shards, wrong) in [("0", "is 0"), ("16385", "is 16385"), ("", "is missing"), ("many", "is text")] {
            check(
                &format!("{{numHistoryShards: {shards}, defaultStore: default, {sql}}}"),
                &format!("! persistence.numHistoryShards: {wrong}; a whole number from 1 to 16384 is required"),
            );
        }
        for shards in [1, 16384] {
            check(&format!("{{numHistoryShards: {shards}, defaultStore: default, {sql}}}"), "");
        }
    }

    #[test]
    fn nothing_at_all() {
        check(
            "",
            "! persistence.numHistoryShards: is missing; a whole number from 1 to 16384 is required\n\
             ! persistence.defaultStore: is missing; the name of one of the datastores is required",
        );
    }

    fn with_sql(sql: &str) -> String {
        format!("{{numHistoryShards: 4, defaultStore: default, datastores: {{default: {{sql: {{{sql}}}}}}}}}")
    }

    #[track_caller]
    fn check_sql(sql: &str, expected: &str) {
        check(&with_sql(sql), expected);
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(read("persistence", text, Persistence::read).1.join("\n"), expected, "{text}");
    }
}
