//! Fuzzes the commands of the embedded broker, with a user who may do everything: each is answered, and logs stay in order.
#![no_main]

use std::sync::LazyLock;

use guesthouse_broker::fuzzing::FuzzBroker;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static DIR: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));
static BROKER: LazyLock<FuzzBroker> = LazyLock::new(|| FuzzBroker::start(DIR.path()));

fuzz_target!(|input: &[u8]| BROKER.serve_root(input.to_vec()));
