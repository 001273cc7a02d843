//! Sockets that a cluster answers on.
//!
//! All sockets of a process are opened before anything else is done, so that a taken port is said in one line and
//! nothing is half started.

#![allow(clippy::disallowed_methods, reason = "sockets are opened here")]

use std::{io, net::SocketAddr};

use config::Config;
use tokio::net::TcpListener;

/// The sockets of one cluster.
#[derive(Debug)]
pub struct Listeners {
    /// For gRPC.
    pub grpc: TcpListener,
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
        Ok(Self {
            grpc: bind("gRPC", config.frontend.grpc).await?,
            http: optional("HTTP", config.frontend.http).await?,
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
