//! A number that stands for bytes, so that two clusters can tell whether they hold the same.

use super::HistoryBatch;

/// Number that stands for some bytes: the same on every platform, and eight bytes at a time, for every batch is counted.
#[must_use]
pub fn content(bytes: &[u8]) -> u64 {
    let length = u64::try_from(bytes.len()).expect("a length in memory fits");
    let (words, rest) = bytes.as_chunks::<8>();
    let mixed = words.iter().fold(mix(SEED, length), |mixed, word| mix(mixed, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    stir(mix(mixed, u64::from_le_bytes(last)))
}

/// The same of batches: a sum, so that what lies behind a fork can be taken away from it.
#[must_use]
pub fn sum(batches: &[HistoryBatch]) -> u64 {
    batches.iter().fold(0, |sum, batch| sum.wrapping_add(content(batch.bytes())))
}

fn mix(mixed: u64, word: u64) -> u64 {
    let mixed = (mixed ^ word).wrapping_mul(FACTOR);
    mixed ^ (mixed >> 29)
}

/// Sums of contents do not cancel out.
fn stir(mixed: u64) -> u64 {
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, vec, vec::Vec};

    #[test]
    fn every_byte_counts_and_so_does_their_number() {
        let long: Vec<u8> = (1..41).collect();
        let mut seen = BTreeSet::new();
        for length in 0..long.len() {
            assert!(seen.insert(content(&long[..length])), "{length} bytes");
            assert!(seen.insert(content(&vec![0; length + 1])), "{length} zeros");
        }
        for at in 0..long.len() {
            let mut other = long.clone();
            other[at] ^= 0x80;
            assert!(seen.insert(content(&other)), "byte {at}");
        }
    }

    /// It is stored and compared between releases: it must never change.
    #[test]
    fn it_is_what_it_was() {
        assert_eq!(content(b""), 6_064_254_516_017_673_848);
        assert_eq!(content(b"nine bytes"), 17_891_420_283_829_435_464);
    }
}
