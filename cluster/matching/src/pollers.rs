//! Who polled a queue lately.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proto::temporal::api::{common::v1::WorkerVersionCapabilities, deployment::v1::WorkerDeploymentOptions};
use replicator::time::Timestamp;

/// What a poller says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Poller {
    /// Who it is.
    pub identity: String,
    /// How many activities a second it wants the whole queue to hand out; zero pauses the queue.
    pub max_tasks_per_second: Option<f64>,
    /// How much of that, from none to all (1), is for the part of the queue that is here; nothing says all.
    pub share: Option<f64>,
    /// Its deployment.
    pub deployment: Option<WorkerDeploymentOptions>,
    /// What it said before there were deployments.
    pub version: Option<WorkerVersionCapabilities>,
    /// If it is the one poller of a sticky queue: the queue that this falls back to, and whose host it is on.
    pub normal: Option<String>,
}

/// A poller and when it was last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenPoller {
    /// When it last came to poll.
    pub last_access: Timestamp,
    /// What it said.
    pub poller: Poller,
}

/// The pollers of one queue, by identity.
///
/// `by_age` holds each of `by_identity` once; there are at most [`MAX_POLLERS`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Pollers {
    by_identity: BTreeMap<Arc<str>, SeenPoller>,
    by_age: BTreeSet<(Timestamp, Arc<str>)>,
}

impl Pollers {
    /// A poller came.
    pub(crate) fn see(&mut self, now: Timestamp, poller: Poller) {
        let (identity, before) = match self.by_identity.remove_entry(poller.identity.as_str()) {
            Some((identity, before)) => (identity, Some(before)),
            None => (Arc::from(poller.identity.as_str()), None),
        };
        if let Some(before) = before {
            self.by_age.remove(&(before.last_access, identity.clone()));
        }
        self.by_age.insert((now, identity.clone()));
        self.by_identity.insert(identity, SeenPoller { last_access: now, poller });
        while MAX_POLLERS < self.by_age.len() {
            self.forget_oldest();
        }
        self.forget_old(now);
    }

    /// Those that were seen lately, by identity.
    pub(crate) fn list(&mut self, now: Timestamp) -> Vec<SeenPoller> {
        self.forget_old(now);
        self.by_identity.values().cloned().collect()
    }

    fn forget_old(&mut self, now: Timestamp) {
        while self.by_age.first().is_some_and(|(seen, _)| MEMORY < now.since(*seen)) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let (_, identity) = self.by_age.pop_first().expect("only called when there is one");
        self.by_identity.remove(&identity);
    }
}

/// How long a poller is remembered (api 10.2).
const MEMORY: Duration = Duration::from_secs(300);

/// Identities are chosen by clients, and so must be bounded here.
const MAX_POLLERS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn poller(identity: &str) -> Poller {
        Poller { identity: identity.into(), ..Poller::default() }
    }

    fn identities(pollers: &mut Pollers, now: Timestamp) -> Vec<String> {
        pollers.list(now).into_iter().map(|seen| seen.poller.identity).collect()
    }

    #[test]
    fn a_poller_is_remembered_for_five_minutes_after_it_was_last_seen() {
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let mut pollers = Pollers::default();
        pollers.see(at(0), poller("old"));
        pollers.see(at(0), poller("new"));
        pollers.see(at(100), poller("new"));
        assert_eq!(identities(&mut pollers, at(300)), ["new", "old"]);
        assert_eq!(identities(&mut pollers, at(301)), ["new"]);
        assert_eq!(identities(&mut pollers, at(401)), [""; 0]);
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut pollers = Pollers::default();
        for n in 0..=MAX_POLLERS as i64 {
            pollers.see(Timestamp(n), poller(&n.to_string()));
        }
        let left = identities(&mut pollers, Timestamp(0));
        assert_eq!(left.len(), MAX_POLLERS);
        assert!(!left.contains(&"0".to_owned()));
    }
}
