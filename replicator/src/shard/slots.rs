//! The workflows in memory: found by their keys, counted in bytes, and forgotten when they take too many.
//!
//! Whatever is forgotten is in the store, and is read again when it is needed. A slot that waits for something, or at which
//! something waits, is not forgotten ([`Slot::is_idle`]); it counts all the same, so others go for it.

use alloc::{
    collections::{BTreeMap, btree_map},
    vec::Vec,
};
use core::ops::RangeFrom;

use super::slot::Slot;
use crate::ids::WorkflowKey;

/// The workflows of a shard that are in memory.
#[derive(Debug)]
pub(super) struct Slots {
    slots: BTreeMap<WorkflowKey, Slot>,
    /// All of them, the one that was not of use for longest first.
    by_use: BTreeMap<u64, WorkflowKey>,
    /// Uses so far; orders slots.
    uses: u64,
    /// Sum of what slots weighed when they were last weighed.
    weight: usize,
    /// What it may be.
    limit: usize,
    /// How many slots were forgotten for others.
    evicted: u64,
}

impl Slots {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { slots: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0, weight: 0, limit: LIMIT, evicted: 0 }
    }

    /// A workflow, if it is in memory.
    pub(super) fn get(&self, key: &WorkflowKey) -> Option<&Slot> {
        self.slots.get(key)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, key: &WorkflowKey) -> Option<&mut Slot> {
        self.slots.get_mut(key)
    }

    /// A workflow that is of use now.
    pub(super) fn at(&mut self, key: &WorkflowKey) -> &mut Slot {
        self.uses += 1;
        let slot = self.slots.entry(key.clone()).or_default();
        self.by_use.remove(&slot.used);
        self.by_use.insert(self.uses, key.clone());
        slot.used = self.uses;
        slot
    }

    /// All in the order of their keys.
    pub(super) fn iter(&self) -> btree_map::Iter<'_, WorkflowKey, Slot> {
        self.slots.iter()
    }

    /// All in the order of their keys, to be changed.
    pub(super) fn values_mut(&mut self) -> btree_map::ValuesMut<'_, WorkflowKey, Slot> {
        self.slots.values_mut()
    }

    /// Those from a key on.
    pub(super) fn range(&self, keys: RangeFrom<WorkflowKey>) -> btree_map::Range<'_, WorkflowKey, Slot> {
        self.slots.range(keys)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// About how many bytes they take.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// How many were forgotten for others.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Keep so many bytes from now on.
    pub(super) fn limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// What is loaded of a workflow has changed.
    pub(super) fn weigh(&mut self, key: &WorkflowKey) {
        if let Some(slot) = self.slots.get_mut(key) {
            let weight = slot.weight(key);
            self.weight = self.weight - slot.weighed + weight;
            slot.weighed = weight;
        }
    }

    /// The same as [`Self::evict`], with a few looks: what every turn and every write can afford.
    pub(super) fn evict_some(&mut self) {
        self.evict(LOOKS);
    }

    /// Forget what was not of use for longest, until the rest is light enough. At most `looks` slots are looked at: those that
    /// cannot be forgotten go to the end, so that the next look is at others.
    pub(super) fn evict(&mut self, looks: usize) {
        for _ in 0..looks.min(self.slots.len()) {
            if self.weight <= self.limit {
                return;
            }
            let Some((_, key)) = self.by_use.pop_first() else { return };
            let Some(slot) = self.slots.get(&key) else { continue };
            if slot.is_idle() {
                self.weight -= slot.weighed;
                self.slots.remove(&key);
                self.evicted += 1;
            } else {
                // It is put there under a new number.
                self.at(&key);
            }
        }
    }

    /// Forget what was loaded of all; what waits stays.
    pub(super) fn unload(&mut self) {
        for slot in self.slots.values_mut() {
            slot.forget_fetches();
            slot.unload();
        }
        let idle: Vec<_> = self.slots.iter().filter(|(_, slot)| slot.is_idle()).map(|(key, _)| key.clone()).collect();
        for key in idle {
            self.remove(&key);
        }
        let rest: Vec<_> = self.slots.keys().cloned().collect();
        rest.iter().for_each(|key| self.weigh(key));
    }

    /// Forget a slot of which nothing is known.
    pub(super) fn remove(&mut self, key: &WorkflowKey) {
        if let Some(slot) = self.slots.remove(key) {
            self.weight -= slot.weighed;
            self.by_use.remove(&slot.used);
        }
    }
}

/// More than one, so that what cannot be forgotten does not hold up the rest.
const LOOKS: usize = 8;

/// Bytes that a shard keeps if nobody says.
const LIMIT: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::NamespaceId,
        shard::{slot::Phase, work::Work},
    };
    use std::{format, vec};

    #[test]
    fn what_was_not_of_use_for_longest_is_forgotten_first() {
        let mut slots = of(4);
        slots.at(&key(0));
        slots.limit(2 * slots.weight() / 4);
        slots.evict(usize::MAX);
        assert_eq!(names(&slots), ["0", "3"]);
        assert_eq!(slots.evicted(), 2);
    }

    #[test]
    fn what_waits_is_not_forgotten_and_does_not_keep_others() {
        let mut slots = of(4);
        slots.at(&key(1)).phase = Phase::Committing(crate::shard::io::TransactionId(7));
        let run = crate::ids::RunKey { workflow: key(0), run: crate::ids::RunId::from_bytes([0; 16]) };
        slots.at(&key(0)).parked.push_back(Work::Moved(run));
        slots.at(&key(2));
        slots.at(&key(3));
        slots.limit(0);
        slots.evict(2);
        assert_eq!(slots.evicted(), 0, "the two that were looked at wait");
        slots.evict(2);
        assert_eq!(names(&slots), ["0", "1"]);
        slots.evict(usize::MAX);
        assert_eq!(names(&slots), ["0", "1"]);
        assert_eq!(slots.by_use.len(), 2);
    }

    #[test]
    fn nothing_weighs_when_nothing_is_there() {
        let mut slots = of(3);
        slots.at(&key(1)).phase = Phase::Ready;
        slots.weigh(&key(1));
        slots.unload();
        assert_eq!((slots.len(), slots.weight(), slots.by_use.len()), (0, 0, 0));
    }

    fn of(count: usize) -> Slots {
        let mut slots = Slots::new();
        for number in 0..count {
            slots.at(&key(number)).phase = Phase::Ready;
            slots.weigh(&key(number));
        }
        slots
    }

    fn key(number: usize) -> WorkflowKey {
        WorkflowKey { namespace: NamespaceId::from_bytes([1; 16]), workflow: format!("{number}").as_str().into() }
    }

    fn names(slots: &Slots) -> vec::Vec<&str> {
        slots.iter().map(|(key, _)| &*key.workflow.0).collect()
    }
}
