//! A world of whole servers that was played: in this process, or in one of its own.

use std::{
    collections::BTreeMap,
    env,
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::report::planted;

/// What came of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Played {
    pub(crate) seed: u64,
    pub(crate) broken: Option<Broken>,
    /// Stands for every byte that went over the network, and when.
    pub(crate) trace: u64,
    pub(crate) bytes: u64,
    /// Simulated time.
    pub(crate) elapsed: Duration,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) story: Vec<(Duration, String)>,
}

/// A broken promise.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Broken {
    pub(crate) at: Duration,
    pub(crate) promise: String,
    pub(crate) text: String,
    pub(crate) subject: Option<String>,
}

impl Played {
    /// Play it here. A process plays one world, and plays it once.
    pub(crate) fn here(seed: u64) -> anyhow::Result<Self> {
        let (done, outcome) = mpsc::channel();
        let world = thread::Builder::new().stack_size(STACK);
        // Nobody waits for a world that takes too long.
        drop(world.spawn(move || drop(done.send(servers::run::run(seed)))).context("cannot start a thread")?);
        let outcome = match outcome.recv_timeout(LONGEST) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => {
                return Ok(Self::lost(seed, "a world ends", format!("not in {LONGEST:?}")));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(Self::lost(seed, "nothing panics", "the simulator itself did".to_owned()));
            }
        };
        let broken = outcome.violation.map(|violation| Broken {
            at: violation.at,
            promise: violation.promise.to_owned(),
            text: violation.finding.text,
            subject: violation.finding.subject.map(|subject| subject.to_string()),
        });
        Ok(Self {
            seed,
            broken,
            trace: outcome.trace.hash,
            bytes: outcome.trace.bytes,
            elapsed: outcome.elapsed,
            counts: outcome.counts.into_iter().map(|(what, count)| (what.to_owned(), count)).collect(),
            story: outcome.story,
        })
    }

    /// Play it in a process of its own.
    pub(crate) fn apart(seed: u64) -> anyhow::Result<Self> {
        let this = env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(this);
        command.args(["servers", "--told-as-json", "--seed", &seed.to_string()]);
        command.args(planted().split_whitespace());
        let output = command.stdin(Stdio::null()).output().context("cannot start a process for a seed")?;
        match serde_json::from_slice(&output.stdout) {
            Ok(played) => Ok(played),
            Err(_) if !output.status.success() => {
                let text = format!("its process ended with {}", output.status);
                Ok(Self::lost(seed, "nothing panics", text))
            }
            Err(error) => bail!("seed {seed} told nothing that can be read: {error}"),
        }
    }

    fn lost(seed: u64, promise: &str, text: String) -> Self {
        let broken = Broken { at: Duration::ZERO, promise: promise.to_owned(), text, subject: None };
        let (trace, bytes, elapsed) = Default::default();
        Self { seed, broken: Some(broken), trace, bytes, elapsed, counts: BTreeMap::new(), story: Vec::new() }
    }
}

/// Futures of whole servers are large where nothing is optimised.
const STACK: usize = 64 << 20;

/// A world that takes longer than this, and not in its own time, hangs.
const LONGEST: Duration = Duration::from_secs(300);
