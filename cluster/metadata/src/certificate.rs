//! Whose certificate a caller showed. A caller who showed one is the cluster that it names, and no other.

use std::{fmt, sync::Arc};

use tonic::{Extensions, Status};

/// A certificate that a caller showed and that was believed; an extension of its calls.
#[derive(Clone)]
pub struct Certificate {
    names: Arc<str>,
    is_of: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Certificate {
    /// One with these names, for people, and whether they name a cluster.
    pub fn new(names: String, is_of: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { names: names.into(), is_of: Arc::new(is_of) }
    }

    /// Whether a caller may speak for a cluster. Who showed no certificate may: where that is not wanted, callers have to
    /// show one.
    ///
    /// # Errors
    ///
    /// `PermissionDenied`, naming both.
    pub(crate) fn check(extensions: &Extensions, cluster: &str) -> Result<(), Status> {
        let Some(Self { names, is_of }) = extensions.get() else { return Ok(()) };
        if is_of(cluster) {
            return Ok(());
        }
        tracing::warn!(cluster, %names, "a caller speaks for a cluster that its certificate does not name");
        Err(Status::permission_denied(format!(
            "the certificate of the caller is for {names}, not for cluster {cluster}"
        )))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.names).finish()
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_caller_is_who_its_certificate_says() {
        let mut extensions = Extensions::new();
        assert!(Certificate::check(&extensions, "a").is_ok(), "none is shown");
        extensions.insert(Certificate::new("b.example".into(), |cluster| cluster == "b"));
        assert!(Certificate::check(&extensions, "b").is_ok());
        let refusal = Certificate::check(&extensions, "a").unwrap_err();
        assert_eq!(refusal.code(), Code::PermissionDenied);
        assert_eq!(refusal.message(), "the certificate of the caller is for b.example, not for cluster a");
    }
}
