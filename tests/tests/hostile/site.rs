//! A sandbox with all that guests may be granted.

use guesthouse::trial::Trial;
use guesthouse::{SandboxSettings, StateSettings};
use tempfile::TempDir;

/// Large enough for all fixtures but the one that is too large.
const COMPONENT_BYTES_MAX: u64 = 16 << 20;

pub(crate) struct Site {
    pub(crate) trial: Trial,
    _state: TempDir,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let settings = SandboxSettings {
            workers: 2,
            waiting_workers: 4,
            component_bytes_max: COMPONENT_BYTES_MAX,
            ..SandboxSettings::default()
        };
        let trial = Trial::start(&settings).unwrap();
        let state = tempfile::tempdir().unwrap();
        let settings = StateSettings::Embedded { path: state.path().join("state.redb") };
        trial.open_state(&settings).await.unwrap();
        Self { trial, _state: state }
    }
}
