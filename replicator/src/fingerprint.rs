//! FarmHash Fingerprint32: which shard a workflow belongs to (ST-4).
//!
//! Peers route by this number, so it is part of the protocol. The published `farmhash` crate has had no release in ten
//! years; it stays as the oracle of the test below.

/// The fingerprint of `bytes`, which must be more than 24: shorter inputs have rules of their own, and a key that begins
/// with a namespace id is never that short.
#[must_use]
pub(crate) fn fingerprint32(bytes: &[u8]) -> u32 {
    let n = bytes.len();
    assert!(n > 24, "{n} bytes are no workflow key");
    let tail = |back: usize| spread(word(bytes, n - back));
    let mut h = stir(stir(length(bytes) ^ tail(4)) ^ tail(16));
    let mut g = C1.wrapping_mul(length(bytes));
    let mut f = g.wrapping_add(tail(20)).rotate_right(19).wrapping_add(113);
    g = stir(stir(g ^ tail(8)) ^ tail(12));
    for block in bytes.chunks_exact(20).take((n - 1) / 20) {
        let (a, b, c) = (word(block, 0), word(block, 4), word(block, 8));
        let (d, e) = (word(block, 12), word(block, 16));
        h = h.wrapping_add(a);
        g = g.wrapping_add(b);
        f = f.wrapping_add(c);
        h = mix(d, h).wrapping_add(e);
        g = mix(c, g).wrapping_add(a);
        f = mix(b.wrapping_add(e.wrapping_mul(C1)), f).wrapping_add(d);
        f = f.wrapping_add(g);
        g = g.wrapping_add(f);
    }
    let close = |x: u32| x.rotate_right(11).wrapping_mul(C1).rotate_right(17).wrapping_mul(C1);
    let (g, f) = (close(g), close(f));
    for x in [g, f] {
        h = step(h.wrapping_add(x).rotate_right(19)).rotate_right(17).wrapping_mul(C1);
    }
    h
}

const C1: u32 = 0xcc9e_2d51;
const C2: u32 = 0x1b87_3593;
const STEP: u32 = 0xe654_6b64;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn length(bytes: &[u8]) -> u32 {
    // The hash is defined over the length modulo 2^32.
    bytes.len() as u32
}

/// One round: spread `a` and mix it into `h`.
fn mix(a: u32, h: u32) -> u32 {
    stir(h ^ spread(a))
}

fn spread(a: u32) -> u32 {
    a.wrapping_mul(C1).rotate_right(17).wrapping_mul(C2)
}

fn stir(h: u32) -> u32 {
    step(h.rotate_right(19))
}

fn step(h: u32) -> u32 {
    h.wrapping_mul(5).wrapping_add(STEP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;
    use std::vec::Vec;

    #[test]
    fn agrees_with_the_published_crate_at_every_length_a_key_can_have() {
        let mut entropy = Entropy::new(1);
        for length in 25..300 {
            for _ in 0..4 {
                let bytes: Vec<u8> = (0..length).map(|_| entropy.next_u64() as u8).collect();
                assert_eq!(fingerprint32(&bytes), farmhash::fingerprint32(&bytes), "length {length}");
            }
        }
    }
}
