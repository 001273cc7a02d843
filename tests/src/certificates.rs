//! Certificates in a folder, as an operator has them and as nobody should.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};

use crate::provision;

/// Somebody who vouches for others, and the folder in which their certificates are.
pub struct Authority {
    folder: PathBuf,
    name: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One in a scratch folder, called `ca`.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::in_folder(&provision::scratch(&format!("certificates-{name}")), "ca")
    }

    /// Another one in a folder that there is.
    ///
    /// # Panics
    ///
    /// As [`Self::new`].
    #[must_use]
    pub fn in_folder(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), made.pem()).expect("write a certificate");
        Self { folder: folder.to_owned(), name: name.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who it is, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        fs::read_to_string(self.folder.join(format!("{}.pem", self.name))).expect("read a certificate")
    }

    /// `FILE.pem` and `FILE.key`: for `name`, and for this machine.
    pub fn vouch(&self, file: &str, name: &str) {
        self.write(file, name, |_| ());
    }

    /// The same, and it ended long ago.
    pub fn vouch_formerly(&self, file: &str, name: &str) {
        self.write(file, name, |params| params.not_after = date_time_ymd(2020, 1, 1));
    }

    fn write(&self, file: &str, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new([name.to_owned(), "localhost".to_owned()]).expect("names");
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        // A file at a time, so that whoever looks meanwhile finds a pair that does not fit.
        for (kind, text) in [("key", key.serialize_pem()), ("pem", made.pem())] {
            fs::write(self.folder.join(format!("{file}.{kind}.new")), text).expect("write a file");
            let [from, to] = [".new", ""].map(|end| self.folder.join(format!("{file}.{kind}{end}")));
            fs::rename(from, to).expect("put it in its place");
        }
    }

    /// From now on those who believed this one believe these.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn is_replaced_by(&self, authorities: &[&str]) {
        let [from, to] = ["pem.new", "pem"].map(|end| self.folder.join(format!("{}.{end}", self.name)));
        fs::write(&from, authorities.concat()).expect("write certificates");
        fs::rename(from, to).expect("put them in their place");
    }

    /// What a client needs that believes this one, shows the certificate of that file, and expects a name.
    #[must_use]
    pub fn environment(&self, shows: Option<&str>, expects: Option<&str>) -> Environment {
        let shown = shows.map(|file| self.folder.join(file));
        Environment::new(&self.folder.join(format!("{}.pem", self.name)), shown.as_deref(), expects)
    }
}

/// Variables of the environment of a client: of the published CLI, of our own, or of an SDK's driver.
#[derive(Clone, Debug, Default)]
pub struct Environment(pub Vec<(&'static str, String)>);

impl Environment {
    /// One that believes `authority`, shows `shown.pem`, and expects a name.
    ///
    /// # Panics
    ///
    /// When a path is not in UTF-8.
    #[must_use]
    pub fn new(authority: &Path, shown: Option<&Path>, expects: Option<&str>) -> Self {
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let mut all = vec![("TEMPORAL_TLS_SERVER_CA_CERT_PATH", text(authority))];
        if let Some(shown) = shown {
            all.push(("TEMPORAL_TLS_CLIENT_CERT_PATH", text(&shown.with_extension("pem"))));
            all.push(("TEMPORAL_TLS_CLIENT_KEY_PATH", text(&shown.with_extension("key"))));
        }
        all.extend(expects.map(|name| ("TEMPORAL_TLS_SERVER_NAME", name.to_owned())));
        Self(all)
    }
}
