//! Moves values between gossip and the world, and has no opinions.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    select,
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};
use tracing::{debug, info};

use crate::{
    gossip::{Gossip, Heard},
    member::{Member, Presence},
    membership::Traffic,
    ports::Socket,
    view::View,
    wire::MAX_DATAGRAM,
};

/// What a host says of itself.
pub(crate) enum Command {
    /// What it says of its part. Answered when that was sent.
    SetPresence(Presence, oneshot::Sender<()>),
    /// It is gone. Answered when that was sent; nothing follows.
    Leave(oneshot::Sender<()>),
}

/// It.
pub(crate) struct Driver {
    pub(crate) gossip: Gossip,
    pub(crate) socket: Arc<dyn Socket>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) seeds: mpsc::Receiver<Vec<Member>>,
    pub(crate) view: Arc<watch::Sender<Arc<View>>>,
    pub(crate) traffic: Arc<Mutex<Traffic>>,
}

impl Driver {
    /// Run until the host leaves or nobody wants to know any more.
    pub(crate) async fn run(mut self) {
        let begin = Instant::now();
        let socket = self.socket.clone();
        // One that is longer than any of ours is seen to be.
        let mut buffer = vec![0; MAX_DATAGRAM + 1];
        loop {
            self.publish();
            let timeout = self.gossip.timeout();
            let due = begin + timeout.unwrap_or_default();
            select! {
                biased;
                command = self.commands.recv() => {
                    let Some(command) = command else { return };
                    let now = begin.elapsed();
                    let (done, is_last) = match command {
                        Command::SetPresence(presence, done) => {
                            self.gossip.set_presence(now, presence);
                            (done, false)
                        }
                        Command::Leave(done) => {
                            self.gossip.leave(now);
                            (done, true)
                        }
                    };
                    self.publish();
                    let _ = done.send(());
                    if is_last {
                        return;
                    }
                }
                () = sleep_until(due), if timeout.is_some() => self.gossip.handle_timeout(begin.elapsed()),
                Some(seeds) = self.seeds.recv() => self.gossip.handle_seeds(begin.elapsed(), seeds),
                received = socket.receive(&mut buffer) => match received {
                    Ok(length) => self.hear(begin.elapsed(), &buffer[..length]),
                    Err(error) => {
                        debug!(%error, "gossip cannot be heard");
                        sleep(RECOVERY).await;
                    }
                },
            }
        }
    }

    fn hear(&mut self, now: Duration, datagram: &[u8]) {
        let heard = match datagram.len() <= MAX_DATAGRAM {
            true => self.gossip.handle_datagram(now, datagram),
            false => Heard::Malformed,
        };
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Heard::Taken => traffic.received += 1,
            Heard::Foreign => traffic.foreign += 1,
            Heard::Malformed => traffic.malformed += 1,
        }
    }

    /// Send what must be sent, and show who is there.
    fn publish(&mut self) {
        let mut sent = 0;
        while let Some((to, datagram)) = self.gossip.poll_datagram() {
            self.socket.send(to, &datagram);
            sent += 1;
        }
        {
            let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
            traffic.sent += sent;
            traffic.deaths = self.gossip.deaths();
        }
        if self.gossip.take_changed() {
            let (before, after) = (self.view.borrow().clone(), Arc::new(self.gossip.view()));
            if before != after {
                tell(&before, &after);
                self.view.send_replace(after);
            }
        }
    }
}

/// Log who came and went.
fn tell(before: &View, after: &View) {
    for member in after.all().filter(|member| before.at(&member.address).map(|known| known.id) != Some(member.id)) {
        let Member { host, address, services, .. } = member;
        info!(host, address, %services, "a member is there");
    }
    for member in before.all() {
        match after.at(&member.address) {
            None => info!(host = member.host, address = member.address, "a member is gone"),
            Some(now) if now.id != member.id || now.presence == member.presence => {}
            Some(Member { host, address, presence, .. }) => match presence {
                Presence::Whole => info!(host, address, "a member does not drain any more"),
                Presence::Draining => info!(host, address, "a member drains"),
                Presence::Leaving => info!(host, address, "a member is about to stop"),
            },
        }
    }
}

/// How long to wait after the system could not receive.
const RECOVERY: Duration = Duration::from_millis(10);
