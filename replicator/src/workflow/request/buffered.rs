//! No workflow task may keep too much waiting.

use proto::temporal::api::enums::v1::WorkflowTaskFailedCause;

use super::terminate;
use crate::{
    ids::RunId,
    workflow::{draft::Draft, task_failure},
};

/// Fail the started workflow task when too many events wait for it, or too large ones (api 3.6). They are written, and
/// the next task shows them.
pub(crate) fn enforce_limit(draft: &mut Draft<'_>, run: RunId) {
    let Some(mut transition) = draft.transition(run) else { return };
    if transition.buffer_is_full() {
        let cause = WorkflowTaskFailedCause::ForceCloseCommand;
        task_failure::fail(&mut transition, cause, None, terminate::SERVER);
    }
}
