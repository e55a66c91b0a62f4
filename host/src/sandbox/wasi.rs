//! The WASI interfaces that guests of standard libraries import, present and empty.
//!
//! No environment, no arguments, no files, no network, nothing to wait for but HTTP; output goes to the handler's
//! log, time is the event's unless the clocks are granted, and only hash seeds are random. They are written here and
//! not taken from `wasmtime-wasi`,
//! whose pollables block the thread past every deadline and whose output streams can queue without bound.

mod io;

use std::time::Duration;

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType};

use crate::sandbox::clock::TIME_RESOLUTION;
use crate::sandbox::output::Stream;
use crate::sandbox::random;
use crate::sandbox::state::GuestState;
use crate::sandbox::stop::GuestStop;

pub(super) use io::{ALWAYS_READY, InputStream, IoError, OutputStream, Pollable};

/// The version under which the interfaces are linked. The engine accepts it for imports of every 0.2 version.
pub(super) const VERSION: &str = "0.2.6";

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
    random::INSECURE_SEED,
];

type Guest<'a> = StoreContextMut<'a, GuestState>;

struct TerminalInput;
struct TerminalOutput;

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
    io::link(linker)?;
    link_stdio(linker)?;
    link_terminals(linker)?;
    link_process(linker)?;
    link_clocks(linker)?;
    random::link_seed(linker, VERSION)
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

fn link_stdio(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    instance(linker, "wasi:cli/stdin")?
        .func_wrap("get-stdin", |_, (): ()| Ok((Resource::<InputStream>::new_own(0),)))?;
    instance(linker, "wasi:cli/stdout")?.func_wrap("get-stdout", |_, (): ()| {
        Ok((Resource::<OutputStream>::new_own(io::number_of(Stream::Output)),))
    })?;
    instance(linker, "wasi:cli/stderr")?.func_wrap("get-stderr", |_, (): ()| {
        Ok((Resource::<OutputStream>::new_own(io::number_of(Stream::Error)),))
    })
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
        .func_wrap("now", |mut guest: Guest<'_>, (): ()| Ok((guest.data_mut().clock.monotonic_nanos(),)))?;
    monotonic.func_wrap("resolution", move |_, (): ()| Ok((resolution_nanos,)))?;
    for name in ["subscribe-instant", "subscribe-duration"] {
        monotonic.func_wrap(name, |_, (_,): (u64,)| -> wasmtime::Result<(Resource<Pollable>,)> {
            Err(GuestStop::Wait("sleep (wasi:clocks/monotonic-clock)").into())
        })?;
    }
    let mut wall = instance(linker, "wasi:clocks/wall-clock")?;
    wall.func_wrap("now", |mut guest: Guest<'_>, (): ()| {
        Ok((Datetime::from(guest.data_mut().clock.since_1970()),))
    })?;
    wall.func_wrap("resolution", |_, (): ()| Ok((Datetime::from(TIME_RESOLUTION),)))
}
