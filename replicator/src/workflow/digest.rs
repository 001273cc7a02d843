//! A number that stands for the replicated state of a run, so that two clusters can tell whether they agree.
//!
//! It covers what both clusters must have alike once the same events and activity states reached them, and nothing that
//! each keeps for itself: no branch ids, no [`Local`](super::mutable_state::Local), no transient attempts of the workflow
//! task. The same on every platform and in every order of arrival.

use prost::Message;

use super::{MutableState, execution::Phase, mutable_state::Payloads, workflow_task::WorkflowTasks};
use crate::{ids::EventId, time::Timestamp};

/// FNV-1a over 64 bits, with a final stir so that sums of digests do not cancel out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest(u64);

impl Digest {
    /// The digest of nothing, of this sort of thing.
    pub(super) fn new(sort: &str) -> Self {
        Self(OFFSET).text(sort)
    }

    fn byte(self, byte: u8) -> Self {
        Self((self.0 ^ u64::from(byte)).wrapping_mul(PRIME))
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let length = self.number(i64::try_from(bytes.len()).expect("a length in memory fits"));
        bytes.iter().fold(length, |digest, byte| digest.byte(*byte))
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn number(self, number: i64) -> Self {
        number.to_le_bytes().into_iter().fold(self, Self::byte)
    }

    pub(super) fn event(self, event: EventId) -> Self {
        self.number(event.0)
    }

    pub(super) fn time(self, time: Timestamp) -> Self {
        self.number(time.0)
    }

    pub(super) fn flag(self, flag: bool) -> Self {
        self.byte(u8::from(flag))
    }

    /// Something that may be missing.
    pub(super) fn maybe<T>(self, value: Option<T>, add: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => add(self.flag(true), value),
            None => self.flag(false),
        }
    }

    /// A message, whose maps are ordered.
    pub(super) fn message(self, message: &impl Message) -> Self {
        self.bytes(&message.encode_to_vec())
    }

    /// The number.
    pub(super) fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl MutableState {
    /// Whether peers make the same of the run's events. While activities are pending nothing can be said of one that was written
    /// on both sides of a failover: no event tells of attempts, and the branch that lost had others.
    #[must_use]
    pub fn is_comparable(&self) -> bool {
        self.activities.table.is_empty() || self.histories.all().len() == 1
    }

    /// Number that stands for the replicated state. Costs what the record holds; tables keep their part up to date.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let execution = &self.execution;
        let digest = Digest::new("run")
            .time(execution.start.time)
            .number(execution.start.version.0)
            .flag(execution.backoff_pending)
            .maybe(execution.cancel_requested, Digest::event);
        // That a run lost to another one is told by the other one.
        let digest = match &execution.phase {
            Phase::Running | Phase::Zombie => digest.number(0),
            Phase::Closed(close) => digest
                .number(i64::from(close.status as i32))
                .time(close.time)
                .event(close.event)
                .number(close.version.0)
                .maybe(close.next_run, |digest, run| digest.bytes(run.as_bytes())),
        };
        let digest = fields(fields(digest, &execution.memo), &execution.search_attributes);
        let digest = workflow_task(digest, &self.workflow_task);
        let versions = self.histories.current().versions.items().iter();
        let digest = versions.fold(digest, |digest, item| digest.event(item.event_id).number(item.version.0));
        // Runs that were started have the digest that they had before there were resets.
        let digest = match self.lineage.begin(self.run.run) {
            Some(reset) => digest.event(reset.event).time(reset.time),
            None => digest,
        };
        digest
            .number(self.signals.count)
            .number(self.activities.table.digest().cast_signed())
            .number(self.timers.table.digest().cast_signed())
            .number(self.signals.requests.digest().cast_signed())
            .finish()
    }
}

fn fields(digest: Digest, fields: &Payloads) -> Digest {
    let digest = digest.number(i64::try_from(fields.len()).expect("a length in memory fits"));
    fields.iter().fold(digest, |digest, (key, payload)| digest.text(key).message(payload))
}

/// Of a transient task nothing is the same everywhere but that there is one.
fn workflow_task(digest: Digest, tasks: &WorkflowTasks) -> Digest {
    let digest = digest.event(tasks.last_completed_started).event(tasks.last_completed);
    digest.maybe(tasks.pending.as_ref(), |digest, task| {
        if task.is_transient() {
            return digest.flag(true);
        }
        let started = task.started.as_ref();
        digest
            .flag(false)
            .number(task.version.0)
            .event(task.scheduled)
            .time(task.scheduled_time)
            .number(i64::from(task.attempt))
            .flag(task.sticky)
            .maybe(started, |digest, start| digest.event(start.event).time(start.time))
    })
}
