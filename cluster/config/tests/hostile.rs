//! Whatever the file is, reading it ends in a configuration or in problems, and never in a panic.

use config::{MAX_HISTORY_SHARDS, parse};
use proptest::{collection::vec, prelude::*};

const EXAMPLE: &str = include_str!("../../../deploy/cluster-a.yaml");

/// Pieces that mean something to YAML or to the configuration.
const PIECES: [&str; 40] = [
    "\n",
    " ",
    "  ",
    "\t",
    ":",
    ": ",
    "- ",
    "? ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "#",
    "&a ",
    "*a",
    "<<: *a",
    "!!str ",
    "!x ",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "\\",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "~",
    "null",
    "0",
    "-1",
    "1e999",
    ".nan",
    "0x7f",
    "18446744073709551616",
    "yes",
    "\u{feff}",
    "\u{0}",
    "é",
    "enabled: ",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn bytes(bytes in vec(any::<u8>(), 0..256)) {
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn pieces(pieces in vec(0..PIECES.len(), 0..64)) {
        check(&pieces.into_iter().map(|piece| PIECES[piece]).collect::<String>());
    }

    /// Each edit replaces some bytes of the example by a piece.
    #[test]
    fn edited_example(edits in vec((0..EXAMPLE.len(), 0..24_usize, 0..=PIECES.len()), 1..8)) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        for (start, length, piece) in edits {
            let start = start.min(bytes.len());
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, PIECES.get(piece).unwrap_or(&"").bytes());
        }
        check(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn truncated_example() {
    for end in 0..EXAMPLE.len() {
        check(&EXAMPLE[..end]);
    }
}

/// Every scalar of the example replaced by every other kind of value, one at a time.
#[test]
fn example_with_values_of_other_kinds() {
    for (start, _) in EXAMPLE.match_indices(": ") {
        let value = start + 2;
        let end = EXAMPLE[value..].find([',', '}', '\n']).map_or(EXAMPLE.len(), |length| value + length);
        for other in ["", "~", "true", "-1", "1.5", "x", "''", "[x]", "{x: y}"] {
            check(&format!("{}{other}{}", &EXAMPLE[..value], &EXAMPLE[end..]));
        }
    }
}

fn check(text: &str) {
    match parse(text, None) {
        Ok((config, notices)) => {
            let cluster = &config.cluster;
            assert!(0 < cluster.initial_failover_version);
            assert!(cluster.initial_failover_version < cluster.failover_version_increment);
            assert!((1..=MAX_HISTORY_SHARDS).contains(&config.persistence.num_history_shards));
            assert!(notices.iter().all(|notice| !notice.path.is_empty() && !notice.text.is_empty()));
            let mut paths: Vec<_> = notices.iter().map(|notice| &notice.path).collect();
            paths.sort_unstable();
            paths.dedup();
            assert_eq!(paths.len(), notices.len(), "each notice once: {notices:?}");
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| !problem.text.is_empty()));
        }
    }
}
