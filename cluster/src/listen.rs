//! Sockets that a cluster answers on.
//!
//! All sockets of a process are opened before anything else is done, so that a taken port is said in one line and
//! nothing is half started.

#![allow(clippy::disallowed_methods, reason = "sockets are opened here")]

use std::{io, net::SocketAddr};

use config::{Config, Service};
use tokio::net::{TcpListener, UdpSocket};

/// The sockets of one cluster.
#[derive(Debug)]
pub struct Listeners {
    /// For gRPC, if the process runs a frontend.
    pub grpc: Option<TcpListener>,
    /// For gRPC of the other processes of the cluster, if there are any.
    pub internal: Option<TcpListener>,
    /// For gossip of the other processes, if there are any.
    pub gossip: Option<UdpSocket>,
    /// For `/healthz`, if anywhere.
    pub http: Option<TcpListener>,
    /// For `/metrics`, if anywhere.
    pub metrics: Option<TcpListener>,
}

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose} of cluster {cluster}: {}", cause(error))]
pub struct ListenError {
    cluster: String,
    purpose: &'static str,
    address: SocketAddr,
    /// What the system said. Part of the message, and so not a source of its own.
    error: io::Error,
}

impl Listeners {
    /// Open the sockets that a configuration names.
    ///
    /// # Errors
    ///
    /// [`ListenError`]; none is left open.
    pub async fn bind(config: &Config) -> Result<Self, ListenError> {
        let bind = async |purpose, address: SocketAddr| {
            let cluster = config.cluster.name.clone();
            TcpListener::bind(address).await.map_err(|error| ListenError { cluster, purpose, address, error })
        };
        let optional = async |purpose, address: Option<SocketAddr>| match address {
            Some(address) => bind(purpose, address).await.map(Some),
            None => Ok(None),
        };
        let is_frontend = config.host.is_none_or(|host| host.services.contains(Service::Frontend));
        let gossip = match config.host.map(|host| host.gossip) {
            Some(address) => {
                let cluster = config.cluster.name.clone();
                let failed = |error| ListenError { cluster, purpose: "gossip", address, error };
                Some(UdpSocket::bind(address).await.map_err(failed)?)
            }
            None => None,
        };
        let http = if is_frontend { config.frontend.http } else { config.host.and_then(|host| host.http) };
        Ok(Self {
            grpc: optional("gRPC", Some(config.frontend.grpc).filter(|_| is_frontend)).await?,
            internal: optional("internal gRPC", config.host.map(|host| host.internal)).await?,
            gossip,
            http: optional("HTTP", http).await?,
            metrics: optional("metrics", config.metrics).await?,
        })
    }
}

fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is taken".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => "not allowed; ports below 1024 are for the superuser".to_owned(),
        _ => error.to_string(),
    }
}
