//! The sandbox: runs guests on threads of its own, under limits, and reports what came of each call.

use std::time::Duration;

/// What a handler's guests may call. Nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grants {
    /// `guesthouse:handler/log`, and standard output and error.
    pub log: bool,
}

/// How much a handler's guests may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLimits {
    /// Time for one event, or for the whole of one batch call.
    pub deadline: Duration,
    /// Memory of one guest, summed over its memories.
    pub memory_bytes_max: u64,
    /// Emits of one event.
    pub emits_max: u32,
    /// Bytes of the emits of one event.
    pub emit_bytes_max: u64,
    /// Log lines of one call.
    pub log_lines_max: u32,
}

/// How long a guest lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// A guest handles many events of its tenant, until it fails or has handled 10,000.
    #[default]
    Reuse,
    /// Every event gets a fresh guest.
    Fresh,
}
