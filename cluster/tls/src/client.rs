//! Who calls: what it shows, and whom it believes.

use std::{collections::BTreeMap, io, sync::Arc};

use config::{Pem, Problem, TlsClient};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::SingleCertAndKey,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream;

use crate::{
    live::{Current, Expiry, Live, Refreshed, Source},
    material::{Texts, provider},
};

/// Who calls. Clones share everything.
#[derive(Clone)]
pub struct Client(Arc<Current<Caller>>);

/// A source of who calls.
struct Caller(TlsClient);

struct Made {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl Client {
    /// Read what it is made of.
    ///
    /// # Errors
    ///
    /// Every mistake, by its key.
    pub fn load(config: &TlsClient) -> Result<Self, Vec<Problem>> {
        Current::load(Caller(config.clone())).map(|current| Self(Arc::new(current)))
    }

    /// Shake hands with whoever answers at a connection to `host`.
    ///
    /// # Errors
    ///
    /// Whatever kept hands from being shaken; see [`crate::reason`].
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let made = self.0.get();
        let name = match &made.name {
            Some(name) => name.clone(),
            None => name_of(host).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?,
        };
        TlsConnector::from(made.config.clone()).connect(name, stream).await
    }
}

impl Live for Client {
    fn refresh(&self) -> Refreshed {
        self.0.refresh()
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.0.expiries()
    }
}

/// Who calls, by who is called: `host:port`, `host`, or `*.domain`. Clones share everything.
#[derive(Clone, Default)]
pub struct Clients(Arc<BTreeMap<String, Client>>);

impl Clients {
    /// Read what they are made of.
    ///
    /// # Errors
    ///
    /// Every mistake, by its key.
    pub fn load(all: &BTreeMap<String, TlsClient>) -> Result<Self, Vec<Problem>> {
        let (mut clients, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, config) in all {
            match Client::load(config) {
                Ok(client) => _ = clients.insert(name.to_ascii_lowercase(), client),
                Err(more) => problems.extend(more),
            }
        }
        if problems.is_empty() { Ok(Self(Arc::new(clients))) } else { Err(problems) }
    }

    /// Who calls `host:port`; nobody: it is called without TLS. What says most of it counts.
    #[must_use]
    pub fn to(&self, address: &str) -> Option<&Client> {
        let address = address.to_ascii_lowercase();
        let host = bare(address.rsplit_once(':').map_or(&*address, |(host, _)| host));
        let exact = self.0.get(&address).or_else(|| self.0.get(host));
        let domains = host.match_indices('.').map(|(dot, _)| format!("*{}", &host[dot..]));
        exact.or_else(|| domains.into_iter().find_map(|pattern| self.0.get(&pattern)))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Client> {
        self.0.values()
    }
}

impl Source for Caller {
    type Made = Made;

    fn pems(&self) -> Vec<&Pem> {
        let own = self.0.identity.iter().flat_map(|identity| [&identity.certificate, &identity.key]);
        own.chain(&self.0.authorities).collect()
    }

    fn shown(&self) -> Vec<&Pem> {
        self.0.identity.iter().map(|identity| &identity.certificate).collect()
    }

    fn make(&self, texts: &Texts) -> Result<Made, Vec<Problem>> {
        self.make_one(texts).map_err(|problem| vec![problem])
    }
}

impl Caller {
    fn make_one(&self, texts: &Texts) -> Result<Made, Problem> {
        let Self(config) = self;
        let problem = |text: String| Problem { path: config.path.clone(), text };
        let name = config.server_name.as_deref().map(|name| {
            let path = format!("{}.serverName", config.path);
            name_of(name).map_err(|text| Problem { path, text })
        });
        let name = name.transpose()?;
        let vouched = match config.authorities.is_empty() {
            false => Some(texts.authorities(&config.authorities)?),
            true if config.verify_host => Some(trusted_here().map_err(problem)?),
            true => None,
        };
        let inner =
            vouched.map(|roots| WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build());
        let inner = inner.transpose().map_err(|error| problem(error.to_string()))?;
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| problem(error.to_string()))?;
        let builder = match inner {
            Some(inner) if config.verify_host => builder.with_webpki_verifier(inner),
            inner => {
                let provider = provider();
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { inner, provider }))
            }
        };
        let mut made = match &config.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let identity = texts.identity(identity)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
        };
        made.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Made { config: Arc::new(made), name })
    }
}

/// Whomever this machine trusts.
fn trusted_here() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("names no rootCaFiles, and this machine trusts nobody".into());
    }
    Ok(roots)
}

fn name_of(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(bare(host).to_owned()).map_err(|_| format!("{host:?} is no name that a certificate can have"))
}

/// An address of IPv6 without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Compares no name. Who vouches for the other side still counts, where somebody is to.
#[derive(Debug)]
struct AnyName {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        // The name is compared last.
        match inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
