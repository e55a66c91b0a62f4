//! What the machine and this process use, as far as the system tells. What cannot be read counts as nothing: these
//! numbers are for people to look at, and nothing depends on them.

use std::fs;
use std::path::Path;

/// The unit of processor times in `/proc`.
const TICKS_PER_SECOND: f32 = 100.0;

/// A look at this process.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct ProcessUse {
    /// Share of one processor in percent, since the process began.
    pub(crate) cpu_percent: f32,
    /// Bytes in memory.
    pub(crate) memory_bytes: u64,
    /// Bytes read from disks.
    pub(crate) read_bytes: u64,
    /// Bytes written to disks.
    pub(crate) written_bytes: u64,
    pub(crate) threads: u32,
}

/// A look at the machine.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct MachineUse {
    /// Share of all processors in percent, since the machine started.
    pub(crate) cpu_percent: f32,
    pub(crate) memory_bytes: u64,
    pub(crate) memory_available_bytes: u64,
    pub(crate) hostname: String,
    pub(crate) os_name: String,
    pub(crate) os_version: String,
    pub(crate) kernel_version: String,
}

/// Room in the file system that holds a path.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskSpace {
    pub(crate) free_bytes: u64,
    pub(crate) total_bytes: u64,
}

impl ProcessUse {
    /// Looks. `run_seconds` is how long the process has been running.
    pub(crate) fn now(run_seconds: f32) -> Self {
        let status = text("/proc/self/status");
        let io = text("/proc/self/io");
        Self {
            cpu_percent: cpu_ticks(&text("/proc/self/stat")) / TICKS_PER_SECOND / run_seconds.max(1.0)
                * 100.0,
            memory_bytes: number(&status, "VmRSS:") * 1024,
            read_bytes: number(&io, "read_bytes:"),
            written_bytes: number(&io, "write_bytes:"),
            threads: u32::try_from(number(&status, "Threads:")).unwrap_or(u32::MAX),
        }
    }
}

impl MachineUse {
    /// Looks.
    pub(crate) fn now() -> Self {
        let memory = text("/proc/meminfo");
        let release = text("/etc/os-release");
        Self {
            cpu_percent: busy_percent(&text("/proc/stat")),
            memory_bytes: number(&memory, "MemTotal:") * 1024,
            memory_available_bytes: number(&memory, "MemAvailable:") * 1024,
            hostname: text("/proc/sys/kernel/hostname").trim().to_owned(),
            os_name: release_field(&release, "NAME="),
            os_version: release_field(&release, "VERSION="),
            kernel_version: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

impl DiskSpace {
    /// Looks.
    pub(crate) fn at(path: &Path) -> Self {
        let Ok(found) = rustix::fs::statvfs(path) else { return Self::default() };
        Self {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        }
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The number behind a word at the beginning of a line.
fn number(text: &str, word: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn release_field(text: &str, word: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(word));
    value.unwrap_or_default().trim_matches('"').to_owned()
}

/// Time in user and kernel mode. The name of the program stands in brackets and may hold anything.
fn cpu_ticks(stat: &str) -> f32 {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f32>().ok()).sum()
}

fn busy_percent(stat: &str) -> f32 {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f32> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let all: f32 = ticks.iter().sum();
    // The fourth and fifth are idle and waiting for disks.
    let idle: f32 = ticks.iter().skip(3).take(2).sum();
    if all > 0.0 { (all - idle) / all * 100.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_machine_are_seen() {
        let process = ProcessUse::now(1.0);
        assert!(process.memory_bytes > 1_000_000 && process.threads > 0, "{process:?}");
        let machine = MachineUse::now();
        assert!(machine.memory_bytes > machine.memory_available_bytes, "{machine:?}");
        assert!(!machine.kernel_version.is_empty());
        let disk = DiskSpace::at(Path::new("/"));
        assert!(disk.total_bytes > disk.free_bytes, "{disk:?}");
        assert_eq!(DiskSpace::at(Path::new("/does/not/exist")), DiskSpace::default());
    }

    #[test]
    fn what_the_system_prints_is_read() {
        assert_eq!(number("VmPeak:\t 9 kB\nVmRSS:\t  77 kB\n", "VmRSS:"), 77);
        assert_eq!(number("nothing", "VmRSS:"), 0);
        assert!((cpu_ticks("1 (a ) b) S 1 1 1 0 -1 1 1 0 0 0 30 12 0 0 20") - 42.0).abs() < 0.01);
        assert!((busy_percent("cpu  10 0 10 60 20 0 0\ncpu0 1 1 1 1") - 20.0).abs() < 0.01);
        assert_eq!(release_field("PRETTY_NAME=\"x\"\nNAME=\"Debian\"\n", "NAME="), "Debian");
    }
}
