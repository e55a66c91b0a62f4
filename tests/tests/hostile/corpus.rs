//! Goal: no attack is forgotten. Method: compare fixtures, verdicts, tests and the threat table with each other.

use std::collections::BTreeSet;
use std::fs;

use guesthouse_tests::builds::repository;
use guesthouse_tests::hostile::fixture::corpus;
use guesthouse_tests::hostile::verdict;

use crate::fixtures::{NEIGHBOUR, TESTS};

/// The rows of the threat table that concern the sandbox: letter, first and last number.
const ROWS: [(&str, u32, u32); 5] = [("A", 1, 11), ("B", 1, 13), ("C", 1, 11), ("D", 1, 16), ("E", 2, 8)];

/// The crates among the fixtures.
const CRATES: [&str; 4] = ["caller", "explorer", "hoarder", "teller"];

#[test]
fn every_fixture_has_a_verdict_and_every_verdict_its_fixture() {
    let entries = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap());
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut found: BTreeSet<_> = names.filter(|name| name.ends_with(".wat") && name != NEIGHBOUR).collect();
    found.extend(CRATES.map(|name| format!("{name}.wasm")));
    let judged: BTreeSet<_> = verdict::all().into_values().filter_map(|verdict| verdict.fixture).collect();
    assert_eq!(found, judged);
}

#[test]
fn every_verdict_has_a_test_of_its_name_and_says_one_thing() {
    let verdicts = verdict::all();
    let mut tests = BTreeSet::new();
    for (name, verdict) in &verdicts {
        let ends = usize::from(verdict.outcome.is_some()) + usize::from(verdict.refused.is_some());
        let has_no_fixture =
            usize::from(!verdict.covered_by.is_empty()) + usize::from(verdict.not_applicable.is_some());
        let fits = if verdict.fixture.is_some() {
            tests.insert(name.as_str());
            ends == 1 && has_no_fixture == 0
        } else {
            ends == 0 && has_no_fixture == 1
        };
        assert!(fits, "{name}: expected a fixture with one ending, or else why there is none");
        let case = verdict.case.to_lowercase();
        let (letter, number) = case.split_at(1);
        assert!(name.starts_with(&format!("{letter}{number:0>2}_")), "{name} is of {}", verdict.case);
        assert!(!verdict.does.is_empty(), "{name} does not say what it does");
    }
    assert_eq!(tests, TESTS.iter().copied().collect());
}

#[test]
fn the_tests_that_stand_for_a_fixture_exist() {
    for (name, verdict) in verdict::all() {
        for test in verdict.covered_by {
            let (file, function) = test.split_once("::").unwrap();
            let text = fs::read_to_string(repository().join(file)).unwrap_or_default();
            assert!(text.contains(&format!("fn {function}(")), "{name}: there is no {test}");
        }
    }
}

#[test]
fn every_row_of_the_threat_table_is_judged() {
    let judged: BTreeSet<_> = verdict::all().into_values().map(|verdict| verdict.case).collect();
    let rows =
        ROWS.iter().flat_map(|(letter, first, last)| (*first..=*last).map(move |n| format!("{letter}{n}")));
    let missing: Vec<_> = rows.filter(|row| !judged.contains(row)).collect();
    assert!(missing.is_empty(), "rows without a verdict: {missing:?}");
}
