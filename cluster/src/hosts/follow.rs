//! What this host holds, as the ring says.

use std::{collections::BTreeSet, time::Duration};

use history::History;
use hosts::{Hosts, Service};
use matching::Matching;
use membership::View;
use metadata::Metadata;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{claims::Claims, offers::Offers};

/// Follows the ring.
pub(crate) struct Follower {
    pub(crate) hosts: Hosts,
    pub(crate) history: History,
    pub(crate) matching: Matching,
    pub(crate) metadata: Metadata,
    pub(crate) claims: Claims,
    pub(crate) offers: Offers,
}

impl Follower {
    /// Hold what is this host's, and do what is for it to do, from now on.
    pub(crate) async fn run(self) {
        let mut views = self.hosts.membership().watch();
        let mut seen = Seen::default();
        let mut duty: Option<CancellationToken> = None;
        let (mut looks, mut deaths) = (0, 0);
        loop {
            let view = views.borrow_and_update().clone();
            let died = self.hosts.membership().traffic().deaths;
            let is_back = died != deaths;
            if is_back {
                deaths = died;
                tracing::warn!("this host was believed dead");
                self.history.doubt();
            }
            self.hold();
            self.take_turns(&mut duty);
            let now = Seen::of(&view);
            if now.matching != seen.matching {
                self.history.offer_again();
            }
            let is_news = now != seen || is_back;
            seen = now;
            looks = if is_news { LOOKS } else { looks.saturating_sub(1) };
            if looks > 0 {
                self.keep_queues(&view);
                if let Err(status) = self.metadata.read_again().await {
                    tracing::warn!(reason = status.message(), "namespaces and clusters cannot be read again yet");
                    looks = LOOKS;
                }
            }
            tokio::select! {
                biased;
                changed = views.changed() => if changed.is_err() { return },
                () = self.offers.is_incomplete() => self.history.offer_again(),
                () = sleep(AGAIN) => {}
            }
        }
    }

    /// Hold the shards that are this host's and no others.
    fn hold(&self) {
        let mine: BTreeSet<_> = self.hosts.my_shards().collect();
        let held = self.history.held();
        let given: Vec<_> = mine.difference(&held).copied().collect();
        self.claims.give(&given);
        self.history.hold(&mine);
    }

    /// Keep what is this host's of task queues, and have the others told what it lacks.
    fn keep_queues(&self, view: &View) {
        self.matching.keep(
            |namespace, queue, partition| self.hosts.is_my_partition(namespace, queue, partition),
            |namespace, queue| self.hosts.is_my_queue(namespace, queue),
            |host| view.all().any(|member| member.id.as_u128() == host.0),
        );
        self.matching.share(1 < view.members(Service::Matching).count());
    }

    /// One host hears what peers say of namespaces.
    fn take_turns(&self, duty: &mut Option<CancellationToken>) {
        match (self.hosts.is_my_duty(HEAR_PEERS), duty.take()) {
            (true, None) => {
                let stop = CancellationToken::new();
                self.metadata.hear_peers(stop.clone());
                *duty = Some(stop);
            }
            (false, Some(stop)) => stop.cancel(),
            (_, before) => *duty = before,
        }
    }
}

/// Who is there, as far as it matters.
#[derive(Default, Eq, PartialEq)]
struct Seen {
    all: BTreeSet<Uuid>,
    /// Those that are given task queues.
    matching: BTreeSet<Uuid>,
}

impl Seen {
    fn of(view: &View) -> Self {
        let takers = view.members(Service::Matching).filter(|member| !member.is_draining());
        Self { all: view.all().map(|member| member.id).collect(), matching: takers.map(|member| member.id).collect() }
    }
}

/// Names what one host does for all in the ring of workers. It may never change.
const HEAR_PEERS: &str = "namespace replication";

/// So often task queues, namespaces and clusters are looked at after news: who had an older view may have sent what is not for
/// this host, or told it nothing of what it changed.
const LOOKS: u32 = 5;

/// After so long everything is looked at once more: a shard may have been refused while it was about to be given.
const AGAIN: Duration = Duration::from_secs(1);
