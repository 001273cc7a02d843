//! See `fuzz_targets::gossip`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::gossip(data));
