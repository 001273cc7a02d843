//! Which run of the workflow is current, as of the draft: at most one runs, the others are over or zombies (5.3).

use alloc::boxed::Box;

use super::{
    clock::RunClock,
    divergence::GaveWay,
    policy::{self, Create, Current, Update},
};
use crate::{
    ids::RunId,
    version::Topology,
    workflow::{
        MutableState,
        draft::{Draft, Run, Transition},
        execution::Phase,
        reapplied,
        request::terminate,
    },
};

/// Whether what the draft did to the current run so far has to be written before it gives way to a run of this clock:
/// one transaction either follows a peer in a run or writes to it.
#[must_use]
pub fn must_wait(draft: &Draft<'_>, run: RunId, target: RunClock) -> bool {
    giving_way(draft, run, target).is_some_and(|(_, other)| other.changes.is_touched())
}

/// The run that would be ended here, because the current one gives way to a run of this clock.
#[must_use]
pub fn loser<'a>(draft: &'a Draft<'_>, run: RunId, target: RunClock) -> Option<(RunId, &'a MutableState)> {
    let (current, other) = giving_way(draft, run, target)?;
    ends_by_us(draft, &other.state, target).then_some((current, &other.state))
}

/// The current run, if it is open and gives way to another one of this clock.
fn giving_way<'a>(draft: &'a Draft<'_>, run: RunId, target: RunClock) -> Option<(RunId, &'a Run)> {
    let current = draft.current.filter(|current| *current != run)?;
    let other = draft.runs.get(&current)?;
    (other.state.is_open() && target > RunClock::of(&other.state)).then_some((current, other))
}

/// Take in a run that was not here.
pub fn create(draft: &mut Draft<'_>, id: RunId, run: Run) {
    let went_on = run.state.execution.close().is_some_and(|close| close.next_run.is_some());
    let policy = policy::create(RunClock::of(&run.state), went_on, current(draft, id));
    draft.runs.insert(id, Box::new(run));
    match policy {
        Create::Duplicate => unreachable!("the current run is here"),
        Create::AsPast => {}
        Create::AsCurrent => become_current(draft, id, false),
        Create::SuppressCurrentAndAsCurrent => become_current(draft, id, true),
        Create::AsZombie => become_zombie(draft, id),
    }
}

/// Place a run whose history has changed.
pub fn update(draft: &mut Draft<'_>, id: RunId, rebuilt: bool) {
    let Some(run) = draft.runs.get(&id) else { return };
    let clock = RunClock::of(&run.state);
    let outlives = run.state.is_open() && draft.buried.is_some_and(|buried| buried <= clock.version);
    match policy::update(rebuilt, outlives, clock, current(draft, id)) {
        Update::InVacantPlace => become_current(draft, id, false),
        Update::AsCurrent | Update::ConflictResolveAsCurrent => {}
        Update::AsZombie | Update::ConflictResolveAsZombie | Update::AsZombieAlone => become_zombie(draft, id),
        Update::SuppressCurrentAndAsCurrent => {
            let open = current(draft, id).is_some_and(|current| current.is_open);
            become_current(draft, id, open);
        }
    }
}

fn current(draft: &Draft<'_>, target: RunId) -> Option<Current> {
    let id = (*draft.current)?;
    let state = &draft.runs.get(&id)?.state;
    Some(Current {
        clock: RunClock::of(state),
        is_target: id == target,
        is_open: state.execution.phase == Phase::Running,
    })
}

/// The run is the current one from here on; `suppresses` one that is open.
fn become_current(draft: &mut Draft<'_>, id: RunId, suppresses: bool) {
    let before = *draft.current;
    if suppresses && let Some(before) = before {
        suppress(draft, before, id);
    }
    *draft.current = Some(id);
    if let Some(run) = draft.runs.get_mut(&id) {
        revive(run);
    }
    draft.carry_over(before, id, suppresses);
    if let Some(before) = before {
        note_loss(draft, before);
    }
}

/// Whether a run came to its end before this cluster started the one that is current, whose start this is. What a peer
/// started may follow another end of it.
#[must_use]
pub fn is_followed(state: &MutableState, current: Option<RunClock>, topology: &Topology) -> bool {
    let is_ours = |current: RunClock| topology.is_mine(current.version) && RunClock::of(state) < current;
    current.is_some_and(is_ours) && !state.is_open()
}

/// The run stays beside the current one. If it is open it is a zombie from here on (ND-12).
fn become_zombie(draft: &mut Draft<'_>, id: RunId) {
    if let Some(run) = draft.runs.get_mut(&id)
        && run.state.execution.phase == Phase::Running
    {
        run.state.execution.phase = Phase::Zombie;
        run.changes.changed = true;
        run.changes.regenerate = true;
    }
    note_loss(draft, id);
}

/// An open run gives way to a newer one (ND-15). The cluster that wrote its last event ends it, under the version of that
/// event, and tells everybody; the others keep it as a zombie until they hear of that.
fn suppress(draft: &mut Draft<'_>, id: RunId, by: RunId) {
    let Some(target) = draft.runs.get(&by).map(|run| RunClock::of(&run.state)) else { return };
    let ends = draft.runs.get(&id).is_some_and(|run| ends_by_us(draft, &run.state, target));
    let Some(mut transition) = draft.transition(id) else { return };
    if ends {
        end_loser(&mut transition);
    } else {
        transition.run.state.execution.phase = Phase::Zombie;
        transition.run.changes.passive = true;
        transition.run.changes.changed = true;
    }
    transition.run.changes.regenerate = true;
}

/// A zombie whose last event this cluster wrote is ended after all, with what waits in it: nobody else does that. It lost
/// while the cluster caught up with what its store forgot, and peers have told all since.
pub fn end_forgotten(draft: &mut Draft<'_>, id: RunId) {
    let Some(current) = draft.current.filter(|current| *current != id) else { return };
    let Some(target) = draft.runs.get(&current).map(|run| RunClock::of(&run.state)) else { return };
    // What a peer told of it is written first, and told to nobody.
    let is_forgotten = |run: &Run| {
        run.state.execution.is_zombie() && !run.changes.is_touched() && ends_by_us(draft, &run.state, target)
    };
    if !draft.runs.get(&id).is_some_and(|run| is_forgotten(run)) {
        return;
    }
    let Some(mut transition) = draft.transition(id) else { return };
    transition.run.state.execution.phase = Phase::Running;
    end_loser(&mut transition);
    transition.run.changes.regenerate = true;
    note_loss(draft, id);
}

fn end_loser(transition: &mut Transition<'_>) {
    transition.version = transition.run.state.last_write_version();
    let order = terminate::Order {
        reason: reapplied::LOST.into(),
        details: None,
        identity: terminate::SERVER.into(),
        links: alloc::vec::Vec::new(),
    };
    terminate::terminate(transition, order);
}

/// Whether an open run that gives way is ended here. One of the same version is not: the event that ends it would make it
/// the newer one again.
fn ends_by_us(draft: &Draft<'_>, state: &MutableState, target: RunClock) -> bool {
    let last = state.last_write_version();
    draft.topology.is_mine(last) && last < target.version && !draft.recovers
}

/// A zombie runs again (ND-16).
fn revive(run: &mut Run) {
    if run.state.execution.is_zombie() {
        run.state.execution.phase = Phase::Running;
        run.changes.regenerate = true;
    }
    run.changes.changed |= run.state.local.gave_way.take().is_some();
    if run.state.local.owed.lost {
        run.state.lose(false);
        run.changes.changed = true;
    }
}

/// Note whether a run that is not the current one has certainly lost, so that its inputs belong to the current one.
///
/// A run may be beside the current one only because the news of its end is still on the way, and then its inputs had
/// their effect. It has lost when it was ended for that reason; or when it is open and was started after the current one,
/// in the order of versions, for whoever starts a run knows what came before under that version; or when this cluster
/// started the current one itself and did not know of it.
fn note_loss(draft: &mut Draft<'_>, id: RunId) {
    let Some(current) = draft.current.filter(|current| *current != id) else { return };
    let (Some(run), Some(other)) = (draft.runs.get(&id), draft.runs.get(&current)) else { return };
    let (mine, winner) = (RunClock::of_start(&run.state), RunClock::of_start(&other.state));
    let lost = match &run.state.execution.phase {
        Phase::Running => false,
        Phase::Closed(close) => close.lost,
        Phase::Zombie => mine > winner || draft.topology.is_mine(winner.version) && mine.version < winner.version,
    };
    if let Some(run) = draft.runs.get_mut(&id)
        && run.state.local.owed.lost != lost
    {
        run.state.lose(lost);
        let winner = GaveWay { run: current, version: winner.version, time: draft.now };
        run.state.local.gave_way = lost.then_some(winner);
        run.changes.changed = true;
    }
}
