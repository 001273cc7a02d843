//! Every file of every corpus through its target, and mutations of them.
//!
//! `tests/fuzz/README.md` says where the files come from.

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fuzz_targets::{TARGETS, Target};
use replicator::entropy::Entropy;

#[test]
fn every_file_of_every_corpus_is_taken() {
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "tests/fuzz/corpus/{name} has no file");
        for (file, data) in corpus {
            check(&file.display().to_string(), target, &data);
        }
    }
}

/// `FUZZ_SECONDS` for each target (60), `FUZZ_SEED` for all (1), `FUZZ_TARGET` for one alone.
#[test]
#[ignore = "takes a minute for each target"]
#[expect(clippy::print_stderr, reason = "says how to repeat it")]
fn mutations_of_every_corpus_are_taken() {
    let number = |name: &str, default| env::var(name).map_or(default, |text| text.parse::<u64>().expect(name));
    let (seconds, seed) = (number("FUZZ_SECONDS", 60), number("FUZZ_SEED", 1));
    let only = env::var("FUZZ_TARGET").ok();
    for (name, target) in TARGETS.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)) {
        let corpus: Vec<Vec<u8>> = corpus(name).into_iter().map(|(_, data)| data).collect();
        let mut entropy = Entropy::new(seed);
        let (began, mut inputs) = (Instant::now(), 0_u64);
        while began.elapsed() < Duration::from_secs(seconds) {
            let data = mutated(&corpus, &mut entropy);
            check(&format!("{name}: input {inputs} of seed {seed}"), target, &data);
            inputs += 1;
        }
        eprintln!("{name}: {inputs} inputs of seed {seed}");
    }
}

/// Run a target, and say what it was given if it panics.
#[expect(clippy::print_stderr, reason = "a panic with its input is what this is for")]
fn check(what: &str, target: Target, data: &[u8]) {
    if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| target(data))) {
        eprintln!("{what}: {}", data.escape_ascii());
        panic::resume_unwind(panic);
    }
}

/// A file with some bytes changed, moved, or taken from another one.
fn mutated(corpus: &[Vec<u8>], entropy: &mut Entropy) -> Vec<u8> {
    let mut data = corpus[below(entropy, corpus.len())].clone();
    for _ in 0..1 + below(entropy, 6) {
        let at = below(entropy, data.len() + 1);
        let length = below(entropy, (data.len() - at).min(64) + 1);
        match below(entropy, 6) {
            0 if at < data.len() => data[at] ^= 1 << below(entropy, 8),
            1 if at < data.len() => data[at] = [0, 1, 0x7f, 0x80, 0xff][below(entropy, 5)],
            // The largest number, and the smallest.
            2 => drop(data.splice(at..at, [[0xff; 8].as_slice(), &[0x7f]].concat())),
            3 => drop(data.splice(at..at, [[0x80; 9].as_slice(), &[0x01]].concat())),
            4 => drop(data.drain(at..at + length)),
            _ => {
                let other = &corpus[below(entropy, corpus.len())];
                let from = below(entropy, other.len() + 1);
                let until = from + below(entropy, (other.len() - from).min(256) + 1);
                data.splice(at..at + length, other[from..until].iter().copied());
            }
        }
    }
    data
}

fn below(entropy: &mut Entropy, end: usize) -> usize {
    let end = u64::try_from(end).expect("a length");
    usize::try_from(entropy.next_u64() % end).expect("below a length")
}

/// The files of a corpus, in the order of their names.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(&file).expect("read a file of a corpus"))).collect()
}
