//! A group of processes that may use little memory together: a cgroup of version 1 or 2, whichever has the controller.

use std::path::{Path, PathBuf};

use uuid::Uuid;

/// What they may use.
const BYTES_MAX: u64 = 512 << 20;

/// A cgroup with a limit. Dropping it takes it away once its processes have ended.
#[derive(Debug)]
pub struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// Makes one below the group of this process.
    ///
    /// # Errors
    /// What the system says when it does not permit that.
    pub fn open() -> Result<Self, String> {
        let own = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let path = |is_wanted: fn(&str) -> bool| {
            let mut lines = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
            lines.find(|(controllers, _)| is_wanted(controllers)).map(|(_, path)| path.to_owned())
        };
        let first = path(|controllers| controllers.split(',').any(|name| name == "memory"));
        let (root, limit) = match first {
            Some(path) => (format!("/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"),
            None => (format!("/sys/fs/cgroup{}", path(str::is_empty).unwrap_or_default()), "memory.max"),
        };
        let name = format!("guesthouse-torture-{}", Uuid::new_v4().simple());
        let group = Self(Path::new(&root).join(name));
        let tell = |error: std::io::Error| format!("{}: {error}", group.0.display());
        std::fs::create_dir(&group.0).map_err(tell)?;
        std::fs::write(group.0.join(limit), BYTES_MAX.to_string()).map_err(tell)?;
        Ok(group)
    }

    /// Where a process writes its id to join.
    pub fn members_file(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// How often the kernel killed one of them because they used too much.
    pub fn deaths(&self) -> u64 {
        let files = ["memory.events", "memory.oom_control"];
        let text: String =
            files.iter().filter_map(|name| std::fs::read_to_string(self.0.join(name)).ok()).collect();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or_default()
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A group with a process that still ends stays behind, empty.
        drop(std::fs::remove_dir(&self.0));
    }
}
