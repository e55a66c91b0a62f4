//! The samples of the platform's documents, run.

#[cfg(test)]
mod connector;
