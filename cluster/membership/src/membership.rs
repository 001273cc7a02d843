//! The handle on who is there.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use replicator::entropy::Entropy;
use store::Unavailable;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::warn;
use uuid::Uuid;

use crate::{
    driver::{Command, Driver},
    gossip::Gossip,
    member::{Member, Presence},
    ports::Ports,
    registry::Registry,
    view::View,
    wire::MAX_NAME_BYTES,
};

/// Who is there, as the rest of a host sees it. Clones share it.
#[derive(Clone)]
pub struct Membership {
    view: Arc<watch::Sender<Arc<View>>>,
    traffic: Arc<Mutex<Traffic>>,
    /// `None`: there are no others.
    others: Option<Others>,
}

/// The way to the others.
#[derive(Clone)]
struct Others {
    commands: mpsc::Sender<Command>,
    registry: Registry,
}

/// How hosts watch each other.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The cluster: the id that its store was given. Hosts of another one are not heard.
    pub cluster: Uuid,
    /// About how long a host that died is missed. A host that does not run for so long is taken for dead.
    pub detection: Duration,
    /// How often a host writes its row.
    pub heartbeat: Duration,
    /// How long a host that starts waits for an answer from those that seem to be there.
    pub max_join: Duration,
}

impl Options {
    /// What suits hosts of one network.
    #[must_use]
    pub fn of(cluster: Uuid) -> Self {
        Self { cluster, detection: DETECTION, heartbeat: HEARTBEAT, max_join: MAX_JOIN }
    }
}

/// What gossip came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Datagrams that were sent.
    pub sent: u64,
    /// Datagrams that were understood.
    pub received: u64,
    /// Datagrams of another cluster, or of another version.
    pub foreign: u64,
    /// Datagrams that said nothing that can be understood.
    pub malformed: u64,
    /// How often others believed this host dead.
    pub deaths: u64,
}

/// Why a host could not join. Nobody knows of it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// The database does not answer; try again.
    #[error("the hosts of the cluster cannot be looked up: {0}")]
    Unavailable(#[from] Unavailable),
    /// Look at the configuration.
    #[error("{0} is longer than {MAX_NAME_BYTES} bytes: {1}")]
    TooLong(&'static str, String),
}

impl Membership {
    /// A cluster of one host: it owns everything, speaks with nobody, and nothing of that ever changes.
    #[must_use]
    pub fn alone(me: Member) -> Self {
        let view = Arc::new(watch::Sender::new(Arc::new(View::new(me, []))));
        Self { view, traffic: Arc::default(), others: None }
    }

    /// Join the others, or be the first. Answers when one of those that seem to be there has answered, or none did in
    /// time.
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub async fn join(ports: Ports, options: Options, me: Member) -> Result<Self, JoinError> {
        for (name, text) in [("the name of the host", &me.host), ("the address of the host", &me.address)] {
            if text.len() > MAX_NAME_BYTES {
                return Err(JoinError::TooLong(name, text.clone()));
            }
        }
        let registry = Registry {
            rows: ports.rows,
            clock: ports.clock,
            me: me.clone(),
            heartbeat: options.heartbeat,
            is_gone: Arc::default(),
        };
        let found = registry.beat().await?;
        let expects_company = found.iter().any(|other| registry.is_fresh(other));

        let gossip = Gossip::new(me.clone(), options.cluster, options.detection, Entropy::new(ports.seed));
        let view = Arc::new(watch::Sender::new(Arc::new(View::new(me, []))));
        let traffic = Arc::<Mutex<Traffic>>::default();
        let (commands, commanded) = mpsc::channel(1);
        let (seeds, seeded) = mpsc::channel(1);
        // The channel is empty.
        let _ = seeds.try_send(found.into_iter().map(|other| other.member).collect());
        let driver = Driver {
            gossip,
            socket: ports.socket,
            commands: commanded,
            seeds: seeded,
            view: view.clone(),
            traffic: traffic.clone(),
        };
        (ports.spawn)(Box::pin(driver.run()));
        (ports.spawn)(Box::pin(registry.clone().run(seeds)));
        let joined = Self { view, traffic, others: Some(Others { commands, registry }) };
        if expects_company {
            let mut seen = joined.watch();
            let met = seen.wait_for(|view| view.all().nth(1).is_some());
            if timeout(options.max_join, met).await.is_err() {
                warn!("nobody answers of those that were here a moment ago");
            }
        }
        Ok(joined)
    }

    /// Who is there now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Who is there, from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// What gossip came to.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Say something else of this host's part. One that drains is still there and still answers, so that what it has can move
    /// without a gap. A host that is alone keeps what it has: nobody could take it. One that is about to stop stays so.
    pub async fn set_presence(&self, presence: Presence) {
        if let Some(others) = &self.others {
            others.tell(|done| Command::SetPresence(presence, done)).await;
        }
    }

    /// This host is gone: the others forget it at once instead of missing it.
    pub async fn leave(&self) {
        if let Some(others) = &self.others {
            others.tell(Command::Leave).await;
            others.registry.leave().await;
        }
    }
}

impl Others {
    /// Say something of this host. A driver that ended has left already.
    async fn tell(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, told) = oneshot::channel();
        if self.commands.send(command(done)).await.is_ok() {
            let _ = told.await;
        }
    }
}

/// See [`Options::detection`].
const DETECTION: Duration = Duration::from_secs(1);

/// See [`Options::heartbeat`].
const HEARTBEAT: Duration = Duration::from_secs(5);

/// See [`Options::max_join`].
const MAX_JOIN: Duration = Duration::from_secs(10);
