//! What workers and readers carry for us: task, query and history tokens.

use frontend::tokens::{Direction, HistoryToken, QueryToken, TaskToken, namespace_of};
use replicator::history::Branch;

/// First byte of every token.
const FORMAT: u8 = 1;

/// A token, as it arrived; and once for every kind of token what the same bytes are inside a sealed one, because no
/// mutation finds a checksum.
pub fn token(data: &[u8]) {
    open(data);
    for kind in *b"TQHR" {
        open(&sealed(kind, data));
    }
}

fn open(token: &[u8]) {
    let _ = namespace_of(token);
    if let Ok(task) = TaskToken::decode(token) {
        let _ = task.activity();
        assert_eq!(TaskToken::decode(&task.encode()).as_ref(), Ok(&task), "a task token is read as it is written");
    }
    if let Ok(query) = QueryToken::decode(token) {
        assert_eq!(QueryToken::decode(&query.encode()).as_ref(), Ok(&query), "a query token is read as it is written");
    }
    for direction in [Direction::Forward, Direction::Reverse] {
        if let Ok(history) = HistoryToken::decode(direction, token) {
            let again = HistoryToken::decode(direction, &history.encode(direction));
            assert_eq!(again.as_ref(), Ok(&history), "a history token is read as it is written");
            // What the handler does with it before it asks the store.
            if let Ok(branch) = Branch::from_token(&history.branch) {
                let _ = branch.ranges(history.first, history.end).count();
            }
        }
    }
}

/// A token that holds `message`: format, kind, message, FNV-1a of all that.
fn sealed(kind: u8, message: &[u8]) -> Vec<u8> {
    let mut token = vec![FORMAT, kind];
    token.extend(message);
    let checksum = token.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    token.extend(checksum.to_be_bytes());
    token
}
