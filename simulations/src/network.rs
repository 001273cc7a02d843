//! Links between clusters, and what becomes of what is sent on them.

use std::{collections::BTreeMap, time::Duration};

use replicator::time::Timestamp;

use crate::{plan::NetworkShape, random::Random};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It arrives after this long.
    Deliver(Duration),
    /// It does not arrive, and neither does what follows it on its stream.
    Lose,
}

/// Every link, each in one direction.
#[derive(Debug)]
pub struct Network {
    shape: NetworkShape,
    links: BTreeMap<(usize, usize), Link>,
    seed: u64,
}

#[derive(Debug)]
struct Link {
    random: Random,
    cut: Timestamp,
    clogged: Timestamp,
    slow: (Timestamp, u32),
}

impl Network {
    /// Links on which nothing is wrong.
    #[must_use]
    pub fn new(seed: u64, shape: NetworkShape) -> Self {
        Self { shape, links: BTreeMap::new(), seed }
    }

    /// What becomes of a message that is sent now. Within a cluster everything arrives, and soon.
    pub fn send(&mut self, now: Timestamp, from: usize, to: usize) -> Verdict {
        if from == to {
            return Verdict::Deliver(WITHIN);
        }
        let shape = self.shape;
        let link = self.link(from, to);
        let latency = link.random.duration(shape.latency);
        if now < link.cut || link.random.chance(shape.loss) {
            return Verdict::Lose;
        }
        let times = if now < link.slow.0 { link.slow.1 } else { 1 };
        Verdict::Deliver(link.clogged.since(now) + latency * times)
    }

    /// Whether what is under way on a link arrives now.
    pub fn is_cut(&mut self, now: Timestamp, from: usize, to: usize) -> bool {
        from != to && now < self.link(from, to).cut
    }

    /// Let nothing through until then.
    pub fn cut(&mut self, from: usize, to: usize, until: Timestamp) {
        let link = self.link(from, to);
        link.cut = link.cut.max(until);
    }

    /// Hold everything back until then.
    pub fn clog(&mut self, from: usize, to: usize, until: Timestamp) {
        let link = self.link(from, to);
        link.clogged = link.clogged.max(until);
    }

    /// Let everything take so many times as long until then.
    pub fn slow(&mut self, from: usize, to: usize, times: u32, until: Timestamp) {
        self.link(from, to).slow = (until, times);
    }

    /// Mend everything, and lose nothing from now on.
    pub fn heal(&mut self) {
        self.shape.loss = 0;
        for link in self.links.values_mut() {
            link.cut = Timestamp::ZERO;
            link.clogged = Timestamp::ZERO;
            link.slow = (Timestamp::ZERO, 1);
        }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        let seed = self.seed;
        self.links.entry((from, to)).or_insert_with(|| Link {
            random: Random::of(seed, "link", (from as u64) << 8 | to as u64),
            cut: Timestamp::ZERO,
            clogged: Timestamp::ZERO,
            slow: (Timestamp::ZERO, 1),
        })
    }
}

/// How long a message within a cluster takes.
const WITHIN: Duration = Duration::from_micros(150);
