//! One graceful failover at a time, told as what happens, and what it wants done about it.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::*;

/// `near 1`, `drained 1`, `written 2`, `unwritten`, `confirmed`, `version 5`, `abort`, or seconds that pass: `+3`.
struct World {
    handover: Handover,
    now: Timestamp,
}

impl World {
    /// From version 1 to `b`, with two shards, 60 seconds to catch up and 10 to drain. It begins at second 0.
    fn new() -> Self {
        let terms = Terms {
            to: "b".into(),
            version: FailoverVersion(1),
            shards: 2,
            catch_up: Duration::from_secs(60),
            max_pause: Duration::from_secs(10),
        };
        Self { handover: Handover::new(Timestamp::ZERO, terms), now: Timestamp::ZERO }
    }

    /// The same, and the new side has said that it lacks nothing.
    fn ready() -> Self {
        let mut world = Self::new();
        world.handover.handle_new_side(world.now, Ok(()));
        world
    }

    /// Let something happen; answers what is to be done now.
    fn step(&mut self, word: &str) -> Vec<String> {
        let (what, number) = word.split_once(' ').unwrap_or((word, "0"));
        let (number, handover) = (number.parse::<i64>().unwrap(), &mut self.handover);
        let shard = ShardId(u32::try_from(number).unwrap());
        match what {
            "near" => handover.handle_near(self.now, shard),
            "drained" => handover.handle_drained(shard),
            "written" => handover.handle_written(self.now, Ok(FailoverVersion(number))),
            "unwritten" => handover.handle_written(self.now, Err("the disk is full".to_string())),
            "ready" => handover.handle_new_side(self.now, Ok(())),
            "lacking" => handover.handle_new_side(self.now, Err("c was not heard".to_string())),
            "confirmed" => handover.handle_confirmed(self.now),
            "version" => handover.handle_version(FailoverVersion(number)),
            "abort" => drop(handover.abort()),
            wait => {
                self.now = self.now + Duration::from_millis(wait.trim_start_matches('+').parse().unwrap());
                handover.handle_timeout(self.now);
            }
        }
        core::iter::from_fn(|| self.handover.poll_step()).map(|step| show(&step)).collect()
    }
}

fn show(step: &Step) -> String {
    let seconds = |time: &Timestamp| time.0 / 1_000_000_000;
    match step {
        Step::Watch => "watch".to_string(),
        Step::AskNewSide => "ask".to_string(),
        Step::Stop { until } => format!("stop until {}", seconds(until)),
        Step::Switch { before } => format!("switch before {}", seconds(before)),
        Step::Confirm { version } => format!("confirm {version}"),
        Step::Release => "release".to_string(),
        Step::TakeBack { version } => format!("take back {version}"),
    }
}

/// `script`: what happens, separated by `,`, each with what is to be done behind `>`. Then how it ended.
#[track_caller]
fn check(script: &str, expected: Option<Outcome>) {
    play(World::ready(), script, expected);
}

#[track_caller]
fn play(mut world: World, script: &str, expected: Option<Outcome>) {
    for line in script.split(',').map(str::trim).filter(|line| !line.is_empty()) {
        let (word, steps) = line.split_once(" > ").unwrap_or((line, ""));
        let found = world.step(word).join(" and ");
        let found = found.trim_start_matches("watch and ask").trim_start_matches(" and ");
        assert_eq!(found, steps, "after {word}");
    }
    let found = match world.handover.stage() {
        Stage::Over(outcome) => Some(outcome),
        _ => None,
    };
    assert_eq!(found, expected, "{script}");
}

const STOPPED: &str = "near 1, near 2 > stop until 15, written 1";
const DRAINED: &str = "near 1, near 2 > stop until 15, written 1, +30, drained 1, drained 2 > switch before 12";

fn kept(why: Kept, paused: u64) -> Option<Outcome> {
    Some(Outcome::Kept { why, paused: Duration::from_millis(paused) })
}

fn shards<const N: usize>(shards: [u32; N]) -> BTreeSet<ShardId> {
    shards.map(ShardId).into()
}

#[test]
fn a_namespace_moves_when_the_other_side_has_everything() {
    let moved = Outcome::Moved { version: FailoverVersion(2), paused: Duration::from_millis(40) };
    check(&format!("{DRAINED}, written 2 > confirm 2, +10, confirmed"), Some(moved));
    assert_eq!(World::new().step("+0"), ["watch", "ask"]);
}

/// Of three clusters the third was active before. What it wrote only it can tell.
#[test]
fn the_new_side_is_waited_for_until_it_has_heard_the_others() {
    play(World::new(), "near 1, near 2, +5, ready > stop until 15", None);
    play(World::new(), "lacking, near 1, near 2, +5, lacking, +5, ready > stop until 15", None);
    play(World::new(), "near 1, near 2, lacking, +60000", kept(Kept::Unready("c was not heard".to_string()), 0));
    play(World::new(), "ready, lacking, near 2, +60000", kept(Kept::Behind(shards([1])), 0));
}

#[test]
fn shards_may_be_done_before_it_is_known_that_writes_are_held_back() {
    check("near 1, near 2 > stop until 15, drained 2, drained 1, written 1 > switch before 12", None);
}

#[test]
fn every_state_ends_by_itself_and_the_namespace_is_served_where_it_was() {
    check("near 2, +60000", kept(Kept::Behind(shards([1])), 0));
    let undrained = Kept::Undrained(shards([2]));
    check(&format!("{STOPPED}, drained 1, +10000 > release, +5, written 1"), kept(undrained, 10_005));
    let slow = "near 1, near 2 > stop until 15, +10000, +500, written 1 > release, written 1";
    check(slow, kept(Kept::Undrained(shards([1, 2])), 10_500));
}

#[test]
fn it_can_be_given_up_until_the_switch() {
    check("near 1, abort", kept(Kept::Aborted, 0));
    check("near 1, near 2 > stop until 15, abort, +20, written 1 > release, written 1", kept(Kept::Aborted, 20));
    check(&format!("{STOPPED}, +30, abort > release, abort, +1, written 1"), kept(Kept::Aborted, 31));
    let moved = Outcome::Moved { version: FailoverVersion(2), paused: Duration::from_millis(30) };
    check(&format!("{DRAINED}, abort, written 2 > confirm 2, abort, confirmed"), Some(moved));
}

#[test]
fn what_cannot_be_written_is_given_back() {
    let why = || Kept::Unwritten("the disk is full".to_string());
    check("near 1, near 2 > stop until 15, unwritten > release, written 1", kept(why(), 0));
    check(&format!("{DRAINED}, unwritten > release, written 1"), kept(why(), 30));
    // The shards go on at second 15, whoever writes that down.
    let script = "unwritten > release, unwritten, +200 > release, unwritten, +14770";
    check(&format!("{DRAINED}, {script}"), kept(why(), 15_000));
}

#[test]
fn a_new_side_that_is_silent_is_not_waited_for() {
    let back = Outcome::TakenBack { version: FailoverVersion(11), paused: Duration::from_millis(10_230) };
    let script = "written 2 > confirm 2, +10000 > take back 2, unwritten, +200 > take back 2, written 11";
    check(&format!("{DRAINED}, {script}"), Some(back));
}

#[test]
fn whoever_fails_over_meanwhile_is_right() {
    let overtaken = |version| Some(Outcome::Overtaken { version: FailoverVersion(version) });
    check("near 1, version 1, version 12", overtaken(12));
    check(&format!("{STOPPED}, version 1, version 12"), overtaken(12));
    check(&format!("{STOPPED}, abort > release, version 12"), overtaken(12));
    check(&format!("{DRAINED}, version 2, written 2 > confirm 2, version 2, version 12"), overtaken(12));
    check(&format!("{DRAINED}, version 12, unwritten > release, version 12"), overtaken(12));
    // What is taken back is no longer there to be taken, whether that is heard before the write fails or after.
    let silent = format!("{DRAINED}, written 2 > confirm 2, +10000 > take back 2");
    check(&format!("{silent}, version 12, unwritten"), overtaken(12));
    check(
        &format!("{silent}, version 2, unwritten, version 2, +200 > take back 2, version 12, unwritten"),
        overtaken(12),
    );
    check(&format!("{silent}, unwritten, version 12"), overtaken(12));
    let back = Outcome::TakenBack { version: FailoverVersion(11), paused: Duration::from_millis(10_030) };
    check(&format!("{silent}, version 11, written 11"), Some(back));
}

/// Whatever happens in whichever order, time ends it, and what is to be done is done once at a time.
#[test]
fn nothing_that_happens_keeps_it_from_ending() {
    let words = [
        "near 1",
        "near 2",
        "drained 1",
        "drained 2",
        "written 1",
        "written 2",
        "unwritten",
        "confirmed",
        "abort",
        "+7000",
    ];
    let mut entropy = crate::entropy::Entropy::new(7);
    for _ in 0..2_000 {
        let mut world = World::ready();
        world.step("+0");
        let mut writing = 0;
        for _ in 0..200 {
            let word = words[usize::try_from(entropy.next_u64() % 10).unwrap()];
            // The store answers what it was asked, and only that.
            if word.contains("written") {
                if writing == 0 {
                    continue;
                }
                writing -= 1;
            }
            let steps = world.step(word);
            writing += steps.iter().filter(|step| !step.starts_with("confirm")).count();
            assert!(writing <= 1, "one write at a time");
        }
        while !matches!(world.handover.stage(), Stage::Over(_)) {
            let steps = if writing > 0 { world.step("written 11") } else { world.step("+60000") };
            writing = steps.iter().filter(|step| !step.starts_with("confirm")).count();
        }
        assert_eq!(world.handover.poll_timeout(), None);
    }
}
