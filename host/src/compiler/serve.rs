//! The compiling process: gives up what it does not need, then reads a component and answers with machine code.

use std::io::{self, Read, Write};
use std::os::fd::RawFd;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, nice, setrlimit};
use rustix::thread::set_no_new_privs;

use super::request::Request;
use crate::sandbox::Artifact;

/// What a compiler says before anything else.
pub(super) const GREETING: [u8; 8] = *b"ghcomp01";
/// Answers that are machine code begin with this byte.
pub(super) const COMPILED: u8 = 0;
/// Answers that say why not begin with this byte.
pub(super) const REFUSED: u8 = 1;
/// Open files: the three standard ones, and some for what the standard library looks up.
const FILES_MAX: u64 = 16;
/// Stack of the thread that waits for the end of the host.
const WATCHER_STACK_BYTES: usize = 64 << 10;
/// How much less important this process is than others.
const NICENESS: i32 = 10;

/// Serves one request and says how to exit.
pub(super) fn serve() -> i32 {
    match serve_one(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => 0,
        Err(error) => {
            // Whoever asked sees the exit code in any case.
            drop(writeln!(io::stderr(), "{error}"));
            1
        }
    }
}

fn serve_one(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    output.write_all(&GREETING)?;
    output.flush()?;
    let request = Request::read(input)?;
    restrict(&request)?;
    let component = read_component(input, request.component_bytes)?;
    end_with_host()?;
    limit(Resource::Nproc, 0, 0)?;
    let (kind, answer) = match Artifact::make(&component) {
        Ok(artifact) => (COMPILED, artifact.to_bytes()),
        Err(refusal) => (REFUSED, serde_json::to_vec(&refusal).map_err(io::Error::other)?),
    };
    output.write_all(&[kind])?;
    output.write_all(&answer)?;
    output.flush()
}

/// Ends this process when its host is gone, in whatever way that happened: the host keeps the line to it open until it has
/// the answer. The kernel's own signal for this (`PR_SET_PDEATHSIG`) is bound to the thread that started the process, and
/// threads of a runtime come and go.
fn end_with_host() -> io::Result<()> {
    let watch = || {
        // Nothing is sent behind the component, so this returns when the other end is closed.
        while let Err(Errno::INTR) = rustix::io::read(io::stdin(), &mut [0; 1]) {}
        // At once, whatever the compiler is doing; nobody is left to read the answer.
        let _refused = kill_process(getpid(), Signal::KILL);
    };
    let watcher = std::thread::Builder::new().stack_size(WATCHER_STACK_BYTES);
    watcher.spawn(watch).map(drop)
}

fn read_component(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut component = Vec::new();
    let capacity = usize::try_from(length).map_err(io::Error::other)?;
    component.try_reserve_exact(capacity).map_err(io::Error::other)?;
    let read = input.take(length).read_to_end(&mut component)?;
    if read < capacity { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(component) }
}

/// Before the first byte of the component is read.
fn restrict(request: &Request) -> io::Result<()> {
    close_inherited()?;
    set_no_new_privs(true)?;
    let cpu = request.cpu_seconds_max;
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, FILES_MAX, FILES_MAX)?;
    // The first ends the process with a signal that says why, the second one in any case.
    limit(Resource::Cpu, cpu, cpu.saturating_add(1))?;
    limit(Resource::As, request.memory_bytes_max, request.memory_bytes_max)?;
    nice(NICENESS)?;
    Ok(())
}

/// Closes everything but the three standard files: what a host has open, or was started with, is not for a compiler.
/// Not when the program has started threads before it served, for these may use what they opened.
#[expect(unsafe_code, reason = "files of unknown owners can be closed by their numbers only")]
fn close_inherited() -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() > 1 {
        return Ok(());
    }
    let mut numbers: Vec<RawFd> = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    // The directory's own number is among them, and closed by now.
    let is_open = |number: &RawFd| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    for number in numbers.into_iter().filter(|number| *number > 2).filter(is_open) {
        // SAFETY: this thread is the only one, was started to compile, and has opened nothing that it still uses; what
        // the process inherited has no owner in it.
        unsafe { rustix::io::close(number) };
    }
    Ok(())
}

/// Lowers a limit; one that is lower already stays.
fn limit(resource: Resource, current: u64, maximum: u64) -> io::Result<()> {
    let found = rustix::process::getrlimit(resource);
    let lower = |wanted: u64, found: Option<u64>| Some(found.map_or(wanted, |found| found.min(wanted)));
    let maximum = lower(maximum, found.maximum);
    let current = lower(current, found.current).min(maximum);
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}
