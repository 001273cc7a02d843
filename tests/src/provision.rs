//! Where the published SDKs and the published CLI are, after `provision.sh` has seen to them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The folder of this package.
fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `provision.sh`, one process of the test run at a time.
static DONE: LazyLock<()> = LazyLock::new(|| {
    let folder = package().join(".provision");
    fs::create_dir_all(&folder).expect("create tests/.provision");
    let lock = File::create(folder.join("lock")).expect("create tests/.provision/lock");
    lock.lock().expect("lock tests/.provision/lock");
    let status = Command::new(package().join("provision.sh")).status().expect("run tests/provision.sh");
    assert!(status.success(), "tests/provision.sh: {status}");
});

fn provisioned(path: &str) -> PathBuf {
    LazyLock::force(&DONE);
    package().join(path)
}

/// The published CLI, which is also the real dev server.
#[must_use]
pub fn temporal() -> PathBuf {
    provisioned(".provision/python/bin/temporal")
}

/// The command that runs the Python driver.
#[must_use]
pub fn python() -> Command {
    let mut command = Command::new(provisioned(".provision/python/bin/python"));
    command.arg("-u").arg(package().join("sdk/python/driver.py"));
    command
}

/// The command that runs the TypeScript driver.
#[must_use]
pub fn typescript() -> Command {
    let mut command = Command::new("node");
    command.arg(provisioned("sdk/typescript/driver.js"));
    command
}

/// The binary under test: `MERIDIAN_BIN`, else the one of this build's profile, else the newer of release and debug.
///
/// # Panics
///
/// When it was not built.
#[must_use]
pub fn meridian() -> PathBuf {
    if let Some(path) = std::env::var_os("MERIDIAN_BIN") {
        return path.into();
    }
    let built = ["release", "debug"].map(|profile| target().join(profile).join("meridian"));
    let age = |path: &PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let newest = built.into_iter().filter_map(|path| Some((age(&path)?, path))).max();
    newest.expect("no meridian: `cargo build -p cluster`, or name it in MERIDIAN_BIN").1
}

/// Cargo's target directory, on the file system that the checkout is on.
///
/// # Panics
///
/// When the running program does not come from one.
#[must_use]
pub fn target() -> PathBuf {
    let exe = std::env::current_exe().expect("path of the running program");
    let target = exe.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.expect("a program built by cargo").to_owned()
}

/// An empty folder for what `name` leaves behind: data, logs. It stays until the next run of the same program.
///
/// # Panics
///
/// When it cannot be made.
#[must_use]
pub fn scratch(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("path of the running program");
    let program = exe.file_stem().expect("a file name").to_string_lossy();
    let program = program.split('-').next().expect("at least one part");
    let folder = target().join("tmp").join(program).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap_or_else(|error| panic!("empty {}: {error}", folder.display()));
    }
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("create {}: {error}", folder.display()));
    folder
}
