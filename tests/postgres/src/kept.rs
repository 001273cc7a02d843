//! A server program that is held by a keeper: a small shell program that takes commands, a line each, and ends with its
//! standard input, so that whatever becomes of a test process, nothing of its servers is left.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

/// A server program with a folder of its own.
#[derive(Debug)]
pub struct Kept {
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

impl Kept {
    /// Run a keeper: `script FOLDER PROGRAMS USER SETTING...`, and tell it to start.
    ///
    /// # Panics
    ///
    /// When the server does not start.
    #[must_use]
    pub fn start(script: &str, folder: PathBuf, programs: &Path, user: Option<&str>, settings: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg("keeper").args([&folder, programs]).arg(user.unwrap_or_default());
        command.args(settings).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start sh");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let kept = Self { folder, keeper: Mutex::new(Keeper { child, input, output: BufReader::new(output) }) };
        kept.tell("start");
        kept
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Give the keeper a command, and wait until it is carried out.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn tell(&self, command: &str) {
        let mut keeper = self.keeper.lock().expect("a test that failed is over");
        let input = keeper.input.as_mut().expect("not ended");
        input.write_all(format!("{command}\n").as_bytes()).expect("the keeper lives");
        let mut answer = String::new();
        keeper.output.read_line(&mut answer).expect("the keeper answers");
        assert_eq!(answer.trim(), "done", "{command}: see {}", self.folder.join("log").display());
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        keeper.input = None;
        let _ = keeper.child.wait();
    }
}

/// The user as which a server runs that refuses to be root, when we are: the first of these that there is, or `nobody`.
#[must_use]
pub fn other_user(users: &[&'static str]) -> Option<&'static str> {
    let id = Command::new("id").arg("-u").output().expect("run id");
    if id.stdout != b"0\n" {
        return None;
    }
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let exists = |name: &str| known.lines().any(|line| line.split(':').next() == Some(name));
    Some(users.iter().copied().find(|name| exists(name)).unwrap_or("nobody"))
}

/// A fresh folder that the server's user can use: in the build's own folder, or if that is out of reach or too deep for
/// the name of a socket, in the system's.
///
/// # Panics
///
/// When neither can be used.
#[must_use]
pub fn folder(kind: &str, user: Option<&str>) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("{kind}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
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
    panic!("no folder for {kind}: neither the build's folder nor the system's temporary one can be used");
}

/// The name of a socket has 107 bytes at most.
const LONGEST_FOLDER: usize = 80;
