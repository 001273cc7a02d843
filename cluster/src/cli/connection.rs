//! Connections of the command line to a server.

use std::time::Duration;

use tonic::{Code, Status, transport::Channel};

use super::{Failed, encryption::Encryption};
use crate::ports;

/// Where to find a server.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Address {
    /// Where a cluster answers gRPC, as host:port.
    #[arg(long, env = "TEMPORAL_ADDRESS", default_value = "127.0.0.1:7233", value_name = "HOST:PORT")]
    pub(crate) address: String,
    #[command(flatten)]
    pub(crate) encryption: Encryption,
}

#[cfg(test)]
impl From<&str> for Address {
    fn from(address: &str) -> Self {
        Self { address: address.to_owned(), encryption: Encryption::default() }
    }
}

impl Address {
    /// Connect; nobody waits longer than [`PATIENCE`] for a server that is not there.
    pub(crate) async fn connect(&self) -> Result<Channel, Failed> {
        let Self { address, encryption } = self;
        let client = encryption.client()?;
        let endpoint = ports::endpoint(address).map_err(|_| Failed(format!("{address:?} is not host:port")))?;
        let endpoint = endpoint.timeout(PATIENCE).connect_timeout(PATIENCE);
        ports::connect_now(endpoint, address, client).await.map_err(|error| {
            let cause = root_cause(&error);
            Failed(format!("nobody answers at {address} ({cause}); start a server there or give another --address"))
        })
    }

    /// What to tell about an answer that is an error; `doing` as in "cannot ...".
    pub(crate) fn failed(&self, doing: &str, status: &Status) -> Failed {
        let address = &self.address;
        let message = status.message();
        Failed(match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => {
                format!("cannot {doing}: {address} did not answer within {} s; try again", PATIENCE.as_secs())
            }
            Code::Unavailable => format!("cannot {doing}: {address} cannot answer now ({message}); try again"),
            Code::Unimplemented => format!("cannot {doing}: the server at {address} does not know how ({message})"),
            // What breaks before there is an answer has no other words.
            Code::Unknown if message == "transport error" => {
                format!("cannot {doing}: {address} breaks off; {}", self.encryption.advice())
            }
            _ => format!("cannot {doing}: {message}"),
        })
    }
}

/// The first cause of an error; those above it say "transport error".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// How long a person waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there() {
        let nobody = Address::from("127.0.0.1:1");
        let failed = nobody.connect().await.unwrap_err().to_string();
        assert!(failed.starts_with("nobody answers at 127.0.0.1:1 (Connection refused"), "{failed}");
        let nowhere = Address::from("not an address");
        let failed = nowhere.connect().await.unwrap_err().to_string();
        assert_eq!(failed, "\"not an address\" is not host:port");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let address = Address::from("h:1");
        let line = |status| address.failed("look", &status).to_string();
        assert_eq!(line(Status::not_found("Namespace x is not found.")), "cannot look: Namespace x is not found.");
        assert_eq!(
            line(Status::unknown("transport error")),
            "cannot look: h:1 breaks off; if it is reached by TLS, say so with --tls-ca-path"
        );
        assert_eq!(line(Status::unavailable("full")), "cannot look: h:1 cannot answer now (full); try again");
    }
}
