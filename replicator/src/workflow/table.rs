//! A table of pending items that knows which of them changed, so that a transaction costs what changed and not what is
//! pending, and that keeps the sum of its items' digests.

use alloc::collections::{BTreeMap, BTreeSet};

/// Items by key.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    items: BTreeMap<K, V>,
    /// Keys that were added, changed or removed since [`Table::take_changed`].
    changed: BTreeSet<K>,
}

impl<K: Ord + Clone, V> Table<K, V> {
    /// An item.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.items.get(key)
    }

    /// An item, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let item = self.items.get_mut(key)?;
        self.changed.insert(key.clone());
        Some(item)
    }

    /// Add or replace an item.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.changed.insert(key.clone());
        self.items.insert(key, value)
    }

    /// Take an item out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let item = self.items.remove(key)?;
        self.changed.insert(key.clone());
        Some(item)
    }

    /// All items in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.items.iter()
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

    /// Keys that changed since the last call: present ones are to be stored, absent ones deleted.
    pub fn take_changed(&mut self) -> BTreeSet<K> {
        core::mem::take(&mut self.changed)
    }

    /// An item that was loaded: present, and not changed.
    pub fn restore(&mut self, key: K, value: V) {
        self.items.insert(key, value);
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), changed: BTreeSet::new() }
    }
}

/// What changed is bookkeeping; two tables are equal when their items are.
impl<K: PartialEq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}
