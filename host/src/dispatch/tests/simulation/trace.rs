//! What happened in a life, in its order, as a hash: two lives of the same seed and build have the same one.

use std::fmt;

/// Takes down what happens.
#[derive(Debug)]
pub(super) struct Trace {
    hasher: blake3::Hasher,
    steps: u64,
    is_told: bool,
}

impl Trace {
    /// Of a life that begins. `is_told` prints every line as well.
    pub(super) fn new(is_told: bool) -> Self {
        Self { hasher: blake3::Hasher::new(), steps: 0, is_told }
    }

    /// Takes down one thing.
    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        let line = what.to_string();
        if self.is_told {
            println!("{:>6} {line}", self.steps);
        }
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
    }

    /// One more step is made.
    pub(super) fn step(&mut self) {
        self.steps += 1;
    }

    /// Steps so far.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// The hash of all lines so far.
    pub(super) fn hash(&self) -> String {
        self.hasher.finalize().to_string()
    }
}
