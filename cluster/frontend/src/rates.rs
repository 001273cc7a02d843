//! How many calls a second are answered (api 11.7), and who says so.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use config::Setting;
use proto::temporal::api::enums::v1::ResourceExhaustedScope as Scope;
use replicator::{ids::NamespaceId, namespace::Namespace, time::Timestamp};

use crate::errors::Error;

/// What a limit is for a namespace now; nothing when nobody says.
pub type Limits = Arc<dyn Fn(Setting, &str) -> Option<u32> + Send + Sync>;

/// Calls that were answered a moment ago. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates(Arc<Mutex<Buckets>>);

#[derive(Debug, Default)]
struct Buckets {
    host: Bucket,
    /// Of the task queues of this host.
    matching: Bucket,
    namespaces: BTreeMap<(NamespaceId, What), Bucket>,
}

/// What a call wants.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum What {
    /// A list or a count.
    List,
    /// Something else.
    Other,
}

/// Lets a second's worth of calls through at once, and then one after the other.
#[derive(Debug, Default)]
struct Bucket {
    /// When it is full again.
    full: i64,
}

impl Rates {
    /// A call comes; refused when too many did.
    pub(crate) fn take(
        &self,
        limits: &Limits,
        now: Timestamp,
        namespace: Option<&Namespace>,
        what: What,
    ) -> Result<(), Error> {
        let host = limits(Setting::Rps, "");
        let own = namespace.and_then(|Namespace { id, name, .. }| {
            let lists =
                Some(what).filter(|what| *what == What::List).and_then(|_| limits(Setting::VisibilityRps, name));
            match lists {
                Some(rate) => Some(((*id, What::List), rate)),
                None => Some(((*id, What::Other), limits(Setting::NamespaceRps, name)?)),
            }
        });
        if host.is_none() && own.is_none() {
            return Ok(());
        }
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A namespace that has used up what is its own takes nothing from the others.
        if let Some((whose, rate)) = own
            && !buckets.namespaces.entry(whose).or_default().take(rate, now)
        {
            return Err(Error::TooManyCalls("namespace rate limit exceeded".into(), Scope::Namespace));
        }
        match host {
            Some(rate) if !buckets.host.take(rate, now) => Err(too_many_for_host()),
            _ => Ok(()),
        }
    }

    /// A call comes to the task queues of this host; refused when too many did.
    pub(crate) fn take_matching(&self, limits: &Limits, now: Timestamp) -> Result<(), Error> {
        let Some(rate) = limits(Setting::MatchingRps, "") else { return Ok(()) };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.matching.take(rate, now) { Ok(()) } else { Err(too_many_for_host()) }
    }
}

fn too_many_for_host() -> Error {
    Error::TooManyCalls("service rate limit exceeded".into(), Scope::System)
}

impl Bucket {
    fn take(&mut self, rate: u32, now: Timestamp) -> bool {
        let one = SECOND / i64::from(rate.max(1));
        // A clock that goes back empties nothing for longer than a second.
        let full = self.full.clamp(now.0, now.0.saturating_add(SECOND)).saturating_add(one);
        let is_allowed = full - now.0 <= SECOND;
        if is_allowed {
            self.full = full;
        }
        is_allowed
    }
}

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::namespace;

    fn limits(host: Option<u32>, loud: Option<u32>) -> Limits {
        Arc::new(move |limit, name| match (limit, name) {
            (Setting::Rps, _) => host,
            (Setting::NamespaceRps, "loud") => loud,
            _ => None,
        })
    }

    fn taken(rates: &Rates, limits: &Limits, at: i64, name: &str) -> usize {
        let namespace = namespace(name);
        (0..100).take_while(|_| rates.take(limits, Timestamp(at), Some(&namespace), What::Other).is_ok()).count()
    }

    #[test]
    fn a_second_at_once_and_then_one_after_the_other() {
        let (rates, limits) = (Rates::default(), limits(Some(10), None));
        assert_eq!(taken(&rates, &limits, 0, "a"), 10);
        assert_eq!(taken(&rates, &limits, SECOND / 10 - 1, "b"), 0);
        assert_eq!(taken(&rates, &limits, SECOND / 10, "b"), 1);
        assert_eq!(taken(&rates, &limits, 10 * SECOND, "b"), 10);
        assert_eq!(taken(&rates, &limits, 0, "b"), 0, "a clock that goes back");
    }

    #[test]
    fn a_namespace_that_is_loud_takes_nothing_from_the_others() {
        let (rates, limits) = (Rates::default(), limits(Some(10), Some(3)));
        assert_eq!(taken(&rates, &limits, 0, "loud"), 3);
        assert_eq!(taken(&rates, &limits, 0, "quiet"), 7);
    }

    #[test]
    fn lists_have_a_limit_of_their_own_if_one_is_set() {
        let take = |rates: &Rates, limits: &Limits, what| {
            let namespace = namespace("loud");
            (0..100).take_while(|_| rates.take(limits, Timestamp(0), Some(&namespace), what).is_ok()).count()
        };
        let (rates, shared) = (Rates::default(), limits(None, Some(3)));
        assert_eq!((take(&rates, &shared, What::List), take(&rates, &shared, What::Other)), (3, 0));
        let own: Limits = Arc::new(|setting, _| match setting {
            Setting::VisibilityRps => Some(2),
            Setting::NamespaceRps => Some(3),
            _ => None,
        });
        let rates = Rates::default();
        assert_eq!((take(&rates, &own, What::List), take(&rates, &own, What::Other)), (2, 3));
    }

    #[test]
    fn task_queues_have_a_limit_of_their_own() {
        let rates = Rates::default();
        let limits: Limits = Arc::new(|setting, _| (setting == Setting::MatchingRps).then_some(3));
        let answered = (0..100).take_while(|_| rates.take_matching(&limits, Timestamp(0)).is_ok()).count();
        assert_eq!((answered, taken(&rates, &limits, 0, "a")), (3, 100));
    }

    #[test]
    fn limits_change_at_once() {
        let rates = Rates::default();
        assert_eq!(taken(&rates, &limits(Some(2), None), 0, "a"), 2);
        assert_eq!(taken(&rates, &limits(None, None), 0, "a"), 100);
        assert_eq!(taken(&rates, &limits(Some(4), None), 2 * SECOND, "a"), 4);
    }
}
