//! How the command line reaches a server by TLS. Names are those of the published CLI, and of its environment.

use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use config::{Pem, PemSource, TlsClient, TlsIdentity};
use tls::Client;

use super::Failed;

/// How a server is reached by TLS.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Encryption {
    /// Reach the server by TLS. Any of the following asks for it as well.
    #[arg(long, env = "TEMPORAL_TLS", value_parser = FalseyValueParser::new())]
    tls: bool,
    /// A certificate to show the server.
    #[arg(long, env = "TEMPORAL_TLS_CLIENT_CERT_PATH", value_name = "FILE", requires = "tls_key_path")]
    tls_cert_path: Option<PathBuf>,
    /// Its key.
    #[arg(long, env = "TEMPORAL_TLS_CLIENT_KEY_PATH", value_name = "FILE", requires = "tls_cert_path")]
    tls_key_path: Option<PathBuf>,
    /// Who vouches for the server; without it, whomever this machine trusts.
    #[arg(long, env = "TEMPORAL_TLS_SERVER_CA_CERT_PATH", value_name = "FILE")]
    tls_ca_path: Option<PathBuf>,
    /// The name in the server's certificate, if it is not the one in the address.
    #[arg(long, env = "TEMPORAL_TLS_SERVER_NAME", value_name = "NAME")]
    tls_server_name: Option<String>,
    /// Accept whatever name the server's certificate has. Without a CA accept any certificate.
    #[arg(long, env = "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", value_parser = FalseyValueParser::new())]
    tls_disable_host_verification: bool,
}

impl Encryption {
    /// What may help when a server breaks off.
    pub(crate) fn advice(&self) -> &'static str {
        match (self.is_asked(), &self.tls_cert_path) {
            (false, _) => "if it is reached by TLS, say so with --tls-ca-path",
            (true, None) => "if it requires a certificate, give one with --tls-cert-path",
            (true, Some(_)) => "its log says why, if it does not accept the certificate",
        }
    }

    fn is_asked(&self) -> bool {
        self.tls
            || self.tls_cert_path.is_some()
            || self.tls_ca_path.is_some()
            || self.tls_server_name.is_some()
            || self.tls_disable_host_verification
    }

    /// Who calls; nothing: without TLS.
    pub(crate) fn client(&self) -> Result<Option<Client>, Failed> {
        let identity = self.tls_cert_path.as_ref().zip(self.tls_key_path.as_ref());
        if !self.is_asked() {
            return Ok(None);
        }
        let client = TlsClient {
            path: "--tls".to_owned(),
            identity: identity.map(|(certificate, key)| TlsIdentity {
                certificate: pem("--tls-cert-path", certificate),
                key: pem("--tls-key-path", key),
            }),
            authorities: self.tls_ca_path.iter().map(|path| pem("--tls-ca-path", path)).collect(),
            server_name: self.tls_server_name.clone(),
            verify_host: !self.tls_disable_host_verification,
        };
        let failed = |problems: Vec<config::Problem>| {
            Failed(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        Client::load(&client).map(Some).map_err(failed)
    }
}

fn pem(option: &str, path: &Path) -> Pem {
    Pem { path: option.to_owned(), source: PemSource::File(path.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_where_it_is_asked_for() {
        assert!(Encryption::default().client().expect("nothing is asked for").is_none());
        let blind = Encryption { tls_disable_host_verification: true, ..Encryption::default() };
        assert!(blind.client().expect("no file is needed").is_some());
        let lost = Encryption { tls_ca_path: Some("no/such.pem".into()), ..Encryption::default() };
        let failed = lost.client().map(drop).unwrap_err().to_string();
        assert_eq!(failed, "--tls-ca-path: no/such.pem does not exist");
    }
}
