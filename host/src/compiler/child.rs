//! The side that asks: starts a compiling process, feeds it, and says what became of it.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::request::Request;
use super::serve::{COMPILED, GREETING, REFUSED};
use super::{ARGUMENT, Artifact, ArtifactRefusal, CompileSettings};
use crate::sandbox::shown_text;

/// Most bytes of an answer for each byte of a component, and beyond. Machine code takes about three.
const ANSWER_BYTES_PER_BYTE: u64 = 16;
const ANSWER_BYTES_MIN: u64 = 16 << 20;
/// Most that is kept of what the process writes to its error output.
const COMPLAINT_BYTES_MAX: u64 = 4096;
/// Where the time in user mode stands in `/proc/…/stat` behind the name; that in the kernel follows.
const USER_TIME: usize = 11;
/// The unit of both, which Linux fixes for all programs.
const TICK_MILLIS: u64 = 10;
/// How Rust programs end when they get no memory.
const NO_MEMORY: &str = "memory allocation of";

/// A component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is not valid, or made of too much.
    #[error(transparent)]
    Refused(ArtifactRefusal),
    /// Compiling took more than allowed.
    #[error(
        "compiling the component took more than {allowed} of {limit}; build it smaller and with optimisation, or raise `sandbox.compile.{}`", .limit.key()
    )]
    Limit {
        /// Of what.
        limit: CompileLimit,
        /// The limit, with its unit.
        allowed: String,
    },
    /// Compiling was not done in time and has not had the processor time that it may use. This is not the component's
    /// fault.
    #[error(
        "compiling the component was not done after {waited}, in which it got {cpu} of processor time: the machine is busy; try again when it is less so, or raise `sandbox.compile.wall_max`"
    )]
    Busy {
        /// How long it was waited for.
        waited: String,
        /// How much processor time it got.
        cpu: String,
    },
    /// The compiler ended without an answer.
    #[error("the compiler stopped on the component: {how}; report the component as a compiler bug")]
    Stopped {
        /// What is known about it.
        how: String,
    },
    /// The compiling process cannot be started. This is not the component's fault.
    #[error("cannot start the compiler {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The code does not load: a program of another version compiled it. This is not the component's fault.
    #[error("the compiled component does not load: {reason}; name a program of this version as the compiler")]
    OtherEngine {
        /// What the engine says.
        reason: String,
    },
    /// The program answers something else. This is not the component's fault.
    #[error(
        "{} does not answer as a compiler ({how}); name a program of this version that calls `guesthouse::compiler::serve_if_asked` first thing", program.display()
    )]
    NoCompiler {
        /// The program.
        program: PathBuf,
        /// How it ended.
        how: String,
    },
}

/// What compiling may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileLimit {
    /// Time on a processor.
    Cpu,
    /// Memory.
    Memory,
}

impl CompileLimit {
    const fn key(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_max",
            Self::Memory => "memory_max",
        }
    }

    fn exceeded(self, settings: &CompileSettings) -> CompileError {
        let allowed = match self {
            Self::Cpu => humantime::format_duration(settings.cpu_max).to_string(),
            Self::Memory => bytesize::ByteSize::b(settings.memory_bytes_max).to_string(),
        };
        CompileError::Limit { limit: self, allowed }
    }
}

impl fmt::Display for CompileLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "processor time",
            Self::Memory => "memory",
        })
    }
}

/// What a process left behind.
struct Ended {
    status: ExitStatus,
    answer: Vec<u8>,
    complaint: String,
}

/// Compiles a component with a program. Dropping the future kills the process.
pub(super) async fn compile(
    program: &Path,
    settings: &CompileSettings,
    component: &[u8],
) -> Result<Artifact, CompileError> {
    let started = start(program);
    let child = started.map_err(|source| CompileError::Start { program: program.to_owned(), source })?;
    // Asked while it runs; afterwards nobody knows.
    let stat = child.id().map(|id| format!("/proc/{id}/stat"));
    let conversation = converse(child, settings, component);
    tokio::pin!(conversation);
    let Ok(ended) = tokio::time::timeout(settings.wall_max, &mut conversation).await else {
        let stat = stat.and_then(|stat| std::fs::read_to_string(stat).ok()).unwrap_or_default();
        return Err(CompileError::Busy {
            waited: humantime::format_duration(settings.wall_max).to_string(),
            cpu: humantime::format_duration(cpu_time(&stat)).to_string(),
        });
    };
    let lost = |error| CompileError::Stopped { how: format!("the line to it broke: {error}") };
    read_answer(&ended.map_err(lost)?, program, settings)
}

fn start(program: &Path) -> std::io::Result<Child> {
    Command::new(program)
        .arg(ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Sends the request and reads everything that comes back, at the same time so that neither side waits for ever.
async fn converse(mut child: Child, settings: &CompileSettings, component: &[u8]) -> std::io::Result<Ended> {
    let length = component.len() as u64;
    let answer_bytes_max = length.saturating_mul(ANSWER_BYTES_PER_BYTE).saturating_add(ANSWER_BYTES_MIN);
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ask = async {
        let mut input = input?;
        // A process that ended early does not read; its exit says why.
        drop(input.write_all(&Request::new(settings, length).to_bytes()).await);
        drop(input.write_all(component).await);
        // Kept open: when it closes, the process knows that nobody waits for its answer.
        Some(input)
    };
    let (_input, answer, complaint) = tokio::join!(
        ask,
        read_at_most(output, answer_bytes_max.saturating_add(1)),
        read_at_most(errors, COMPLAINT_BYTES_MAX),
    );
    let status = child.wait().await?;
    Ok(Ended { status, answer: answer?, complaint: String::from_utf8_lossy(&complaint?).into_owned() })
}

/// The time on a processor that a process has had, by its file `stat` in `/proc`; none when it cannot be read.
fn cpu_time(stat: &str) -> Duration {
    // The name of the program may hold anything; numbers follow its last bracket.
    let numbers = stat.rsplit_once(')').map(|(_, numbers)| numbers).unwrap_or_default();
    let ticks =
        numbers.split_whitespace().skip(USER_TIME).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>().saturating_mul(TICK_MILLIS))
}

/// The beginning of what comes; the rest is read and forgotten, so that the other side can go on.
async fn read_at_most(source: Option<impl AsyncRead + Unpin>, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut source) = source {
        (&mut source).take(bytes_max).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut source, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

fn read_answer(ended: &Ended, program: &Path, settings: &CompileSettings) -> Result<Artifact, CompileError> {
    let no_compiler = || CompileError::NoCompiler { program: program.to_owned(), how: how(ended) };
    let answer = ended.answer.strip_prefix(&GREETING).ok_or_else(no_compiler)?;
    if !ended.status.success() {
        return Err(failure(ended, settings));
    }
    match answer.split_first() {
        Some((&COMPILED, artifact)) => Artifact::from_bytes(artifact).ok_or_else(no_compiler),
        Some((&REFUSED, refusal)) => match serde_json::from_slice(refusal) {
            Ok(ArtifactRefusal::OutOfMemory) => Err(CompileLimit::Memory.exceeded(settings)),
            Ok(refusal) => Err(CompileError::Refused(refusal)),
            Err(_) => Err(no_compiler()),
        },
        _ => Err(no_compiler()),
    }
}

/// Why a compiler ended without an answer.
fn failure(ended: &Ended, settings: &CompileSettings) -> CompileError {
    match ended.status.signal().and_then(Signal::from_named_raw) {
        Some(Signal::XCPU) => CompileLimit::Cpu.exceeded(settings),
        Some(Signal::ABORT) if ended.complaint.contains(NO_MEMORY) => CompileLimit::Memory.exceeded(settings),
        _ => CompileError::Stopped { how: how(ended) },
    }
}

/// How it ended and the beginning of what it said, for people.
fn how(ended: &Ended) -> String {
    let said = ended.complaint.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = said.take(2).collect::<Vec<_>>().join(" ");
    shown_text(&match said.as_str() {
        "" => ended.status.to_string(),
        said => format!("{}, it said: {said}", ended.status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_whatever_the_program_is_called() {
        let stat = "7 (a) b (c) R 1 7 7 0 -1 4194304 10 0 0 0 150 25 0 0 30 10 1 0 99 0 0";
        assert_eq!(cpu_time(stat), Duration::from_millis(1_750));
        assert_eq!(cpu_time(""), Duration::ZERO);
    }
}
