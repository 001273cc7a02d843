//! The program as people and CI pipelines use it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

#[test]
fn the_same_seeds_in_two_processes_leave_the_same_trace() {
    let trace = |jobs: &str| {
        let output = simulate(&["run", "--from", "7", "--seeds", "3", "--jobs", jobs, "--format", "json"]);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        result["trace"].as_str().unwrap().to_owned()
    };
    assert_eq!(trace("1"), trace("3"));
}

#[test]
fn a_run_reports_to_people_and_to_ci() {
    let folder = tempfile::tempdir().unwrap();
    let (junit, json) = (folder.path().join("junit.xml"), folder.path().join("result.json"));
    let output = simulate(&["run", "--scenario", "conflict", "--junit", path(&junit), "--json", path(&json)]);
    let text = kept(&output);
    assert!(text.starts_with("conflict: "), "{text}");
    assert!(text.contains("1 worlds in ") && text.contains("every promise kept"), "{text}");
    assert!(text.contains("fault: link cut"), "{text}");
    assert!(text.contains("never happened, and must"), "one story does not do everything: {text}");
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains(r#"<testcase classname="simulate.scenario" name="--scenario conflict""#), "{junit}");
    let json: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert_eq!((json["worlds"].as_u64(), json["broken"].as_array().map(Vec::len)), (Some(1), Some(0)));
    assert!(json["exercised"]["fault: link cut"].as_u64() > Some(0));
}

#[test]
fn coverage_can_be_demanded() {
    let output = simulate(&["run", "--scenario", "conflict", "--all-covered"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_replay_prints_a_line_of_fixed_columns_for_every_happening() {
    let output = simulate(&["replay", "7", "--until", "2s", "--log"]);
    let text = kept(&output);
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    assert!(lines.len() > 20, "{text}");
    for line in lines {
        assert_eq!(line.find('.'), Some(4), "{line:?}");
        assert_eq!(line.as_bytes()[11], b' ', "{line:?}");
    }
    assert!(text.trim_end().lines().last().unwrap().starts_with("7 kept every promise"), "{text}");
}

#[test]
fn a_story_becomes_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    kept(&simulate(&["replay", "--scenario", "conflict", "--html", path(&file)]));
    assert!(fs::read_to_string(file).unwrap().starts_with("<!doctype html>"));
}

#[test]
fn what_keeps_its_promises_is_not_shrunk() {
    let text = kept(&simulate(&["shrink", "--scenario", "conflict"]));
    assert!(text.contains("there is nothing to shrink"), "{text}");
}

#[test]
fn stories_are_listed() {
    assert!(kept(&simulate(&["scenarios"])).contains("cadence#5006"));
}

#[test]
fn mistakes_are_told_and_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.json");
    fs::write(&plan, "{\"seed\": 1}").unwrap();
    let corpus = folder.path().join("corpus.txt");
    fs::write(&corpus, "7 fine\nseven\n").unwrap();
    refused(&["run", "--for", "ten minutes"], "like 90s");
    refused(&["run", "--scenario", "nothing"], "there is no scenario nothing");
    refused(&["run", "--corpus", path(&corpus)], "line 2 of the corpus");
    refused(
        &["run", "--from", "7", "--seeds", "1", "--junit", "/no/such/folder/file"],
        "cannot write /no/such/folder/file",
    );
    refused(&["replay"], "required");
    refused(&["replay", "--plan", "/no/such/file"], "cannot read /no/such/file");
    refused(&["replay", "--plan", path(&plan)], "is no plan: missing field");
}

#[track_caller]
fn refused(arguments: &[&str], reason: &str) {
    let output = simulate(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert!(text.contains(reason), "{arguments:?}: {text}");
}

#[track_caller]
fn kept(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments).output().expect("start simulate")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
