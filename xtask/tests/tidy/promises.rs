//! Every row of what was promised to the platform stands in docs/rustok.md, and what is named as its proof is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::tree::{root, sources};

/// How many features were promised.
const ROWS: usize = 68;

/// How far above a test its attribute may stand.
const ATTRIBUTE_LINES: usize = 4;

struct Row {
    number: usize,
    proofs: Vec<String>,
}

#[test]
fn every_promise_names_what_proves_it() {
    let document = root().join("docs/rustok.md");
    let text = fs::read_to_string(&document).unwrap();
    let section = text.split("\n## What was promised\n").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<Row> = section.lines().filter_map(Row::read).collect();
    let numbers: Vec<usize> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=ROWS).collect::<Vec<_>>());

    let tests = tests();
    let is_there = |proof: &str| match proof.strip_prefix('`') {
        Some(test) => tests.contains(test.trim_end_matches('`')),
        None => linked(proof).is_some_and(|path| document.parent().unwrap().join(path).exists()),
    };
    let of_row = |row: &Row| {
        let wrong: Vec<_> = row.proofs.iter().filter(|proof| !is_there(proof)).cloned().collect();
        (row.proofs.is_empty() || !wrong.is_empty()).then_some((row.number, wrong))
    };
    let unproven: Vec<_> = rows.iter().filter_map(of_row).collect();
    assert!(unproven.is_empty(), "rows whose proof is missing: {unproven:?}");
}

impl Row {
    /// A line of the table, unless it is its head.
    fn read(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let number = cells.first()?.parse().ok()?;
        assert_eq!(cells.len(), 4, "row {number} has four cells");
        assert!(cells.iter().all(|cell| !cell.trim().is_empty()), "row {number} has an empty cell");
        Some(Self { number, proofs: cells[3].split(", ").map(str::to_owned).collect() })
    }
}

/// The file that a link leads to.
fn linked(proof: &str) -> Option<&str> {
    proof.strip_prefix('[')?.split_once("](")?.1.strip_suffix(')')
}

/// All tests there are, as `file::name`; those in a file `tests.rs` also by the module they test.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in sources() {
        for name in names(&text) {
            for module in modules(&path) {
                found.insert(format!("{module}::{name}"));
            }
        }
    }
    found
}

/// The names that a file goes by.
fn modules(path: &Path) -> Vec<String> {
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let own = name(path);
    if own == "tests" { vec![name(path.parent().unwrap())] } else { vec![own] }
}

/// The functions with the attribute of a test, and those that a macro gives it.
fn names(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let told: BTreeSet<&str> = text
        .split("both_kinds!(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .flat_map(|list| list.split(',').map(str::trim))
        .collect();
    let is_test = |at: usize, name: &str| {
        let above = &lines[at.saturating_sub(ATTRIBUTE_LINES)..at];
        let own = above.rsplit(|line| line.is_empty() || line.starts_with('}')).next().unwrap_or_default();
        let marked = |line: &&str| {
            line.trim_start().starts_with("#[test") || line.trim_start().starts_with("#[tokio::test")
        };
        told.contains(name) || own.iter().any(marked)
    };
    let name_at = |(at, line): (usize, &&str)| {
        let line = line.trim_start();
        let rest = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))?;
        let name = rest.split('(').next()?;
        is_test(at, name).then(|| name.to_owned())
    };
    lines.iter().enumerate().filter_map(name_at).collect()
}

#[test]
fn a_test_is_known_by_its_attribute() {
    let text = "fn helper() {}\n\n#[test]\nfn one() {}\n\n    #[tokio::test(flavor = \"x\")]\n    async fn two() {}\n\n\
        both_kinds!(three, four);\nasync fn three() {}\nfn five() {}\n";
    assert_eq!(names(text), ["one", "two", "three"]);
}
