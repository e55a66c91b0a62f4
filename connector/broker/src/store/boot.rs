//! Tells a start after a power loss from one after a clean stop or the mere death of the process.

use serde::{Deserialize, Serialize};

use super::LogEnds;

const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// How the last run began and ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BootMark {
    /// The boot of the machine it ran on; `None` when the system does not tell.
    pub(super) boot_id: Option<String>,
    /// Whether it came to its planned end.
    pub(super) ending: Ending,
}

/// See [`BootMark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    /// Still running, or died.
    Open,
    /// Everything was synced.
    Clean,
}

/// The present boot of this machine.
pub(super) fn current_boot_id() -> Option<String> {
    std::fs::read_to_string(BOOT_ID_PATH).ok().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// What the last run's mark says about the logs, read on boot `current`.
pub(super) fn log_ends(last: Option<&BootMark>, current: Option<&str>) -> LogEnds {
    match last {
        None => LogEnds::Exact,
        Some(mark) if mark.ending == Ending::Clean => LogEnds::Exact,
        Some(mark) if mark.boot_id.is_some() && mark.boot_id.as_deref() == current => LogEnds::Exact,
        Some(_) => LogEnds::Uncertain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(boot_id: Option<&str>, ending: Ending) -> BootMark {
        BootMark { boot_id: boot_id.map(str::to_owned), ending }
    }

    #[test]
    fn ends_are_exact_unless_the_machine_restarted_under_a_running_broker() {
        assert_eq!(log_ends(None, Some("a")), LogEnds::Exact);
        assert_eq!(log_ends(Some(&mark(Some("a"), Ending::Open)), Some("a")), LogEnds::Exact);
        assert_eq!(log_ends(Some(&mark(Some("a"), Ending::Clean)), Some("b")), LogEnds::Exact);
        assert_eq!(log_ends(Some(&mark(Some("a"), Ending::Open)), Some("b")), LogEnds::Uncertain);
        assert_eq!(log_ends(Some(&mark(None, Ending::Open)), None), LogEnds::Uncertain);
    }
}
