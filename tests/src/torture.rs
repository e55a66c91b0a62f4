//! Torture: the real program against a real broker, through a proxy that breaks the way between them on purpose, killed
//! where it hurts. What was published, done, buried and committed is kept apart from it, and compared in the end.

pub mod fault;
pub mod invariants;
pub mod ledgers;
pub mod plan;
pub mod proxy;
pub mod publisher;
pub mod report;
pub mod run;
pub mod stage;
pub mod wire;
