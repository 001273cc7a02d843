//! What a certificate says: whose it is, and until when.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// The names in a certificate that somebody vouched for: DNS names, and the common name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names(Arc<[String]>);

impl Names {
    /// Those of a certificate; none of one that cannot be read.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = parse_x509_certificate(certificate) else { return Self::default() };
        let mut names = Vec::new();
        if let Ok(Some(others)) = certificate.subject_alternative_name() {
            for name in &others.value.general_names {
                if let GeneralName::DNSName(name) = name {
                    names.push((*name).to_owned());
                }
            }
        }
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(str::to_owned));
        Self(names.into())
    }

    /// Names that were read elsewhere.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Whether the certificate is a cluster's: one of its names is the cluster's, or begins with it and a dot.
    #[must_use]
    pub fn is_of_cluster(&self, cluster: &str) -> bool {
        self.0.iter().any(|name| match name.strip_prefix(cluster) {
            Some(rest) => !cluster.is_empty() && (rest.is_empty() || rest.starts_with('.')),
            None => false,
        })
    }

    /// All of them, for people.
    #[must_use]
    pub fn list(&self) -> String {
        if self.0.is_empty() { "no name".to_owned() } else { self.0.join(", ") }
    }
}

/// When a certificate ends, in seconds since 1970; nothing when it cannot be read.
pub(crate) fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    parse_x509_certificate(certificate).ok().map(|(_, certificate)| certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_by_their_names() {
        let check = |names: &[&str], cluster, expected| {
            let names = Names::new(names.iter().map(|name| (*name).to_owned()));
            assert_eq!(names.is_of_cluster(cluster), expected, "{names:?} {cluster}");
        };
        check(&["a"], "a", true);
        check(&["x", "a.example.com"], "a", true);
        check(&["ab", "b.a", "A"], "a", false);
        check(&["a"], "a.example.com", false);
        check(&[".x"], "", false);
        check(&[], "a", false);
    }

    #[test]
    fn names_and_the_end() {
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("names");
        params.distinguished_name.push(rcgen::DnType::CommonName, "a");
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let made = params.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("a certificate");
        assert_eq!(Names::of(made.der()), Names::new(["a.example", "a"].map(str::to_owned)));
        assert_eq!(not_after(made.der()), Some(1_893_456_000));
        let none = CertificateDer::from_slice(b"none");
        assert_eq!((Names::of(&none), not_after(&none)), (Names::default(), None));
    }
}
