//! The corpus: seeds that once failed, a line each: the seed, then what it showed.

use anyhow::{Context, bail};

/// A seed that once failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) seed: u64,
    /// What it showed.
    pub(crate) showed: String,
}

/// The corpus that belongs to this program.
pub(crate) const BUILT_IN: &str = include_str!("../../corpus.txt");

/// Parse a corpus. Lines that are empty or begin with `#` are for people.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<Entry>> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let entries = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    entries.map(|(number, line)| entry(line).with_context(|| format!("line {number} of the corpus"))).collect()
}

fn entry(line: &str) -> anyhow::Result<Entry> {
    let (seed, showed) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let seed = seed.parse().with_context(|| format!("{seed:?} is not a seed"))?;
    if showed.trim().is_empty() {
        bail!("seed {seed} does not say what it showed");
    }
    Ok(Entry { seed, showed: showed.trim().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_seed_and_what_it_showed() {
        let entries = parse("# for people\n\n 7  a run was open twice\n8\tb\n").unwrap();
        assert_eq!(entries[0], Entry { seed: 7, showed: "a run was open twice".into() });
        assert_eq!(entries[1].seed, 8);
    }

    #[test]
    fn a_bad_line_is_named() {
        check("7 fine\nseven is not a seed", "line 2 of the corpus: \"seven\" is not a seed");
        check("7", "line 1 of the corpus: seed 7 does not say what it showed");
    }

    #[test]
    fn the_corpus_of_this_program_can_be_read() {
        parse(BUILT_IN).unwrap();
    }

    #[track_caller]
    fn check(text: &str, error: &str) {
        let found = format!("{:#}", parse(text).unwrap_err());
        assert!(found.starts_with(error), "{found}");
    }
}
