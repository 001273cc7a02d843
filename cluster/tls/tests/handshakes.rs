//! Hands are shaken with real certificates, and refused with a reason.

#![allow(clippy::disallowed_methods, reason = "the world of these tests is real")]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use config::{Pem, PemSource, TlsClient, TlsIdentity, TlsServer};
use futures_util::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tls::{Client, Handshakes, Live, Reason, Refreshed, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Somebody who vouches.
struct Authority {
    folder: PathBuf,
    name: &'static str,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &Path, name: &'static str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), made.pem()).expect("write it");
        Self { folder: folder.to_owned(), name, issuer: Issuer::new(params, key) }
    }

    fn pem(&self) -> Pem {
        pem(&self.folder, &format!("{}.pem", self.name))
    }

    /// A certificate for `name`, in `file`.
    fn vouch(&self, file: &str, name: &str, change: impl FnOnce(&mut CertificateParams)) -> TlsIdentity {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.folder.join(format!("{file}.pem")), made.pem()).expect("write it");
        fs::write(self.folder.join(format!("{file}.key")), key.serialize_pem()).expect("write it");
        TlsIdentity {
            certificate: pem(&self.folder, &format!("{file}.pem")),
            key: pem(&self.folder, &format!("{file}.key")),
        }
    }
}

fn pem(folder: &Path, file: &str) -> Pem {
    Pem { path: file.to_owned(), source: PemSource::File(folder.join(file)) }
}

fn server(identity: &TlsIdentity, callers: Option<&Authority>) -> TlsServer {
    TlsServer {
        identity: identity.clone(),
        client_authorities: callers.iter().map(|authority| authority.pem()).collect(),
        require_client: callers.is_some(),
        host_overrides: [].into(),
    }
}

fn client(authority: &Authority, identity: Option<TlsIdentity>) -> TlsClient {
    TlsClient {
        path: "client".into(),
        identity,
        authorities: vec![authority.pem()],
        server_name: None,
        verify_host: true,
    }
}

/// A port that says to every caller by which names it knows him.
struct Port {
    address: SocketAddr,
    refused: Arc<Mutex<Vec<Reason>>>,
}

impl Port {
    async fn open(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let refused = Arc::<Mutex<Vec<Reason>>>::default();
        let heard = refused.clone();
        let hear = Arc::new(move |_, reason| heard.lock().expect("whole").push(reason));
        let mut shaken = Handshakes::accept(listener, server, Arc::new(|task| drop(tokio::spawn(task))), hear);
        tokio::spawn(async move {
            while let Some(Ok(mut secured)) = shaken.next().await {
                tokio::spawn(async move {
                    let names = secured.caller.names.clone().map_or("nobody".to_owned(), |names| names.list());
                    let mut byte = [0];
                    while secured.read_exact(&mut byte).await.is_ok() {
                        secured.write_all(format!("{names}\n").as_bytes()).await.expect("the caller is there");
                        secured.flush().await.expect("the caller is there");
                    }
                });
            }
        });
        Self { address, refused }
    }

    /// Call it, and ask as whom it knows the caller; or why it does not come to that.
    async fn call(&self, client: &Client, host: &str) -> Result<String, Reason> {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let mut stream = client.connect(host, stream).await.map_err(|error| tls::reason(&error))?;
        ask(&mut stream).await.map_err(|error| tls::reason(&error))
    }

    /// It refuses a caller for this reason, or has done so.
    async fn refuses(&self, expected: Reason) {
        let told = async {
            while !self.refused.lock().expect("whole").contains(&expected) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let told = timeout(Duration::from_secs(60), told).await;
        assert!(told.is_ok(), "{expected:?} is not among {:?}", self.refused.lock().expect("whole"));
        self.refused.lock().expect("whole").clear();
    }
}

async fn ask(stream: &mut tls::TlsStream<TcpStream>) -> std::io::Result<String> {
    stream.write_all(b"?").await?;
    let (mut line, mut byte) = (Vec::new(), [0]);
    loop {
        stream.read_exact(&mut byte).await?;
        match byte[0] {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            other => line.push(other),
        }
    }
}

fn load(client: &TlsClient) -> Client {
    Client::load(client).expect("it loads")
}

#[tokio::test]
async fn those_who_are_not_who_they_should_be_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let [ours, theirs] = ["ours", "theirs"].map(|name| Authority::new(folder.path(), name));
    let shown = ours.vouch("server", "localhost", |_| ());
    let port = Port::open(Server::load(&server(&shown, Some(&ours))).expect("it loads")).await;

    let known = load(&client(&ours, Some(ours.vouch("known", "b.example", |_| ()))));
    let names = port.call(&known, "localhost").await.expect("all is well");
    assert_eq!(names, "b.example, rcgen self signed cert");

    // Those who call are told by their own side.
    assert_eq!(port.call(&known, "other").await, Err(Reason::WrongName));
    let blind = TlsClient { verify_host: false, ..client(&ours, Some(ours.vouch("blind", "b", |_| ()))) };
    assert!(port.call(&load(&blind), "other").await.is_ok(), "no name is compared");
    let distrusting = load(&client(&theirs, None));
    assert_eq!(port.call(&distrusting, "localhost").await, Err(Reason::UnknownAuthority));
    let blind = TlsClient { verify_host: false, ..client(&theirs, None) };
    assert_eq!(port.call(&load(&blind), "localhost").await, Err(Reason::UnknownAuthority), "it is vouched for in vain");

    // Those who are called say why.
    let check = async |identity: Option<TlsIdentity>, expected| {
        let answer = port.call(&load(&client(&ours, identity)), "localhost").await;
        assert!(answer.is_err(), "{answer:?}");
        port.refuses(expected).await;
    };
    check(None, Reason::NoCertificate).await;
    check(Some(theirs.vouch("stranger", "b", |_| ())), Reason::UnknownAuthority).await;
    let old = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    check(Some(ours.vouch("old", "b", old)), Reason::Expired).await;

    let mut plain = TcpStream::connect(port.address).await.expect("it listens");
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("it reads");
    port.refuses(Reason::NotTls).await;
}

#[tokio::test]
async fn an_old_server_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(folder.path(), "ours");
    let shown = ours.vouch("server", "localhost", |params| params.not_after = date_time_ymd(2020, 1, 1));
    let port = Port::open(Server::load(&server(&shown, None)).expect("it loads")).await;
    assert_eq!(port.call(&load(&client(&ours, None)), "localhost").await, Err(Reason::Expired));
    port.refuses(Reason::NotBelieved("expired".into())).await;
}

#[tokio::test]
async fn a_server_has_several_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(folder.path(), "ours");
    let mut config = server(&ours.vouch("usual", "localhost", |_| ()), None);
    config.host_overrides.insert("b.example".into(), server(&ours.vouch("b", "b.example", |_| ()), Some(&ours)));
    let port = Port::open(Server::load(&config).expect("it loads")).await;
    let anybody = load(&client(&ours, None));
    assert_eq!(port.call(&anybody, "localhost").await, Ok("nobody".into()));
    assert!(port.call(&anybody, "B.example").await.is_err(), "there a certificate is required");
    port.refuses(Reason::NoCertificate).await;
}

#[tokio::test]
async fn certificates_change_and_connections_live_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let [old, new] = ["old", "new"].map(|name| Authority::new(folder.path(), name));
    let shown = old.vouch("server", "localhost", |_| ());
    let served = Server::load(&server(&shown, None)).expect("it loads");
    let port = Port::open(served.clone()).await;
    let before = load(&client(&old, None));
    let stream = TcpStream::connect(port.address).await.expect("it listens");
    let mut open = before.connect("localhost", stream).await.expect("all is well");
    assert_eq!(served.refresh(), Refreshed::Same);

    fs::write(folder.path().join("server.key"), "half of it").expect("write it");
    let Refreshed::Kept(problems) = served.refresh() else { panic!("half of a pair is none") };
    assert_eq!(problems[0].path, "server.key");
    assert!(port.call(&before, "localhost").await.is_ok(), "what was used is used on");

    let _ = new.vouch("server", "localhost", |params| params.not_after = date_time_ymd(2030, 1, 1));
    assert_eq!(served.refresh(), Refreshed::New);
    assert_eq!(served.expiries()[0].end, 1_893_456_000);
    assert_eq!(port.call(&before, "localhost").await, Err(Reason::UnknownAuthority));
    assert!(port.call(&load(&client(&new, None)), "localhost").await.is_ok());
    assert_eq!(ask(&mut open).await.expect("it lives on"), "nobody");
}

/// Many say nothing. Whoever comes after them is answered, and in time they are gone.
#[tokio::test]
async fn nobody_holds_a_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(folder.path(), "ours");
    let shown = ours.vouch("server", "localhost", |_| ());
    let port = Port::open(Server::load(&server(&shown, None)).expect("it loads")).await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(TcpStream::connect(port.address).await.expect("it listens"));
    }
    assert_eq!(port.call(&load(&client(&ours, None)), "localhost").await, Ok("nobody".into()));
    port.refuses(Reason::Crowded).await;
    let mut byte = [0];
    let ended = timeout(Duration::from_secs(60), silent.last_mut().expect("many").read(&mut byte)).await;
    assert_eq!(ended.expect("it is not waited for forever").unwrap_or(0), 0);
}

#[test]
fn mistakes_are_told_by_their_keys() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(folder.path(), "ours");
    let good = ours.vouch("server", "localhost", |_| ());
    let other = ours.vouch("other", "localhost", |_| ());
    fs::write(folder.path().join("empty"), "").expect("write it");
    let check = |certificate: &Pem, key: &Pem, expected: &str| {
        let identity = TlsIdentity { certificate: certificate.clone(), key: key.clone() };
        let problems = Server::load(&server(&identity, None)).map(drop).expect_err("refused");
        let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert_eq!(told.replace(&format!("{}/", folder.path().display()), ""), expected);
    };
    check(&pem(folder.path(), "none"), &good.key, "none: none does not exist");
    check(&good.certificate, &other.key, "other.key: is not the key of server.pem");
    check(&pem(folder.path(), "empty"), &good.key, "empty: holds no certificate");
    check(&good.certificate, &good.certificate, "server.pem: holds no key: no items found");
}
