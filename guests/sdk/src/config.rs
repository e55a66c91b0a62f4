//! What the operator configured for the handler, as its init function gets it.

use std::fmt::Display;

/// The values and secrets of the handler. Empty without the grant `config`.
#[derive(Default)]
pub struct Config {
    pairs: Vec<(String, String)>,
}

impl Config {
    /// A configuration of these pairs, as in a test.
    pub fn new(pairs: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        Self { pairs: pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect() }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// All keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// Runs `init`.
///
/// # Errors
/// When `init` fails, in the words of its error.
pub fn init<E: Display>(
    pairs: Vec<(String, String)>,
    init: impl FnOnce(&Config) -> Result<(), E>,
) -> Result<(), String> {
    init(&Config { pairs }).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_keys() {
        let config = Config::new([("region", "eu"), ("token", "x")]);
        assert_eq!((config.get("token"), config.get("t")), (Some("x"), None));
        assert_eq!(config.iter().count(), 2);
    }

    #[test]
    fn an_error_becomes_its_text() {
        let pairs = vec![("limit".to_owned(), "many".to_owned())];
        let failed = init(pairs, |config| config.get("limit").unwrap().parse::<u64>().map(|_| ()));
        assert_eq!(failed.unwrap_err(), "invalid digit found in string");
        assert!(init(Vec::new(), |_| Ok::<_, String>(())).is_ok());
    }
}
