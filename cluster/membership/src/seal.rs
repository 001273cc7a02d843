//! Gossip that only those hear who have its key: each datagram carries an HMAC (SHA-256) over itself and over whom it is for.
//!
//! What somebody else made is not heard, and neither is what was sent to another host. A datagram that is sent a second time
//! by whoever heard it on the way is not heard either: each start of a host draws a number for itself, counts its
//! datagrams, and is heard with each count once. A host that has just started remembers no counts; what it is
//! sent again then was for its earlier life, and gossip takes nothing but a greeting that is for another life. The worst that
//! comes of it is a dead host that seems alive until it does not answer. Nothing here keeps a secret: what hosts say of
//! themselves can be read.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use ring::hmac;

/// The keys of gossip: the first makes datagrams, and all are heard.
#[derive(Clone, Debug)]
pub struct GossipKeys(Vec<hmac::Key>);

/// Why a text holds no keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// It is empty.
    #[error("holds no key")]
    Empty,
    /// Whoever heard a datagram could find the key.
    #[error("holds a key that is shorter than {SHORTEST} characters")]
    Short,
}

impl GossipKeys {
    /// The keys in a text, one a line.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return Err(KeyError::Empty);
        }
        if lines.iter().any(|line| line.len() < SHORTEST) {
            return Err(KeyError::Short);
        }
        Ok(Self(lines.iter().map(|line| hmac::Key::new(hmac::HMAC_SHA256, line.as_bytes())).collect()))
    }
}

/// Makes and opens the datagrams of one start of a host.
#[derive(Debug)]
pub struct Seals {
    keys: GossipKeys,
    me: SocketAddr,
    life: u64,
    sent: u64,
    heard: BTreeMap<u64, Counts>,
    /// The lives in `heard`, in the order in which they were first heard.
    order: VecDeque<u64>,
}

/// Which datagrams of a life were heard.
#[derive(Debug, Default)]
struct Counts {
    highest: u64,
    /// Bit `n`: `highest - n` was heard.
    seen: u64,
}

impl Seals {
    /// Those of the host at `me`. No two starts may have the same `life`.
    #[must_use]
    pub fn new(keys: GossipKeys, me: SocketAddr, life: u64) -> Self {
        Self { keys, me, life, sent: 0, heard: BTreeMap::new(), order: VecDeque::new() }
    }

    /// A datagram for the host at `to`.
    pub fn seal(&mut self, to: SocketAddr, body: &[u8]) -> Vec<u8> {
        self.sent += 1;
        let mut datagram = Vec::with_capacity(body.len() + OVERHEAD);
        datagram.push(VERSION);
        datagram.extend(self.life.to_be_bytes());
        datagram.extend(self.sent.to_be_bytes());
        datagram.extend(body);
        let tag = hmac::sign(&self.keys.0[0], &said(&datagram, to));
        datagram.extend(tag.as_ref());
        datagram
    }

    /// What is in a datagram, if it is of somebody who has a key, is for this host, and was not heard before.
    pub fn open<'a>(&mut self, datagram: &'a [u8]) -> Option<&'a [u8]> {
        let (said_here, tag) = datagram.split_last_chunk::<TAG>()?;
        let (head, body) = said_here.split_first_chunk::<HEAD>()?;
        let told = said(said_here, self.me);
        if head[0] != VERSION || !self.keys.0.iter().any(|key| hmac::verify(key, &told, tag).is_ok()) {
            return None;
        }
        let number = |at: usize| head[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        self.is_first(number(1), number(9)).then_some(body)
    }

    fn is_first(&mut self, life: u64, count: u64) -> bool {
        if !self.heard.contains_key(&life) {
            self.order.push_back(life);
            if self.order.len() > MOST_LIVES
                && let Some(oldest) = self.order.pop_front()
            {
                self.heard.remove(&oldest);
            }
        }
        self.heard.entry(life).or_default().take(count)
    }
}

impl Counts {
    /// Whether a count is heard for the first time. One that is too far back may have been.
    fn take(&mut self, count: u64) -> bool {
        if count > self.highest {
            self.seen = self.seen.checked_shl(u32::try_from(count - self.highest).unwrap_or(u32::MAX)).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let back = self.highest - count;
        let is_first = back < u64::from(u64::BITS) && self.seen & 1 << back == 0;
        if is_first {
            self.seen |= 1 << back;
        }
        is_first
    }
}

/// What is signed: the datagram, and whom it is for.
fn said(datagram: &[u8], to: SocketAddr) -> Vec<u8> {
    let mut said = to.to_string().into_bytes();
    said.push(0);
    said.extend(datagram);
    said
}

/// Of this layout.
const VERSION: u8 = 1;

/// The version, the life and the count.
const HEAD: usize = 17;

const TAG: usize = 32;

/// Bytes that a datagram is longer than what is in it.
pub(crate) const OVERHEAD: usize = HEAD + TAG;

/// Characters of a key, at least.
const SHORTEST: usize = 32;

/// Starts of hosts whose counts are remembered. More than there may be members, twice over.
const MOST_LIVES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an old key that is long enough to be one";
    const NEW: &str = "a new key that is long enough to be one";

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn seals(keys: &str, port: u16) -> Seals {
        Seals::new(GossipKeys::parse(keys).expect("keys"), at(port), port.into())
    }

    #[test]
    fn only_those_who_have_a_key_are_heard() {
        let (mut a, mut b) = (seals(OLD, 1), seals(OLD, 2));
        let datagram = a.seal(at(2), b"hello");
        assert_eq!(datagram.len(), 5 + OVERHEAD);
        for wrong in 0..datagram.len() {
            let mut spoilt = datagram.clone();
            spoilt[wrong] ^= 1;
            assert_eq!(b.open(&spoilt), None, "byte {wrong}");
            assert_eq!(b.open(&datagram[..wrong]), None, "{wrong} bytes");
        }
        assert_eq!(b.open(&datagram), Some(&b"hello"[..]));
        assert_eq!(seals(NEW, 2).open(&datagram), None, "another key");
        assert_eq!(seals(OLD, 3).open(&datagram), None, "for another host");
    }

    #[test]
    fn nothing_is_heard_twice() {
        let (mut a, mut b) = (seals(OLD, 1), seals(OLD, 2));
        let datagrams: Vec<_> = (0..200).map(|number| a.seal(at(2), &[number])).collect();
        for number in [1, 0, 63, 62, 64, 190] {
            assert!(b.open(&datagrams[number]).is_some(), "{number}");
            assert!(b.open(&datagrams[number]).is_none(), "{number} again");
        }
        assert!(b.open(&datagrams[126]).is_none(), "too far back");
        assert!(b.open(&datagrams[127]).is_some(), "just late");
        assert!(b.open(&datagrams[127]).is_none());
    }

    #[test]
    fn a_key_is_replaced_while_hosts_run() {
        let (mut before, mut after) = (seals(&format!("{OLD}\n{NEW}\n"), 1), seals(&format!("{NEW}\n\n{OLD}"), 2));
        assert!(after.open(&before.seal(at(2), b"1")).is_some());
        assert!(before.open(&after.seal(at(1), b"2")).is_some());
    }

    #[test]
    fn keys() {
        let check = |text, expected| assert_eq!(GossipKeys::parse(text).map(drop), Err(expected));
        check("", KeyError::Empty);
        check(" \n\n", KeyError::Empty);
        check("short", KeyError::Short);
        check(&format!("{OLD}\nshort"), KeyError::Short);
    }

    #[test]
    fn only_so_many_lives_are_remembered() {
        let mut here = seals(OLD, 1);
        for life in 0..2 * MOST_LIVES as u64 {
            assert!(here.is_first(life, 1));
        }
        assert_eq!((here.heard.len(), here.order.len()), (MOST_LIVES, MOST_LIVES));
    }
}
