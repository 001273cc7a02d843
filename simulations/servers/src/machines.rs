//! What goes wrong with the machines of all clusters and with what lies between them.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    host::Host,
    ledger::Ledger,
    network::{Network, Site},
    operator::name,
    plan::{CLUSTERS, Fault},
    store::Hardware,
};

/// They.
pub(crate) struct Machines {
    /// By cluster.
    pub(crate) hosts: Arc<Vec<Vec<Host>>>,
    pub(crate) disks: Arc<Vec<Arc<Hardware>>>,
    pub(crate) network: Network,
    pub(crate) ledger: Ledger,
}

impl Machines {
    /// Something goes wrong. Whatever is down starts again at the end of faults at the latest.
    pub(crate) async fn happen(&self, fault: Fault, end: Instant) {
        self.ledger.note(format!("{fault:?}"));
        match fault {
            Fault::Crash(cluster, number, time) => {
                let host = &self.hosts[cluster][number];
                if host.is_up() {
                    self.ledger.count("fault: crash");
                    host.crash();
                    self.start_again(cluster, number, end.min(Instant::now() + time)).await;
                }
            }
            Fault::Restart(cluster, number, time) => {
                let host = &self.hosts[cluster][number];
                if host.is_up() {
                    self.ledger.count("fault: restart");
                    host.stop().await;
                    self.start_again(cluster, number, end.min(Instant::now() + time)).await;
                }
            }
            Fault::Part(cluster, time) => {
                self.ledger.count("fault: hosts parted");
                let sites: Vec<Site> = self.sites(cluster).collect();
                self.cut(&sites, &sites, time);
            }
            Fault::Cut(from, is_both, time) => {
                self.ledger.count(if is_both { "fault: cut" } else { "fault: cut one way" });
                let here: Vec<Site> = self.sites(from).collect();
                let there: Vec<Site> = self.sites(1 - from).collect();
                self.cut(&here, &there, time);
                if is_both {
                    self.cut(&there, &here, time);
                }
            }
            Fault::Slow(time, by) => {
                self.ledger.count("fault: slow link");
                self.between(|network, one, other| {
                    network.slow(one, other, time, by);
                    network.slow(other, one, time, by);
                });
            }
            Fault::Reset => {
                self.ledger.count("fault: connections reset");
                self.between(Network::reset);
            }
            Fault::Unreached(cluster, time) => {
                self.ledger.count("fault: people cut off");
                let here: Vec<Site> = self.sites(cluster).collect();
                let people: Vec<Site> = (0..CLUSTERS).map(Site::People).collect();
                self.cut(&people, &here, time);
                self.cut(&here, &people, time);
            }
            Fault::Stall(cluster, time) => {
                self.ledger.count("fault: disk stalls");
                self.disks[cluster].stall(time);
            }
            Fault::Jump(cluster, number, by) => {
                self.ledger.count("fault: clock jumps");
                self.hosts[cluster][number].clock().jump(by);
            }
        }
    }

    async fn start_again(&self, cluster: usize, number: usize, at: Instant) {
        sleep_until(at).await;
        self.hosts[cluster][number].start();
        self.ledger.note(format!("{}-{number} starts again", name(cluster)));
    }

    fn sites(&self, cluster: usize) -> impl Iterator<Item = Site> + '_ {
        self.hosts[cluster].iter().map(|host| host.site)
    }

    /// Nothing goes from these to those.
    fn cut(&self, from: &[Site], to: &[Site], time: Duration) {
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
            if from != to {
                self.network.cut(from, to, time);
            }
        }
    }

    /// Something happens between every two hosts of different clusters.
    fn between(&self, happens: impl Fn(&Network, Site, Site)) {
        for one in self.sites(0) {
            for other in self.sites(1) {
                happens(&self.network, one, other);
            }
        }
    }
}
