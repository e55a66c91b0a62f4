//! A list of steps, run one after the other until one fails.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::console::{note, seconds};
use crate::workspace::Workspace;

/// Something that must succeed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) title: &'static str,
    pub(crate) run: fn(&Workspace) -> Result<()>,
}

/// Runs the steps in their order, each under a heading.
pub(crate) fn run(workspace: &Workspace, steps: &[Step]) -> Result<()> {
    let started = Instant::now();
    for (at, step) in steps.iter().enumerate() {
        note(format_args!("\n== {}/{} {}", at + 1, steps.len(), step.title));
        let step_started = Instant::now();
        (step.run)(workspace).with_context(|| format!("step failed: {}", step.title))?;
        note(format_args!("-- {} in {}", step.title, seconds(step_started.elapsed())));
    }
    note(format_args!("\nall {} steps passed in {}", steps.len(), seconds(started.elapsed())));
    Ok(())
}
