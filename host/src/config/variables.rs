//! Variables in values: `${NAME}` is replaced by the environment's value, `$${` stands for `${`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

/// The environment: what is text, and the names of variables whose values are none.
#[derive(Debug, Default)]
pub(super) struct Environment {
    texts: BTreeMap<String, String>,
    not_utf8: BTreeSet<String>,
}

/// Why variables could not be replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// The environment does not have it.
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    /// The environment has it, and its value is no text.
    #[error("the environment variable `{0}` is set, but its value is not UTF-8")]
    NotUtf8(String),
    /// The name is none.
    #[error("`${{{0}}}` names no environment variable: expected letters, digits and '_'")]
    Name(String),
    /// The brace is not closed.
    #[error("`${{` without `}}`; write `$${{` if no variable is meant")]
    Open,
}

impl Environment {
    /// Takes what the process was given. A name that is not UTF-8 is kept as it can be shown.
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => drop(environment.texts.insert(name, value)),
                (Ok(name), Err(_)) => drop(environment.not_utf8.insert(name)),
                (Err(name), _) => drop(environment.not_utf8.insert(name.to_string_lossy().into_owned())),
            }
        }
        environment
    }

    /// The variables that are text.
    pub(super) fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }

    /// The names of those whose name or value is not UTF-8.
    pub(super) fn not_utf8(&self) -> impl Iterator<Item = &str> {
        self.not_utf8.iter().map(String::as_str)
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Result<&str, Problem> {
        match self.texts.get(name) {
            Some(value) => Ok(value),
            None if self.not_utf8.contains(name) => Err(Problem::NotUtf8(name.to_owned())),
            None => Err(Problem::Unset(name.to_owned())),
        }
    }
}

/// A text that [`replace`] turns into this one.
pub(super) fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// Replaces all variables.
pub(super) fn replace(text: &str, environment: &Environment) -> Result<String, Problem> {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            replaced.push_str(before);
            replaced.push_str("${");
            rest = after;
            continue;
        }
        let (name, after) = after.split_once('}').ok_or(Problem::Open)?;
        if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
            return Err(Problem::Name(name.to_owned()));
        }
        let value = environment.get(name)?;
        replaced.push_str(before);
        replaced.push_str(value);
        rest = after;
    }
    replaced.push_str(rest);
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn replaced(text: &str) -> Result<String, Problem> {
        let environment = [("A", "1"), ("B_2", "${A}")].map(|(name, value)| (name.into(), value.into()));
        replace(text, &Environment::new(environment))
    }

    #[test]
    fn variables_are_replaced_once() {
        assert_eq!(replaced("x${A}y${B_2}z").unwrap(), "x1y${A}z");
        assert_eq!(replaced("$${A} ${A}").unwrap(), "${A} 1");
        assert_eq!(replaced("$ {A} $A }").unwrap(), "$ {A} $A }");
    }

    #[test]
    fn what_cannot_be_replaced_is_a_problem() {
        assert_eq!(replaced("${NO}"), Err(Problem::Unset("NO".into())));
        assert_eq!(replaced("${A"), Err(Problem::Open));
        assert_eq!(replaced("${}"), Err(Problem::Name(String::new())));
        assert_eq!(replaced("${A:-x}"), Err(Problem::Name("A:-x".into())));
    }

    #[test]
    fn a_variable_that_is_no_text_is_not_called_unset() {
        let bad = || OsString::from_vec(vec![b'x', 0xff]);
        let environment = Environment::new([("A".into(), bad()), (bad(), "1".into())]);
        assert_eq!(replace("${A}", &environment), Err(Problem::NotUtf8("A".into())));
        assert_eq!(replace("${B}", &environment), Err(Problem::Unset("B".into())));
        assert_eq!(environment.not_utf8().collect::<Vec<_>>(), ["A", "x\u{fffd}"]);
    }

    #[test]
    fn what_is_escaped_reads_back() {
        for text in ["${A}", "$${A}", "$$${", "${${A}}", "$", "a$", "{$", "${", "$ {", "$$", ""] {
            assert_eq!(replaced(&escape(text)).unwrap(), text);
        }
    }
}
