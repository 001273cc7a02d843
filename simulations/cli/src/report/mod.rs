//! What a run of many seeds came to, in the languages of those who read it.

pub(crate) mod annotations;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod text;

use crate::tally::World;

/// The command that shows a world again.
pub(crate) fn replays(world: &World) -> String {
    command(&world.case.name())
}

/// The command that shows the world of a name again.
pub(crate) fn command(name: &str) -> String {
    format!("simulate replay{} {name}", planted())
}

/// What a command needs besides, so that a defect that was planted is there again.
pub(crate) fn planted() -> &'static str {
    #[cfg(feature = "defects")]
    return crate::command::power::planted();
    #[cfg(not(feature = "defects"))]
    ""
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use simulations::checkers::{Finding, Violation};

    use super::*;
    use crate::{case::Case, tally::Tally};

    #[test]
    fn every_reader_is_told_of_a_broken_promise_and_how_to_see_it_again() {
        let tally = broken("two runs, <1> & <2>");
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut text = Vec::new();
            write(&mut text);
            String::from_utf8(text).unwrap()
        };
        let text = written(&|out| annotations::write(&tally, out).unwrap());
        let expected =
            "::error title=seed 8%3A at most one run is open::two runs, <1> & <2>%0AReplay it: simulate replay 8\n";
        assert_eq!(text, expected);

        let text = written(&|out| junit::write(&tally, out).unwrap());
        assert!(text.contains(r#"<testsuites tests="2" failures="1""#), "{text}");
        assert!(text.contains(r#"<testcase classname="simulate.corpus" name="7" time="0.000"/>"#), "{text}");
        let failure = r#"<failure message="at most one run is open">two runs, &lt;1&gt; &amp; &lt;2&gt;"#;
        assert!(text.contains(failure), "{text}");

        let document = json::document(&tally);
        assert_eq!(document["broken"][0]["replay"], "simulate replay 8");
        assert_eq!(document["broken"][0]["about"], "order-1");
        assert_eq!(document["fresh"], serde_json::json!({"first": "8", "last": "8"}));

        let text = written(&|out| text::summary(&tally, out).unwrap());
        assert!(text.starts_with("2 worlds in 0.0 s, 1 broke a promise"), "{text}");
        assert!(text.contains("never happened, and must\n  fault: clock drifts\n"), "{text}");
    }

    /// A corpus seed that kept its promises and a fresh one that did not.
    fn broken(found: &str) -> Tally {
        let world = |place, case, violation| World {
            place,
            case,
            violation,
            simulated: Duration::from_secs(60),
            happenings: 1_000,
            failovers: 1,
            faults: 2,
            hash: 3,
            took: Duration::ZERO,
        };
        let violation = Violation {
            at: Duration::from_secs(9),
            promise: "at most one run is open",
            finding: Finding { subject: Some("order-1".into()), text: found.into() },
        };
        let worlds = vec![world(0, Case::Corpus(7, "it broke".into()), None), world(1, Case::Seed(8), Some(violation))];
        Tally { worlds, ..Tally::default() }
    }
}
