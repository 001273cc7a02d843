//! Where a page of a list ends.
//!
//! A token names the last run of the page by what lists are ordered by, so that the next page begins after that run
//! whatever was added or removed meanwhile. It is only good for the order it was made for.
//!
//! ```text
//!   1 · close time (8) · start time (8) · run id (16) · for each ORDER BY: attribute and direction (1) · value
//!   value: eight bytes of a number, or two bytes of length and text
//! ```

use bytes::{BufMut as _, Bytes, BytesMut};
use replicator::{ids::RunId, shard::io::VisibilityRecord, time::Timestamp};

use super::filter::{Order, Query, Value};

const FORMAT: u8 = 1;

/// The run after which a page begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct After {
    /// Its close time; open runs are at the end of time.
    pub closed: i64,
    /// Its start time.
    pub started: i64,
    /// Its id.
    pub run: RunId,
    /// What it is sorted by before that, in the order of the query.
    pub keys: Vec<Value>,
}

impl After {
    /// The place of a record in the order of a query.
    #[must_use]
    pub fn new(record: &VisibilityRecord, query: &Query) -> Self {
        Self {
            closed: record.close_time.unwrap_or(Timestamp::MAX).0,
            started: record.start_time.0,
            run: record.run.run,
            keys: query.order_by.iter().map(|order| order.key(record)).collect(),
        }
    }
}

/// The token of a page that ends with `last`.
#[must_use]
pub fn encode(last: &VisibilityRecord, query: &Query) -> Bytes {
    let after = After::new(last, query);
    let mut token = BytesMut::new();
    token.put_u8(FORMAT);
    token.put_i64(after.closed);
    token.put_i64(after.started);
    token.put_slice(after.run.as_bytes());
    for (order, key) in query.order_by.iter().zip(&after.keys) {
        token.put_u8(mark(*order));
        match key {
            Value::Number(number) => token.put_i64(*number),
            Value::Text(text) => {
                // Ids and names are at most a thousand bytes.
                token.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
                token.put_slice(text.as_bytes());
            }
        }
    }
    token.freeze()
}

/// Where to go on; `None`: an empty token is the beginning.
///
/// # Errors
///
/// A sentence when the bytes are no token of a query with this order.
pub fn decode(token: &[u8], query: &Query) -> Result<Option<After>, String> {
    if token.is_empty() {
        return Ok(None);
    }
    read(token, query).map(Some).ok_or_else(|| "invalid page token: it belongs to no list with this query".to_owned())
}

fn read(token: &[u8], query: &Query) -> Option<After> {
    let (&[FORMAT], rest) = token.split_first_chunk()? else { return None };
    let (closed, rest) = rest.split_first_chunk()?;
    let (started, rest) = rest.split_first_chunk()?;
    let (run, mut rest) = rest.split_first_chunk()?;
    let mut keys = Vec::new();
    for order in &query.order_by {
        let (&[found], after) = rest.split_first_chunk()?;
        if found != mark(*order) {
            return None;
        }
        rest = if order.attribute.is_text() {
            let (length, after) = after.split_first_chunk()?;
            let (text, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            keys.push(Value::Text(std::str::from_utf8(text).ok()?.to_owned()));
            after
        } else {
            let (number, after) = after.split_first_chunk()?;
            keys.push(Value::Number(i64::from_be_bytes(*number)));
            after
        };
    }
    rest.is_empty().then(|| After {
        closed: i64::from_be_bytes(*closed),
        started: i64::from_be_bytes(*started),
        run: RunId::from_bytes(*run),
        keys,
    })
}

/// Attribute and direction in one byte.
fn mark(order: Order) -> u8 {
    order.attribute as u8 | if order.descending { 0x80 } else { 0 }
}
