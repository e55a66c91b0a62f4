//! Components of WAT files: a frame with places, filled with the sections of a fixture. The README of the corpus
//! describes the form.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;

use crate::builds::{guest, repository};

const MARK: &str = ";;@";
const WASM: &str = ".wasm";

/// What is put into the places of a frame, by the name of the place.
#[derive(Default)]
struct Sections {
    frame: Option<String>,
    by_place: BTreeMap<String, String>,
}

/// The folder of the corpus.
pub fn corpus() -> PathBuf {
    repository().join("guests/hostile")
}

/// The bytes of a fixture, by its file in the corpus; `NAME.wasm` is the crate of that name, built.
pub fn component(file: &str) -> Bytes {
    if let Some(name) = file.strip_suffix(WASM) {
        return fs::read(guest(name)).expect("the guest was just built").into();
    }
    match wat::parse_str(text(file)) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("{file} is no WebAssembly text: {error}"),
    }
}

/// A file of the corpus as it is.
pub fn read(file: &str) -> String {
    let path = corpus().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The whole text of a fixture.
fn text(file: &str) -> String {
    let mut sections = Sections::default();
    sections.add(&read(file));
    let Some(frame) = &sections.frame else { return repeated(&read(file)) };
    let frame = read(&format!("frames/{frame}.wat"));
    for used in frame.lines().filter_map(|line| line.strip_prefix(MARK)?.strip_prefix("use ")) {
        sections.add(&read(&format!("{used}.wat")));
    }
    sections.fill(file, &frame)
}

impl Sections {
    fn add(&mut self, source: &str) {
        let mut place = None;
        for line in source.lines() {
            let mark = line.strip_prefix(MARK).map(|mark| mark.split_once(' ').unwrap_or((mark, "")));
            match mark {
                Some(("frame", name)) => self.frame = Some(name.to_owned()),
                Some(("use", file)) => self.add(&read(&format!("{file}.wat"))),
                Some((name, "")) => place = Some(name.to_owned()),
                _ => {
                    let Some(place) = &place else { continue };
                    let section = self.by_place.entry(place.clone()).or_default();
                    section.push_str(line);
                    section.push('\n');
                }
            }
        }
    }

    /// The frame with its places filled; a place that gets nothing keeps what stands beside its name.
    fn fill(mut self, file: &str, frame: &str) -> String {
        let mut text = String::new();
        for line in frame.lines() {
            match line
                .trim_start()
                .strip_prefix(MARK)
                .map(|place| place.split_once(' ').unwrap_or((place, "")))
            {
                Some(("use", _)) => {}
                Some((place, default)) => {
                    text.push_str(&self.by_place.remove(place).unwrap_or_else(|| default.to_owned()));
                }
                None => text.push_str(line),
            }
            text.push('\n');
        }
        let lost: Vec<_> = self.by_place.keys().collect();
        assert!(lost.is_empty(), "{file}: its frame has no places for {lost:?}");
        repeated(&text)
    }
}

/// The text with lines such as `;;@times 3 (drop (i32.const {n}))` written out; `{n}` counts from zero and `{next}`
/// from one. `{pad 5}` becomes five letters everywhere.
fn repeated(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for line in text.lines() {
        let line = padded(line);
        let times = line.trim_start().strip_prefix(MARK).and_then(|mark| mark.strip_prefix("times "));
        let Some((count, line)) = times.and_then(|times| times.split_once(' ')) else {
            written.push_str(&line);
            written.push('\n');
            continue;
        };
        let count: usize = count.parse().unwrap_or_else(|error| panic!("`{line}`: {error}"));
        for n in 0..count {
            written.push_str(&line.replace("{n}", &n.to_string()).replace("{next}", &(n + 1).to_string()));
            written.push('\n');
        }
    }
    written
}

fn padded(line: &str) -> String {
    let Some((before, rest)) = line.split_once("{pad ") else { return line.to_owned() };
    let (count, after) =
        rest.split_once('}').unwrap_or_else(|| panic!("`{line}`: expected a brace after pad"));
    let count = count.parse().unwrap_or_else(|error| panic!("`{line}`: {error}"));
    format!("{before}{}{}", "x".repeat(count), padded(after))
}
