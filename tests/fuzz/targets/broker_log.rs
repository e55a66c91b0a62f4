//! Fuzzes the segments and indexes that the embedded broker finds at a start: what does not verify is not served, and no
//! offset is given away again.
#![no_main]

use std::sync::LazyLock;

use guesthouse_broker::fuzzing::FuzzLog;
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static DIR: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));
static LOG: LazyLock<FuzzLog> = LazyLock::new(|| FuzzLog::new(&DIR.path().join("log")));

fuzz_target!(|input: &[u8]| LOG.recover(input));
