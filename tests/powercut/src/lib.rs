//! This library never fails a call and is no part of the server: preloaded under it (`LD_PRELOAD`), it
//! keeps beside every database file what a power cut would leave of it.
//!
//! Writes to `FILE` (a name that ends with `.db` or `.db-wal`) go through, and are remembered. A sync of it first plays what
//! was remembered into `FILE.durable`, and then answers. After `kill -9` whoever puts every `FILE.durable` in the place of
//! its `FILE` has the disk that forgot everything that was not synced. Names of files are durable at once.
//!
//! A sync takes as long as on an ordinary disk, so that cuts fall into it.
//!
//! With `POWERCUT_LIES` set a sync of a `.db-wal` plays nothing: the disk that says it synced and did not. A test that cannot
//! tell the two apart tests nothing.

use std::{
    collections::HashMap,
    env,
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    fs::{self, File},
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _},
    path::{Path, PathBuf},
    slice,
    sync::{LazyLock, Mutex, PoisonError},
    thread,
    time::Duration,
};

use libc::{off_t, size_t, ssize_t};

/// How long a sync takes.
const SYNC: Duration = Duration::from_millis(4);

/// What was done to a file and is not synced.
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// Changes by file, oldest first.
static UNSYNCED: LazyLock<Mutex<HashMap<PathBuf, Vec<Change>>>> = LazyLock::new(Mutex::default);

/// The database file behind a descriptor.
fn database(descriptor: c_int) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    is_database(&path).then_some(path)
}

fn is_database(path: &Path) -> bool {
    [".db", ".db-wal"].iter().any(|end| path.as_os_str().as_bytes().ends_with(end.as_bytes()))
}

fn durable(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".durable");
    name.into()
}

fn remember(path: PathBuf, change: Change) {
    UNSYNCED.lock().unwrap_or_else(PoisonError::into_inner).entry(path).or_default().push(change);
}

/// Remember the first `written` bytes of a buffer, at `offset`.
///
/// # Safety
///
/// The buffer has so many bytes.
unsafe fn remember_write(path: Option<PathBuf>, buffer: *const c_void, written: ssize_t, offset: off_t) {
    let (Some(path), Ok(written), Ok(offset)) = (path, usize::try_from(written), u64::try_from(offset)) else { return };
    // SAFETY: the kernel has just read them.
    let bytes = unsafe { slice::from_raw_parts(buffer.cast::<u8>(), written) };
    remember(path, Change::Write(offset, bytes.to_vec()));
}

/// Play what was remembered of a file. Its lock is held, so that two syncs keep their order.
fn play(path: &Path) {
    if env::var_os("POWERCUT_LIES").is_some() && path.as_os_str().as_bytes().ends_with(b"-wal") {
        return;
    }
    thread::sleep(SYNC);
    let mut unsynced = UNSYNCED.lock().unwrap_or_else(PoisonError::into_inner);
    let file = File::options().create(true).truncate(false).write(true).open(durable(path));
    let file = file.expect("open what is durable");
    for change in unsynced.remove(path).into_iter().flatten() {
        match change {
            Change::Write(offset, bytes) => file.write_all_at(&bytes, offset),
            Change::Truncate(length) => file.set_len(length),
        }
        .expect("write what is durable");
    }
}

/// Stands in for `write(2)`.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(descriptor: c_int, buffer: *const c_void, length: size_t) -> ssize_t {
    let path = database(descriptor);
    // SAFETY: passed on as it came; the place of a file is asked for.
    unsafe {
        let at = path.as_ref().map_or(0, |_| libc::lseek(descriptor, 0, libc::SEEK_CUR));
        let written = libc::syscall(libc::SYS_write, descriptor, buffer, length) as ssize_t;
        remember_write(path, buffer, written, at);
        written
    }
}

/// Stands in for `pwrite(2)`.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(descriptor: c_int, buffer: *const c_void, length: size_t, at: off_t) -> ssize_t {
    // SAFETY: passed on as it came.
    unsafe {
        let written = libc::syscall(libc::SYS_pwrite64, descriptor, buffer, length, at) as ssize_t;
        remember_write(database(descriptor), buffer, written, at);
        written
    }
}

/// Stands in for the other name of `pwrite(2)`.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(descriptor: c_int, buffer: *const c_void, length: size_t, at: off_t) -> ssize_t {
    // SAFETY: the same function.
    unsafe { pwrite(descriptor, buffer, length, at) }
}

/// Stands in for `ftruncate(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate(descriptor: c_int, length: off_t) -> c_int {
    // SAFETY: passed on as it came.
    let outcome = unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, length) } as c_int;
    if let (0, Some(path), Ok(length)) = (outcome, database(descriptor), u64::try_from(length)) {
        remember(path, Change::Truncate(length));
    }
    outcome
}

/// Stands in for the other name of `ftruncate(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(descriptor: c_int, length: off_t) -> c_int {
    ftruncate(descriptor, length)
}

/// Stands in for `fsync(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(descriptor: c_int) -> c_int {
    match database(descriptor) {
        Some(path) => {
            play(&path);
            0
        }
        // SAFETY: passed on as it came.
        None => unsafe { libc::syscall(libc::SYS_fsync, descriptor) as c_int },
    }
}

/// Stands in for `fdatasync(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    fsync(descriptor)
}

/// Stands in for `unlink(2)`.
///
/// # Safety
///
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(name: *const c_char) -> c_int {
    // SAFETY: the caller's name ends with a zero; passed on as it came.
    let (path, outcome) = unsafe {
        let path = PathBuf::from(OsStr::from_bytes(CStr::from_ptr(name).to_bytes()));
        (path, libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, name, 0) as c_int)
    };
    if outcome == 0 && is_database(&path) {
        let path = std::path::absolute(&path).unwrap_or(path);
        UNSYNCED.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
        let _ = fs::remove_file(durable(&path));
    }
    outcome
}
