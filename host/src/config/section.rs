//! Reading a section of the written configuration: every key that is asked for is known, everything else is a
//! mistake, and mistakes are collected while reading goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::mistake::{Mistake, Place};
use super::print::{MASK, MASKED};
use super::variables::{self, Environment};
use super::written::{Entry, Node, Value};
use crate::encoding;

/// Most edits by which a wrong key may differ from one that is suggested for it.
const SUGGESTION_EDITS_MAX: usize = 3;
/// Longest piece of a wrong value that is shown.
const SHOWN_CHARS_MAX: usize = 80;

/// What all sections share.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    environment: &'a Environment,
    base_dir: &'a Path,
    mistakes: RefCell<Vec<Mistake>>,
}

/// Whether a section has any effect. Variables that a section without effect names need not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Used,
    Unused,
}

/// One section, or a missing one, which reads as if it were empty.
#[derive(Debug)]
pub(super) struct Section<'a> {
    reader: &'a Reader<'a>,
    path: String,
    place: Option<&'a Place>,
    entries: &'a [Entry],
    known: RefCell<Vec<&'static str>>,
    effect: Effect,
}

/// One entry of a section whose keys are names.
#[derive(Debug)]
pub(super) struct Named<'a, 'b> {
    section: &'b Section<'a>,
    entry: &'a Entry,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a Environment, base_dir: &'a Path) -> Self {
        Self { environment, base_dir, mistakes: RefCell::default() }
    }

    /// Reads the whole document.
    pub(super) fn read<T>(&'a self, root: &'a Node, read: impl FnOnce(&Section<'a>) -> T) -> T {
        let section = self.open("", Some(root), Effect::Used);
        let result = read(&section);
        section.refuse_unknown_keys();
        result
    }

    pub(super) fn add(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }

    fn open(&'a self, path: &str, node: Option<&'a Node>, effect: Effect) -> Section<'a> {
        let entries = match node.map(|node| &node.value) {
            None | Some(Value::Null) => &[][..],
            Some(Value::Map(entries)) => entries,
            Some(Value::Text(_) | Value::List(_)) => {
                let place = node.map(|node| node.place.clone());
                let problem = "expected a section with keys".to_owned();
                self.add(Mistake { key: path.to_owned(), place, problem });
                &[]
            }
        };
        let place = node.map(|node| &node.place);
        Section { reader: self, path: path.to_owned(), place, entries, known: RefCell::default(), effect }
    }
}

impl<'a> Section<'a> {
    /// Reads a section inside this one.
    pub(super) fn section<T>(&self, key: &'static str, read: impl FnOnce(&Section<'a>) -> T) -> T {
        self.section_with(key, self.effect, read)
    }

    /// Reads a section inside this one that may be without effect.
    pub(super) fn section_with<T>(
        &self,
        key: &'static str,
        effect: Effect,
        read: impl FnOnce(&Section<'a>) -> T,
    ) -> T {
        let inner = self.reader.open(&self.path_of(key), self.node(key), effect);
        let result = read(&inner);
        inner.refuse_unknown_keys();
        result
    }

    /// Reads a list of sections; `None` when it is not written.
    pub(super) fn sections<T>(
        &self,
        key: &'static str,
        mut read: impl FnMut(&Section<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(key, "sections")?;
        let read = |(index, node)| {
            let inner = self.reader.open(&format!("{}[{index}]", self.path_of(key)), Some(node), self.effect);
            let result = read(&inner);
            inner.refuse_unknown_keys();
            result
        };
        Some(items.iter().enumerate().filter_map(read).collect())
    }

    /// Reads a section whose keys are names that the operator chose: each with its value, in order of the names.
    /// `None` when it is not written.
    pub(super) fn names<T>(
        &self,
        key: &'static str,
        mut read: impl FnMut(Named<'a, '_>) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let inner = self.reader.open(&self.path_of(key), Some(self.node(key)?), self.effect);
        let mut named = BTreeMap::new();
        for entry in inner.entries {
            let key = variables::replace(&entry.key, self.reader.environment);
            match key.map_err(|problem| problem.to_string()).and_then(|key| super::value::name(&key)) {
                Ok(name) => named.extend(read(Named { section: &inner, entry }).map(|value| (name, value))),
                Err(problem) => inner.add(&entry.key, &entry.key_place, problem),
            }
        }
        Some(named)
    }

    /// A value, or the default when it is not written. `parse` says what it expected.
    pub(super) fn value<T>(
        &self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// A value, or `None` when it is not written or is a mistake.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.node(key)?;
        let text = self.text(&self.path_of(key), node)?;
        self.parsed(&self.path_of(key), node, &text, parse)
    }

    /// A value that must be written.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.require(key);
        self.optional(key, parse)
    }

    /// Reports a key that is not written and has no default.
    pub(super) fn require(&self, key: &'static str) {
        if self.node(key).is_none_or(|node| matches!(node.value, Value::Null)) {
            self.refuse(key, "is missing and has no default");
        }
    }

    /// A list of values; `None` when it is not written. A variable gives a list with commas.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let path = self.path_of(key);
        let parts;
        let items = match self.node(key) {
            Some(Node { value: Value::Text(text), place: place @ Place::Variable(_) }) => {
                let node =
                    |part: &str| Node { value: Value::Text(part.trim().to_owned()), place: place.clone() };
                parts = text.split(',').map(node).collect::<Vec<Node>>();
                &parts[..]
            }
            _ => self.items(key, "values")?,
        };
        let item = |(index, node)| {
            let path = format!("{path}[{index}]");
            let text = self.text(&path, node)?;
            self.parsed(&path, node, &text, &mut parse)
        };
        Some(items.iter().enumerate().filter_map(item).collect())
    }

    /// Whether the key is written as a single text, and not as a list.
    pub(super) fn is_text(&self, key: &'static str) -> bool {
        self.node(key).is_some_and(|node| matches!(node.value, Value::Text(_)))
    }

    /// Reports a list that is written without any entry.
    pub(super) fn refuse_empty(&self, key: &'static str, problem: &str) {
        if self.node(key).is_some_and(|node| matches!(&node.value, Value::List(items) if items.is_empty())) {
            self.refuse(key, problem);
        }
    }

    /// Whether the key is written at all.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.node(key).is_some_and(|node| !matches!(node.value, Value::Null))
    }

    /// A file, relative to the configuration.
    pub(super) fn file(&self, key: &'static str) -> Option<PathBuf> {
        self.optional(key, |text| match text {
            "" => Err("expected the path of a file".to_owned()),
            text => Ok(self.resolve_path(text)),
        })
    }

    /// A path relative to the configuration.
    pub(super) fn resolve_path(&self, path: &str) -> PathBuf {
        let base = self.reader.base_dir;
        if base.as_os_str().is_empty() || base == Path::new(".") { path.into() } else { base.join(path) }
    }

    /// A directory, relative to the configuration, that is there or can be made.
    pub(super) fn directory(&self, key: &'static str, default: &str) -> PathBuf {
        let written = self.value(key, default.to_owned(), super::value::text);
        let path = self.resolve_path(&written);
        if self.effect == Effect::Used {
            self.refuse_under_a_file(key, &path);
        }
        path
    }

    /// Reports a directory that cannot be made, because a part of its path is there and is none.
    pub(super) fn refuse_under_a_file(&self, key: &'static str, path: &Path) {
        let here =
            |part: &'_ Path| if part.as_os_str().is_empty() { PathBuf::from(".") } else { part.to_owned() };
        let known = path.ancestors().map(here).find_map(|part| Some((std::fs::metadata(&part).ok()?, part)));
        if let Some((metadata, part)) = known
            && !metadata.is_dir()
        {
            self.refuse(key, &format!("`{}` is a file, expected a directory", part.display()));
        }
    }

    /// Whether the section has any effect.
    pub(super) fn is_used(&self) -> bool {
        self.effect == Effect::Used
    }

    /// Whether no mistake has been found so far, so that what is resolved may be judged as a whole.
    pub(super) fn is_clean(&self) -> bool {
        self.reader.mistakes.borrow().is_empty()
    }

    /// A secret, given by itself or by a file whose last line break does not count.
    pub(super) fn secret(&self, key: &'static str, file_key: &'static str) -> Option<SecretString> {
        let direct = self.node(key).and_then(|node| self.text(&self.path_of(key), node));
        let file = self.file(file_key);
        match (direct.filter(|secret| !secret.is_empty()), file) {
            (Some(_), Some(_)) => {
                self.refuse(file_key, &format!("expected this or `{key}`, not both"));
                None
            }
            (Some(secret), None) if self.effect == Effect::Used && is_masked(&secret) => {
                self.refuse(
                    key,
                    &format!(
                        "{MASKED}; write the secret, or `{file_key}` with the name of a file that holds it"
                    ),
                );
                None
            }
            (Some(secret), None) => Some(secret.into()),
            (None, Some(file)) if self.effect == Effect::Used => self.read_secret(file_key, &file),
            (None, _) => None,
        }
    }

    /// Reports a mistake about a key of this section.
    pub(super) fn refuse(&self, key: &'static str, problem: &str) {
        let place = self.node(key).map(|node| &node.place).or(self.place).cloned();
        self.reader.add(Mistake { key: self.path_of(key), place, problem: problem.to_owned() });
    }

    fn add(&self, key: &str, place: &Place, problem: String) {
        self.reader.add(Mistake { key: self.path_of(key), place: Some(place.clone()), problem });
    }

    /// A secret of a file, whose last line break does not count. `key` is where the file is named.
    pub(super) fn read_secret(&self, key: &'static str, file: &Path) -> Option<SecretString> {
        let shown = file.display();
        let problem = match std::fs::read(file) {
            Ok(bytes) => match encoding::utf8(&bytes) {
                Ok(secret) => return Some(secret.trim_end_matches(['\n', '\r']).into()),
                // Neither the byte nor its place: it is a secret.
                Err(encoding::EncodingError::Other { .. }) => {
                    format!("the secret in {shown} is not UTF-8; save it as UTF-8")
                }
                Err(encoding) => format!("the secret in {shown} {encoding}"),
            },
            Err(error) => format!("cannot read the secret from {shown}: {error}"),
        };
        self.refuse(key, &problem);
        None
    }

    fn node(&self, key: &'static str) -> Option<&'a Node> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    fn items(&self, key: &'static str, what: &str) -> Option<&'a [Node]> {
        match &self.node(key)?.value {
            Value::Null => None,
            Value::List(items) => Some(items),
            Value::Text(_) | Value::Map(_) => {
                self.refuse(key, &format!("expected a list of {what}"));
                None
            }
        }
    }

    /// The text of a value with its variables replaced.
    fn text(&self, path: &str, node: &Node) -> Option<String> {
        let problem = match (&node.value, &node.place) {
            (Value::Null, _) => return None,
            (Value::Text(text), Place::Variable(_)) => return Some(text.clone()),
            (Value::Text(text), Place::Line(_)) => match variables::replace(text, self.reader.environment) {
                Ok(text) => return Some(text),
                Err(variables::Problem::Unset(_) | variables::Problem::NotUtf8(_))
                    if self.effect == Effect::Unused =>
                {
                    return None;
                }
                Err(problem) => problem.to_string(),
            },
            (Value::List(_) | Value::Map(_), _) => "expected a single value".to_owned(),
        };
        self.reader.add(Mistake { key: path.to_owned(), place: Some(node.place.clone()), problem });
        None
    }

    fn parsed<T>(
        &self,
        path: &str,
        node: &Node,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                // An error that names the value itself needs no second naming.
                let problem =
                    if expected.starts_with('`') { expected } else { format!("`{shown}`: {expected}") };
                self.reader.add(Mistake { key: path.to_owned(), place: Some(node.place.clone()), problem });
                None
            }
        }
    }

    /// The value of a variable of the environment. `key` is where the variable is named.
    pub(super) fn environment(&self, key: &'static str, variable: &str) -> Option<&'a str> {
        match self.reader.environment.get(variable) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.refuse(key, &problem.to_string());
                None
            }
        }
    }

    fn refuse_unknown_keys(&self) {
        let known = self.known.borrow();
        for entry in self.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let problem = match nearest(&entry.key, &known) {
                Some(near) => format!("unknown key, did you mean `{near}`?"),
                None => format!("unknown key, expected one of {}", known.join(", ")),
            };
            let place = Some(entry.key_place.clone());
            self.reader.add(Mistake { key: self.path_of(&entry.key), place, problem });
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'a> Named<'a, '_> {
    /// Its value, a text.
    pub(super) fn value<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let path = self.section.path_of(&self.entry.key);
        let text = self.section.text(&path, &self.entry.node)?;
        self.section.parsed(&path, &self.entry.node, &text, parse)
    }

    /// Whether its value is what stands for a secret in a configuration that was printed, which is reported then.
    pub(super) fn refuse_mask(&self, expected: &str) -> bool {
        let is_mask = matches!(&self.entry.node.value, Value::Text(text) if text == MASK);
        if is_mask {
            self.section.add(&self.entry.key, &self.entry.node.place, format!("{MASKED}; {expected}"));
        }
        is_mask
    }

    /// Its value, read as a section.
    pub(super) fn section<T>(&self, read: impl FnOnce(&Section<'a>) -> Option<T>) -> Option<T> {
        let path = self.section.path_of(&self.entry.key);
        let inner = self.section.reader.open(&path, Some(&self.entry.node), self.section.effect);
        // Anything else was refused just now.
        let is_section = matches!(self.entry.node.value, Value::Map(_) | Value::Null);
        let result = if is_section { read(&inner) } else { None };
        inner.refuse_unknown_keys();
        result
    }
}

/// Whether a secret is what was printed in place of one, by itself or within an address.
fn is_masked(secret: &str) -> bool {
    secret == MASK || secret.contains(&format!("{MASK}@"))
}

/// The known key that a mistyped one most likely means.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &str| strsim::damerau_levenshtein(key, known);
    let near = known.iter().copied().min_by_key(|known| distance(known))?;
    (distance(near) <= SUGGESTION_EDITS_MAX.min(key.len() / 2)).then_some(near)
}
