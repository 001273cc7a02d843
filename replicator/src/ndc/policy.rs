//! Which run of a workflow is current after a peer's events were applied to one of them (5.4, 5.5).

use super::clock::RunClock;

/// The workflow's current run, as another run sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Current {
    /// How far it has come.
    pub clock: RunClock,
    /// Whether it is the run in question.
    pub is_target: bool,
    /// Whether it runs.
    pub is_open: bool,
}

/// What becomes of a run that was not here (5.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Create {
    /// It is here after all.
    Duplicate,
    /// It becomes the current run, and nothing else changes.
    AsCurrent,
    /// It is over and went on in another run, which is not here: that one was deleted, or comes later. A workflow whose
    /// current run was deleted has none, and what it went on from does not become that.
    AsPast,
    /// It is kept beside the current run, which is newer.
    AsZombie,
    /// It becomes the current run, and the one that was is open and gives way.
    SuppressCurrentAndAsCurrent,
}

/// What becomes of a run that was here (5.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Update {
    /// It is the current run and stays it.
    AsCurrent,
    /// The same, and its state was rebuilt.
    ConflictResolveAsCurrent,
    /// It stays beside the current run.
    AsZombie,
    /// The same, and its state was rebuilt.
    ConflictResolveAsZombie,
    /// It becomes the current run instead of the one that is.
    SuppressCurrentAndAsCurrent,
    /// There is no current run, because that one was deleted. A cluster that knew wrote to this one, so it is current there,
    /// and becomes it here.
    InVacantPlace,
    /// There is no current run, and it does not become that: what was current has been kept long enough and is gone, so
    /// this one lost before. Temporal fails the task unless the run is closed; here it stays what it is.
    AsZombieAlone,
}

/// Place a run that is not here. `target` is how far it has come, `went_on` whether it is over and another one follows it.
#[must_use]
pub fn create(target: RunClock, went_on: bool, current: Option<Current>) -> Create {
    match current {
        None if went_on => Create::AsPast,
        None => Create::AsCurrent,
        Some(current) if current.is_target => Create::Duplicate,
        Some(current) if target <= current.clock => Create::AsZombie,
        Some(current) if current.is_open => Create::SuppressCurrentAndAsCurrent,
        Some(_) => Create::AsCurrent,
    }
}

/// Place a run that is here and was changed. `target` is how far it has come, `rebuilt` whether another branch of it has
/// become current, `outlives` whether it is open and has come further than the newest run of the workflow that was deleted.
#[must_use]
pub fn update(rebuilt: bool, outlives: bool, target: RunClock, current: Option<Current>) -> Update {
    match current {
        None if outlives => Update::InVacantPlace,
        None => Update::AsZombieAlone,
        Some(current) if current.is_target && rebuilt => Update::ConflictResolveAsCurrent,
        Some(current) if current.is_target => Update::AsCurrent,
        Some(current) if target > current.clock => Update::SuppressCurrentAndAsCurrent,
        Some(_) if rebuilt => Update::ConflictResolveAsZombie,
        Some(_) => Update::AsZombie,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::TaskId, version::FailoverVersion};

    /// Rows of table 5.4.
    #[test]
    fn a_run_that_is_here_is_a_duplicate() {
        assert_eq!(create(clock("5@1"), false, itself("5@1")), Create::Duplicate);
    }

    #[test]
    fn the_first_run_is_current() {
        assert_eq!(create(clock("5@1"), false, None), Create::AsCurrent);
    }

    #[test]
    fn a_run_that_went_on_is_not_the_last() {
        assert_eq!(create(clock("5@1"), true, None), Create::AsPast);
        assert_eq!(create(clock("5@1"), true, open("5@2")), Create::AsZombie);
    }

    #[test]
    fn a_run_that_is_not_newer_is_a_zombie() {
        for current in [open("5@2"), closed("5@2"), open("6@1"), closed("6@1"), open("5@1")] {
            assert_eq!(create(clock("5@1"), false, current), Create::AsZombie, "{current:?}");
        }
        assert_eq!(
            create(clock("900@1"), false, open("5@2")),
            Create::AsZombie,
            "numbers of two versions do not compare"
        );
    }

    #[test]
    fn a_newer_run_follows_one_that_is_over() {
        assert_eq!(create(clock("6@1"), false, closed("5@1")), Create::AsCurrent);
        assert_eq!(create(clock("1@2"), false, closed("5@1")), Create::AsCurrent);
    }

    #[test]
    fn a_newer_run_suppresses_one_that_is_open() {
        assert_eq!(create(clock("6@1"), false, open("5@1")), Create::SuppressCurrentAndAsCurrent);
        assert_eq!(create(clock("1@2"), false, open("5@1")), Create::SuppressCurrentAndAsCurrent);
    }

    /// Rows of table 5.5.
    #[test]
    fn the_current_run_stays_current() {
        assert_eq!(update(false, false, clock("6@1"), itself("5@1")), Update::AsCurrent);
        assert_eq!(update(true, false, clock("6@2"), itself("5@1")), Update::ConflictResolveAsCurrent);
    }

    #[test]
    fn another_run_that_is_not_newer_stays_beside_it() {
        for current in [open("6@2"), closed("6@2")] {
            assert_eq!(update(false, false, clock("5@2"), current), Update::AsZombie);
            assert_eq!(update(true, false, clock("5@2"), current), Update::ConflictResolveAsZombie);
        }
    }

    #[test]
    fn another_run_that_is_newer_takes_its_place() {
        for (rebuilt, current) in [(false, open("5@1")), (true, open("5@1")), (false, closed("5@1"))] {
            assert_eq!(update(rebuilt, false, clock("4@2"), current), Update::SuppressCurrentAndAsCurrent);
        }
    }

    #[test]
    fn what_outlives_the_run_that_was_deleted_takes_its_place() {
        assert_eq!(update(false, true, clock("5@1"), None), Update::InVacantPlace);
        assert_eq!(update(true, true, clock("5@1"), None), Update::InVacantPlace);
        assert_eq!(update(false, true, clock("5@1"), open("6@1")), Update::AsZombie);
    }

    #[test]
    fn without_a_current_run_nothing_is_revived() {
        assert_eq!(update(false, false, clock("5@1"), None), Update::AsZombieAlone);
        assert_eq!(update(true, false, clock("5@1"), None), Update::AsZombieAlone);
    }

    /// `task@version`.
    fn clock(text: &str) -> RunClock {
        let (task, version) = text.split_once('@').unwrap();
        RunClock { version: FailoverVersion(version.parse().unwrap()), task: TaskId(task.parse().unwrap()) }
    }

    fn open(text: &str) -> Option<Current> {
        Some(Current { clock: clock(text), is_target: false, is_open: true })
    }

    fn closed(text: &str) -> Option<Current> {
        Some(Current { clock: clock(text), is_target: false, is_open: false })
    }

    fn itself(text: &str) -> Option<Current> {
        Some(Current { clock: clock(text), is_target: true, is_open: true })
    }
}
