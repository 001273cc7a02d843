//! `item`: pending things of a run, but for its start.
//!
//! Key: the run's row number, the kind, the item's own key. All items of a run are one stretch.

use bytes::Bytes;
use replicator::shard::io::{ItemKey, ItemKind};

use super::{Columns, Malformed, Record, Values, bytes, column, malformed};

/// The key of an item.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    pub(crate) row: i64,
    pub(crate) item: ItemKey,
}

/// A row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) value: Bytes,
}

/// The stored number of a kind. They are on disk.
pub(crate) fn number(kind: ItemKind) -> i64 {
    match kind {
        ItemKind::Start => 1,
        ItemKind::Activity => 2,
        ItemKind::Timer => 3,
        ItemKind::SignalRequest => 4,
        ItemKind::Reapplied => 5,
        ItemKind::Fate => 16,
    }
}

/// All of them.
const KINDS: [ItemKind; 6] = [
    ItemKind::Start,
    ItemKind::Activity,
    ItemKind::Timer,
    ItemKind::SignalRequest,
    ItemKind::Reapplied,
    ItemKind::Fate,
];

fn kind(number: i64) -> Option<ItemKind> {
    KINDS.into_iter().find(|kind| self::number(*kind) == number)
}

impl super::Key for Key {
    const TABLE: &'static str = Row::TABLE;
    const KEY: &'static str = "(row, kind, key)";
    const COLUMNS: usize = 3;

    fn bind(&self, into: &mut Values) {
        into.add(self.row).add(number(self.item.kind)).add(self.item.key.clone());
    }
}

impl Record for Row {
    const TABLE: &'static str = "item";
    const COLUMNS: usize = 4;

    fn bind(self, into: &mut Values) {
        super::Key::bind(&self.key, into);
        into.add(self.value);
    }
}

impl Row {
    /// Read `row, kind, key, value`.
    pub(crate) fn read(row: &impl Columns) -> Result<Self, Malformed> {
        Ok(Self { key: Key { row: column(row, 0)?, item: read(row, 1)? }, value: bytes(row, 3)? })
    }
}

/// Read `kind, key` from column `at` on.
pub(crate) fn read(row: &impl Columns, at: usize) -> Result<ItemKey, Malformed> {
    let kind = kind(column(row, at)?).ok_or_else(|| malformed(at, "no such kind of item"))?;
    Ok(ItemKey { kind, key: bytes(row, at + 1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_written() {
        for kind in KINDS {
            assert_eq!(number(kind), kind as i64, "the number of the core is the stored number");
            let item = ItemKey { kind, key: Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 5]) };
            let row = Row { key: Key { row: 3, item }, value: Bytes::from_static(b"value") };
            super::super::round_trip::check(row, Row::read);
        }
    }
}
