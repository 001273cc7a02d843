//! Who is called: what it shows, and whom it believes.

use std::{collections::BTreeMap, sync::Arc};

use config::{Pem, Problem, TlsServer};
use rustls::{ServerConfig, server::WebPkiClientVerifier, sign::SingleCertAndKey};

use crate::{
    live::{Current, Expiry, Live, Refreshed, Source},
    material::{Texts, provider},
};

/// Who is called. Clones share everything.
#[derive(Clone)]
pub struct Server(Arc<Current<TlsServer>>);

/// What a server is for those who ask for one of its names.
pub(crate) struct Faces {
    usual: Arc<ServerConfig>,
    by_name: BTreeMap<String, Arc<ServerConfig>>,
}

impl Server {
    /// Read what it is made of.
    ///
    /// # Errors
    ///
    /// Every mistake, by its key.
    pub fn load(config: &TlsServer) -> Result<Self, Vec<Problem>> {
        Current::load(config.clone()).map(|current| Self(Arc::new(current)))
    }

    /// What it is now for whoever asks for this name.
    pub(crate) fn face(&self, name: Option<&str>) -> Arc<ServerConfig> {
        let faces = self.0.get();
        let chosen = name.and_then(|name| faces.by_name.get(&name.to_ascii_lowercase()));
        chosen.unwrap_or(&faces.usual).clone()
    }
}

impl Live for Server {
    fn refresh(&self) -> Refreshed {
        self.0.refresh()
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.0.expiries()
    }
}

impl Source for TlsServer {
    type Made = Faces;

    fn pems(&self) -> Vec<&Pem> {
        let own = [&self.identity.certificate, &self.identity.key].into_iter().chain(&self.client_authorities);
        own.chain(self.host_overrides.values().flat_map(Source::pems)).collect()
    }

    fn shown(&self) -> Vec<&Pem> {
        let others = self.host_overrides.values().flat_map(Source::shown);
        std::iter::once(&self.identity.certificate).chain(others).collect()
    }

    fn make(&self, texts: &Texts) -> Result<Faces, Vec<Problem>> {
        let mut problems = Vec::new();
        let usual = face(self, texts).map_err(|problem| problems.push(problem));
        let mut by_name = BTreeMap::new();
        for (name, server) in &self.host_overrides {
            match face(server, texts) {
                Ok(face) => _ = by_name.insert(name.clone(), face),
                Err(problem) => problems.push(problem),
            }
        }
        match usual {
            Ok(usual) if problems.is_empty() => Ok(Faces { usual, by_name }),
            _ => Err(problems),
        }
    }
}

fn face(server: &TlsServer, texts: &Texts) -> Result<Arc<ServerConfig>, Problem> {
    let identity = texts.identity(&server.identity)?;
    let problem = |path: &Pem, text: String| Problem { path: path.path.clone(), text };
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| problem(&server.identity.certificate, error.to_string()))?;
    let builder = match server.client_authorities.first() {
        None => builder.with_no_client_auth(),
        Some(first) => {
            let roots = texts.authorities(&server.client_authorities)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = if server.require_client { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| problem(first, error.to_string()))?)
        }
    };
    let mut made = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    made.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(made))
}
