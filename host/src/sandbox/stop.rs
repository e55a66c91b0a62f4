//! Why a guest stopped without an answer, told from the engine's error and what the host remembers of the guest.

use std::time::Duration;

use wasmtime::{Error, Trap, WasmBacktrace};

use crate::outcome::{LimitKind, Outcome, TrapCode};
use crate::sandbox::GuestLimits;
use crate::sandbox::answers::answer_bytes_max;
use crate::sandbox::state::GuestState;

/// Handles to host resources that one guest may hold.
pub(super) const HANDLES_MAX: u16 = 1024;
/// Functions named in a reason, innermost first.
const FUNCTIONS_MAX: usize = 8;

/// A stop that one of our own host functions asks for.
#[derive(Debug, thiserror::Error)]
pub(super) enum GuestStop {
    /// The guest called `exit`.
    #[error("the guest ended itself with exit status {0}; a handler returns its answer instead")]
    Exit(u8),
    /// The guest says that it cannot get ready.
    #[error("the guest cannot get ready: {0}")]
    NotReady(String),
    /// The guest called what is linked for form only.
    #[error("the guest called {0}, which is not granted")]
    Denied(String),
    /// The guest wanted to sleep or wait.
    #[error("the guest called {0}; a handler cannot wait, it answers `retry` instead")]
    Wait(&'static str),
    /// The guest called what belongs to an event while it handled none.
    #[error("the guest called {0} while it was starting; it can be used only while an event is handled")]
    OutsideOfEvent(&'static str),
    /// The guest broke a rule of an interface.
    #[error("the guest {0}")]
    Misuse(&'static str),
    /// The guest asked for more randomness than a call gives.
    #[error("the guest asked for {asked} random bytes at once, may have {allowed}")]
    RandomBytes {
        /// How much it asked for.
        asked: u64,
        /// How much a call gives.
        allowed: u64,
    },
    /// The guest ran into a limit of a host function.
    #[error("{} over the limit: used {used}, may use {allowed}", limit.as_str())]
    Limit {
        /// Which one.
        limit: LimitKind,
        /// How much it used.
        used: u64,
        /// How much it may use.
        allowed: u64,
    },
    /// The guest's deadline passed in a host function.
    #[error("the deadline passed in a host function")]
    Late,
    /// The host could not do what it granted.
    #[error("{0}")]
    HostFault(String),
}

impl GuestStop {
    /// The outcome of a stop that is not simply a trap, of a guest that had `used` so much time.
    pub(super) fn outcome(&self, limits: &GuestLimits, used: Duration) -> Option<Outcome> {
        match *self {
            Self::Limit { limit, used, allowed } => Some(Outcome::LimitExceeded { limit, used, allowed }),
            Self::Late => Some(Outcome::TimedOut { used, allowed: limits.deadline }),
            Self::HostFault(ref reason) => Some(Outcome::HostFault { reason: reason.clone() }),
            Self::Exit(_)
            | Self::NotReady(_)
            | Self::Denied(_)
            | Self::Wait(_)
            | Self::OutsideOfEvent(_)
            | Self::Misuse(_)
            | Self::RandomBytes { .. } => None,
        }
    }
}

/// The outcome of an attempt that ended in `error`. `limits` are the guest's, `answer_bytes_max` what the host
/// would have allocated for its answer.
pub(super) fn outcome(
    error: &Error,
    state: &GuestState,
    limits: &GuestLimits,
    answer_bytes_max: usize,
) -> Outcome {
    let used = state.began.elapsed();
    if let Some(outcome) = error.downcast_ref::<GuestStop>().and_then(|stop| stop.outcome(limits, used)) {
        return outcome;
    }
    let trap = error.downcast_ref::<Trap>().copied();
    if trap == Some(Trap::Interrupt) {
        return Outcome::TimedOut { used, allowed: limits.deadline };
    }
    if state.memory.host_failed() {
        return Outcome::HostFault { reason: "the operating system gave the guest no memory".to_owned() };
    }
    if let Some(requested_bytes) = state.memory.refused_bytes() {
        return Outcome::OutOfMemory { requested_bytes, allowed_bytes: limits.memory_bytes_max };
    }
    exceeded(error, answer_bytes_max).unwrap_or_else(|| {
        let code = trap.map_or_else(|| code_of_error(error), code_of_trap);
        Outcome::Trapped { code, reason: reason(error, state) }
    })
}

/// The outcome of a start that ended in `error`: as of a call when the guest itself was running, else the host's
/// fault, because admission has seen this component start.
pub(super) fn start_outcome(error: &Error, state: &GuestState, limits: &GuestLimits) -> Outcome {
    let refused = state.memory.refused_bytes().is_some();
    if refused || error.is::<Trap>() || error.is::<GuestStop>() || error.is::<WasmBacktrace>() {
        return outcome(error, state, limits, answer_bytes_max(limits, 1));
    }
    Outcome::HostFault {
        reason: state
            .output
            .redactor()
            .reason(&format!("the guest cannot be started: {}", error.root_cause())),
    }
}

/// The limits that the engine keeps itself; it has no types for running into them. A guest stops with the handle that
/// is one too many, and its answer is copied up to the limit, so that it has at least a byte more.
fn exceeded(error: &Error, answer_bytes_max: usize) -> Option<Outcome> {
    let message = error.root_cause().to_string();
    let (limit, allowed) = if message.contains("fuel allocated for hostcalls has been exhausted") {
        (LimitKind::AnswerBytes, u64::try_from(answer_bytes_max).unwrap_or(u64::MAX))
    } else if message.contains("store handle limit exceeded") {
        (LimitKind::Handles, HANDLES_MAX.into())
    } else {
        return None;
    };
    Some(Outcome::LimitExceeded { limit, used: allowed.saturating_add(1), allowed })
}

fn code_of_error(error: &Error) -> TrapCode {
    match error.downcast_ref::<GuestStop>() {
        Some(GuestStop::Exit(_)) => TrapCode::GuestExit,
        Some(GuestStop::NotReady(_)) => TrapCode::NotReady,
        Some(_) => TrapCode::Other,
        // The engine has plain errors for values that it cannot read: those of an answer or of an argument.
        None => TrapCode::BadAnswer,
    }
}

fn code_of_trap(trap: Trap) -> TrapCode {
    match trap {
        Trap::UnreachableCodeReached => TrapCode::Unreachable,
        Trap::StackOverflow => TrapCode::StackOverflow,
        Trap::MemoryOutOfBounds | Trap::ArrayOutOfBounds | Trap::HeapMisaligned => TrapCode::OutOfBounds,
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => {
            TrapCode::Arithmetic
        }
        Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature | Trap::NullReference => {
            TrapCode::IndirectCall
        }
        Trap::InvalidChar
        | Trap::InvalidDiscriminant
        | Trap::ListOutOfBounds
        | Trap::StringOutOfBounds
        | Trap::UnalignedPointer => TrapCode::BadAnswer,
        _ => TrapCode::Other,
    }
}

fn reason(error: &Error, state: &GuestState) -> String {
    let mut reason = error.root_cause().to_string();
    let said = state.output.last_error_text();
    if !said.is_empty() {
        reason.push_str(": ");
        reason.push_str(&said);
    }
    let functions = functions(error);
    if !functions.is_empty() {
        reason.push_str("; in ");
        reason.push_str(&functions.join(" < "));
    }
    state.output.redactor().reason(&reason)
}

/// Names of the functions on the guest's stack, innermost first, without those by which Rust panics. The engine
/// shows names readably only in the text of a backtrace, one `position: offset - module!name` a line.
fn functions(error: &Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let shown = backtrace.to_string();
    let names = shown.lines().filter_map(|line| line.split_once('!')).map(|(_, name)| without_hashes(name));
    names.filter(|name| !is_machinery(name)).take(FUNCTIONS_MAX).collect()
}

fn is_machinery(name: &str) -> bool {
    let path = name.trim_start_matches('<');
    let prefixes = ["<wasm function", "std::", "core::", "alloc::", "__rustc::"];
    name == "abort" || prefixes.iter().any(|prefix| name.starts_with(prefix) || path.starts_with(prefix))
}

/// A Rust name without the hashes of crates (`std[0123456789abcdef]::`) and of functions (`::h0123456789abcdef`).
fn without_hashes(name: &str) -> String {
    let is_hash = |text: &str| text.len() >= 15 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = name.split('[');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((hash, rest)) if is_hash(hash) => plain.push_str(rest),
            _ => plain.extend(["[", part]),
        }
    }
    if let Some((stem, hash)) = plain.rsplit_once("::h")
        && is_hash(hash)
    {
        return stem.to_owned();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_without_hashes_and_the_ways_of_a_panic_are_not() {
        assert_eq!(without_hashes("std[d123b7a1a2ed1472]::process::abort"), "std::process::abort");
        assert_eq!(without_hashes("shop::total::h0123456789abcdef"), "shop::total");
        assert_eq!(without_hashes("<[u8] as shop[0123456789abcdef]::Sum>::sum"), "<[u8] as shop::Sum>::sum");
        assert_eq!(without_hashes("handle"), "handle");
        for name in ["core::panicking::panic_fmt", "<std::io::Stderr as Write>::write", "<wasm function 7>"] {
            assert!(is_machinery(name), "{name}");
        }
        assert!(!is_machinery("stdx::core::run"));
    }
}
