//! What a transaction did to branches and runs, as far as it is seen from outside: which rare paths of conflict resolution
//! a world has taken.

use proto::temporal::api::{enums::v1::EventType, failure::v1::failure::FailureInfo, history::v1::HistoryEvent};
use replicator::{
    shard::io::Transaction,
    task::Category,
    workflow::{MutableState, activity::Activity, execution::Phase},
};

use super::{Stand, Standing};
use crate::{coverage::Coverage, store::Events};

/// Time that was up for a worker: for a workflow task an event tells, for an activity that is tried again only the state.
pub(super) fn count_timeouts(
    coverage: &mut Coverage,
    transaction: &Transaction,
    written: impl Iterator<Item = Events>,
    state: &MutableState,
) {
    // Whoever had the time measured; others only hear of it.
    if !transaction.completed.iter().any(|(category, _)| *category == Category::Timer) {
        return;
    }
    let is_up = |event: &HistoryEvent| event.event_type() == EventType::WorkflowTaskTimedOut;
    if written.into_iter().any(|batch| batch.iter().any(is_up)) {
        coverage.hit("path: workflow task timed out");
    }
    let is_up = |activity: &Activity| {
        let why = activity.last_failure.as_ref().and_then(|failure| failure.failure_info.as_ref());
        matches!(why, Some(FailureInfo::TimeoutFailureInfo(_)))
    };
    if state.activities.table.iter().any(|(_, activity)| is_up(activity)) {
        coverage.hit("path: activity timed out");
    }
}

/// What a run was before a transaction, and is after it.
pub(super) fn count(
    coverage: &mut Coverage,
    transaction: &Transaction,
    before: Option<&Standing>,
    state: &MutableState,
    now: &Standing,
) {
    let is_written = |branch| transaction.history.iter().any(|batch| batch.branch == branch);
    let histories = state.histories.all();
    let beside = histories.iter().enumerate().filter(|(index, _)| *index != state.histories.current_index());
    if beside.map(|(_, history)| history.branch.id).any(is_written) {
        coverage.hit("path: events kept on a branch that lost");
    }
    if before.is_some_and(|before| before.branches < now.branches) {
        coverage.hit("path: branch forked");
    }
    if now.branches > 2 {
        coverage.hit("path: run with three branches");
    }
    if before.is_some_and(|before| before.reapplied < now.reapplied) {
        coverage.hit("path: input put into the winner");
    }
    let is_switched = before.is_some_and(|before| before.current_branch != now.current_branch);
    let phase = |standing: &Standing| standing.phase;
    match (before.map(phase), now.phase) {
        (None, Stand::Zombie) => coverage.hit("path: run created as zombie"),
        (None, _) => coverage.hit("path: run created as current"),
        (Some(Stand::Running), Stand::Zombie) => coverage.hit("path: run became a zombie"),
        (Some(Stand::Zombie), Stand::Running) => coverage.hit("path: zombie revived"),
        (Some(Stand::Zombie), Stand::Closed) => coverage.hit("path: zombie closed"),
        (Some(Stand::Zombie), Stand::Zombie) => coverage.hit("path: zombie updated"),
        (Some(Stand::Closed), Stand::Running) => coverage.hit("path: closed run opened by its other branch"),
        _ => {}
    }
    if matches!(&state.execution.phase, Phase::Closed(close) if close.lost)
        && before.is_none_or(|b| b.phase != Stand::Closed)
    {
        coverage.hit("path: run ended because it lost");
    }
    if is_switched {
        coverage.hit(if now.phase == Stand::Zombie {
            "path: other branch of a zombie became current"
        } else {
            "path: other branch became current"
        });
    }
}
