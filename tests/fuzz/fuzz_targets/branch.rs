//! See `fuzz_targets::branch`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::branch(data));
