//! The contract of a store, held by the simulated disk.

use std::sync::Arc;

use servers::store::{Disk, Hardware};
use simulations::random::Random;
use store::{Answer, Store, conformance::Fixture};

struct Simulated(Arc<Hardware>);

impl Simulated {
    fn new() -> Self {
        Self(Arc::new(Hardware::new(Random::new(1), Box::new(|_, _| {}))))
    }
}

impl Fixture for Simulated {
    fn open(&self) -> Answer<'_, Arc<dyn Store>> {
        Box::pin(async { Arc::new(Disk::open(self.0.clone())) as Arc<dyn Store> })
    }

    fn survives(&self) -> bool {
        true
    }
}

mod in_fair_weather {
    store::suite!(super::Simulated::new());
}
