//! The samples of the platform's documents, against our crates under the platform's names: programs of `src/bin` are
//! the samples themselves, `tests` run them. `docs/rustok.md` says where they had to differ and why.

pub mod adapter;
pub mod platform;
