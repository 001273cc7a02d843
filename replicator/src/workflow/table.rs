//! A table of pending items that knows which of them changed, so that a transaction costs what changed and not what is
//! pending: it keeps the sum of its items' digests, and the order of their deadlines.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use crate::{time::Timestamp, version::FailoverVersion};

/// What a table asks of its items.
pub trait Item<K> {
    /// Number that stands for what is replicated of the item, its key included.
    fn digest(&self, key: &K) -> u64;

    /// When the item is to be looked at, if ever.
    fn deadline(&self) -> Option<Timestamp>;

    /// Version under which it last changed, if items of its kind have one.
    fn version(&self) -> Option<FailoverVersion> {
        None
    }

    /// About how many bytes it takes beside its own size, those of its key included.
    fn weight(&self, key: &K) -> usize;
}

/// Items by key.
///
/// What is derived from an item is taken back when the item is lent to be changed, and put back by
/// [`Table::take_changed`]. Until then such an item is `stale`, and whoever asks looks at it directly; there are never
/// more of these than a transaction changed.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    /// In boxes, because a map makes room for eleven where there is one.
    items: BTreeMap<K, Box<Slot<V>>>,
    /// Keys that were added, changed or removed since [`Table::take_changed`].
    changed: BTreeSet<K>,
    /// Present keys whose items are not part of `digest` and `deadlines`.
    stale: BTreeSet<K>,
    /// Sum of the digests of all items that are not stale.
    digest: u64,
    /// Sum of the weights of all items that are not stale.
    weight: usize,
    /// Deadlines of all items that are not stale.
    deadlines: BTreeSet<(Timestamp, K)>,
    /// How many of all items that are not stale have each version.
    versions: BTreeMap<FailoverVersion, usize>,
}

#[derive(Clone, Debug)]
struct Slot<V> {
    value: V,
    digest: u64,
    weight: usize,
    deadline: Option<Timestamp>,
    version: Option<FailoverVersion>,
}

impl<K: Ord + Clone, V: Item<K>> Table<K, V> {
    /// An item.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.items.get(key).map(|slot| &slot.value)
    }

    /// An item, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.items.get_mut(key)?;
        if self.stale.insert(key.clone()) {
            self.digest = self.digest.wrapping_sub(slot.digest);
            self.weight -= slot.weight;
            if let Some(deadline) = slot.deadline {
                self.deadlines.remove(&(deadline, key.clone()));
            }
            forget_version(&mut self.versions, slot.version);
        }
        self.changed.insert(key.clone());
        Some(&mut slot.value)
    }

    /// Add or replace an item.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = self.remove(&key);
        self.changed.insert(key.clone());
        self.restore(key, value);
        old
    }

    /// Take an item out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.items.remove(key)?;
        if !self.stale.remove(key) {
            self.digest = self.digest.wrapping_sub(slot.digest);
            self.weight -= slot.weight;
            if let Some(deadline) = slot.deadline {
                self.deadlines.remove(&(deadline, key.clone()));
            }
            forget_version(&mut self.versions, slot.version);
        }
        self.changed.insert(key.clone());
        Some(slot.value)
    }

    /// All items in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.items.iter().map(|(key, slot)| (key, &slot.value))
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.items.keys()
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Keys that changed since the last [`Table::take_changed`].
    pub fn changed(&self) -> impl Iterator<Item = &K> {
        self.changed.iter()
    }

    /// Keys that changed since the last call: present ones are to be stored, absent ones deleted.
    pub fn take_changed(&mut self) -> BTreeSet<K> {
        for key in core::mem::take(&mut self.stale) {
            let slot = self.items.get_mut(&key).expect("stale keys are present");
            slot.digest = slot.value.digest(&key);
            slot.deadline = slot.value.deadline();
            slot.weight = weight(&key, &slot.value);
            slot.version = slot.value.version();
            note_version(&mut self.versions, slot.version);
            self.digest = self.digest.wrapping_add(slot.digest);
            self.weight += slot.weight;
            if let Some(deadline) = slot.deadline {
                self.deadlines.insert((deadline, key));
            }
        }
        core::mem::take(&mut self.changed)
    }

    /// An item that was loaded: present, and not changed. Its key is new.
    pub fn restore(&mut self, key: K, value: V) {
        let (digest, deadline, weight) = (value.digest(&key), value.deadline(), weight(&key, &value));
        let version = value.version();
        let slot = Box::new(Slot { value, digest, weight, deadline, version });
        note_version(&mut self.versions, slot.version);
        self.digest = self.digest.wrapping_add(slot.digest);
        self.weight += slot.weight;
        if let Some(deadline) = slot.deadline {
            self.deadlines.insert((deadline, key.clone()));
        }
        self.items.insert(key, slot);
    }

    /// The items of `stored` rest in the store: of what is here only what differs from them is to be written, and what is
    /// not here is to be deleted.
    pub fn rest_on(&mut self, stored: &Self)
    where
        V: PartialEq,
    {
        for (key, value) in stored.iter() {
            if self.get(key) == Some(value) && !stored.changed.contains(key) {
                self.changed.remove(key);
            } else {
                self.changed.insert(key.clone());
            }
        }
    }

    /// Sum of the digests of all items, so that their order does not matter.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.stale().fold(self.digest, |sum, (key, value)| sum.wrapping_add(value.digest(key)))
    }

    /// The lowest and the highest version of all items, if any has one.
    #[must_use]
    pub fn versions(&self) -> Option<(FailoverVersion, FailoverVersion)> {
        let known = [self.versions.first_key_value(), self.versions.last_key_value()];
        let known = known.into_iter().flatten().map(|(version, _)| *version);
        let all = || known.clone().chain(self.stale().filter_map(|(_, value)| value.version()));
        all().min().zip(all().max())
    }

    /// About how many bytes the items take, those excepted that a transaction is changing.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The earliest deadline, and whose it is.
    #[must_use]
    pub fn earliest(&self) -> Option<(Timestamp, K)> {
        let stale = self.stale().filter_map(|(key, value)| Some((value.deadline()?, key.clone())));
        stale.chain(self.deadlines.first().cloned()).min()
    }

    /// Items whose deadline is not after `now`, in the order of their deadlines, then keys.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<(Timestamp, K)> {
        let stale = self.stale().filter_map(|(key, value)| Some((value.deadline()?, key.clone())));
        let known = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).cloned();
        let mut due: Vec<_> = stale.filter(|(deadline, _)| *deadline <= now).chain(known).collect();
        due.sort();
        due
    }

    fn stale(&self) -> impl Iterator<Item = (&K, &V)> {
        self.stale.iter().filter_map(|key| Some((key, self.get(key)?)))
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            changed: BTreeSet::new(),
            stale: BTreeSet::new(),
            digest: 0,
            weight: 0,
            deadlines: BTreeSet::new(),
            versions: BTreeMap::new(),
        }
    }
}

fn note_version(versions: &mut BTreeMap<FailoverVersion, usize>, version: Option<FailoverVersion>) {
    if let Some(version) = version {
        *versions.entry(version).or_default() += 1;
    }
}

fn forget_version(versions: &mut BTreeMap<FailoverVersion, usize>, version: Option<FailoverVersion>) {
    if let Some(version) = version
        && let Some(count) = versions.get_mut(&version)
    {
        *count -= 1;
        if *count == 0 {
            versions.remove(&version);
        }
    }
}

/// What an item takes in the table: its own size, that of its key, once more with its deadline, and the room that a map leaves.
fn weight<K, V: Item<K>>(key: &K, value: &V) -> usize {
    (size_of::<Slot<V>>() + 2 * size_of::<K>() + size_of::<Timestamp>()) * 3 / 2 + value.weight(key)
}

/// What changed is bookkeeping; two tables are equal when their items are.
impl<K: PartialEq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(|(a, b)| a.0 == b.0 && a.1.value == b.1.value)
    }
}

/// What an entry takes in a map from names to keys, beside the name.
pub(super) const NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Note(u64);

    impl Item<i64> for Note {
        fn digest(&self, key: &i64) -> u64 {
            self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ *key as u64
        }

        fn deadline(&self) -> Option<Timestamp> {
            (!self.0.is_multiple_of(3)).then_some(Timestamp((self.0 / 3) as i64))
        }

        fn version(&self) -> Option<FailoverVersion> {
            (self.0 > 3).then_some(FailoverVersion((self.0 / 4) as i64))
        }

        fn weight(&self, _: &i64) -> usize {
            self.0 as usize
        }
    }

    #[test]
    fn of_what_rests_in_the_store_only_what_differs_is_written() {
        let table = |items: [(i64, u64); 3]| {
            let mut table = Table::default();
            for (key, value) in items {
                table.insert(key, Note(value));
            }
            table
        };
        let mut stored = table([(1, 7), (2, 8), (3, 9)]);
        stored.take_changed();
        let mut again = table([(1, 7), (2, 80), (4, 9)]);
        again.rest_on(&stored);
        assert_eq!(again.take_changed(), BTreeSet::from([2, 3, 4]));
        let unwritten = table([(1, 7), (2, 8), (3, 9)]);
        let mut again = table([(1, 7), (2, 8), (3, 9)]);
        again.take_changed();
        again.rest_on(&unwritten);
        assert_eq!(again.take_changed(), BTreeSet::from([1, 2, 3]), "it is not stored yet");
    }

    proptest! {
        /// Whatever happened to a table, what it derived is what its items say.
        #[test]
        fn what_is_derived_follows_the_items(steps in prop::collection::vec((0u8..5, 0i64..6, 0u64..30), 0..60)) {
            let mut table = Table::<i64, Note>::default();
            for (what, key, value) in steps {
                match what {
                    0 | 1 => drop(table.insert(key, Note(value))),
                    2 => drop(table.remove(&key)),
                    3 => if let Some(note) = table.get_mut(&key) { note.0 = value },
                    _ => drop(table.take_changed()),
                }
                let sum = table.iter().fold(0u64, |sum, (key, note)| sum.wrapping_add(note.digest(key)));
                prop_assert_eq!(table.digest(), sum);
                let versions = || table.iter().filter_map(|(_, note)| note.version());
                prop_assert_eq!(table.versions(), versions().min().zip(versions().max()));
                let stale: Vec<i64> = table.stale().map(|(key, _)| *key).collect();
                let weighed = table.iter().filter(|(key, _)| !stale.contains(key));
                prop_assert_eq!(table.weight(), weighed.map(|(key, note)| weight(key, note)).sum::<usize>());
                let mut all: Vec<_> =
                    table.iter().filter_map(|(key, note)| Some((note.deadline()?, *key))).collect();
                all.sort();
                prop_assert_eq!(table.earliest(), all.first().copied());
                all.retain(|(deadline, _)| *deadline <= Timestamp(5));
                prop_assert_eq!(table.due(Timestamp(5)), all);
            }
        }
    }
}
