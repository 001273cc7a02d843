//! Who is there, by gossip (SWIM): no socket, no clock, no task.
//!
//! The world comes in through `handle_*`, the time with it, counted from some beginning; what must be sent comes out of
//! [`Gossip::poll_datagram`], and [`Gossip::timeout`] says when to come back though nothing happened. Members probe each
//! other, directly and by way of others, and tell what they find with every message. One that does not answer is suspected,
//! and dead when it does not deny that in time; one that was only paused hears of its death and says anew that it is there.
//!
//! A host that hears of nobody calls those that it was told of, again and again: a message may be lost, and so may the word
//! that it has changed.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use foca::{Foca, NoCustomBroadcast, Notification, PeriodicParams, State, Timer};
use replicator::entropy::Entropy;
use uuid::Uuid;

use crate::{
    chance::Chance,
    identity::Identity,
    member::{Member, Presence},
    view::View,
    wire::{self, Codec, Foreign, MAX_PAYLOAD},
};

/// A moment, counted from some beginning.
pub type Moment = Duration;

/// It.
pub struct Gossip {
    foca: Foca<Identity, Codec, Chance, NoCustomBroadcast>,
    codec: Codec,
    cluster: Uuid,
    world: World,
    /// Whom to call when nobody is heard of; never this host.
    seeds: Vec<Member>,
    /// How long to wait before they are called again.
    patience: Duration,
    /// When to call them, while nobody is heard of.
    next_call: Moment,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heard {
    /// It was one of ours.
    Taken,
    /// It was another cluster's.
    Foreign,
    /// It said nothing that can be understood.
    Malformed,
}

impl Gossip {
    /// Gossip that has heard nothing yet. `detection` is about how long a member that died is missed.
    #[must_use]
    pub fn new(me: Member, cluster: Uuid, detection: Duration, entropy: Entropy) -> Self {
        let codec = Codec::default();
        let foca = Foca::new(Identity::first(me), config(detection), Chance(entropy), codec.clone());
        let patience = detection / 4;
        Self { foca, codec, cluster, world: World::default(), seeds: Vec::new(), patience, next_call: Moment::ZERO }
    }

    /// Who is there.
    #[must_use]
    pub fn view(&self) -> View {
        let others = self.foca.iter_members().map(|known| known.id().member.clone());
        View::new(self.foca.identity().member.clone(), others)
    }

    /// Whether the view is another one than when this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.world.is_changed)
    }

    /// Whether anybody else is heard of.
    #[must_use]
    pub fn has_company(&self) -> bool {
        self.foca.num_members() > 0
    }

    /// How often others believed this host dead.
    #[must_use]
    pub fn deaths(&self) -> u64 {
        self.world.deaths
    }

    /// Somebody says who else may be there. Those that are not heard of are called.
    pub fn handle_seeds(&mut self, now: Moment, seeds: Vec<Member>) {
        self.world.now = now;
        let here = self.foca.identity().member.gossip;
        self.seeds = seeds.into_iter().filter(|seed| seed.gossip != here).collect();
        let known: Vec<Uuid> = self.foca.iter_members().map(|known| known.id().member.id).collect();
        let strangers = self.seeds.iter().filter(|seed| !known.contains(&seed.id));
        for seed in strangers.cloned().collect::<Vec<_>>() {
            self.call(Identity::first(seed));
        }
        self.next_call = now + self.patience;
    }

    /// A datagram came.
    pub fn handle_datagram(&mut self, now: Moment, datagram: &[u8]) -> Heard {
        self.world.now = now;
        let payload = match wire::unpack(self.cluster, datagram) {
            Ok(payload) => payload,
            Err(Foreign::Other) => return Heard::Foreign,
            Err(Foreign::Malformed) => return Heard::Malformed,
        };
        let deaths = self.world.deaths;
        let handled = self.foca.handle_data(&payload, &mut self.world);
        if deaths != self.world.deaths {
            self.tell_everybody();
        }
        self.note_known();
        if handled.is_ok() { Heard::Taken } else { Heard::Malformed }
    }

    /// The moment has come that [`Self::timeout`] named.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.world.now = now;
        while let Some(timer) = self.world.due(now) {
            if self.is_denied(&timer) {
                continue;
            }
            // One that comes too late, because this host was paused, is made up for by the next.
            let _ = self.foca.handle_timer(timer, &mut self.world);
        }
        if !self.has_company() && self.next_call <= now {
            self.next_call = now + self.patience;
            self.call_anybody();
        }
        self.note_known();
    }

    /// Whether a timer would declare a member dead that has denied it. Foca leaves such a member alive, and tells it all the
    /// same that it is dead, whereupon it begins anew: each lost datagram would make a stir.
    fn is_denied(&self, timer: &Timer<Identity>) -> bool {
        let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = timer else { return false };
        let suspect = foca::Member::new(member_id.clone(), *incarnation, State::Suspect);
        !self.foca.iter_members().any(|known| *known == suspect)
    }

    /// When to come back.
    #[must_use]
    pub fn timeout(&self) -> Option<Moment> {
        let knows_nobody = self.seeds.is_empty() && self.foca.iter_membership_state().len() == 0;
        let call = (!self.has_company() && !knows_nobody).then_some(self.next_call);
        self.world.timers.keys().next().map(|(due, _)| *due).into_iter().chain(call).min()
    }

    /// What must be sent, and where to.
    pub fn poll_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let (to, payload) = self.world.payloads.pop_front()?;
        Some((to, wire::pack(self.cluster, &payload)))
    }

    /// What this host says of its part from now on. One that is about to stop cannot be told otherwise.
    pub fn set_presence(&mut self, now: Moment, presence: Presence) {
        self.world.now = now;
        let identity = self.foca.identity();
        if [presence, Presence::Leaving].contains(&identity.member.presence) {
            return;
        }
        let Some(next) = identity.next(Member { presence, ..identity.member.clone() }) else { return };
        let _ = self.foca.change_identity(next, &mut self.world);
        self.world.is_changed = true;
        self.tell_everybody();
    }

    /// This host is gone.
    pub fn leave(&mut self, now: Moment) {
        self.world.now = now;
        let _ = self.foca.leave_cluster(&mut self.world);
        // A few are told each time, drawn anew.
        for _ in 0..FAREWELLS {
            let _ = self.foca.gossip(&mut self.world);
        }
    }

    /// Tell every member what this host is now, and hear from it who is there.
    fn tell_everybody(&mut self) {
        for other in self.foca.iter_members().map(|known| known.id().clone()).collect::<Vec<_>>() {
            self.call(other);
        }
    }

    /// Call everybody of whom this host ever heard.
    fn call_anybody(&mut self) {
        let mut others: BTreeMap<SocketAddr, Identity> =
            self.seeds.iter().map(|seed| (seed.gossip, Identity::first(seed.clone()))).collect();
        let known = self.foca.iter_membership_state().map(|known| known.id().clone());
        others.extend(known.map(|known| (known.member.gossip, known)));
        others.into_values().for_each(|other| self.call(other));
    }

    fn call(&mut self, to: Identity) {
        // It fails when a member does not fit into a payload, and all that are let in do.
        let _ = self.foca.announce(to, &mut self.world);
    }

    fn note_known(&mut self) {
        let here = self.foca.identity().member.gossip;
        let known = self.foca.iter_membership_state().map(|known| known.id().member.gossip);
        self.codec.set_known(known.chain([here]));
    }
}

/// What gossip wants of the world.
#[derive(Default)]
struct World {
    now: Moment,
    payloads: VecDeque<(SocketAddr, Vec<u8>)>,
    /// By moment, and in the order in which they were set.
    timers: BTreeMap<(Moment, u64), Timer<Identity>>,
    next_timer: u64,
    /// The timer at which a dead member is forgotten, by its address: only the last matters.
    forgetting: BTreeMap<SocketAddr, (Moment, u64)>,
    is_changed: bool,
    deaths: u64,
}

impl World {
    fn due(&mut self, now: Moment) -> Option<Timer<Identity>> {
        let first = self.timers.first_entry().filter(|timer| timer.key().0 <= now)?;
        let timer = first.remove();
        if let Timer::RemoveDown(identity) = &timer {
            self.forgetting.remove(&identity.member.gossip);
        }
        Some(timer)
    }
}

impl foca::Runtime<Identity> for World {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            Notification::MemberUp(_) | Notification::MemberDown(_) | Notification::Rename(_, _) => {
                self.is_changed = true;
            }
            Notification::Rejoin(_) => {
                self.is_changed = true;
                self.deaths += 1;
            }
            Notification::Active | Notification::Idle | Notification::Defunct => {}
        }
    }

    fn send_to(&mut self, to: Identity, payload: &[u8]) {
        self.payloads.push_back((to.member.gossip, payload.to_vec()));
    }

    fn submit_after(&mut self, timer: Timer<Identity>, after: Duration) {
        let key = (self.now + after, self.next_timer);
        self.next_timer += 1;
        if let Timer::RemoveDown(identity) = &timer
            && let Some(before) = self.forgetting.insert(identity.member.gossip, key)
        {
            self.timers.remove(&before);
        }
        self.timers.insert(key, timer);
    }
}

/// How members watch each other, when one that died is to be missed after about `detection`: in the mean a sixth of it
/// passes until somebody probes it, and as much until that one believes that nobody answers.
fn config(detection: Duration) -> foca::Config {
    let every = |frequency, num_members| Some(PeriodicParams { frequency, num_members });
    foca::Config {
        probe_period: detection / 6,
        probe_rtt: detection / 12,
        num_indirect_probes: WITNESSES,
        max_transmissions: TELLINGS,
        suspect_to_down_after: detection.mul_f64(0.6),
        remove_down_after: Some(REMEMBERED),
        max_packet_size: const { NonZeroUsize::new(MAX_PAYLOAD).unwrap() },
        notify_down_members: true,
        periodic_announce: every(detection * 5, NonZeroUsize::MIN),
        periodic_announce_to_down_members: every(detection, WITNESSES),
        periodic_gossip: every(detection / 10, WITNESSES),
    }
}

/// How many others are asked to look after a member that does not answer, and told of news at a time.
const WITNESSES: NonZeroUsize = const { NonZeroUsize::new(3).unwrap() };

/// How often a host repeats a piece of news. Three at a time, ten times over reach thousands.
const TELLINGS: NonZeroU8 = const { NonZeroU8::new(10).unwrap() };

/// How often a host that goes tells a few.
const FAREWELLS: usize = 3;

/// How long a dead member is called, in case that it was only cut off.
const REMEMBERED: Duration = Duration::from_secs(600);
