//! Text in PEM as rustls takes it. Every mistake is told by the key of the configuration that led to it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    sync::Arc,
};

use config::{Pem, PemSource, Problem, TlsIdentity};
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use crate::{certificate::not_after, live::Expiry};

/// What was read, by the keys that led to it.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Texts(BTreeMap<String, Vec<u8>>);

impl Texts {
    /// Read all of it.
    pub(crate) fn read<'a>(pems: impl IntoIterator<Item = &'a Pem>) -> Result<Self, Vec<Problem>> {
        let (mut texts, mut problems) = (BTreeMap::new(), Vec::new());
        for pem in pems {
            match read(&pem.source) {
                Ok(text) => _ = texts.insert(pem.path.clone(), text),
                Err(text) => problems.push(Problem { path: pem.path.clone(), text }),
            }
        }
        if problems.is_empty() { Ok(Self(texts)) } else { Err(problems) }
    }

    /// Certificates and their key.
    pub(crate) fn identity(&self, identity: &TlsIdentity) -> Result<Arc<CertifiedKey>, Problem> {
        let chain = self.certificates(&identity.certificate)?;
        let problem = |text: String| Problem { path: identity.key.path.clone(), text };
        let key = PrivateKeyDer::from_pem_slice(self.get(&identity.key))
            .map_err(|error| problem(format!("holds no key: {error}")))?;
        CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => problem(format!("is not the key of {}", identity.certificate.path)),
            error => problem(format!("cannot be used: {error}")),
        })
    }

    /// Those who vouch for others.
    pub(crate) fn authorities(&self, pems: &[Pem]) -> Result<RootCertStore, Problem> {
        let mut roots = RootCertStore::empty();
        for pem in pems {
            for certificate in self.certificates(pem)? {
                let problem = |error| Problem { path: pem.path.clone(), text: format!("vouches for nobody: {error}") };
                roots.add(certificate).map_err(problem)?;
            }
        }
        Ok(roots)
    }

    /// When the certificates of these end.
    pub(crate) fn expiries<'a>(&self, pems: impl IntoIterator<Item = &'a Pem>) -> Vec<Expiry> {
        let mut ends = Vec::new();
        for pem in pems {
            let certificates = self.certificates(pem).unwrap_or_default();
            if let Some(end) = certificates.iter().filter_map(not_after).min() {
                ends.push(Expiry { path: pem.path.clone(), end });
            }
        }
        ends
    }

    fn certificates(&self, pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let problem = |text: String| Problem { path: pem.path.clone(), text };
        let all = CertificateDer::pem_slice_iter(self.get(pem)).collect::<Result<Vec<_>, _>>();
        let all = all.map_err(|error| problem(format!("is not PEM: {error}")))?;
        if all.is_empty() {
            return Err(problem("holds no certificate".into()));
        }
        match all.iter().all(|certificate| not_after(certificate).is_some()) {
            true => Ok(all),
            false => Err(problem("holds a certificate that cannot be read".into())),
        }
    }

    fn get(&self, pem: &Pem) -> &[u8] {
        self.0.get(&pem.path).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The cryptography that is used everywhere.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(source: &PemSource) -> Result<Vec<u8>, String> {
    let path = match source {
        PemSource::Text(text) => return Ok(text.clone()),
        PemSource::File(path) => path,
    };
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut text));
    match read {
        Ok(_) if (text.len() as u64) <= MOST => Ok(text),
        Ok(_) => Err(format!("{} is longer than {MOST} bytes", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("{} does not exist", path.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

/// Bytes of a file of certificates, at most.
const MOST: u64 = 1 << 20;
