//! A failover that loses nothing: the active cluster sees to it, and this tells how it goes.

use std::time::Duration;

use proto::meridian::failover::v1::{
    AbortHandoverRequest, HandOverRequest, HandoverEnded, HandoverProgress, HandoverResult, Waiting,
    failover_service_client::FailoverServiceClient, handover_progress::Stage,
};
use replicator::time::proto_duration;
use tonic::{Code, Streaming, transport::Channel};

use super::{Failover, Moved, seconds};
use crate::{
    cli::{Failed, answer::write_note},
    signals::Signals,
};

/// A client of the cluster that was asked.
type Client = FailoverServiceClient<Channel>;

impl Failover {
    /// Hand the namespace over, and wait for what becomes of it.
    pub(super) async fn hand_over(&self, channel: Channel, from: String, to: &str) -> Result<Moved, Failed> {
        let doing = format!("hand namespace {} over to {to}", self.namespace);
        let mut client = Client::new(channel);
        let request = HandOverRequest {
            namespace: self.namespace.clone(),
            to_cluster: to.to_owned(),
            max_pause: Some(proto_duration(self.max_pause)),
            catch_up: Some(proto_duration(self.catch_up)),
            without_clusters: self.without.clone(),
        };
        let stream = client.hand_over(request).await.map_err(|status| {
            let failed = self.address.failed(&doing, &status);
            match status.code() {
                Code::Unavailable | Code::Unimplemented => {
                    Failed(format!("{failed}; --force moves it without asking {from}"))
                }
                _ => failed,
            }
        })?;
        let ended = self.follow(client, stream.into_inner(), to).await?;
        let paused = replicator::time::duration(ended.writes_paused.as_ref());
        let moved = Moved {
            namespace: self.namespace.clone(),
            from,
            to: to.to_owned(),
            old_version: ended.old_version,
            new_version: ended.new_version,
            forced: false,
            writes_paused_seconds: Some(paused.as_secs_f64()),
            lost: None,
        };
        match ended.result() {
            HandoverResult::Moved => Ok(moved),
            _ => Err(Failed(self.not_moved(&ended, paused))),
        }
    }

    /// Let a namespace that is being handed over stay where it is.
    pub(super) async fn call_off(&self, channel: Channel) -> Result<(), Failed> {
        let doing = format!("abort the handover of namespace {}", self.namespace);
        match abort(&mut Client::new(channel), &self.namespace).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failed(format!("cannot {doing}: it has moved, or is just moving"))),
            Err(status) => Err(self.address.failed(&doing, &status)),
        }
    }

    /// Hear how it goes until it is over. A signal to stop ends the handover, not the listening.
    async fn follow(
        &self,
        mut client: Client,
        mut stages: Streaming<HandoverProgress>,
        to: &str,
    ) -> Result<HandoverEnded, Failed> {
        let lost = |why: &str| {
            let name = &self.namespace;
            Failed(format!("it is not known what became of the handover of {name} ({why}); `meridian status` tells"))
        };
        let mut patience = FIRST_NOTE;
        let mut said = String::new();
        let mut stage = None;
        let mut signals = Signals::listen();
        loop {
            tokio::select! {
                message = stages.message() => match message {
                    Ok(Some(HandoverProgress { stage: Some(Stage::Ended(ended)) })) => return Ok(ended),
                    Ok(Some(HandoverProgress { stage: next })) => stage = next,
                    Ok(None) => return Err(lost("the server stopped telling")),
                    Err(status) => return Err(lost(status.message())),
                },
                () = signals.stop_requested() => {
                    write_note("meridian: aborting");
                    match abort(&mut client, &self.namespace).await {
                        Ok(true) => {}
                        Ok(false) => write_note("meridian: too late, the namespace is moving"),
                        Err(status) => write_note(&format!("meridian: cannot abort: {}", status.message())),
                    }
                }
                () = tokio::time::sleep(patience) => {
                    patience = NEXT_NOTE;
                    let note = stage.as_ref().map(|stage| note(stage, to)).unwrap_or_default();
                    if note != said {
                        write_note(&format!("meridian: {note}"));
                        said = note;
                    }
                }
            }
        }
    }

    fn not_moved(&self, ended: &HandoverEnded, paused: Duration) -> String {
        let HandoverEnded { active_cluster: active, new_version: version, reason, .. } = ended;
        let name = &self.namespace;
        let paused = if paused.is_zero() { String::new() } else { format!("; writes paused for {}", seconds(paused)) };
        match ended.result() {
            HandoverResult::Kept => format!("namespace {name} stays in {active}: {reason}{paused}"),
            _ => format!("namespace {name} is active in {active} at failover version {version}: {reason}{paused}"),
        }
    }
}

async fn abort(client: &mut Client, namespace: &str) -> Result<bool, tonic::Status> {
    let request = AbortHandoverRequest { namespace: namespace.to_owned() };
    Ok(client.abort_handover(request).await?.into_inner().in_time)
}

/// What is waited for.
fn note(stage: &Stage, to: &str) -> String {
    let shards = |waiting: &Waiting| match waiting.shards.len() {
        1 => format!("shard {}", waiting.shards[0]),
        count => format!("{count} shards"),
    };
    match stage {
        Stage::CatchingUp(waiting) if !waiting.reason.is_empty() => {
            format!("waiting: {}; everything is served", waiting.reason)
        }
        Stage::CatchingUp(behind) => {
            format!("waiting for {to} to come near in {}; everything is served", shards(behind))
        }
        Stage::Draining(left) => format!("writes wait; {to} does not have everything yet of {}", shards(left)),
        Stage::Switching(_) => format!("waiting for {to} to say that it is active"),
        Stage::Releasing(_) => "giving the namespace back".to_owned(),
        Stage::Ended(_) => "it is over".to_owned(),
    }
}

/// Nobody is told of what takes no time.
const FIRST_NOTE: Duration = Duration::from_secs(1);
const NEXT_NOTE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for() {
        let waiting = |shards: &[u32]| Waiting { shards: shards.into(), reason: String::new() };
        let check = |stage, expected| assert_eq!(note(&stage, "b"), expected);
        check(Stage::CatchingUp(waiting(&[3])), "waiting for b to come near in shard 3; everything is served");
        let lacking = Waiting { reason: "b has not heard c".into(), ..Waiting::default() };
        check(Stage::CatchingUp(lacking), "waiting: b has not heard c; everything is served");
        check(Stage::Draining(waiting(&[1, 2])), "writes wait; b does not have everything yet of 2 shards");
    }
}
