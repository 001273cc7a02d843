//! What happened, one line for each happening, and a number that stands for all of it.

use std::fmt::{self, Write};

use replicator::{ids::WorkflowId, time::Timestamp};

/// Where something happened.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// Outside of all clusters: the operator, the network, time.
    World,
    /// A cluster, by its number.
    Cluster(usize),
    /// A shard of a cluster.
    Shard(usize, u32),
}

/// A happening.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub place: Place,
    /// What sort of thing.
    pub kind: &'static str,
    /// The workflow it is about.
    pub subject: Option<WorkflowId>,
    /// What.
    pub text: String,
}

/// Everything that happened so far.
#[derive(Debug)]
pub struct Trace {
    begin: Timestamp,
    hash: Fnv,
    count: u64,
    lines: Option<Vec<Line>>,
}

impl Trace {
    /// A trace that counts and hashes, and keeps the lines if asked to.
    #[must_use]
    pub fn new(begin: Timestamp, keeps_lines: bool) -> Self {
        Self { begin, hash: Fnv(FNV_OFFSET), count: 0, lines: keeps_lines.then(Vec::new) }
    }

    /// Something happened.
    pub fn note(
        &mut self,
        at: Timestamp,
        place: Place,
        kind: &'static str,
        subject: Option<&WorkflowId>,
        text: fmt::Arguments<'_>,
    ) {
        self.count += 1;
        self.hash.number(at.0.cast_unsigned());
        self.hash.number(match place {
            Place::World => 0,
            Place::Cluster(cluster) => 1 + cluster as u64,
            Place::Shard(cluster, shard) => (1 + cluster as u64) << 32 | u64::from(shard),
        });
        let subject_text = subject.map_or("", |subject| subject.as_str());
        write!(self.hash, "{kind}{subject_text}{text}").expect("a hash takes any text");
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at, place, kind, subject: subject.cloned(), text: text.to_string() });
        }
    }

    /// Add to the last line what is only of use to readers, and takes time to put together.
    pub fn detail(&mut self, text: impl FnOnce() -> String) {
        if let Some(line) = self.lines.as_mut().and_then(|lines| lines.last_mut()) {
            line.text += &text();
        }
    }

    /// Whether the lines are kept.
    #[must_use]
    pub fn keeps_lines(&self) -> bool {
        self.lines.is_some()
    }

    /// Happenings so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The same for the same happenings, on every platform.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.0
    }

    /// When it began.
    #[must_use]
    pub fn begin(&self) -> Timestamp {
        self.begin
    }

    /// The lines, if they were kept.
    #[must_use]
    pub fn into_lines(self) -> Vec<Line> {
        self.lines.unwrap_or_default()
    }
}

impl Line {
    /// The line as it is printed, its time counted from `begin`.
    #[must_use]
    pub fn print(&self, begin: Timestamp) -> String {
        let seconds = self.at.since(begin).as_secs_f64();
        let subject = self.subject.as_ref().map_or("", |subject| subject.as_str());
        format!("{seconds:>11.6} {:<5} {:<10} {subject:<12} {}", self.place.to_string(), self.kind, self.text)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World => f.write_str("-"),
            Self::Cluster(cluster) => f.write_str(name(*cluster)),
            Self::Shard(cluster, shard) => write!(f, "{}/{shard}", name(*cluster)),
        }
    }
}

/// The name of a cluster.
#[must_use]
pub fn name(cluster: usize) -> &'static str {
    NAMES[cluster]
}

/// The number of the cluster of a name.
#[must_use]
pub fn number(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// FNV-1a.
#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl Fnv {
    fn number(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(FNV_PRIME).rotate_left(23);
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        Ok(())
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
