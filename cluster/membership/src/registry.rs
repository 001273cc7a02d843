//! The rows by which hosts find each other.
//!
//! A host writes its row when it starts and again and again while it lives, and calls whom it finds there. What a row says
//! is no news of anybody's life, which gossip alone knows; an old row costs a call that nobody answers. So the clocks of
//! hosts may differ.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use proto::meridian::membership::v1 as wire;
use replicator::time::Timestamp;
use store::{MemberRecord, Unavailable};
use tokio::{
    sync::{Mutex, mpsc},
    time::sleep,
};
use tracing::warn;

use crate::{
    member::Member,
    ports::{Clock, Rows},
    wire::{member_from_wire, member_to_wire},
};

/// The rows, as one host uses them. Clones share them.
#[derive(Clone)]
pub(crate) struct Registry {
    pub(crate) rows: Arc<dyn Rows>,
    pub(crate) clock: Clock,
    pub(crate) me: Member,
    /// How often this host writes its row.
    pub(crate) heartbeat: Duration,
    /// This host is gone, and writes its row no more.
    pub(crate) is_gone: Arc<Mutex<bool>>,
}

/// Somebody who wrote a row.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) member: Member,
    pub(crate) heartbeat: Timestamp,
}

impl Registry {
    /// Write the own row, and read those of others. Rows that nobody has written for long are forgotten.
    pub(crate) async fn beat(&self) -> Result<Vec<Registered>, Unavailable> {
        let is_gone = self.is_gone.lock().await;
        if *is_gone {
            return Ok(Vec::new());
        }
        let now = (self.clock)();
        let record = Bytes::from(member_to_wire(&self.me).encode_to_vec());
        self.rows.put_member(MemberRecord { id: self.me.id, heartbeat: now, record }).await?;
        let mut others = Vec::new();
        let mut forgotten = Vec::new();
        for row in self.rows.members().await?.into_iter().filter(|row| row.id != self.me.id) {
            let member = wire::Member::decode(row.record).ok().and_then(|member| member_from_wire(member).ok());
            match member.filter(|member| member.id == row.id) {
                // Of a life that ended where this one is.
                Some(member) if member.gossip == self.me.gossip => forgotten.push(row.id),
                _ if now.since(row.heartbeat) > FORGOTTEN => forgotten.push(row.id),
                Some(member) => others.push(Registered { member, heartbeat: row.heartbeat }),
                // Of a program that writes it in another way.
                None => {}
            }
        }
        if !forgotten.is_empty() {
            self.rows.remove_members(forgotten).await?;
        }
        Ok(others)
    }

    /// Whether a row was written so lately that its host is probably there.
    pub(crate) fn is_fresh(&self, registered: &Registered) -> bool {
        (self.clock)().since(registered.heartbeat) < self.heartbeat * 3
    }

    /// Write the row for as long as somebody listens to who else is there.
    pub(crate) async fn run(self, seeds: mpsc::Sender<Vec<Member>>) {
        loop {
            sleep(self.heartbeat).await;
            let others = match self.beat().await {
                Ok(others) => others.into_iter().map(|other| other.member).collect(),
                Err(cause) => {
                    warn!(%cause, "this host's row cannot be written");
                    continue;
                }
            };
            if seeds.send(others).await.is_err() {
                return;
            }
        }
    }

    /// Remove the row, for good.
    pub(crate) async fn leave(&self) {
        *self.is_gone.lock().await = true;
        if let Err(cause) = self.rows.remove_members(vec![self.me.id]).await {
            warn!(%cause, "this host's row cannot be removed; others will call it for a while");
        }
    }
}

/// Rows that are older than this are forgotten. Clocks differ by less.
const FORGOTTEN: Duration = Duration::from_secs(600);
