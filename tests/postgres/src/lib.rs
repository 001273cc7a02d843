//! A private PostgreSQL server for tests: a folder of its own, a socket in it, no port, gone with the process that asked
//! for it.
//!
//! [`shared`] is one for all tests of a process. [`Server::start`] is one that a test may stop, kill and start again. A
//! keeper, a small shell program, holds the server; it ends when its standard input does, which is when the test process
//! is gone, however it went. PostgreSQL refuses to run as root: then it runs as the user `postgres` or `nobody`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

pub mod kept;
mod tls;

use crate::kept::Kept;
pub use crate::tls::{NAME, TlsServer};

/// A server.
#[derive(Debug)]
pub struct Server(Kept);

/// The server of this process, started when first asked for. It is fast, and forgets when the machine loses power.
pub fn shared() -> &'static Server {
    static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&["fsync=off", "full_page_writes=off"]));
    &SHARED
}

impl Server {
    /// Start one with these settings.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let user = user();
        Self::start_in(kept::folder("postgres", user), user, settings)
    }

    fn start_in(folder: PathBuf, user: Option<&str>, settings: &[&str]) -> Self {
        Self(Kept::start(KEEPER, folder, &programs(), user, settings))
    }

    /// The URL of a database of it, which need not exist. There is always one named `postgres`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://meridian@localhost/{database}?host={}", self.0.folder().display())
    }

    /// The folder of its socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// The URL of a fresh database.
    #[must_use]
    pub fn database(&self) -> String {
        self.url(&self.create())
    }

    /// The name of a fresh database.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn create(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("d{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.query("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// What `psql` answers to a query, without headings.
    ///
    /// # Panics
    ///
    /// When the query fails.
    #[must_use]
    pub fn ask(&self, database: &str, query: &str) -> String {
        let mut command = Command::new(programs().join("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", query]);
        let output = command.output().expect("run psql");
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Do something in a database.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn query(&self, database: &str, query: &str) {
        let _ = self.ask(database, query);
    }

    /// End every connection at once, as if the power had gone.
    pub fn kill(&self) {
        self.0.tell("kill");
    }

    /// Start again after [`Self::kill`].
    pub fn restart(&self) {
        self.0.tell("start");
    }
}

/// The folder of PostgreSQL's programs: the newest of Debian's, else that of the search path.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = found.into_iter().rev().map(|(_, folder)| folder).chain(std::env::split_paths(&path));
    let is_whole = |folder: &PathBuf| ["initdb", "pg_ctl", "psql"].iter().all(|program| folder.join(program).exists());
    all.into_iter().find(is_whole).unwrap_or_else(|| {
        panic!(
            "PostgreSQL 15 or newer is not installed (Debian: apt-get install postgresql, which tests/run does as root)"
        )
    })
}

/// The user as which it runs, when that cannot be ours.
fn user() -> Option<&'static str> {
    kept::other_user(&["postgres"])
}

const KEEPER: &str = include_str!("keeper.sh");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_comes_back_and_leaves_nothing() {
        let server = Server::start(&["fsync=off"]);
        server.query("postgres", "CREATE TABLE kept (a INT); INSERT INTO kept VALUES (7)");
        server.kill();
        server.restart();
        assert_eq!(server.ask("postgres", "SELECT a FROM kept"), "7");
        let folder = server.folder().to_owned();
        assert!(folder.exists());
        drop(server);
        assert!(!folder.exists());
    }
}
