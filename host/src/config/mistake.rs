//! Mistakes in a configuration: collected, so that all of them are reported together.

use std::fmt;
use std::path::PathBuf;

use crate::encoding::EncodingError;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// It is longer than any configuration.
    #[error("the configuration {} has more than 256 MiB; expected YAML, so name another file", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// The file is no text in UTF-8.
    #[error("the configuration {} {problem}", path.display())]
    Encoding {
        /// Which file.
        path: PathBuf,
        /// What it is instead.
        problem: EncodingError,
    },
    /// The text is not YAML.
    #[error("the configuration is not YAML: {0}")]
    Syntax(String),
    /// Some of its values cannot be used.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

/// All mistakes of a configuration, in the order of their places. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Path of the key, such as `events.iggy.mode` or `handlers[0].name`.
    pub key: String,
    /// Where the value was written, when it was.
    pub place: Option<Place>,
    /// The value, and what is accepted in its place. Secrets are not shown.
    pub problem: String,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file, on this line, counted from one.
    Line(u64),
    /// In the environment, by this variable.
    Variable(String),
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a mistake:")?,
            count => write!(f, "the configuration has {count} mistakes:")?,
        }
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(Place::Line(line)) => write!(f, "line {line}: ")?,
            Some(Place::Variable(name)) => write!(f, "environment variable {name}: ")?,
            None => {}
        }
        // The document itself has no key.
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}
