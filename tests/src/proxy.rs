//! A link between servers that a test can cut.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Passes bytes on to a server, or one of several, unless it is cut.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    link: Arc<Link>,
}

#[derive(Debug)]
struct Link {
    is_cut: AtomicBool,
    /// Whether bytes wait.
    is_clogged: AtomicBool,
    /// Both ends of everything that was accepted.
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A link to the server at `address`, whole at first.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    #[must_use]
    pub fn to(address: &str) -> Self {
        Self::to_any(&[address.to_owned()])
    }

    /// A link to whichever of these servers takes a connection, each in turn, as a load balancer has it.
    ///
    /// # Panics
    ///
    /// As [`Self::to`].
    #[must_use]
    pub fn to_any(addresses: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("an address").to_string();
        let link = Arc::new(Link {
            is_cut: AtomicBool::new(false),
            is_clogged: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let (mut targets, passes) = (addresses.to_vec(), Arc::clone(&link));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                targets.rotate_left(1);
                // Refusing is what a router without a way does.
                let _ = passes.pass(client, &targets);
            }
        });
        Self { address: own, link }
    }

    /// Where it listens, as `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Nothing passes any more, and everything that was connected is not.
    ///
    /// # Panics
    ///
    /// Never, unless a thread of it did.
    pub fn cut(&self) {
        let mut open = self.link.open.lock().expect("no panic here");
        self.link.is_cut.store(true, Ordering::SeqCst);
        for end in open.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Nothing passes any more, and nobody is told: connections stay, and bytes wait.
    pub fn clog(&self) {
        self.link.is_clogged.store(true, Ordering::SeqCst);
    }

    /// New connections pass, and what waits.
    pub fn heal(&self) {
        self.link.is_cut.store(false, Ordering::SeqCst);
        self.link.is_clogged.store(false, Ordering::SeqCst);
    }
}

impl Link {
    fn pass(self: &Arc<Self>, client: TcpStream, targets: &[String]) -> io::Result<()> {
        let mut open = self.open.lock().expect("no panic here");
        if self.is_cut.load(Ordering::SeqCst) {
            return client.shutdown(Shutdown::Both);
        }
        let server = targets.iter().map(TcpStream::connect).find_map(Result::ok);
        let server = server.ok_or(io::ErrorKind::ConnectionRefused)?;
        for end in [&client, &server] {
            end.set_nodelay(true)?;
            open.push(end.try_clone()?);
        }
        for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            let link = Arc::clone(self);
            thread::spawn(move || carry(from, to, &link));
        }
        Ok(())
    }
}

/// Carry bytes one way until one end is gone; then both are.
fn carry(mut from: TcpStream, mut to: TcpStream, link: &Link) {
    let mut buffer = [0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        while link.is_clogged.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
