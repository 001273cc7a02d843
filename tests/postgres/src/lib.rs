//! A private PostgreSQL server for tests: a folder of its own, a socket in it, no port, gone with the process that asked
//! for it.
//!
//! [`shared`] is one for all tests of a process. [`Server::start`] is one that a test may stop, kill and start again. A
//! keeper, a small shell program, holds the server; it ends when its standard input does, which is when the test process
//! is gone, however it went. PostgreSQL refuses to run as root: then it runs as the user `postgres` or `nobody`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

mod tls;

pub use crate::tls::{NAME, TlsServer};

/// A server.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    keeper: Mutex<Keeper>,
}

#[derive(Debug)]
struct Keeper {
    child: Child,
    /// Commands go here; `None` when it was told to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

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
        let user = other_user();
        Self::start_in(folder(user), user, settings)
    }

    fn start_in(folder: PathBuf, user: Option<&str>, settings: &[&str]) -> Self {
        let programs = programs();
        let mut command = Command::new("sh");
        command.arg("-c").arg(KEEPER).arg("keeper").args([&folder, &programs]).arg(user.unwrap_or_default());
        command.args(settings).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start sh");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let server = Self { folder, keeper: Mutex::new(Keeper { child, input, output: BufReader::new(output) }) };
        server.tell("start");
        server
    }

    /// The URL of a database of it, which need not exist. There is always one named `postgres`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://meridian@localhost/{database}?host={}", self.folder.display())
    }

    /// The folder of its socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
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
        self.tell("kill");
    }

    /// Start again after [`Self::kill`].
    pub fn restart(&self) {
        self.tell("start");
    }

    /// Give the keeper a command, and wait until it is carried out.
    fn tell(&self, command: &str) {
        let mut keeper = self.keeper.lock().expect("a test that failed is over");
        let input = keeper.input.as_mut().expect("not ended");
        input.write_all(format!("{command}\n").as_bytes()).expect("the keeper lives");
        let mut answer = String::new();
        keeper.output.read_line(&mut answer).expect("the keeper answers");
        assert_eq!(answer.trim(), "done", "PostgreSQL: {command}: see {}", self.folder.join("log").display());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        keeper.input = None;
        let _ = keeper.child.wait();
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
fn other_user() -> Option<&'static str> {
    let id = Command::new("id").arg("-u").output().expect("run id");
    if id.stdout != b"0\n" {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let exists = |name: &str| users.lines().any(|line| line.split(':').next() == Some(name));
    Some(if exists("postgres") { "postgres" } else { "nobody" })
}

/// A fresh folder that the server's user can use: in the build's own folder, or if that is out of reach or too deep for
/// the name of a socket, in the system's.
fn folder(user: Option<&str>) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("postgres-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let build = std::env::current_exe().ok().and_then(|program| {
        let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists())?;
        Some(target.join("tmp"))
    });
    for parent in build.into_iter().chain([std::env::temp_dir()]) {
        let folder = parent.join(&name);
        if folder.as_os_str().len() > LONGEST_FOLDER || fs::create_dir_all(&folder).is_err() {
            continue;
        }
        let Some(user) = user else { return folder };
        let given = Command::new("chown").arg(user).arg(&folder).status().is_ok_and(|status| status.success());
        let mut reached = Command::new("setpriv");
        reached.arg(format!("--reuid={user}")).args(["--clear-groups", "test", "-w"]).arg(&folder);
        if given && reached.status().is_ok_and(|status| status.success()) {
            return folder;
        }
        let _ = fs::remove_dir(&folder);
    }
    panic!("no folder for PostgreSQL: neither the build's folder nor the system's temporary one can be used");
}

const KEEPER: &str = include_str!("keeper.sh");

/// The name of a socket has 107 bytes at most.
const LONGEST_FOLDER: usize = 80;

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
