//! Two `meridian server` processes, from the example files that operators start from.

use std::{fs, path::Path};

use crate::{
    cli,
    proxy::Proxy,
    server::{Server, free_port},
};

/// Where the clusters keep their data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keep {
    /// In a file each, as in the examples.
    OnDisk,
    /// Nowhere.
    InMemory,
}

/// Start the clusters `a` and `b` on ports of their own. They do not know each other yet.
///
/// # Panics
///
/// When an example cannot be read, or its cluster does not start.
#[must_use]
pub fn start(name: &str, keep: Keep) -> [Server; 2] {
    start_as(name, |cluster| example(cluster, keep))
}

/// The same, and each passes on everything that belongs to the other, as workers on both sides want it.
///
/// # Panics
///
/// As [`start`].
#[must_use]
pub fn start_forwarding_all(name: &str, keep: Keep) -> [Server; 2] {
    start_as(name, |cluster| {
        let (some, all) = ("policy: selected-apis-forwarding", "policy: all-apis-forwarding");
        let text = example(cluster, keep);
        assert!(text.contains(some), "the example of {cluster} forwards something else: {text}");
        text.replace(some, all)
    })
}

fn start_as(name: &str, config: impl Fn(&str) -> String) -> [Server; 2] {
    let base = free_port(4);
    [("a", 33), ("b", 133)].map(|(cluster, port)| {
        let text = moved(&config(cluster), base);
        Server::meridian_from_file(&format!("{name}-{cluster}"), &text, base + port)
    })
}

/// Start the cluster `a` alone, with more in its configuration.
///
/// # Panics
///
/// As [`start`].
#[must_use]
pub fn alone(name: &str, keep: Keep, more: &str) -> Server {
    let base = free_port(4);
    let text = format!("{}{more}\n", moved(&example("a", keep), base));
    Server::meridian_from_file(name, &text, base + 33)
}

/// The same with so many shards, and nothing more.
///
/// # Panics
///
/// As [`start`].
#[must_use]
pub fn alone_with_shards(name: &str, keep: Keep, shards: usize) -> Server {
    let (base, usual) = (free_port(4), "numHistoryShards: 4");
    let text = example("a", keep);
    assert!(text.contains(usual), "the example has other shards: {text}");
    let text = moved(&text, base).replace(usual, &format!("numHistoryShards: {shards}"));
    Server::meridian_from_file(name, &text, base + 33)
}

/// Start the cluster `a` alone on a database that is prepared for it, with more in its configuration.
///
/// # Panics
///
/// As [`start`], and when the database cannot be prepared.
#[must_use]
pub fn alone_on_postgres(name: &str, server: &scratch_postgres::Server, database: &str, more: &str) -> Server {
    on_database(name, "a", &server.url(database), &postgres(server, database), more)
}

/// Start a third cluster `c`, which is as `b` but for its name. Nobody knows it yet.
///
/// # Panics
///
/// When the example cannot be read, or the cluster does not start.
#[must_use]
pub fn third(name: &str, keep: Keep) -> Server {
    let base = free_port(4);
    let text = moved(&example("b", keep), base);
    let text = text.replace("cluster-b.db", "cluster-c.db").replace("ClusterName: b", "ClusterName: c");
    let text =
        text.replace("b: {enabled: true, initialFailoverVersion: 2", "c: {enabled: true, initialFailoverVersion: 3");
    Server::meridian_from_file(&format!("{name}-c"), &text, base + 133)
}

fn example(cluster: &str, keep: Keep) -> String {
    let text = deployed(&format!("cluster-{cluster}.yaml"));
    if keep == Keep::InMemory { text.replace("mode: rwc", "mode: memory") } else { text }
}

/// A file of `deploy`.
pub(crate) fn deployed(name: &str) -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    fs::read_to_string(&example).unwrap_or_else(|error| panic!("{}: {error}", example.display()))
}

/// Start one of the clusters, `a` or `b`, on a database that is prepared for it.
///
/// # Panics
///
/// As [`start`], and when the database cannot be prepared.
#[must_use]
pub fn on_postgres(name: &str, cluster: &str, server: &scratch_postgres::Server, database: &str) -> Server {
    on_database(name, cluster, &server.url(database), &postgres(server, database), "")
}

fn postgres(server: &scratch_postgres::Server, database: &str) -> String {
    let place = format!("connectAddr: '{}', user: meridian", server.folder().display());
    format!("pluginName: postgres12, databaseName: {database}, connectProtocol: unix, {place}")
}

/// The same on MariaDB.
///
/// # Panics
///
/// As [`on_postgres`].
#[must_use]
pub fn on_mariadb(name: &str, cluster: &str, server: &scratch_mariadb::Server, database: &str) -> Server {
    let place = format!("connectAddr: '{}', user: root", server.socket().display());
    let sql = format!("pluginName: mysql8, databaseName: {database}, connectProtocol: unix, {place}");
    on_database(name, cluster, &server.url(database), &sql, "")
}

fn on_database(name: &str, cluster: &str, url: &str, sql: &str, more: &str) -> Server {
    let _ = cli::meridian(&["schema", "setup", "--store", url]).ok();
    let base = free_port(4);
    let port = if cluster == "a" { 33 } else { 133 };
    let sql = format!("      sql: {{{sql}}}");
    let text = moved(&example(cluster, Keep::OnDisk), base);
    let lines = text.lines().map(|line| if line.trim_start().starts_with("sql:") { sql.as_str() } else { line });
    let text = format!("{}\n{more}\n", lines.collect::<Vec<_>>().join("\n"));
    assert!(text.contains("connectProtocol"), "the example of {cluster} has no line for sql: {text}");
    Server::meridian_from_file(&format!("{name}-{cluster}"), &text, base + port)
}

/// Let each know the other, as an operator does.
///
/// # Panics
///
/// When one refuses.
pub fn join(a: &Server, b: &Server) {
    introduce(a.address(0), b.address(0));
    introduce(b.address(0), a.address(0));
}

/// The same through links that can be cut: to `a`, and to `b`.
///
/// # Panics
///
/// When one refuses.
#[must_use]
pub fn join_by_links(a: &Server, b: &Server) -> [Proxy; 2] {
    let links = [a, b].map(|server| Proxy::to(server.address(0)));
    introduce(a.address(0), links[1].address());
    introduce(b.address(0), links[0].address());
    links
}

/// Let the cluster that answers at `address` know the one that is reached at `peer`.
///
/// # Panics
///
/// When it refuses.
pub fn introduce(address: &str, peer: &str) {
    let frontend = format!("--frontend-address={peer}");
    let command = ["operator", "cluster", "upsert", &frontend, "--enable-connection", "--enable-replication"];
    let _ = cli::temporal(address, &command).ok();
}

/// The file with its ports, which are 69xx and 72xx for `a`, 79xx and 82xx for `b`, moved to the hundreds after `base`.
pub(crate) fn moved(text: &str, base: u16) -> String {
    let place = |word: &str| match word.parse::<u16>() {
        Ok(port) => match port / 100 {
            72 => (base + port % 100).to_string(),
            82 => (base + 100 + port % 100).to_string(),
            69 => (base + 200 + port % 100).to_string(),
            79 => (base + 300 + port % 100).to_string(),
            _ => word.to_owned(),
        },
        Err(_) => word.to_owned(),
    };
    let mut moved = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.starts_with(|first: char| first.is_ascii_digit());
        let end = rest.find(|next: char| next.is_ascii_digit() != digits).unwrap_or(rest.len());
        moved += &place(&rest[..end]);
        rest = &rest[end..];
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ports_move() {
        check("grpcPort: 7233, x: \"127.0.0.1:8243\", y: 6933", "grpcPort: 20033, x: \"127.0.0.1:20143\", y: 20233");
        check("30s 172800 10", "30s 172800 10");
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(moved(text, 20_000), expected);
    }
}
