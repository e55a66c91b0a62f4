//! The control groups that count a process's memory, of both versions: where they are, and what their files say.

use std::fs;
use std::path::{Path, PathBuf};

/// What version 1 writes where there is no limit is near the greatest number; no machine has so much.
const NO_LIMIT: u64 = 1 << 60;

/// The version of a control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A control group that counts memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) version: Version,
    pub(super) dir: PathBuf,
}

/// A hierarchy where it is mounted.
struct Mount {
    version: Version,
    /// Which group of the hierarchy is mounted.
    root: PathBuf,
    point: PathBuf,
}

impl Group {
    /// Bytes that its processes may use together, if there is a limit. Above the lower one of version 2 they are slowed
    /// down until they stand still.
    pub(super) fn limit(&self) -> Option<u64> {
        let files: &[&str] = match self.version {
            Version::V1 => &["memory.limit_in_bytes"],
            Version::V2 => &["memory.max", "memory.high"],
        };
        files.iter().filter_map(|file| limit(&self.read(file)?)).min()
    }

    /// Processes of it that were killed for want of memory since it was made, if it counts them.
    pub(super) fn kills(&self) -> Option<u64> {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        count(&self.read(file)?, "oom_kill")
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(file)).ok()
    }
}

/// The groups of a process that count memory, its own first and then those above it, by what `/proc/self/cgroup` and
/// `/proc/self/mountinfo` say.
pub(super) fn memory_groups(cgroup: &str, mountinfo: &str) -> Vec<Group> {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(mount).collect();
    let mut groups = Vec::new();
    for (version, path) in cgroup.lines().filter_map(membership) {
        for mount in mounts.iter().filter(|mount| mount.version == version) {
            // In a container the path may be one of its host, which is not mounted: then what is mounted is its own.
            let inside = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
            let is_plain = inside.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            let own = if is_plain { mount.point.join(inside) } else { mount.point.clone() };
            let up = own.ancestors().take_while(|dir| dir.starts_with(&mount.point));
            groups.extend(up.map(|dir| Group { version, dir: dir.components().collect() }));
        }
    }
    groups
}

/// The value of a counter in a file of names and values.
pub(super) fn count(text: &str, name: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value)
}

fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT)
}

/// A line such as `0::/user.slice` or `4:memory:/docker/1f2e`.
fn membership(line: &str) -> Option<(Version, &str)> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    match number {
        "0" if controllers.is_empty() => Some((Version::V2, path)),
        _ => controllers.split(',').any(|name| name == "memory").then_some((Version::V1, path)),
    }
}

/// A line such as `33 24 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory`.
fn mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (path(place.next()?), path(place.next()?));
    let mut kind = kind.split(' ');
    let version = match kind.next()? {
        "cgroup2" => Version::V2,
        "cgroup" => kind.nth(1)?.split(',').any(|option| option == "memory").then_some(Version::V1)?,
        _ => return None,
    };
    Some(Mount { version, root, point })
}

/// Spaces in paths are written as their number.
fn path(text: &str) -> PathBuf {
    text.replace("\\040", " ").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs(cgroup: &str, mountinfo: &str) -> Vec<(Version, String)> {
        let groups = memory_groups(cgroup, mountinfo);
        groups.into_iter().map(|group| (group.version, group.dir.display().to_string())).collect()
    }

    #[test]
    fn a_service_under_version_2_is_counted_by_its_group_and_all_above() {
        let mountinfo = "\
            23 29 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw\n\
            28 25 0:25 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let expected =
            ["/sys/fs/cgroup/system.slice/host.service", "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup"];
        let found = dirs("0::/system.slice/host.service\n", mountinfo);
        assert_eq!(found, expected.map(|dir| (Version::V2, dir.to_owned())));
    }

    #[test]
    fn a_container_sees_its_own_group_as_what_is_mounted() {
        let v2 = "1502 1501 0:30 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n";
        assert_eq!(dirs("0::/\n", v2), [(Version::V2, "/sys/fs/cgroup".to_owned())]);
        assert_eq!(dirs("0::/../../other\n", v2), [(Version::V2, "/sys/fs/cgroup".to_owned())]);
        let v1 =
            "812 811 0:33 /docker/1f2e /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory\n";
        for path in ["/docker/1f2e", "/elsewhere"] {
            let cgroup = format!("5:cpu,cpuacct:{path}\n4:memory:{path}\n");
            assert_eq!(dirs(&cgroup, v1), [(Version::V1, "/sys/fs/cgroup/memory".to_owned())]);
        }
    }

    #[test]
    fn where_both_versions_are_mounted_memory_is_counted_by_the_one_that_has_it() {
        let mountinfo = "\
            41 40 0:36 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw\n\
            42 40 0:37 / /sys/fs/cgroup/cpu rw shared:6 - cgroup cgroup rw,cpu\n\
            43 40 0:38 / /sys/fs/cgroup/me\\040mory rw shared:7 - cgroup cgroup rw,memory\n";
        let found = dirs("7:cpu:/a\n6:memory:/a/b\n0::/a\n", mountinfo);
        let v1 = ["/sys/fs/cgroup/me mory/a/b", "/sys/fs/cgroup/me mory/a", "/sys/fs/cgroup/me mory"];
        let v2 = ["/sys/fs/cgroup/unified/a", "/sys/fs/cgroup/unified"];
        let v1 = v1.iter().map(|dir| (Version::V1, (*dir).to_owned()));
        let v2 = v2.iter().map(|dir| (Version::V2, (*dir).to_owned()));
        assert_eq!(found, v1.chain(v2).collect::<Vec<_>>());
    }

    #[test]
    fn limits_and_counters_are_read_and_what_is_none_is_none() {
        assert_eq!(limit("536870912\n"), Some(512 << 20));
        assert_eq!([limit("max\n"), limit("9223372036854771712\n"), limit("")], [None; 3]);
        assert_eq!(count("low 0\nhigh 3\nmax 9\noom 2\noom_kill 1\noom_group_kill 7\n", "oom_kill"), Some(1));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", "oom_kill"), Some(4));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n", "oom_kill"), None);
    }

    #[test]
    fn lines_that_are_no_groups_are_passed_over() {
        assert_eq!(memory_groups("nonsense\n::\n1:memory\n", "- - -\n1 2 3\n\n"), []);
    }

    #[test]
    fn the_files_of_a_group_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let group = |version| Group { version, dir: dir.path().to_owned() };
        for (file, text) in [
            ("memory.max", "2048\n"),
            ("memory.high", "1024\n"),
            ("memory.events", "oom_kill 3\n"),
            ("memory.limit_in_bytes", "4096\n"),
            ("memory.oom_control", "under_oom 0\noom_kill 5\n"),
        ] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let read = |group: Group| (group.limit(), group.kills());
        assert_eq!(read(group(Version::V2)), (Some(1024), Some(3)));
        assert_eq!(read(group(Version::V1)), (Some(4096), Some(5)));
    }

    /// A control group below that of this process, gone when it is dropped.
    struct Made(Group);

    impl Made {
        /// None where this process may not make one, or it would not count memory.
        fn with_limit(bytes: u64) -> Option<Self> {
            let own = crate::memory::groups().into_iter().next()?;
            let dir = own.dir.join(format!("guesthouse-test-{}", std::process::id()));
            fs::create_dir(&dir).ok()?;
            let made = Self(Group { version: own.version, dir });
            let file = match own.version {
                Version::V1 => "memory.limit_in_bytes",
                Version::V2 => "memory.max",
            };
            let is_limited = fs::write(made.0.dir.join(file), bytes.to_string()).is_ok();
            (is_limited && made.0.kills().is_some()).then_some(made)
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            drop(fs::remove_dir(&self.0.dir));
        }
    }

    #[test]
    fn a_real_group_tells_its_limit_and_that_a_process_was_killed_for_memory() {
        let Some(made) = Made::with_limit(32 << 20) else {
            eprintln!("SKIPPED: this process may not make a control group that counts memory");
            return;
        };
        assert_eq!((made.0.limit(), made.0.kills()), (Some(32 << 20), Some(0)));
        // It reads a line that never ends.
        let script = "echo $$ > \"$0/cgroup.procs\" && exec tail /dev/zero";
        let eater = std::process::Command::new("sh").args(["-c", script]).arg(&made.0.dir).status().unwrap();
        assert!(!eater.success(), "{eater}");
        assert_eq!(made.0.kills(), Some(1));
    }
}
