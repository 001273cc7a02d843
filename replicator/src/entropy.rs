//! Chance, drawn from a seed that the caller brings.

use crate::ids::{BranchId, RunId};
use uuid::Uuid;

/// A generator of ids and jitter (splitmix64). The same seed draws the same values.
#[derive(Clone, Debug)]
pub struct Entropy {
    state: u64,
}

impl Entropy {
    /// A generator that continues from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random (version 4) UUID.
    pub fn uuid(&mut self) -> Uuid {
        let (high, low) = (self.next_u64(), self.next_u64());
        uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes()).into_uuid()
    }

    /// A fresh run id.
    pub fn run_id(&mut self) -> RunId {
        RunId(self.uuid())
    }

    /// A fresh branch id.
    pub fn branch_id(&mut self) -> BranchId {
        BranchId(self.uuid())
    }
}
