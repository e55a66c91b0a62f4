//! The WASI interfaces that guests of standard libraries import, present and empty.
//!
//! No environment, no arguments, no files, no network, nothing to wait for; output goes to the handler's log,
//! time is coarse, and only hash seeds are random. They are written here and not taken from `wasmtime-wasi`,
//! whose pollables block the thread past every deadline and whose output streams can queue without bound.
//! No handle owns anything on the host: its number says all there is to know.

use std::time::Duration;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType};

use crate::sandbox::output::Stream;
use crate::sandbox::state::{GuestState, TIME_RESOLUTION};
use crate::sandbox::stop::GuestStop;

/// The version under which the interfaces are linked. The engine accepts it for imports of every 0.2 version.
const VERSION: &str = "0.2.6";
/// Most bytes that a stream takes at once.
const WRITE_BYTES_MAX: u64 = 4096;

/// The interfaces linked here.
const INTERFACES: [&str; 16] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    INSECURE_SEED,
];

/// The one interface of randomness that needs no grant: seeds of hash maps.
const INSECURE_SEED: &str = "wasi:random/insecure-seed";

type Guest<'a> = StoreContextMut<'a, GuestState>;
type StreamResult<T> = Result<T, StreamError>;

struct IoError;
struct Pollable;
struct InputStream;
struct OutputStream;
struct TerminalInput;
struct TerminalOutput;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[expect(dead_code, reason = "part of the type; no operation of these streams fails")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    #[component(name = "seconds")]
    seconds: u64,
    #[component(name = "nanoseconds")]
    nanoseconds: u32,
}

impl From<Duration> for Datetime {
    fn from(time: Duration) -> Self {
        Self { seconds: time.as_secs(), nanoseconds: time.subsec_nanos() }
    }
}

/// Whether an interface, named without its version, is one of these.
pub(super) fn contains(interface: &str) -> bool {
    INTERFACES.contains(&interface)
}

/// Links all of them.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    link_io(linker)?;
    link_input_stream(&mut instance(linker, "wasi:io/streams")?)?;
    link_output_stream(&mut instance(linker, "wasi:io/streams")?)?;
    link_stdio(linker)?;
    link_terminals(linker)?;
    link_process(linker)?;
    link_clocks(linker)?;
    instance(linker, INSECURE_SEED)?
        .func_wrap("insecure-seed", |guest: Guest<'_>, (): ()| Ok((guest.data().seed,)))
}

fn instance<'a>(
    linker: &'a mut Linker<GuestState>,
    interface: &str,
) -> wasmtime::Result<LinkerInstance<'a, GuestState>> {
    linker.instance(&format!("{interface}@{VERSION}"))
}

fn resource<T: 'static>(instance: &mut LinkerInstance<'_, GuestState>, name: &str) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<T>(), |_, _| Ok(()))
}

/// Everything that can be polled here is ready, always.
fn link_io(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut error = instance(linker, "wasi:io/error")?;
    resource::<IoError>(&mut error, "error")?;
    error.func_wrap("[method]error.to-debug-string", |_, (_,): (Resource<IoError>,)| {
        Ok(("input and output are closed".to_owned(),))
    })?;
    let mut poll = instance(linker, "wasi:io/poll")?;
    resource::<Pollable>(&mut poll, "pollable")?;
    poll.func_wrap("[method]pollable.ready", |_, (_,): (Resource<Pollable>,)| Ok((true,)))?;
    poll.func_wrap("[method]pollable.block", |_, (_,): (Resource<Pollable>,)| Ok(()))?;
    poll.func_wrap("poll", |_, (list,): (Vec<Resource<Pollable>>,)| {
        let count = u32::try_from(list.len())?;
        wasmtime::ensure!(count > 0, "poll of an empty list");
        Ok(((0..count).collect::<Vec<u32>>(),))
    })
}

fn link_input_stream(streams: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    resource::<InputStream>(streams, "input-stream")?;
    for name in ["read", "blocking-read"] {
        let name = format!("[method]input-stream.{name}");
        streams.func_wrap(&name, |_, _: (Resource<InputStream>, u64)| {
            Ok((StreamResult::<Vec<u8>>::Err(StreamError::Closed),))
        })?;
    }
    for name in ["skip", "blocking-skip"] {
        let name = format!("[method]input-stream.{name}");
        streams.func_wrap(&name, |_, _: (Resource<InputStream>, u64)| {
            Ok((StreamResult::<u64>::Err(StreamError::Closed),))
        })?;
    }
    streams.func_wrap("[method]input-stream.subscribe", |_, (_,): (Resource<InputStream>,)| {
        Ok((Resource::<Pollable>::new_own(0),))
    })
}

fn link_output_stream(streams: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    resource::<OutputStream>(streams, "output-stream")?;
    streams.func_wrap("[method]output-stream.check-write", |_, (_,): (Resource<OutputStream>,)| {
        Ok((StreamResult::Ok(WRITE_BYTES_MAX),))
    })?;
    for name in ["write", "blocking-write-and-flush"] {
        streams.func_wrap(&format!("[method]output-stream.{name}"), write)?;
    }
    for name in ["write-zeroes", "blocking-write-zeroes-and-flush"] {
        let name = format!("[method]output-stream.{name}");
        streams.func_wrap(&name, |_, (_, count): (Resource<OutputStream>, u64)| {
            wasmtime::ensure!(count <= WRITE_BYTES_MAX, "wrote more than was permitted");
            Ok((StreamResult::Ok(()),))
        })?;
    }
    for name in ["flush", "blocking-flush"] {
        let name = format!("[method]output-stream.{name}");
        streams.func_wrap(&name, |_, (_,): (Resource<OutputStream>,)| Ok((StreamResult::Ok(()),)))?;
    }
    for name in ["splice", "blocking-splice"] {
        let name = format!("[method]output-stream.{name}");
        streams.func_wrap(&name, |_, _: (Resource<OutputStream>, Resource<InputStream>, u64)| {
            Ok((StreamResult::<u64>::Err(StreamError::Closed),))
        })?;
    }
    streams.func_wrap("[method]output-stream.subscribe", |_, (_,): (Resource<OutputStream>,)| {
        Ok((Resource::<Pollable>::new_own(0),))
    })
}

fn write(
    mut guest: Guest<'_>,
    (stream, bytes): (Resource<OutputStream>, Vec<u8>),
) -> wasmtime::Result<(StreamResult<()>,)> {
    wasmtime::ensure!(bytes.len() as u64 <= WRITE_BYTES_MAX, "wrote more than was permitted");
    let stream = if stream.rep() == rep(Stream::Error) { Stream::Error } else { Stream::Output };
    guest.data_mut().output.write_stream(stream, &bytes);
    Ok((Ok(()),))
}

const fn rep(stream: Stream) -> u32 {
    match stream {
        Stream::Output => 1,
        Stream::Error => 2,
    }
}

fn link_stdio(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    instance(linker, "wasi:cli/stdin")?
        .func_wrap("get-stdin", |_, (): ()| Ok((Resource::<InputStream>::new_own(0),)))?;
    instance(linker, "wasi:cli/stdout")?
        .func_wrap("get-stdout", |_, (): ()| Ok((Resource::<OutputStream>::new_own(rep(Stream::Output)),)))?;
    instance(linker, "wasi:cli/stderr")?
        .func_wrap("get-stderr", |_, (): ()| Ok((Resource::<OutputStream>::new_own(rep(Stream::Error)),)))
}

fn link_terminals(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    resource::<TerminalInput>(&mut instance(linker, "wasi:cli/terminal-input")?, "terminal-input")?;
    resource::<TerminalOutput>(&mut instance(linker, "wasi:cli/terminal-output")?, "terminal-output")?;
    instance(linker, "wasi:cli/terminal-stdin")?
        .func_wrap("get-terminal-stdin", |_, (): ()| Ok((None::<Resource<TerminalInput>>,)))?;
    instance(linker, "wasi:cli/terminal-stdout")?
        .func_wrap("get-terminal-stdout", |_, (): ()| Ok((None::<Resource<TerminalOutput>>,)))?;
    instance(linker, "wasi:cli/terminal-stderr")?
        .func_wrap("get-terminal-stderr", |_, (): ()| Ok((None::<Resource<TerminalOutput>>,)))
}

fn link_process(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut environment = instance(linker, "wasi:cli/environment")?;
    environment.func_wrap("get-environment", |_, (): ()| Ok((Vec::<(String, String)>::new(),)))?;
    environment.func_wrap("get-arguments", |_, (): ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_, (): ()| Ok((None::<String>,)))?;
    let mut exit = instance(linker, "wasi:cli/exit")?;
    exit.func_wrap("exit", |_, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
        Err(GuestStop::Exit(u8::from(status.is_err())).into())
    })?;
    exit.func_wrap("exit-with-code", |_, (status,): (u8,)| -> wasmtime::Result<()> {
        Err(GuestStop::Exit(status).into())
    })
}

fn link_clocks(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let resolution_nanos = u64::from(TIME_RESOLUTION.subsec_nanos());
    let mut monotonic = instance(linker, "wasi:clocks/monotonic-clock")?;
    monotonic
        .func_wrap("now", |mut guest: Guest<'_>, (): ()| Ok((guest.data_mut().time.monotonic_nanos(),)))?;
    monotonic.func_wrap("resolution", move |_, (): ()| Ok((resolution_nanos,)))?;
    for name in ["subscribe-instant", "subscribe-duration"] {
        monotonic.func_wrap(name, |_, (_,): (u64,)| -> wasmtime::Result<(Resource<Pollable>,)> {
            Err(GuestStop::Wait("sleep (wasi:clocks/monotonic-clock)").into())
        })?;
    }
    let mut wall = instance(linker, "wasi:clocks/wall-clock")?;
    wall.func_wrap("now", |mut guest: Guest<'_>, (): ()| {
        Ok((Datetime::from(guest.data_mut().time.since_1970()),))
    })?;
    wall.func_wrap("resolution", |_, (): ()| Ok((Datetime::from(TIME_RESOLUTION),)))
}
