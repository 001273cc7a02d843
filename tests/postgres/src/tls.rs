//! Certificates for a server that is reached by TLS, made by the program `openssl`, which Debian's PostgreSQL brings along.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Server, kept::folder, user};

/// A server that is reached by TLS at [`NAME`], and by no other name.
#[derive(Debug)]
pub struct TlsServer {
    /// The server.
    pub server: Server,
    /// Its port.
    pub port: u16,
    /// Who vouches for it, in PEM.
    pub authority: PathBuf,
    /// Who does not, in PEM.
    pub stranger: PathBuf,
}

/// The name in the server's certificate.
pub const NAME: &str = "localhost";

impl TlsServer {
    /// Make certificates and start a server with them.
    ///
    /// # Panics
    ///
    /// When there is no `openssl`, or as [`Server::start`].
    #[must_use]
    pub fn start() -> Self {
        let user = user();
        let folder = folder("postgres", user);
        for name in ["authority", "stranger"] {
            let arguments = format!(
                "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name} \
                 -addext basicConstraints=critical,CA:TRUE"
            );
            openssl(&folder, &arguments);
        }
        openssl(&folder, &format!("req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN={NAME}"));
        let extensions = format!("subjectAltName=DNS:{NAME}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(folder.join("extensions"), extensions).expect("write what the certificate says");
        let signing = "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -out server.pem \
                       -days 2 -extfile extensions";
        openssl(&folder, signing);
        if let Some(user) = user {
            let given = Command::new("chown").arg(user).arg(folder.join("server.key")).status();
            assert!(given.is_ok_and(|status| status.success()), "the server's key is the server's");
        }
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a port").port();
        let settings = [
            "ssl=on".to_owned(),
            format!("ssl_cert_file='{}'", folder.join("server.pem").display()),
            format!("ssl_key_file='{}'", folder.join("server.key").display()),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
        ];
        let (authority, stranger) = (folder.join("authority.pem"), folder.join("stranger.pem"));
        let server = Server::start_in(folder, user, &settings.each_ref().map(String::as_str));
        Self { server, port, authority, stranger }
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output();
    let output = output.expect("run openssl (Debian: apt-get install openssl)");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
