//! Two `meridian server` processes that are reached by TLS alone, from the example files that operators start from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    certificates::{Authority, Environment},
    cli,
    pages::Metrics,
    pair::{deployed, moved},
    provision,
    server::{Server, free_port},
    wait,
};

/// One of them.
#[derive(Debug)]
pub struct Secured {
    server: Server,
    address: String,
    metrics: String,
    certificates: PathBuf,
}

/// Start the clusters `a` and `b`, with certificates of `authority` or with those of the example. They do not know each other
/// yet.
///
/// # Panics
///
/// When an example cannot be read, or its cluster does not start.
#[must_use]
pub fn pair(name: &str, authority: Option<&Authority>) -> [Secured; 2] {
    let certificates = match authority {
        Some(authority) => {
            ["a", "b"].iter().for_each(|cluster| authority.vouch(cluster, cluster));
            authority.folder().to_owned()
        }
        None => made_by_the_example(name),
    };
    let base = free_port(4);
    [("a", 33), ("b", 133)].map(|(cluster, port)| {
        let text = moved(&deployed(&format!("tls/cluster-{cluster}.yaml")), base);
        let text = text.replace("refreshInterval: 10s", "refreshInterval: 200ms");
        let text = ["ca.pem", &format!("{cluster}.pem"), &format!("{cluster}.key")].iter().fold(text, |text, file| {
            let [list, value] = ["[", " "].map(|before| (format!("{before}{file}"), before));
            [list, value].iter().fold(text, |text, (from, before)| {
                text.replace(from, &format!("{before}{}", certificates.join(file).display()))
            })
        });
        let server = Server::meridian_that_is_not_asked(&format!("{name}-{cluster}"), &text);
        let at = |port: u16| format!("127.0.0.1:{}", base + port);
        let (address, metrics) = (at(port), at(port + 20));
        let started = Secured { server, address, metrics, certificates: certificates.clone() };
        started.says(r#""message":"started""#);
        started
    })
}

/// The folder with what `deploy/tls/certificates.sh` makes.
fn made_by_the_example(name: &str) -> PathBuf {
    let folder = provision::scratch(&format!("{name}-certificates"));
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/tls/certificates.sh");
    let made = Command::new(program).arg(&folder).output().expect("run certificates.sh");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder
}

/// Let each know the other, as an operator does.
///
/// # Panics
///
/// When one refuses.
pub fn join(a: &Secured, b: &Secured, operator: &Environment) {
    for (here, there) in [(a, b), (b, a)] {
        let frontend = format!("--frontend-address={}", there.address);
        let command = ["operator", "cluster", "upsert", &frontend, "--enable-connection", "--enable-replication"];
        let _ = cli::temporal_with(operator, &[&command[..], &["--address", &here.address]].concat()).ok();
    }
}

/// Create the namespace `default`, active in `a`, and wait until `b` knows it.
///
/// # Panics
///
/// When one refuses.
pub fn register(a: &Secured, b: &Secured, operator: &Environment) {
    let create = ["operator", "namespace", "create", "--namespace=default", "--global", "--cluster=a", "--cluster=b"];
    let _ =
        cli::temporal_with(operator, &[&create[..], &["--active-cluster=a", "--address", &a.address]].concat()).ok();
    let describe = ["operator", "namespace", "describe", "--namespace=default", "--address", &b.address];
    wait::until("the namespace on b", || {
        let described = cli::temporal_with(operator, &describe);
        if described.success { Ok(()) } else { Err(described.err) }
    });
}

/// Change certificates, and wait until all of these use what is new: as servers, and as clients of the other one.
///
/// # Panics
///
/// When one does not.
pub fn replace(servers: [&Secured; 2], change: impl FnOnce()) {
    const USED: &str = "new certificates are used";
    let before = servers.map(|server| server.count(USED));
    change();
    for (server, before) in servers.iter().zip(before) {
        wait::until_eq(&(before + 2), || server.count(USED));
    }
}

impl Secured {
    /// Where it answers gRPC.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What a client needs for the certificates of the example.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let shown = self.certificates.join("client");
        Environment::new(&self.certificates.join("ca.pem"), Some(&shown), None)
    }

    /// Wait until its log says something.
    pub fn says(&self, told: &str) {
        wait::until(&format!("{told} in the log"), || match self.count(told) {
            0 => Err(self.server.process().last_words()),
            _ => Ok(()),
        });
    }

    /// How many lines of its log say something.
    #[must_use]
    pub fn count(&self, told: &str) -> usize {
        let text = fs::read_to_string(self.server.folder().join("log")).unwrap_or_default();
        text.lines().filter(|line| line.contains(told)).count()
    }

    /// What it measures, as `/metrics` shows it: the sum over all labels.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        Metrics::read(&self.metrics).sum(name, &[])
    }

    /// Stop it and start it again, with the certificates that are there now.
    pub fn restart(&mut self) {
        assert!(self.server.stop().success(), "{}", self.server.process().last_words());
        let before = self.count(r#""message":"started""#);
        self.server.restart();
        wait::until_eq(&(before + 1), || self.count(r#""message":"started""#));
    }
}
