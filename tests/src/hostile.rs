//! The hostile corpus: components that attack their host, and how each must end.

pub mod fixture;
pub mod lines;
pub mod verdict;
