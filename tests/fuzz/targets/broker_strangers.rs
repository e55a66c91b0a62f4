//! Fuzzes what a connection sends to the embedded broker without logging in: the broker changes nothing for it, and lets
//! go of it at the end.
#![no_main]

use std::sync::LazyLock;

use guesthouse_broker::fuzzing::FuzzBroker;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static DIR: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));
static BROKER: LazyLock<FuzzBroker> = LazyLock::new(|| FuzzBroker::start(DIR.path()));

fuzz_target!(|input: &[u8]| BROKER.serve_stranger(input.to_vec()));
