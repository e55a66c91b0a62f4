//! Goal: every input of the fuzzers' corpora, and what lies around it, is survived, without a fuzzer to run.
//! Method: the corpora of the repository and some mutations of each, by a generator whose seed is fixed.

use std::fs;
use std::path::Path;

use guesthouse_broker::fuzzing::{FuzzBroker, FuzzLog};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Mutations of each input, unless `GUESTHOUSE_MUTATIONS` says how many.
const MUTATIONS: u64 = 20;

fn replay(target: &str, mut run: impl FnMut(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let wanted = std::env::var("GUESTHOUSE_MUTATIONS").ok().and_then(|count| count.parse().ok());
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let input = fs::read(entry.unwrap().path()).unwrap();
        run(&input);
        for seed in 0..wanted.unwrap_or(MUTATIONS) {
            run(&mutated(&input, &mut StdRng::seed_from_u64(seed)));
        }
        inputs += 1;
    }
    assert!(inputs > 0, "there is no corpus of {target}");
}

fn mutated(input: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut input = input.to_vec();
    for _ in 0..random.random_range(1..8) {
        let at = random.random_range(0..=input.len());
        match random.random_range(0..4) {
            0 => input.truncate(at),
            1 => input.insert(at, random.random_range(0..=u8::MAX)),
            2 => input.extend_from_within(at..),
            _ => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.random_range(0..=u8::MAX)),
        }
        input.truncate(64 * 1024);
    }
    input
}

#[test]
fn strangers_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let broker = FuzzBroker::start(dir.path());
    replay("broker-strangers", |input| broker.serve_stranger(input.to_vec()));
}

#[test]
fn commands_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let broker = FuzzBroker::start(dir.path());
    replay("broker-commands", |input| broker.serve_root(input.to_vec()));
}

#[test]
fn spoilt_logs_are_recovered_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = FuzzLog::new(&dir.path().join("log"));
    replay("broker-log", |input| log.recover(input));
}
