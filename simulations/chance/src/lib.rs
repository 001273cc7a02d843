//! This crate decides what the operating system would: what `getrandom` draws on a thread whose seed was given, and what
//! `clock_gettime` says there.
//!
//! The standard library draws the keys of its hash tables there, and tokio, from those, the order in which it wakes the
//! receivers of a `watch` and polls the branches of a `select!`. So a program whose hash tables are walked, and whose tasks
//! wait for the same news, does the same again from the same seed.
//!
//! The clock stands still there. Worlds have a clock of their own, but libraries look at the system's all the same: h2 forgets a
//! stream that was reset a second ago, and with it changes the order in which it tells the others that a connection is
//! gone, so how fast a machine was decided who called first on the next one. Linux alone: elsewhere a seed changes nothing.

use std::cell::Cell;

thread_local! {
    /// Where the sequence of this thread stands. Without a value the system draws.
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Draw from a sequence from now on, on this thread.
///
/// Tables keep the keys that they have, and a thread draws keys once: it is to be called first on a thread of its own.
pub fn pin(seed: u64) {
    STATE.set(Some(seed));
}

/// The next 8 bytes of this thread's sequence (SplitMix64; Steele, Lea and Flood, 2014), if it has one.
fn draw() -> Option<[u8; 8]> {
    let state = STATE.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(Some(state));
    let once = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let twice = (once ^ (once >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some((twice ^ (twice >> 31)).to_le_bytes())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{ffi::c_void, slice};

    use libc::{c_int, c_uint, clockid_t, size_t, ssize_t, timespec};

    /// When it is on a thread whose seed was given, by any clock: in January 2027.
    const ALWAYS: timespec = timespec { tv_sec: 1_800_000_000, tv_nsec: 0 };

    /// Say how late it is, as clock_gettime(2) does.
    ///
    /// # Safety
    ///
    /// There is room for a time at `time`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
        if super::STATE.get().is_none() {
            // SAFETY: what the caller promises is what the system asks for.
            return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as c_int };
        }
        // SAFETY: so the caller promises.
        unsafe { time.write(ALWAYS) };
        0
    }

    /// Fill a buffer, as getrandom(2) does.
    ///
    /// # Safety
    ///
    /// The buffer has `length` bytes that may be written.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
        let Some(first) = super::draw() else {
            // SAFETY: what the caller promises is what the system asks for.
            return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as ssize_t };
        };
        if length > 0 {
            // SAFETY: so the caller promises, and what is written is plain bytes.
            let buffer = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
            let mut next = Some(first);
            for part in buffer.chunks_mut(8) {
                let drawn = next.take().or_else(super::draw).unwrap_or_default();
                part.copy_from_slice(&drawn[..part.len()]);
            }
        }
        length as ssize_t
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        collections::HashMap,
        thread,
        time::{Duration, Instant},
    };

    use super::pin;

    /// The order in which a hash table is walked on a thread of its own.
    fn order(seed: Option<u64>) -> Vec<u32> {
        let walk = move || {
            seed.into_iter().for_each(pin);
            let table: HashMap<u32, ()> = (0..100).map(|key| (key, ())).collect();
            table.into_keys().collect()
        };
        thread::spawn(walk).join().expect("the thread ended")
    }

    #[test]
    fn a_seed_decides_the_order_of_hash_tables() {
        assert_eq!(order(Some(7)), order(Some(7)));
        assert_ne!(order(Some(7)), order(Some(8)));
    }

    #[test]
    fn time_stands_still_where_there_is_a_seed() {
        let elapsed = |seed: Option<u64>| {
            let look = move || {
                seed.into_iter().for_each(pin);
                let began = Instant::now();
                thread::sleep(Duration::from_millis(2));
                began.elapsed()
            };
            thread::spawn(look).join().expect("the thread ended")
        };
        assert_eq!(elapsed(Some(7)), Duration::ZERO);
        assert!(Duration::from_millis(2) <= elapsed(None));
    }

    #[test]
    fn without_a_seed_the_system_decides() {
        assert_ne!(order(None), order(None));
    }
}
