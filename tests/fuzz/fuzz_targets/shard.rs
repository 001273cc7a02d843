//! See `fuzz_targets::shard`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::shard(data));
