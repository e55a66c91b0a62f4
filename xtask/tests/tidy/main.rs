//! Goal: the rules of the house that no tool can see hold. Method: read every file of the repository and what
//! cargo says about its packages.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on may panic")]

mod arrows;
mod files;
mod map;
mod promises;
mod runbooks;
mod tree;
