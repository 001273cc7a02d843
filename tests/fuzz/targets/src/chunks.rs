//! Several things in one input, so that a fuzzer can add, drop and swap them.
//!
//! ```text
//!   ┌─────┬────────┬───────┐
//!   │ tag │ length │ bytes │ ...
//!   └─────┴────────┴───────┘
//!   1 byte 2 bytes           the last one may be cut short
//! ```

use bytes::Bytes;

/// The chunks of an input.
#[derive(Debug)]
pub struct Chunks<'a>(pub &'a [u8]);

impl Iterator for Chunks<'_> {
    type Item = (u8, Bytes);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, high, low], rest) = self.0.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (chunk, rest) = rest.split_at(length);
        self.0 = rest;
        Some((tag, Bytes::copy_from_slice(chunk)))
    }
}

/// Add a chunk to an input.
///
/// # Panics
///
/// When it is longer than a length can say.
pub fn add(input: &mut Vec<u8>, tag: u8, chunk: &[u8]) {
    input.push(tag);
    input.extend(u16::try_from(chunk.len()).expect("a short chunk").to_be_bytes());
    input.extend(chunk);
}
