//! Known defects, planted one at a time, to see whether the simulator finds them.
//!
//! [`planted`] is a constant `false` in every ordinary build, and what stands behind it compiles to nothing. Only a build
//! with the feature `defects`, which the simulator makes for itself alone, has a switch. A test of the house rules holds
//! that nothing else turns it on.

macro_rules! defects {
    ($($(#[doc = $sentence:literal])+ $name:ident,)+) => {
        /// A known defect.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Defect {
            $($(#[doc = $sentence])+ $name,)+
        }

        impl Defect {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What goes wrong.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($sentence),+).trim(),)+
                }
            }
        }
    };
}

defects! {
    /// A standby decides requests as if it were active.
    StandbyDecides,
    /// A run that has events of a newer version is written to under an older one.
    NewerRunIsWrittenTo,
    /// A store takes writes of a shard's former owner.
    StaleRangeIsAccepted,
    /// What a write justifies is said before the write is durable.
    AckBeforeDurable,
    /// Callers of a write that failed are told that it is done.
    FailedWriteIsAcknowledged,
    /// A write in doubt is taken for one that succeeded.
    DoubtIsSuccess,
    /// A write in doubt is not fenced off by a new range.
    DoubtIsNotFenced,
    /// What could not be written is not tried again.
    RetriesAreForgotten,
    /// The pointer to a workflow's current run stays where it is.
    PointerStays,
    /// Tasks that nobody needs any more stay in their queues.
    TasksOutliveTheirReason,
    /// Timers are not read back when a shard starts.
    TimersAreNotReadBack,
    /// A timer is due after half its time.
    TimerIsEarly,
    /// A signal that is sent again counts again.
    SignalCountsTwice,
    /// A peer is acknowledged what is heard and not durable.
    HeardIsAcknowledged,
    /// A peer is never acknowledged anything.
    NothingIsAcknowledged,
    /// Tasks are told while a lower one is on its way to the store.
    InFlightIsPassedOver,
    /// A task is let go when one peer has it, and not when all have.
    LetGoTooEarly,
    /// What is only in the store is not told to a peer that is behind.
    StoreIsNotAsked,
    /// A read of old tasks is trusted for what was written while it was under way.
    BacklogIsTrustedTooFar,
    /// A stream that opens again goes on after what was sent, and not after what was acknowledged.
    ReconnectGoesOn,
    /// Two branches are believed to share all that the longer one has.
    AncestorIsTooHigh,
    /// Of branches that share something with a peer's the first counts, and not the one that shares most.
    AncestorIsTheFirst,
    /// Events that are missing are not asked for.
    GapIsPassedOver,
    /// A peer's task that cannot be applied is dropped, and acknowledged.
    RefusedIsDropped,
    /// Of two branches the one of the lower version becomes current.
    LowerBranchWins,
    /// A zombie has tasks as if it ran.
    ZombieHasTasks,
    /// An input of a branch that lost is given again, whoever has it.
    InputIsGivenTwice,
    /// Inputs of branches that lost are given to nobody.
    DebtIsForgotten,
    /// A standby keeps no tasks, and a promoted cluster makes none.
    StandbyKeepsNoTasks,
    /// A promoted cluster does not look at the tasks that wait.
    PromotionOffersNothing,
    /// Timers that came due while the namespace was elsewhere do not fire when it is back.
    MissedTimersAreForgotten,
    /// A promoted cluster does not wait for the one that was active.
    NobodyIsWaitedFor,
    /// A cluster says that it has settled while it still writes.
    SettledTooEarly,
    /// What was kept back for a started workflow task stays behind when its namespace moves.
    KeptBackIsForgotten,
    /// A failover takes a version of a round that is over.
    VersionGoesBack,
    /// What a peer tells of a failover is not believed.
    FailoverIsNotBelieved,
    /// A store that was brought back from a backup is taken for the one that it was.
    RestoredIsTrusted,
}

/// Whether a defect is planted.
#[cfg(not(feature = "defects"))]
#[must_use]
pub const fn planted(_: Defect) -> bool {
    false
}

#[cfg(feature = "defects")]
pub use switch::{plant, planted};

#[cfg(feature = "defects")]
mod switch {
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::Defect;

    /// The planted defect, counted from 1.
    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Whether a defect is planted.
    #[must_use]
    pub fn planted(defect: Defect) -> bool {
        PLANTED.load(Ordering::Relaxed) == number(defect)
    }

    /// Plant a defect, or none. Only while nothing runs: a run has one defect from its beginning to its end.
    pub fn plant(defect: Option<Defect>) {
        PLANTED.store(defect.map_or(0, number), Ordering::Relaxed);
    }

    fn number(defect: Defect) -> u8 {
        defect as u8 + 1
    }
}
