//! A private MariaDB server for tests: a folder of its own, a socket in it, no port, gone with the process that asked for
//! it.
//!
//! [`shared`] is one for all tests of a process. [`Server::start`] is one that a test may kill and start again.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use scratch_postgres::kept::{self, Kept};

/// A server.
#[derive(Debug)]
pub struct Server(Kept);

/// The server of this process, started when first asked for. It is fast, and forgets when the machine loses power.
pub fn shared() -> &'static Server {
    static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&["innodb-flush-method=nosync"]));
    &SHARED
}

impl Server {
    /// Start one with these settings, as `name=value`.
    ///
    /// # Panics
    ///
    /// When MariaDB is not installed, or does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let user = kept::other_user(&["mysql"]);
        Self(Kept::start(KEEPER, kept::folder("mariadb", user), &programs(), user, settings))
    }

    /// The URL of a database of it, which need not exist. There is always one named `mysql`, which is its own.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@localhost/{database}?socket={}", self.socket().display())
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.0.folder().join("socket")
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
        self.query("mysql", &format!("CREATE DATABASE {name}"));
        name
    }

    /// What `mariadb` answers to a query, without headings.
    ///
    /// # Panics
    ///
    /// When the query fails.
    #[must_use]
    pub fn ask(&self, database: &str, query: &str) -> String {
        let mut command = Command::new(programs().join("mariadb"));
        command.args(["--no-defaults", "--batch", "--skip-column-names", "--user=root"]);
        command.arg(format!("--socket={}", self.socket().display())).args(["-e", query, database]);
        let output = command.output().expect("run mariadb");
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

    /// End it with `kill -9`.
    pub fn kill(&self) {
        self.0.tell("kill");
    }

    /// Start again after [`Self::kill`].
    pub fn restart(&self) {
        self.0.tell("start");
    }
}

/// The folder of MariaDB's programs, from the search path.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_whole = |folder: &PathBuf| ["mariadb", "mariadb-install-db"].iter().all(|name| folder.join(name).exists());
    std::env::split_paths(&path).find(is_whole).unwrap_or_else(|| {
        panic!("MariaDB is not installed (Debian: apt-get install mariadb-server, which tests/run does as root)")
    })
}

const KEEPER: &str = include_str!("keeper.sh");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_comes_back_and_leaves_nothing() {
        let server = Server::start(&[]);
        let name = server.create();
        server.query(&name, "CREATE TABLE kept (a INT); INSERT INTO kept VALUES (7)");
        server.kill();
        server.restart();
        assert_eq!(server.ask(&name, "SELECT a FROM kept"), "7");
        let folder = server.folder().to_owned();
        assert!(folder.exists());
        drop(server);
        assert!(!folder.exists());
    }
}
