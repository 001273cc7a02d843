//! A process that ends when the test does, however the test ends.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use crate::wait;

/// A running program, its output in a log.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Kills `child` when its input closes, which happens even if this program is killed.
    watchdog: Child,
    log: PathBuf,
}

impl Process {
    /// Start `command` with standard error, and standard output unless it is `piped`, going to `log`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut command: Command, log: &Path, piped: bool) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("open the log");
        command.stderr(file.try_clone().expect("share the log"));
        if piped {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(file);
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let watchdog = Command::new("sh")
            .args(["-c", r#"read -r _; kill -9 "$0""#, &child.id().to_string()])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start a watchdog");
        Self { child, watchdog, log: log.to_owned() }
    }

    /// The pipes of a process started `piped`; closing the input is how it is told to end.
    ///
    /// # Panics
    ///
    /// When it was not, or the pipes were taken before.
    pub fn pipes(&mut self) -> (std::process::ChildStdin, std::process::ChildStdout) {
        (self.child.stdin.take().expect("piped"), self.child.stdout.take().expect("piped"))
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("look at a child")
    }

    /// `kill -9`; nothing of it runs when this returns.
    pub fn kill(&mut self) {
        // The watchdog first: the process id must not be free while it may still use it.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ask it to end and wait until it has.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn stop(&mut self) -> ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "send SIGTERM to {}", self.id());
        wait::until("the process to end", || self.ended().ok_or("it runs"))
    }

    /// The end of what it wrote.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        format!("... {}:\n{}", self.log.display(), lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

impl Drop for Process {
    #[allow(clippy::print_stderr, reason = "the log of a failed test belongs to its output")]
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("{}", self.last_words());
        }
    }
}
