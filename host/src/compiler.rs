//! Compiles components in processes of their own, under limits of time and memory, because a compiler is the first
//! thing that a hostile component meets.
//!
//! The process is another run of a program that calls [`serve_if_asked`]: this one, unless
//! [`HostBuilder::compiler`](crate::HostBuilder::compiler) names another. It gets the component over its standard
//! input, hands machine code back over its standard output, and has nothing else: no environment, no files to
//! write, no new privileges. Where no program is known that serves, components are compiled in this process.

mod child;
mod request;
mod serve;

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::memory::MemoryLimit;
use crate::sandbox::{Artifact, ArtifactRefusal};

pub use child::{CompileError, CompileLimit};

/// Memory of a compiling process, where no other is configured: what the machine has, within these bounds.
const MEMORY_BYTES_MIN: u64 = 256 << 20;
const MEMORY_BYTES_MAX: u64 = 2 << 30;

/// The argument that asks a program to serve as a compiler.
const ARGUMENT: &str = "guesthouse-compiler";
/// This program, even when its file has been replaced since it started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Whether this program calls [`serve_if_asked`].
static SERVES: AtomicBool = AtomicBool::new(false);

/// What compiling one component may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileSettings {
    /// Time on a processor, in whole seconds; rounded up.
    pub cpu_max: Duration,
    /// Time from start to end. It only ends what has stopped: on a busy machine the time on a processor, which decides,
    /// takes many times as long.
    pub wall_max: Duration,
    /// Address space of the compiling process.
    pub memory_bytes_max: u64,
    /// The program that compiles; it must call [`serve_if_asked`]. This one when absent.
    pub program: Option<PathBuf>,
}

impl Default for CompileSettings {
    /// Four times what the largest components of today's toolchains take: interpreters of JavaScript and Python, some
    /// 15 seconds each. Of the memory that this process may use, half at most.
    fn default() -> Self {
        let half = MemoryLimit::of_process().bytes / 2;
        Self {
            cpu_max: Duration::from_secs(60),
            wall_max: Duration::from_secs(30 * 60),
            memory_bytes_max: half.clamp(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX),
            program: None,
        }
    }
}

/// Compiles a component if this process was started to do that, and ends it then. Returns at once otherwise.
///
/// A program that embeds a host calls this first thing in `main`, before it reads arguments or starts threads, and so
/// before the asynchronous runtime: not in a `main` under `#[tokio::main]`, which runs inside of one.
///
/// ```no_run
/// // In `fn main()`, before everything else:
/// guesthouse::compiler::serve_if_asked();
/// ```
#[expect(clippy::exit, reason = "the process was started for this alone")]
pub fn serve_if_asked() {
    SERVES.store(true, Ordering::Relaxed);
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT) {
        std::process::exit(serve::serve());
    }
}

/// Compiles a component, in a process of its own if there is a program for that.
///
/// Waits for it, at most as long as the settings say. Cancelling ends the process; without one, the compilation
/// runs to its end unused.
pub(crate) async fn compile(settings: &CompileSettings, component: Bytes) -> Result<Artifact, CompileError> {
    match program(settings) {
        Some(program) => child::compile(program, settings, &component).await,
        None => {
            warn_once();
            let compiled = tokio::task::spawn_blocking(move || Artifact::make(&component)).await;
            let stopped = |_| CompileError::Stopped { how: "it panicked".to_owned() };
            compiled.map_err(stopped)?.map_err(CompileError::Refused)
        }
    }
}

fn program(settings: &CompileSettings) -> Option<&Path> {
    let this = SERVES.load(Ordering::Relaxed).then_some(Path::new(THIS_PROGRAM));
    settings.program.as_deref().or(this)
}

fn warn_once() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "components are compiled in this process, without limits of time and memory; call \
             `guesthouse::compiler::serve_if_asked()` first thing in `main`, or name a program that does with \
             `HostBuilder::compiler`"
        );
    });
}
