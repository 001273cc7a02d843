//! Runs a script on both servers and compares what was seen.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::PathBuf,
    sync::{LazyLock, Mutex},
};

use serde_json::Value;
use tests::{provision, raw::Refusal, server::Server};

use crate::{
    known, normal,
    side::{Side, Step},
};

/// How much of a line is shown: some scripts send megabytes.
const WIDTH: usize = 300;

/// The servers, started by the first script that needs them.
static SERVERS: LazyLock<[Server; 2]> =
    LazyLock::new(|| [Server::under_test("under-test"), Server::temporal("temporal", &[])]);

/// Names of the scripts so far: they name queues and workflows.
static SCRIPTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Run the script on both and compare all its steps.
///
/// # Panics
///
/// When a step differs that is not known to, or does not differ although it is known to.
#[track_caller]
pub(crate) fn compare(script: &str, run: impl AsyncFn(&mut Side)) {
    compare_on(&SERVERS, script, run);
}

/// The same on servers of one's own, Meridian's first.
#[track_caller]
pub(crate) fn compare_on(servers: &[Server; 2], script: &str, run: impl AsyncFn(&mut Side)) {
    assert!(SCRIPTS.lock().expect("no panic here").insert(script.to_owned()), "two scripts are called {script}");
    let [ours, theirs] = [0, 1].map(|server| {
        let address = servers[server].address(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut side = Side::connect(address, script).await;
            run(&mut side).await;
            normal::steps(side.seen)
        })
    });
    write_down(&format!("{script}.ours"), &ours);
    write_down(&format!("{script}.theirs"), &theirs);
    let differences = differences(script, &ours, &theirs);
    assert!(differences.is_empty(), "{script}: Meridian (-) and Temporal (+) differ\n{differences}");
}

/// Keep what was seen, for whoever wants to know what the real server does.
fn write_down(name: &str, steps: &[Step]) {
    static TRANSCRIPTS: LazyLock<PathBuf> = LazyLock::new(|| provision::scratch("transcripts"));
    let step = |step: &Step| format!("## {}\n{}\n\n", step.name, lines(&step.outcome).join("\n"));
    let text: String = steps.iter().map(step).collect();
    fs::write(TRANSCRIPTS.join(name), text).expect("write a transcript");
}

fn differences(script: &str, ours: &[Step], theirs: &[Step]) -> String {
    let mut text = String::new();
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours.name, theirs.name, "{script}: the sides took different ways");
        let same = same(&ours.outcome, &theirs.outcome);
        match (same, known::reason(script, &ours.name)) {
            (true, None) | (false, Some(_)) => {}
            (false, None) => {
                let _ = writeln!(text, "  {}:\n{}", ours.name, diff(&lines(&ours.outcome), &lines(&theirs.outcome)));
            }
            (true, Some(reason)) => {
                let _ = writeln!(text, "  {}: is equal, so delete it from known.rs ({reason})", ours.name);
            }
        }
    }
    assert_eq!(ours.len(), theirs.len(), "{script}: the sides took different ways\n{text}");
    text
}

/// Equal answers, or errors with equal code and details; texts may differ.
fn same(ours: &Result<Value, Refusal>, theirs: &Result<Value, Refusal>) -> bool {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (Err(ours), Err(theirs)) => (ours.code, &ours.details) == (theirs.code, &theirs.details),
        _ => false,
    }
}

fn lines(outcome: &Result<Value, Refusal>) -> Vec<String> {
    let text = match outcome {
        Ok(value) => serde_json::to_string_pretty(value).expect("JSON prints"),
        Err(refusal) => refusal.to_string(),
    };
    text.lines().map(|line| line.chars().take(WIDTH).collect()).collect()
}

/// The lines that differ, with a little of what is around them.
fn diff(ours: &[String], theirs: &[String]) -> String {
    const AROUND: usize = 3;
    let lengths = common_lengths(ours, theirs);
    let (mut i, mut j, mut all) = (0, 0, Vec::new());
    while i < ours.len() || j < theirs.len() {
        if i < ours.len() && j < theirs.len() && ours[i] == theirs[j] {
            all.push((' ', &ours[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == theirs.len() || (i < ours.len() && lengths[i][j + 1] <= lengths[i + 1][j]) {
            all.push(('-', &ours[i]));
            i += 1;
        } else {
            all.push(('+', &theirs[j]));
            j += 1;
        }
    }
    let near = |index: usize| {
        let window = index.saturating_sub(AROUND)..(index + AROUND + 1).min(all.len());
        all[window].iter().any(|(mark, _)| *mark != ' ')
    };
    let shown = all.iter().enumerate().filter(|(index, _)| near(*index));
    shown.map(|(_, (mark, line))| format!("    {mark} {line}\n")).collect()
}

/// Length of the longest common subsequence of what follows each pair of positions.
fn common_lengths(ours: &[String], theirs: &[String]) -> Vec<Vec<usize>> {
    let mut lengths = vec![vec![0; theirs.len() + 1]; ours.len() + 1];
    for i in (0..ours.len()).rev() {
        for j in (0..theirs.len()).rev() {
            lengths[i][j] =
                if ours[i] == theirs[j] { lengths[i + 1][j + 1] + 1 } else { lengths[i + 1][j].max(lengths[i][j + 1]) };
        }
    }
    lengths
}
