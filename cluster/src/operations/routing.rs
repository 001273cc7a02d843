//! The way to the host that has a workflow.

use std::time::Duration;

use hosts::{Host, Hosts, MOVED, Owner, Trouble};
use replicator::ids::WorkflowKey;
use tokio::time::sleep;
use tonic::{Response, Status, metadata::MetadataValue};

use super::Operations;

/// The way to a workflow, which may be on its way from one host to another. What is asked there changes nothing, so it may be
/// asked again.
pub(super) struct Way<'a> {
    hosts: Option<&'a Hosts>,
    workflow: &'a WorkflowKey,
    tries: u32,
}

impl Operations {
    /// The way to a workflow.
    pub(super) fn way_to<'a>(&'a self, workflow: &'a WorkflowKey) -> Way<'a> {
        Way { hosts: self.shards.hosts.as_ref(), workflow, tries: 0 }
    }
}

impl Way<'_> {
    /// The host to ask now; nothing when it is this one. Whoever was asked before did not have the workflow.
    ///
    /// # Errors
    ///
    /// [`moved`], when it was looked for often enough.
    pub(super) async fn next(&mut self) -> Result<Option<Host>, Status> {
        let Some(hosts) = self.hosts else { return Ok(None) };
        while self.tries < TRIES {
            if self.tries > 0 {
                sleep(PAUSE).await;
            }
            self.tries += 1;
            match hosts.of_workflow(self.workflow) {
                Owner::Here => return Ok(None),
                Owner::There(host) => return Ok(Some(host)),
                Owner::Nobody => {}
            }
        }
        Err(moved())
    }
}

/// What another host said: that it does not have the workflow, if it could not be asked.
pub(super) fn told<A>(answer: Result<Response<A>, Trouble>) -> Result<A, Status> {
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        Err(Trouble::Refused(status)) => Err(status),
        Err(Trouble::Moved | Trouble::NotReached | Trouble::Lost) => Err(moved()),
    }
}

/// What a host says that does not have what it is asked about.
pub(super) fn moved() -> Status {
    let mut status = Status::unavailable("the workflow is on its way to another host; try again");
    status.metadata_mut().insert(MOVED, MetadataValue::from_static("true"));
    status
}

/// How often it is looked where a workflow is.
const TRIES: u32 = 100;

/// Before it is looked once more.
const PAUSE: Duration = Duration::from_millis(50);
