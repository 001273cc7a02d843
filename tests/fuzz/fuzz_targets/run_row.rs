//! See `fuzz_targets::run_row`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::run_row(data));
