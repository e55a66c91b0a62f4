//! Limits: how much the guests of a handler may use.

use std::time::Duration;

/// How much a handler's guests may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLimits {
    /// Time for one event, or for the whole of one batch call.
    pub deadline: Duration,
    /// Memory of one guest, summed over its memories and tables.
    pub memory_bytes_max: u64,
    /// Bytes that a guest returns from one call.
    pub answer_bytes_max: u64,
    /// Emits of one event.
    pub emits_max: u32,
    /// Bytes of the emits of one event.
    pub emit_bytes_max: u64,
    /// Log lines of one call.
    pub log_lines_max: u32,
    /// Bytes of the log lines of one call.
    pub log_bytes_max: u64,
    /// Calls of the state store for one event.
    pub state_calls_max: u32,
    /// Bytes that one event writes to the state store, keys and values.
    pub state_bytes_max: u64,
    /// Bytes that the state store keeps for one tenant and the handler, keys and values.
    pub state_stored_bytes_max: u64,
    /// Outgoing HTTP requests for one event.
    pub http_calls_max: u32,
    /// Bytes of one HTTP body, each way.
    pub http_bytes_max: u64,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(250),
            memory_bytes_max: 64 << 20,
            answer_bytes_max: 4 << 20,
            emits_max: 64,
            emit_bytes_max: 1 << 20,
            log_lines_max: 64,
            log_bytes_max: 64 << 10,
            state_calls_max: 1_000,
            state_bytes_max: 1 << 20,
            state_stored_bytes_max: 16 << 20,
            http_calls_max: 8,
            http_bytes_max: 1 << 20,
        }
    }
}
