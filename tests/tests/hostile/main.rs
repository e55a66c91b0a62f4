//! Goal: whatever a component does, it hurts itself alone. Method: a corpus of attacks, each run in the real sandbox
//! and held to its verdict.

#![cfg(test)]

mod canary;
mod corpus;
mod fixtures;
mod repeats;
mod site;
mod strangers;

/// How often each fixture runs in a row; what else is repeated counts in tens and hundreds of it.
const RUNS: usize = 10;
const RUNS_VARIABLE: &str = "GUESTHOUSE_TEST_HOSTILE_RUNS";

fn runs() -> usize {
    let Ok(text) = std::env::var(RUNS_VARIABLE) else { return RUNS };
    text.parse().unwrap_or_else(|error| panic!("{RUNS_VARIABLE} is `{text}`: {error}"))
}
