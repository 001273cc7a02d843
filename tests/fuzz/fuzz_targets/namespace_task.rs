//! See `fuzz_targets::namespace_task`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::namespace_task(data));
