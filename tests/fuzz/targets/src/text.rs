//! What people write: configurations, list filters.

use store::visibility::{filter, token};

/// A configuration file, of either kind.
pub fn config(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        let _ = config::parse(text, None);
        let _ = config::Dynamic::parse(text);
    }
}

/// A list filter; after a zero byte the page token that came with it.
pub fn filter(data: &[u8]) {
    let (query, page) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    let Ok(query) = str::from_utf8(query) else { return };
    if let Ok(query) = filter::parse(query) {
        let _ = token::decode(page, &query);
    }
}
