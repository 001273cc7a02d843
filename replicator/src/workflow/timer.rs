//! Timers that the workflow started and that have not fired (api 6.1).

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use proto::temporal::api::history::v1::TimerStartedEventAttributes;

use super::{
    apply::{At, Reason},
    digest::Digest,
    table::{Item, NAME, Table},
};
use crate::{
    defects::{Defect, planted},
    ids::EventId,
    time::{Timestamp, duration},
    version::FailoverVersion,
};

/// The run's timers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timers {
    /// By started event.
    pub table: Table<EventId, Timer>,
    /// Started events by the workflow's own name for the timer.
    pub by_id: BTreeMap<String, EventId>,
}

/// A pending timer.
#[derive(Clone, Debug, PartialEq)]
pub struct Timer {
    /// The workflow's own name for it.
    pub id: String,
    /// Version of its started event.
    pub version: FailoverVersion,
    /// Its started event.
    pub started: EventId,
    /// When it fires: the event's time plus its duration.
    pub expiry: Timestamp,
    /// Whether its firing waits in the buffer: it is over, but for the event. Local.
    pub is_firing: bool,
}

impl Timers {
    pub(super) fn apply_started(&mut self, at: At, attributes: &TimerStartedEventAttributes) -> Result<(), Reason> {
        if self.by_id.contains_key(&attributes.timer_id) {
            return Err("a timer of this id is pending");
        }
        let time = duration(attributes.start_to_fire_timeout.as_ref());
        let time = if planted(Defect::TimerIsEarly) { time / 2 } else { time };
        let timer = Timer {
            id: attributes.timer_id.clone(),
            version: at.version,
            started: at.event,
            expiry: at.time + time,
            is_firing: false,
        };
        self.by_id.insert(timer.id.clone(), at.event);
        self.table.insert(at.event, timer);
        Ok(())
    }

    /// It fired or was cancelled.
    pub(super) fn apply_ended(&mut self, started: i64) -> Result<(), Reason> {
        let timer = self.table.remove(&EventId(started)).ok_or("no such timer is pending")?;
        self.by_id.remove(&timer.id);
        Ok(())
    }

    /// The run is over, and nobody waits for its timers.
    pub(super) fn abandon(&mut self) {
        let all: Vec<_> = self.table.keys().map(|started| started.0).collect();
        for started in all {
            self.apply_ended(started).expect("a key of the table");
        }
    }

    /// A timer that was loaded.
    pub(super) fn restore(&mut self, timer: Timer) {
        self.by_id.insert(timer.id.clone(), timer.started);
        self.table.restore(timer.started, timer);
    }

    /// The firing of a timer went to the buffer, or came back from it.
    pub(super) fn set_firing(&mut self, started: EventId, is_firing: bool) {
        if let Some(timer) = self.table.get_mut(&started) {
            timer.is_firing = is_firing;
        }
    }

    /// The pending timer with the workflow's own name.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Timer> {
        self.table.get(self.by_id.get(id)?)
    }

    /// Timers that are to fire by `now`, in the order in which they do: by expiry, then started event. One whose firing
    /// waits in the buffer is not among them.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<EventId> {
        self.table.due(now).into_iter().map(|(_, started)| started).collect()
    }
}

impl Item<EventId> for Timer {
    fn digest(&self, key: &EventId) -> u64 {
        Digest::new("timer").event(*key).number(self.version.0).text(&self.id).time(self.expiry).finish()
    }

    fn deadline(&self) -> Option<Timestamp> {
        (!self.is_firing).then_some(self.expiry)
    }

    fn weight(&self, _: &EventId) -> usize {
        // Once in the item, once in the map of names.
        2 * self.id.len() + NAME
    }
}
