//! Histories that another cluster wrote: batches of events, and what a run becomes by them.

use std::collections::BTreeMap;

use bytes::Bytes;
use replicator::{
    entropy::Entropy,
    history::{Branch, HistoryBatch},
    ids::RecordVersion,
    shard::io::{ItemKey, StoredRun},
    workflow::{MutableState, describe::describe, draft::Run},
};

use crate::{chunks::Chunks, world};

/// The batches of a run, oldest first. Whatever a run becomes can be stored, and is read as it was stored.
pub fn history(data: &[u8]) {
    let mut batches = Chunks(data).map_while(|(_, bytes)| HistoryBatch::received(bytes).ok());
    let Some(first) = batches.next() else { return };
    let branch = Branch::root(world::run().run, &mut Entropy::new(1));
    let Ok(mut run) = Run::received(world::run(), branch, "request".into(), first) else { return };
    let mut items = BTreeMap::from([run.state.start_item()]);
    check(&mut run.state, &mut items);
    for batch in batches {
        if run.follow(batch).is_err() {
            return;
        }
        check(&mut run.state, &mut items);
    }
}

fn check(state: &mut MutableState, items: &mut BTreeMap<ItemKey, Bytes>) {
    let _ = describe(state, &world::namespace(), world::NOW);
    let (upserts, deletes) = state.take_changed_items();
    items.extend(upserts);
    items.retain(|key, _| !deletes.contains(key));
    let stored = StoredRun {
        run: state.run.clone(),
        record: RecordVersion(1),
        state: state.encode_record(),
        items: items.clone().into_iter().collect(),
    };
    let read = MutableState::decode(stored).map(|read| read.digest());
    assert_eq!(read, Ok(state.digest()), "what events made is read as it is stored");
}
