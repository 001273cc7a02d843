//! Table 5.7: which states the runs of a workflow may have after a transaction. Temporal gives each mode of writing rules of
//! its own; here one rule holds for every write (`Draft::close`): a run that runs is the current one, and a zombie is not.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    string::String,
    vec::Vec,
};

use super::cluster::{Cluster, namespace, start};
use crate::workflow::execution::{Close, Phase};
use proto::temporal::api::enums::v1::WorkflowExecutionStatus;

/// Rows as named tests: what may be written, and what must not.
macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident: [$($good:literal),*] and not [$($bad:literal),*];)*) => {
        $($(#[$doc])* #[test] fn $name() {
            $(assert!(is_written($good), "{}", $good);)*
            $(assert!(!is_written($bad), "{}", $bad);)*
        })*
    };
}

rows! {
    table_5_7_row_1_create_as_current: ["running*", "closed*"] and not ["zombie*"];
    table_5_7_row_2_create_beside: ["zombie closed*", "zombie running*", "closed running*"] and not ["running closed*"];
    table_5_7_row_3_update_the_current_run: ["running*", "closed*"] and not ["zombie*"];
    table_5_7_row_4_update_with_a_new_run: ["closed running*", "closed closed*"] and not ["running running*", "closed zombie*"];
    table_5_7_row_5_update_beside:
        ["zombie running*", "closed running*", "zombie zombie closed*"] and not ["running running*", "zombie running closed*"];
    /// There is no writing without looking at the current run, and so nothing that it would forbid.
    table_5_7_row_6_ignoring_the_current_run: ["running*"] and not [];
    table_5_7_row_7_resolve_the_current_run: ["running*", "closed*"] and not ["zombie*"];
    table_5_7_row_8_resolve_with_a_new_run: ["closed running*"] and not ["running running*", "closed zombie*"];
    table_5_7_row_9_resolve_and_suppress:
        ["zombie running*", "closed running*", "zombie closed running*"] and not ["running running*", "closed zombie*"];
    table_5_7_row_10_resolve_beside: ["zombie running*", "closed zombie running*"] and not ["running closed*"];
}

/// Whether a transaction may leave runs in these states; `*` marks the current one.
fn is_written(runs: &str) -> bool {
    let words: Vec<String> = runs.split_whitespace().map(String::from).collect();
    let mut cluster = Cluster::new(namespace(), 7);
    let written = catch_unwind(AssertUnwindSafe(|| {
        cluster.transact(|draft| {
            for word in &words {
                let run = draft.entropy.run_id();
                let before = *draft.current;
                draft.create_run(run, "start".into(), start(0, 0), Default::default());
                if !word.ends_with('*') {
                    *draft.current = before;
                }
                let loaded = draft.runs.get_mut(&run).unwrap();
                // The state is what the row is about, and not how the run came to it.
                loaded.changes.passive = true;
                loaded.state.execution.phase = phase(word.trim_end_matches('*'), &loaded.state.execution.start.time);
            }
        })
    }));
    written.is_ok()
}

fn phase(word: &str, time: &crate::time::Timestamp) -> Phase {
    match word {
        "running" => Phase::Running,
        "zombie" => Phase::Zombie,
        _ => Phase::Closed(Close {
            status: WorkflowExecutionStatus::Completed,
            time: *time,
            event: crate::ids::EventId::FIRST,
            batch: crate::ids::EventId::FIRST,
            version: crate::version::FailoverVersion(1),
            next_run: None,
            delete_after: crate::time::Timestamp::MAX,
            lost: false,
        }),
    }
}
