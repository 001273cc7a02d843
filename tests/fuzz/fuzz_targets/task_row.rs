//! See `fuzz_targets::task_row`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::task_row(data));
