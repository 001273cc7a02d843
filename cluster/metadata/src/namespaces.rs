//! Which namespaces there are.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, Mutex as SyncMutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use proto::temporal::server::api::replication::v1::NamespaceTaskAttributes;
use replicator::{
    entropy::Entropy,
    ids::{Life, NamespaceId},
    namespace::{
        Change, Federation, Namespace, Refusal,
        merge::{self, Known},
        recovery, replication, stored,
    },
    time::Timestamp,
    version::ClusterName,
};
use store::{NamespaceTable, NamespaceWrite, NamespacesWritten};
use tokio::sync::{Mutex, MutexGuard};
use tonic::Status;

use crate::{
    clusters::{Clusters, OpenError},
    detached::detached,
    ports::Ports,
    status::{namespace_not_found, refused, unavailable},
};

/// Hears of every namespace, and of every change of one as soon as it is durable, in the order of the changes.
pub type Listener = Box<dyn Fn(&Arc<Namespace>) + Send + Sync>;

/// The namespaces of this cluster, all of them in memory. Clones share them.
///
/// A change is durable, known to every listener and visible in here before it is answered.
#[derive(Clone)]
pub struct Namespaces {
    shared: Arc<Shared>,
}

struct Shared {
    ports: Ports,
    /// Which life of the store this is.
    life: Life,
    clusters: Clusters,
    table: watch::Sender<Table>,
    writer: Mutex<Writer>,
    entropy: SyncMutex<Entropy>,
    /// Steps whenever there is something new for peers.
    published: watch::Sender<u64>,
}

/// What only one change at a time may touch.
struct Writer {
    /// What the next write must name (NS-4).
    notification: i64,
    listeners: Vec<Listener>,
}

/// No change of a namespace is under way in this process.
pub(crate) struct Settled<'a> {
    shared: &'a Shared,
    writer: MutexGuard<'a, Writer>,
}

impl Settled<'_> {
    /// Make visible in here what the store holds: another host may have written it.
    pub(crate) async fn read(&mut self) -> Result<(), Status> {
        self.shared.reload(&mut self.writer).await
    }
}

/// The namespaces of one moment.
#[derive(Default)]
struct Table {
    by_id: HashMap<NamespaceId, Arc<Namespace>>,
    /// Ordered, so that lists have pages.
    by_name: BTreeMap<String, NamespaceId>,
}

impl Namespaces {
    /// Read all namespaces.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn open(ports: Ports, clusters: Clusters) -> Result<Self, OpenError> {
        let stored = ports.store.namespaces().await.map_err(OpenError::Unavailable)?;
        let life = ports.store.life().await.map_err(OpenError::Unavailable)?;
        let notification = stored.notification;
        let table = Table::decode(&stored).map_err(OpenError::Contradiction)?;
        let shared = Shared {
            life,
            clusters,
            table: watch::Sender::new(table),
            writer: Mutex::new(Writer { notification, listeners: Vec::new() }),
            entropy: SyncMutex::new(Entropy::new(ports.seed)),
            published: watch::Sender::new(0),
            ports,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Which life of the store this is.
    pub(crate) fn life(&self) -> Life {
        self.shared.life
    }

    /// The namespace of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Namespace>> {
        self.shared.table.borrow().by_name(name).cloned()
    }

    /// The namespace with this id.
    #[must_use]
    pub fn get_by_id(&self, id: NamespaceId) -> Option<Arc<Namespace>> {
        self.shared.table.borrow().by_id.get(&id).cloned()
    }

    /// The namespace of this name, or the error that says there is none.
    ///
    /// # Errors
    ///
    /// `NotFound` with its detail.
    pub fn resolve(&self, name: &str) -> Result<Arc<Namespace>, Status> {
        self.get(name).ok_or_else(|| namespace_not_found(name))
    }

    /// All namespaces, ordered by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Namespace>> {
        self.list_after(None, usize::MAX)
    }

    /// At most `limit` namespaces with names above `after`, ordered by name.
    #[must_use]
    pub fn list_after(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Namespace>> {
        let table = self.shared.table.borrow();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids = table.by_name.range::<str, _>((start, Bound::Unbounded)).take(limit);
        ids.map(|(_, id)| table.by_id[id].clone()).collect()
    }

    /// Wait until a namespace is other than it was `seen`; `None` when it is gone.
    pub async fn changed(&self, seen: &Arc<Namespace>) -> Option<Arc<Namespace>> {
        let mut table = self.shared.table.subscribe();
        let other = |table: &Table| table.by_id.get(&seen.id).is_none_or(|now| !Arc::ptr_eq(now, seen));
        match table.wait_for(|table| other(table)).await {
            Ok(table) => table.by_id.get(&seen.id).cloned(),
            Err(_) => None,
        }
    }

    /// Wait until there is a namespace of this name.
    pub async fn appeared(&self, name: &str) -> Option<Arc<Namespace>> {
        let mut table = self.shared.table.subscribe();
        let table = table.wait_for(|table| table.by_name.contains_key(name)).await.ok()?;
        table.by_name(name).cloned()
    }

    /// Tell `listener` of all namespaces, and from then on of every change. It is called while others wait: it must not
    /// wait itself.
    pub async fn listen(&self, listener: Listener) {
        let mut writer = self.shared.writer.lock().await;
        for namespace in self.list() {
            listener(&namespace);
        }
        writer.listeners.push(listener);
    }

    /// As long as the answer is held this process changes nothing.
    pub(crate) async fn settled(&self) -> Settled<'_> {
        Settled { shared: &self.shared, writer: self.shared.writer.lock().await }
    }

    /// Something that steps whenever there is something new for peers.
    pub(crate) fn published(&self) -> watch::Receiver<u64> {
        self.shared.published.subscribe()
    }

    /// Take over what a peer tells. Answers whether it was news.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when it can never be taken over; anything else may pass.
    pub async fn hear(&self, task: NamespaceTaskAttributes) -> Result<bool, Status> {
        let here = self.shared.clusters.own().name.clone();
        let wrote = self.write(move |table, _| heard(table, &task, &here)).await?;
        Ok(wrote.is_some())
    }

    /// Change a namespace: `decide` says how, from what there is. It is asked again when somebody else was first.
    ///
    /// # Errors
    ///
    /// The refusal of `decide`, or that the store is away.
    pub async fn change(
        &self,
        name: String,
        decide: impl Fn(&Namespace, Timestamp, &Federation) -> Result<Change, Refusal> + Send + 'static,
    ) -> Result<Arc<Namespace>, Status> {
        let clock = self.shared.ports.clock.clone();
        let wrote = self
            .write(move |table, federation| {
                let old = table.by_name(&name).ok_or_else(|| Refusal::NotFound(name.clone()))?;
                decide(old, clock(), federation).map(Some)
            })
            .await?;
        Ok(wrote.expect("a change is written"))
    }

    /// Let a namespace go on after the store was brought back from a backup. Answers its failover version.
    ///
    /// # Errors
    ///
    /// When it is not there, or the store is away.
    pub(crate) async fn resume(&self, name: String) -> Result<i64, Status> {
        let (clock, life) = (self.shared.ports.clock.clone(), self.shared.life);
        let known = name.clone();
        let resume = move |table: &Table, federation: &Federation| {
            let old = table.by_name(&known).ok_or_else(|| Refusal::NotFound(known.clone()))?;
            Ok(recovery::resume(old, life, clock(), federation))
        };
        self.write(resume).await?;
        self.resolve(&name).map(|namespace| namespace.failover_version.0)
    }

    /// Add a namespace: `decide` says which, from whether its name is taken.
    pub(crate) async fn add(
        &self,
        name: String,
        decide: impl Fn(bool, NamespaceId, &Federation) -> Result<Change, Refusal> + Send + 'static,
    ) -> Result<Arc<Namespace>, Status> {
        let shared = self.shared.clone();
        let wrote = self
            .write(move |table, federation| {
                let mut change = decide(table.by_name.contains_key(&name), shared.fresh_id(table), federation)?;
                // Nothing of a new namespace is forgotten.
                change.namespace.resumed_in = (shared.life != Life::FIRST).then_some(shared.life);
                Ok(Some(change))
            })
            .await?;
        Ok(wrote.expect("a change is written"))
    }

    async fn write(
        &self,
        decide: impl Fn(&Table, &Federation) -> Result<Option<Change>, Refusal> + Send + 'static,
    ) -> Result<Option<Arc<Namespace>>, Status> {
        let shared = self.shared.clone();
        detached(&self.shared.ports.spawn, async move {
            let wrote = shared.write(decide).await;
            if !matches!(wrote, Ok(None)) {
                // Nobody writes meanwhile for want of an answer: others may be about to tell us.
                shared.ports.tell().await;
            }
            wrote
        })
        .await
    }

    /// Another host changed something: read everything again. Answers when it is visible in here.
    ///
    /// # Errors
    ///
    /// When the store is away.
    pub async fn read_again(&self) -> Result<(), Status> {
        let mut writer = self.shared.writer.lock().await;
        self.shared.reload(&mut writer).await?;
        // What is new for peers rests in the store.
        self.shared.published.send_modify(|step| *step += 1);
        Ok(())
    }
}

impl Shared {
    async fn write(
        &self,
        decide: impl Fn(&Table, &Federation) -> Result<Option<Change>, Refusal>,
    ) -> Result<Option<Arc<Namespace>>, Status> {
        let mut writer = self.writer.lock().await;
        // What a write that nobody answered for would have made, if it happened.
        let mut doubtful: Option<Namespace> = None;
        for _ in 0..ATTEMPTS {
            if let Some(namespace) = doubtful.take()
                && let Some(now) = self.table.borrow().by_id.get(&namespace.id)
                && **now == namespace
            {
                return Ok(Some(now.clone()));
            }
            let decided = decide(&self.table.borrow(), &self.clusters.view().federation);
            let Some(change) = decided.map_err(|refusal| refused(&refusal))? else { return Ok(None) };
            let publish: Vec<Bytes> = change
                .publish
                .map(|operation| replication::task(&change.namespace, operation).encode_to_vec().into())
                .into_iter()
                .collect();
            let is_news = !publish.is_empty();
            let write = NamespaceWrite::Put(change.namespace.id, stored::encode(&change.namespace).into());
            match self.ports.store.write_namespaces(writer.notification, vec![write], publish).await {
                Ok(NamespacesWritten::Committed { notification }) => {
                    writer.notification = notification;
                    let namespace = Arc::new(change.namespace);
                    self.install(&writer, namespace.clone());
                    if is_news {
                        self.published.send_modify(|step| *step += 1);
                    }
                    return Ok(Some(namespace));
                }
                Ok(NamespacesWritten::Conflict) => self.reload(&mut writer).await?,
                Ok(NamespacesWritten::Unknown) => {
                    tracing::warn!(namespace = change.namespace.name, "it is not known whether a change was written");
                    doubtful = Some(change.namespace);
                    self.reload_at_last(&mut writer).await;
                    // If it was written, so was what peers are told.
                    self.published.send_modify(|step| *step += 1);
                }
                Err(cause) => return Err(unavailable(&cause)),
            }
        }
        Err(Status::unavailable("namespaces are being changed by others, try again"))
    }

    /// An id that no namespace here has: a seed that came twice must not give one namespace the place of another.
    fn fresh_id(&self, table: &Table) -> NamespaceId {
        let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ids = std::iter::repeat_with(|| NamespaceId(entropy.uuid()));
        ids.find(|id| !table.by_id.contains_key(id)).expect("ids do not end")
    }

    /// Make a durable change visible.
    fn install(&self, writer: &Writer, namespace: Arc<Namespace>) {
        // Who sees it in the table and acts on it finds that the listeners, the shards above all, know it too.
        for listener in &writer.listeners {
            listener(&namespace);
        }
        self.table.send_modify(|table| table.put(namespace));
    }

    /// Read everything again and make visible what is new.
    async fn reload(&self, writer: &mut Writer) -> Result<(), Status> {
        let stored = self.ports.store.namespaces().await.map_err(|cause| unavailable(&cause))?;
        let fresh = Table::decode(&stored).map_err(Status::internal)?;
        writer.notification = stored.notification;
        let gone: Vec<_> = {
            let table = self.table.borrow();
            table.by_id.keys().filter(|id| !fresh.by_id.contains_key(id)).copied().collect()
        };
        if !gone.is_empty() {
            self.table.send_modify(|table| gone.iter().for_each(|id| table.remove(*id)));
        }
        let changed: Vec<_> = {
            let table = self.table.borrow();
            let news = |namespace: &&Arc<Namespace>| table.by_id.get(&namespace.id) != Some(*namespace);
            fresh.by_name.values().map(|id| &fresh.by_id[id]).filter(news).cloned().collect()
        };
        for namespace in changed {
            self.install(writer, namespace);
        }
        Ok(())
    }

    /// The same, however long the store is away: until then it is not known what is true.
    async fn reload_at_last(&self, writer: &mut Writer) {
        let mut pause = RELOAD_PAUSE;
        while let Err(cause) = self.reload(writer).await {
            tracing::warn!(%cause, "namespaces cannot be read again yet");
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(RELOAD_PAUSE_LONGEST);
        }
    }
}

impl Table {
    fn decode(stored: &NamespaceTable) -> Result<Self, String> {
        let mut table = Self::default();
        for row in &stored.namespaces {
            let namespace = stored::decode(&row.record).map_err(|error| format!("namespace {}: {error}", row.id))?;
            if namespace.id != row.id {
                return Err(format!("namespace {} is stored under the id {}", namespace.id, row.id));
            }
            if let Some(other) = table.by_name.get(&namespace.name) {
                return Err(format!("namespaces {other} and {} have the same name {:?}", row.id, namespace.name));
            }
            table.put(Arc::new(namespace));
        }
        Ok(table)
    }

    fn by_name(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.by_name.get(name).map(|id| &self.by_id[id])
    }

    fn put(&mut self, namespace: Arc<Namespace>) {
        self.remove(namespace.id);
        self.by_name.insert(namespace.name.clone(), namespace.id);
        self.by_id.insert(namespace.id, namespace);
    }

    fn remove(&mut self, id: NamespaceId) {
        if let Some(old) = self.by_id.remove(&id) {
            self.by_name.remove(&old.name);
        }
    }
}

/// What becomes of the table when a peer tells something.
fn heard(table: &Table, task: &NamespaceTaskAttributes, here: &ClusterName) -> Result<Option<Change>, Refusal> {
    let by_id = NamespaceId::parse(&task.id).ok().and_then(|id| table.by_id.get(&id));
    let by_name = task.info.as_ref().and_then(|info| table.by_name(&info.name));
    let known = Known { by_id: by_id.map(Arc::as_ref), by_name: by_name.map(Arc::as_ref) };
    // Whoever changed it told every cluster itself.
    Ok(merge::merge(known, task, here)?.map(|namespace| Change { namespace, publish: None }))
}

/// How often a change is tried when others are first; as often as Temporal tries to take over what a peer tells.
const ATTEMPTS: usize = 30;

/// Pauses between attempts to read what is true.
const RELOAD_PAUSE: Duration = Duration::from_millis(50);
const RELOAD_PAUSE_LONGEST: Duration = Duration::from_secs(1);
