//! Torture: the real program against a real broker, through a proxy that breaks the way between them on purpose, killed
//! where it hurts. What was published, done, buried and committed is kept apart from it, and compared in the end.

pub mod clock;
pub mod disk;
pub mod fault;
pub mod files;
pub mod hardship;
pub mod invariants;
pub mod ledgers;
pub mod log_pipe;
pub mod memory;
pub mod plan;
pub mod proxy;
pub mod publisher;
pub mod report;
pub mod run;
pub mod stage;
pub mod vigil;
pub mod watcher;
pub mod wire;
