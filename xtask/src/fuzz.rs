//! Fuzzing, guided by coverage and bounded in time: from the corpus in the repository, with what it finds kept aside.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::console::note;
use crate::program;
use crate::workspace::{Profile, Program, Workspace};

/// The targets, as their files in `tests/fuzz/targets` and their corpora are named.
const TARGETS: [&str; 6] =
    ["admission", "answers", "broker-commands", "broker-log", "broker-strangers", "state-keys"];

/// Set for the compiler's wrapper, which is this program again.
const INSTRUMENT: &str = "GUESTHOUSE_XTASK_INSTRUMENT";

/// The crates whose coverage guides the fuzzer. Their dependencies have fuzzers of their own, and stay as they are
/// compiled already.
const INSTRUMENTED: [&str; 2] = ["guesthouse", "guesthouse_broker"];

/// What libFuzzer needs of the compiler.
const FLAGS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// How much is fuzzed.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The targets; all of them when none is named
    #[arg(value_parser = TARGETS)]
    targets: Vec<String>,
    /// Time for each target
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

impl Arguments {
    /// Every target for a time.
    pub(crate) fn all(seconds: u32) -> Self {
        Self { targets: Vec::new(), seconds }
    }
}

/// Builds the targets and runs each for its time. What makes one fail is left beside what is built.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let named =
        |target: &str| arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target);
    for target in TARGETS.into_iter().filter(|target| named(target)) {
        fuzz(workspace, target, arguments.seconds)?;
    }
    Ok(())
}

fn fuzz(workspace: &Workspace, target: &str, seconds: u32) -> Result<()> {
    note(format_args!("fuzzing {target} for {seconds} s"));
    // Not the file that this process runs from: building the workspace may have put a new one in its place.
    let wrapper = workspace.built(&format!("debug/xtask{}", env::consts::EXE_SUFFIX));
    let name = format!("fuzz-{target}");
    let envs = [("RUSTC_WORKSPACE_WRAPPER", wrapper.as_os_str()), (INSTRUMENT, "1".as_ref())];
    let program = workspace.build_with(Profile::Dev, "guesthouse-fuzz", Program::Binary(&name), &envs)?;
    // New inputs go to the first folder, so that the repository keeps what was put there on purpose.
    let found = workspace.built(&format!("fuzz/{target}"));
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let log_file = found.with_extension("log");
    let log = File::create(&log_file).with_context(|| format!("cannot make {}", log_file.display()))?;
    let scratch = scratch()?;
    let mut command = Command::new(program);
    command.env("TMPDIR", scratch.path());
    command.arg(&found).arg(workspace.file(&format!("tests/fuzz/corpus/{target}")));
    command.arg(format!("-artifact_prefix={}-", found.display()));
    command.arg(format!("-max_total_time={seconds}"));
    command.args(["-timeout=25", "-rss_limit_mb=4096", "-max_len=65536", "-print_final_stats=1"]).stderr(log);
    program::run(&mut command).with_context(|| format!("what it found stands in {}", log_file.display()))?;
    let log = fs::read_to_string(&log_file).with_context(|| format!("cannot read {}", log_file.display()))?;
    log.lines()
        .filter_map(|line| line.strip_prefix("stat::"))
        .for_each(|line| note(format_args!("  {line}")));
    Ok(())
}

/// A folder in memory, where the system has one, for what the targets write: a sync costs nothing there, and nothing of
/// it is to be kept.
fn scratch() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let scratch = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    scratch.context("cannot make a folder for the targets to write in")
}

/// Whether cargo asks for a compiler that instruments.
pub(crate) fn is_compiler() -> bool {
    env::var_os(INSTRUMENT).is_some()
}

/// Compiles as cargo asks, and instruments the two crates.
pub(crate) fn compile() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(compiler) = arguments.next() else { return ExitCode::FAILURE };
    let arguments: Vec<OsString> = arguments.collect();
    let instruments = arguments
        .windows(2)
        .any(|pair| matches!(pair, [key, name] if key == "--crate-name" && INSTRUMENTED.iter().any(|one| name == one)));
    let mut command = Command::new(compiler);
    command.args(&arguments);
    if instruments {
        command.args(FLAGS);
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
