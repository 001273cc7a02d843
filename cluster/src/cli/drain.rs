//! `meridian cluster drain` and `resume`: what a process has goes to the others, and comes back.

use std::fmt;

use proto::meridian::membership::v1::{
    SetDrainingRequest, SetDrainingResponse, membership_service_client::MembershipServiceClient,
};
use serde::Serialize;

use super::{Answer, Failed, Output, connection::Address, shards::ranges};

/// Do it and say what came of it.
pub(super) async fn set(address: &Address, process: &str, is_draining: bool, output: Output) -> Result<(), Failed> {
    let mut client = MembershipServiceClient::new(address.connect().await?);
    let answer = client.set_draining(SetDrainingRequest { process: process.to_owned(), is_draining }).await;
    let doing = if is_draining { "drain" } else { "resume" };
    let answer = answer.map_err(|status| address.failed(&format!("{doing} {process}"), &status))?.into_inner();
    let drained = Drained::of(answer);
    let is_stuck = is_draining && !drained.shards.is_empty();
    drained.write(output);
    match is_stuck {
        true => Err(Failed("what is being written there takes long; look at it with `meridian cluster shards`".into())),
        false => Ok(()),
    }
}

/// What became of a process.
#[derive(Debug, Serialize)]
struct Drained {
    address: String,
    host: String,
    draining: bool,
    /// Those that it has.
    shards: Vec<u32>,
}

impl Drained {
    fn of(answer: SetDrainingResponse) -> Self {
        let member = answer.member.unwrap_or_default();
        Self { address: member.address, host: member.host, draining: member.is_draining, shards: answer.shard_ids }
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, host, draining, shards } = self;
        match (draining, shards.is_empty()) {
            (true, true) => writeln!(f, "{address} ({host}) drains: the others have what it had"),
            (true, false) => writeln!(f, "{address} ({host}) drains, and still has shards {}", ranges(shards)),
            (false, _) => writeln!(f, "{address} ({host}) takes its part again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(draining: bool, shards: &[u32], expected: &str) {
        let drained = Drained { address: "h1:7234".into(), host: "h1".into(), draining, shards: shards.to_vec() };
        assert_eq!(drained.render(Output::Text).trim_end(), expected);
    }

    #[test]
    fn text() {
        check(true, &[], "h1:7234 (h1) drains: the others have what it had");
        check(true, &[1, 2, 3, 7], "h1:7234 (h1) drains, and still has shards 1-3,7");
        check(false, &[1], "h1:7234 (h1) takes its part again");
    }
}
