//! What a process has used, as the kernel counts it.

use std::{fs, str::FromStr};

use anyhow::Context;

/// Kernel clock ticks per second in `/proc/PID/stat`; fixed by Linux for user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// Totals since the process started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    /// Bytes sent to storage.
    pub(crate) bytes_written: f64,
    /// Resident set now.
    pub(crate) resident_bytes: f64,
    /// Highest resident set so far.
    pub(crate) peak_bytes: f64,
}

impl Usage {
    /// Read the counters of a running process.
    pub(crate) fn of(process: u32) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{process}/{file}");
            fs::read_to_string(&path).context(path)
        };
        let stat = read("stat")?;
        // The second field is the program's name in parentheses, which may hold anything; state is the third.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(f64::from_str).sum::<Result<f64, _>>()?;
        Ok(Self {
            cpu_seconds: ticks / TICKS_PER_SECOND,
            bytes_written: field(&read("io")?, "write_bytes:")?,
            resident_bytes: field(&read("status")?, "VmRSS:")? * 1024.0,
            peak_bytes: field(&read("status")?, "VmHWM:")? * 1024.0,
        })
    }

    /// What was used since `earlier`; resident sets are as they are.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            bytes_written: self.bytes_written - earlier.bytes_written,
            resident_bytes: self.resident_bytes,
            peak_bytes: self.peak_bytes,
        }
    }
}

/// The number after `name` at the start of a line.
fn field(text: &str, name: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(line.split_whitespace().next().with_context(|| format!("no value of {name}"))?.parse()?)
}
