//! Polls of workers.

use proto::temporal::api::{
    common::v1::WorkerVersionCapabilities, deployment::v1::WorkerDeploymentOptions, enums::v1::WorkerVersioningMode,
    taskqueue::v1::TaskQueue,
};

use super::{
    Check,
    limits::{Sizes, identity},
    queue::task_queue,
    refuse,
};
use crate::errors::Error;

/// Who polls which queue, as what.
pub(crate) fn poll(
    queue: Option<&TaskQueue>,
    who: &str,
    deployment_options: Option<&WorkerDeploymentOptions>,
    version: Option<&WorkerVersionCapabilities>,
    sizes: Sizes,
) -> Check {
    task_queue(queue, sizes)?;
    identity(who, sizes)?;
    deployment(deployment_options)?;
    match version {
        Some(version) if version.use_versioning && version.build_id.is_empty() => {
            refuse("WorkerVersionStamp must be present if UseVersioning is true.")
        }
        Some(version) if version.use_versioning => unbuilt("worker_version_capabilities.use_versioning"),
        _ => Ok(()),
    }
}

/// The deployment that a worker says it belongs to. Without versioning it is only noted (api B 53).
pub(crate) fn deployment(options: Option<&WorkerDeploymentOptions>) -> Check {
    let Some(options) = options else { return Ok(()) };
    if options.worker_versioning_mode() != WorkerVersioningMode::Versioned {
        return Ok(());
    }
    if options.deployment_name.is_empty() || options.build_id.is_empty() {
        return refuse("Deployment name and build id must be set together.");
    }
    unbuilt("deployment_options.worker_versioning_mode")
}

/// A worker that counts on its version must not get the tasks of another.
fn unbuilt(field: &str) -> Check {
    let message = format!("{field} is not implemented: workers are not versioned");
    Err(Error::Refused(replicator::shard::io::Failure::Unimplemented(message)))
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::*;

    #[test]
    fn polls() {
        let queue = TaskQueue { name: "orders".into(), ..Default::default() };
        let check =
            |options: Option<WorkerDeploymentOptions>, version: Option<(&str, bool)>, expected: Option<Code>| {
                let version = version.map(|(build_id, use_versioning)| WorkerVersionCapabilities {
                    build_id: build_id.into(),
                    use_versioning,
                    ..Default::default()
                });
                let outcome = poll(Some(&queue), "me", options.as_ref(), version.as_ref(), Sizes::default());
                assert_eq!(outcome.err().map(|error| Status::from(error).code()), expected, "{options:?} {version:?}");
            };
        let options = |name: &str, build_id: &str, mode: WorkerVersioningMode| {
            Some(WorkerDeploymentOptions {
                deployment_name: name.into(),
                build_id: build_id.into(),
                worker_versioning_mode: mode.into(),
            })
        };
        check(None, None, None);
        check(None, Some(("1.0", false)), None);
        check(None, Some(("", true)), Some(Code::InvalidArgument));
        check(None, Some(("1.0", true)), Some(Code::Unimplemented));
        check(options("", "1.0", WorkerVersioningMode::Unversioned), None, None);
        check(options("", "1.0", WorkerVersioningMode::Unspecified), None, None);
        check(options("orders", "", WorkerVersioningMode::Versioned), None, Some(Code::InvalidArgument));
        check(options("", "1.0", WorkerVersioningMode::Versioned), None, Some(Code::InvalidArgument));
        check(options("orders", "1.0", WorkerVersioningMode::Versioned), None, Some(Code::Unimplemented));
    }
}
