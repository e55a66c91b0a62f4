//! Failpoints: named places where a build with the feature `failpoints` can be told to end itself, so that tests kill
//! a host exactly where it hurts. Without the feature nothing of them is compiled, not even their names.

/// Passes a named place. The name is written as for `format!`.
#[cfg(feature = "failpoints")]
macro_rules! failpoint {
    ($($name:tt)+) => { $crate::failpoint::armed::pass(&format!($($name)+)) };
}

#[cfg(not(feature = "failpoints"))]
macro_rules! failpoint {
    ($($name:tt)+) => {};
}

pub(crate) use failpoint;

#[cfg(feature = "failpoints")]
pub(crate) mod armed;
