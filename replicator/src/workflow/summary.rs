//! What two clusters compare of a run, taken from its record alone: no item is read, and no history.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use bytes::Bytes;
use prost::Message;
use proto::meridian::persistence::v1 as wire;

use super::stored::MalformedRun;
use crate::version::VersionHistories;

/// What stands for a stored run. Equal in clusters that hold the same, in whichever order they heard it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Summary {
    /// Digest of the replicated state.
    pub state: u64,
    /// 1 running, 2 zombie, 3 closed.
    pub phase: i32,
    /// `temporal.api.enums.v1.WorkflowExecutionStatus`.
    pub status: i32,
    /// Its branches by their version histories, in the order of these, with what stands for their events.
    pub branches: Vec<(String, u64)>,
    /// Which of them is current.
    pub current: usize,
}

impl Summary {
    /// Of a run's record.
    ///
    /// # Errors
    ///
    /// [`MalformedRun`], naming the part that cannot be read.
    pub fn of(record: Bytes) -> Result<Self, MalformedRun> {
        let record = wire::Run::decode(record).map_err(|_| MalformedRun("record"))?;
        let histories = VersionHistories::from_wire(&record.histories.unwrap_or_default());
        let histories = histories.ok_or(MalformedRun("version histories"))?;
        let contents = record.contents.into_iter().chain(core::iter::repeat(0));
        let versions = histories.all().iter().map(|history| history.versions.to_string());
        let mut branches: Vec<(String, u64)> = versions.zip(contents).collect();
        branches.sort();
        let current = histories.current().versions.to_string();
        Ok(Self {
            state: record.digest,
            phase: record.phase,
            // An open run has the status that it runs.
            status: record.close.map_or(1, |close| close.status),
            current: branches.iter().position(|(versions, _)| *versions == current).unwrap_or_default(),
            branches,
        })
    }
}
