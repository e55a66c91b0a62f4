//! Lines for the handler's log, written like `log::info!("order {id} paid")`.
//!
//! The handler needs the grant `log`; a component that writes no line does not import it. The host cuts lines
//! over 4 KiB, escapes control characters, and drops and counts lines past the limit of the call.

use crate::contract::guesthouse::handler::log;

pub use crate::contract::guesthouse::handler::log::Level;
#[doc(inline)]
pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace, __log_warn as warn,
};

/// Writes one line. The macros of this module format one first.
pub fn write(level: Level, message: &str) {
    log::write(level, message);
}

/// Writes a line about a step on the way, with the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Trace, &::std::format!($($arg)+)) };
}

/// Writes a line for debugging, with the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($arg)+)) };
}

/// Writes a line worth knowing, with the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($arg)+)) };
}

/// Writes a line about something that is off, with the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($arg)+)) };
}

/// Writes a line about something that failed, with the arguments of [`format!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($arg)+)) };
}
