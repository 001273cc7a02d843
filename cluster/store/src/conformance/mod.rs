//! The contract as a program: what every store must answer.
//!
//! A case is given a [`Fixture`] that holds nothing yet, does operations, and compares answers. [`suite!`](crate::suite)
//! makes a test of each case:
//!
//! ```text
//! mod on_file { store::suite!(Scratch::new()); }
//! ```

use std::sync::Arc;

use crate::{Answer, Store};

pub mod model;

pub mod commits;
pub mod histories;
pub mod lists;
pub mod scans;
pub mod shared;

/// A place for one store at a time.
pub trait Fixture: Send + Sync {
    /// Open the store: empty at first, afterwards with what the closed one left.
    fn open(&self) -> Answer<'_, Arc<dyn Store>>;

    /// Whether anything is left by a closed one.
    fn survives(&self) -> bool;
}

/// A test for every case.
#[macro_export]
macro_rules! suite {
    ($fixture:expr) => {
        $crate::suite!(@ $fixture, commits:
            conditions_are_checked_in_order,
            a_failed_condition_leaves_its_neighbours_alone,
            a_range_fences_older_ones,
            a_range_may_leap_and_a_restart_is_no_other_life,
            what_was_answered_is_there_after_a_restart,
            tasks_come_in_order_and_go_when_done,
            a_row_that_is_there_is_replaced,
            items_change_one_by_one,
            a_pointer_goes_with_its_run,
            a_workflow_without_runs_says_so,
            runs_of_a_namespace_come_in_order,
            members_of_a_group_see_those_before);
        $crate::suite!(@ $fixture, histories:
            batches_come_whole_and_in_pages,
            a_fork_reads_its_ancestors,
            the_highest_transaction_counts,
            a_gap_is_data_loss,
            branches_of_one_run_are_read_and_go_together,
            a_shared_stretch_outlives_its_run,
            a_backlog_comes_with_its_events);
        $crate::suite!(@ $fixture, lists:
            filters_find_what_they_say,
            pages_do_not_shift,
            orders_and_pages_agree,
            counts_come_in_groups,
            a_deleted_run_is_not_listed,
            wrong_queries_are_refused);
        $crate::suite!(@ $fixture, scans:
            runs_come_in_the_order_of_their_names,
            a_run_that_is_gone_is_not_scanned);
        $crate::suite!(@ $fixture, shared:
            namespaces_are_written_by_one_at_a_time,
            messages_are_published_with_what_they_tell,
            clusters_are_compared_and_set,
            members_write_themselves_down,
            an_identity_is_given_once);
    };
    (@ $fixture:expr, $group:ident: $($case:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::conformance::$group::$case(&$fixture).await;
            }
        )*
    };
}
