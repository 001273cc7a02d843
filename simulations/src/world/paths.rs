//! What a transaction did to branches and runs, as far as it is seen from outside: which rare paths of conflict resolution
//! a world has taken.

use replicator::{
    shard::io::Transaction,
    workflow::{MutableState, execution::Phase},
};

use super::{Stand, Standing};
use crate::coverage::Coverage;

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
