//! What a run owes to the version of its namespace (MU-6).

use proto::temporal::api::enums::v1::WorkflowTaskFailedCause;

use super::{MutableState, draft::Transition, request, task_failure};
use crate::{
    defects::{Defect, planted},
    version::FailoverVersion,
};

/// The namespace's version is higher than that of the started workflow task: fail the task and schedule another, so that
/// all events which wait behind one task share one version. Its worker's completion will find no such task.
///
/// To be called where this cluster is active, before anything is written under the new version. A task that is
/// scheduled and not started needs no care: it starts under the new version. Whether anything changed.
pub fn on_version_change(transition: &mut Transition<'_>) -> bool {
    // One that lost to another run is changed by replication alone.
    if !request::is_running(&transition.run.state) {
        return false;
    }
    let is_older = |version| version < transition.version;
    // Tasks are kept with the state, on a standby too; should one be missing for whatever reason, this finds it (TK-11).
    transition.run.changes.regenerate |=
        is_older(transition.run.state.last_write_version()) && !planted(Defect::StandbyKeepsNoTasks);
    let task = transition.run.state.workflow_task.pending.as_ref();
    if !task.is_some_and(|task| task.started.is_some() && is_older(task.version)) {
        return false;
    }
    end_task(transition);
    true
}

/// Another cluster takes over: fail the started workflow task and write what waits behind it, under the version that the
/// transition has been given, while that is still ours to do (MU-7). Else what waits would be lost, for peers never hear
/// of it. Whether anything changed.
pub fn demote(transition: &mut Transition<'_>) -> bool {
    let keeps_back = keeps_back(transition);
    if keeps_back {
        end_task(transition);
    }
    keeps_back
}

/// Whether something waits for the started workflow task.
#[must_use]
pub fn keeps_back(transition: &Transition<'_>) -> bool {
    transition.is_buffering() && transition.has_buffered()
}

/// The version under which a run keeps events back, if it does: all that wait behind one task have one (MU-6).
#[must_use]
pub fn version_of_kept(state: &MutableState) -> Option<FailoverVersion> {
    state.local.buffered.iter().map(|event| FailoverVersion(event.version)).max()
}

fn end_task(transition: &mut Transition<'_>) {
    task_failure::end_started(transition, WorkflowTaskFailedCause::FailoverCloseCommand, None, request::SERVER);
    task_failure::forget_transient(transition);
    task_failure::follow(transition);
}
