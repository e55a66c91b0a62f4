//! Variables in values: `${NAME}` is replaced by the environment's value, `$${` stands for `${`.

use std::collections::BTreeMap;

/// Why variables could not be replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// The environment does not have it.
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    /// The name is none.
    #[error("`${{{0}}}` names no environment variable: expected letters, digits and '_'")]
    Name(String),
    /// The brace is not closed.
    #[error("`${{` without `}}`; write `$${{` if no variable is meant")]
    Open,
}

/// Replaces all variables.
pub(super) fn replace(text: &str, environment: &BTreeMap<String, String>) -> Result<String, Problem> {
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
        let value = environment.get(name).ok_or_else(|| Problem::Unset(name.to_owned()))?;
        replaced.push_str(before);
        replaced.push_str(value);
        rest = after;
    }
    replaced.push_str(rest);
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str) -> Result<String, Problem> {
        let environment = [("A", "1"), ("B_2", "${A}")].map(|(name, value)| (name.into(), value.into()));
        replace(text, &BTreeMap::from(environment))
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
}
