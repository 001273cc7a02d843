//! The way of a call, before and after its handler (api 0.3).
//!
//! Namespace, then place, then state, then versions, then the handler. The order can be seen from outside: an unknown
//! namespace is said first, whatever else is wrong.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use config::Service;
use hosts::wanted_at;
use proto::temporal::api::enums::v1::NamespaceState as State;
use replicator::{
    ids::NamespaceId,
    namespace::{Namespace, NamespaceState},
    shard::io::Failure,
    time::Timestamp,
    version::FailoverVersion,
};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::{
    caller::{Caller, FORWARDED_VERSION},
    errors::{Error, active_cluster},
    frontend::Frontend,
    handlers,
    metrics::UNKNOWN,
    rates::What,
    redirection::undecided,
    rpcs::{Claim, Home, Place, Rpc, Scope},
    tokens, versions,
};

impl Frontend {
    /// Answer a call, or refuse it.
    pub(crate) async fn answer(&self, caller: &Caller) -> Result<Bytes, Status> {
        let namespace = self.admit(caller);
        let known = namespace.as_ref().ok().and_then(Option::as_ref);
        let count =
            Count::begin(self, Service::Frontend, caller.rpc, known.map_or(UNKNOWN, |namespace| &namespace.name));
        caller.follow(known.map(Arc::as_ref));
        let answer = async {
            let namespace = namespace?;
            self.rates.take(&self.limits, (self.clock)(), namespace.as_deref(), wanted(caller.rpc))?;
            match namespace {
                Some(namespace) => self.place(caller, &namespace).await,
                None => self.handle(caller, None).await,
            }
        };
        let outcome = self.in_time(caller, answer).await.map_err(Status::from);
        count.end(outcome.as_ref().err().map_or(Code::Ok, Status::code));
        outcome
    }

    /// The namespace of a call; none for a call on the cluster.
    fn admit(&self, caller: &Caller) -> Result<Option<Arc<Namespace>>, Error> {
        let claim = Claim::read(caller.rpc, &caller.request)?;
        if MAX_NAME < claim.namespace.len() {
            return Err(Error::invalid("Namespace length exceeds limit."));
        }
        let named = || match claim.namespace.as_str() {
            "" => Ok(None),
            name => self.namespaces.by_name(name).map(Some).ok_or_else(|| Error::NamespaceNotFound(name.into())),
        };
        match caller.rpc.scope {
            Scope::Cluster => Ok(None),
            Scope::Field(_) | Scope::Begins(_) => match named()? {
                None => Err(Error::invalid("Namespace is empty.")),
                found => Ok(found),
            },
            Scope::Token(_) => {
                let named = named()?;
                if claim.token.is_empty() {
                    return Err(Error::invalid("Task token not set on request."));
                }
                let id = tokens::namespace_of(&claim.token)
                    .map_err(|tokens::Malformed| Error::invalid("Error deserializing task token."))?;
                let of_token = self.namespaces.by_id(id).ok_or_else(|| Error::NamespaceNotFound(id.to_string()))?;
                if named.is_some_and(|named| named.id != of_token.id) {
                    return Err(Error::invalid("Operation requested with a token from a different namespace."));
                }
                Ok(Some(of_token))
            }
        }
    }

    /// Have a call answered where it belongs. Clusters may disagree about where that is: of two tries the second goes where
    /// the first one said (FW-3), and there is no third. A cluster that learns from another one that it is behind waits a
    /// moment for the news.
    async fn place(&self, caller: &Caller, namespace: &Arc<Namespace>) -> Result<Bytes, Error> {
        if caller.rpc.place == Place::Wherever {
            return self.here(caller, namespace).await;
        }
        let mut elsewhere = self.elsewhere(caller, namespace);
        let mut is_told = false;
        for _ in 0..2 {
            let outcome = match &elsewhere {
                Some(cluster) => self.forward(caller, cluster, namespace.id).await.map_err(Error::from),
                None => self.here_soon(caller, namespace, is_told).await,
            };
            match outcome.as_ref().err().and_then(active_elsewhere) {
                Some(active) if self.may_forward(caller) => {
                    is_told = elsewhere.is_some();
                    elsewhere = (active != self.about.cluster.as_str()).then(|| active.into());
                }
                _ => return outcome,
            }
        }
        Err(undecided(&namespace.name))
    }

    /// Have a call answered here. If only another cluster knows that it belongs here, then as soon as this one does: it was
    /// told so when it asked there, or the call comes with a version of which it has not heard.
    async fn here_soon(&self, caller: &Caller, namespace: &Arc<Namespace>, is_told: bool) -> Result<Bytes, Error> {
        let outcome = self.here(caller, namespace).await;
        if outcome.as_ref().err().and_then(active_elsewhere).is_none() {
            return outcome;
        }
        let version = FailoverVersion(caller.header(FORWARDED_VERSION).parse().unwrap_or_default());
        let is_news = |known: &Namespace| match is_told {
            true => known.is_active_in(&self.about.cluster),
            false => version <= known.failover_version,
        };
        match self.hear(namespace.id, is_news).await {
            true => self.here(caller, namespace).await,
            false => outcome,
        }
    }

    /// Wait a moment for news of a namespace. Answers whether they came, and were not known.
    async fn hear(&self, id: NamespaceId, is_news: impl Fn(&Namespace) -> bool) -> bool {
        let heard = async {
            let mut known = self.namespaces.by_id(id).filter(|known| !is_news(known))?;
            while !is_news(&known) {
                known = self.namespaces.changed(&known).await?;
            }
            Some(())
        };
        matches!(timeout(NEWS, heard).await, Ok(Some(())))
    }

    /// Have a call answered here.
    async fn here(&self, caller: &Caller, namespace: &Arc<Namespace>) -> Result<Bytes, Error> {
        check_state(caller.rpc, namespace)?;
        self.handle(caller, Some(namespace)).await
    }

    async fn handle(&self, caller: &Caller, namespace: Option<&Arc<Namespace>>) -> Result<Bytes, Error> {
        versions::check(caller)?;
        match (&self.hosts, namespace) {
            (Some(hosts), Some(namespace)) => self.at_home(hosts, caller, namespace).await,
            _ => self.at_service(caller, namespace).await,
        }
    }

    /// Have a call answered by the service of this host that it is for, which counts it as the frontend does.
    pub(crate) async fn at_service(&self, caller: &Caller, namespace: Option<&Arc<Namespace>>) -> Result<Bytes, Error> {
        let service = match caller.rpc.home {
            Home::Workflow(_) | Home::Task => Service::History,
            Home::Queue(_) | Home::Question => Service::Matching,
            Home::Any => return handlers::run(self, caller, namespace).await,
        };
        let count = Count::begin(self, service, caller.rpc, namespace.map_or(UNKNOWN, |namespace| &namespace.name));
        let answer = async {
            if service == Service::Matching {
                self.rates.take_matching(&self.limits, self.now())?;
            }
            handlers::run(self, caller, namespace).await
        };
        let outcome = answer.await.map_err(Status::from);
        // A poll that is to wait on another host did not fail.
        let failed = outcome.as_ref().err().filter(|status| wanted_at(status).is_none());
        count.end(failed.map_or(Code::Ok, Status::code));
        Ok(outcome?)
    }

    /// Answer a call that another host of the cluster has checked and passed on, or refuse it.
    pub(crate) async fn answer_inside(&self, caller: &Caller) -> Result<Bytes, Status> {
        let namespace = match self.admit(caller) {
            // The other one knows it, so we are about to.
            Err(Error::NamespaceNotFound(_)) => Err(Error::Refused(Failure::Moved)),
            admitted => admitted,
        };
        caller.follow(namespace.as_ref().ok().and_then(Option::as_ref).map(Arc::as_ref));
        let answer = async { self.at_service(caller, namespace?.as_ref()).await };
        self.in_time(caller, answer).await.map_err(Status::from)
    }

    /// Answer while the caller still waits.
    async fn in_time(
        &self,
        caller: &Caller,
        answer: impl Future<Output = Result<Bytes, Error>>,
    ) -> Result<Bytes, Error> {
        match caller.deadline {
            Some(deadline) => timeout(deadline.since(self.now()), answer).await.unwrap_or(Err(Error::DeadlineExceeded)),
            None => answer.await,
        }
    }
}

/// By which limit a call is counted.
fn wanted(rpc: &Rpc) -> What {
    let of_runs = rpc.name.strip_suffix("WorkflowExecutions");
    match of_runs.is_some_and(|verb| ["List", "Count", "Scan"].iter().any(|known| verb.starts_with(known))) {
        true => What::List,
        false => What::Other,
    }
}

/// Whether the namespace is in a state in which the method works.
fn check_state(rpc: &Rpc, namespace: &Namespace) -> Result<(), Error> {
    let state = match namespace.state {
        NamespaceState::Registered => State::Registered,
        NamespaceState::Deprecated => State::Deprecated,
        NamespaceState::Deleted => State::Deleted,
    };
    let allowed: &[State] = match rpc.scope {
        Scope::Begins(_) => &[State::Registered],
        _ => &[State::Registered, State::Deprecated],
    };
    if allowed.contains(&state) {
        return Ok(());
    }
    Err(Error::NamespaceInvalidState { namespace: namespace.name.clone(), state, allowed: allowed.to_vec() })
}

/// The cluster that a refusal names as the active one.
fn active_elsewhere(error: &Error) -> Option<String> {
    match error {
        Error::Refused(Failure::NotActive { active, .. }) => Some(active.clone()),
        Error::Status(status) => active_cluster(status),
        _ => None,
    }
}

/// Counts one call; a call that is dropped was given up by its caller.
struct Count<'a> {
    frontend: &'a Frontend,
    service: Service,
    rpc: &'static Rpc,
    namespace: String,
    began: Timestamp,
    code: Code,
}

impl<'a> Count<'a> {
    fn begin(frontend: &'a Frontend, service: Service, rpc: &'static Rpc, namespace: &str) -> Self {
        frontend.meter.begin(service, rpc.name, namespace);
        Self { frontend, service, rpc, namespace: namespace.into(), began: frontend.now(), code: Code::Cancelled }
    }

    fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        let took = self.frontend.now().since(self.began);
        self.frontend.meter.end(self.service, self.rpc.name, &self.namespace, self.code, took);
    }
}

/// How long news of a failover may take to another cluster that is reached.
const NEWS: Duration = Duration::from_secs(1);

/// Longest name of a namespace, in bytes.
const MAX_NAME: usize = 1000;

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
