//! Goal: whatever a component does, it hurts itself alone. Method: a corpus of attacks, each run in the real sandbox
//! and held to its verdict.

#![cfg(test)]

mod canary;
mod corpus;
mod fixtures;
mod repeats;

use guesthouse::SandboxSettings;
use guesthouse::trial::Trial;

/// How often each fixture runs in a row; what else is repeated counts in tens and hundreds of it.
const RUNS: usize = 10;
const RUNS_VARIABLE: &str = "GUESTHOUSE_TEST_HOSTILE_RUNS";

/// Large enough for all fixtures but the one that is too large.
const COMPONENT_BYTES_MAX: u64 = 16 << 20;

fn runs() -> usize {
    let Ok(text) = std::env::var(RUNS_VARIABLE) else { return RUNS };
    text.parse().unwrap_or_else(|error| panic!("{RUNS_VARIABLE} is `{text}`: {error}"))
}

fn trial() -> Trial {
    let settings = SandboxSettings {
        workers: 2,
        component_bytes_max: COMPONENT_BYTES_MAX,
        ..SandboxSettings::default()
    };
    Trial::start(&settings).unwrap()
}
