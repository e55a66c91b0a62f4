//! How much memory this process may use, and how much it does: what defaults are derived from.

mod cgroup;
pub(crate) mod kills;

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use self::cgroup::Group;

/// What is taken for the memory of a machine that does not tell.
const UNKNOWN_BYTES: u64 = 4 << 30;

/// What the kernel counts memory in, in the figures of a process.
const PAGE_BYTES: u64 = 4 << 10;

/// The most memory that a process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    /// Bytes.
    pub(crate) bytes: u64,
    source: Source,
}

/// What says how much memory there is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Machine,
    Cgroup(PathBuf),
    Unknown,
}

impl MemoryLimit {
    /// The least of what the machine has and what the control groups of this process allow, as it was when it was
    /// first asked for.
    pub(crate) fn of_process() -> &'static Self {
        static LIMIT: OnceLock<MemoryLimit> = OnceLock::new();
        LIMIT.get_or_init(|| {
            let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
            let limits = groups().into_iter().filter_map(|group| Some((group.limit()?, group.dir)));
            Self::least(total_bytes(&meminfo), limits)
        })
    }

    fn least(machine: Option<u64>, groups: impl Iterator<Item = (u64, PathBuf)>) -> Self {
        let machine = Self {
            bytes: machine.unwrap_or(UNKNOWN_BYTES),
            source: machine.map_or(Source::Unknown, |_| Source::Machine),
        };
        let groups = groups.map(|(bytes, dir)| Self { bytes, source: Source::Cgroup(dir) });
        groups.fold(machine, |least, group| if group.bytes < least.bytes { group } else { least })
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.bytes >> 20;
        match &self.source {
            Source::Machine => write!(f, "{mib} MiB, the memory of the machine"),
            Source::Cgroup(dir) => write!(f, "{mib} MiB, the limit of the control group {}", dir.display()),
            Source::Unknown => write!(f, "{mib} MiB, a guess: the machine does not tell"),
        }
    }
}

/// Memory that this process has touched and that it keeps now; none where the system does not tell.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(PAGE_BYTES))
}

/// Memory mappings that a process may have.
pub(crate) fn mappings_max() -> Option<usize> {
    fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}

/// The control groups that count the memory of this process, its own first.
fn groups() -> Vec<Group> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    cgroup::memory_groups(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
}

fn total_bytes(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_counts_and_is_named() {
        let groups =
            || [(1 << 40, "/a".into()), (512 << 20, "/a/b".into()), (1 << 30, "/".into())].into_iter();
        let limit = MemoryLimit::least(Some(16 << 30), groups());
        assert_eq!(limit.to_string(), "512 MiB, the limit of the control group /a/b");
        let limit = MemoryLimit::least(Some(256 << 20), groups());
        assert_eq!(limit.to_string(), "256 MiB, the memory of the machine");
        let limit = MemoryLimit::least(None, std::iter::empty());
        assert_eq!(limit.to_string(), "4096 MiB, a guess: the machine does not tell");
    }

    #[test]
    fn the_memory_of_a_machine_is_read_and_nothing_else_is_taken_for_it() {
        let meminfo = "MemTotal:       24624184 kB\nMemFree:        20971520 kB\n";
        assert_eq!(total_bytes(meminfo), Some(24_624_184 << 10));
        for text in ["", "MemFree: 1 kB", "MemTotal: 5 MB", "MemTotal: 99999999999999999999 kB", "MemTotal:"]
        {
            assert_eq!(total_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn this_process_has_a_limit_above_what_it_uses() {
        let resident = resident_bytes().expect("Linux tells");
        assert!(resident > 0 && resident < MemoryLimit::of_process().bytes, "{resident}");
        assert!(mappings_max().is_some_and(|max| max > 1_000));
    }
}
