//! `wasi:io`: what can be polled, and streams. The standard streams own nothing: the number of their handle says all
//! there is to know, and they are always ready. Numbers from [`http::FIRST_ID`] on lead to the guest's HTTP.

use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType};

use super::{Guest, instance, resource};
use crate::sandbox::http::{self, Readiness};
use crate::sandbox::output::Stream;
use crate::sandbox::state::GuestState;
use crate::sandbox::stop::GuestStop;

/// Most bytes that a stream takes at once.
const WRITE_BYTES_MAX: u64 = 4096;
/// The number of everything that can be polled and is ready.
pub(in crate::sandbox) const ALWAYS_READY: u32 = 0;

type StreamResult<T> = Result<T, StreamError>;

pub(in crate::sandbox) struct IoError;
pub(in crate::sandbox) struct Pollable;
pub(in crate::sandbox) struct InputStream;
pub(in crate::sandbox) struct OutputStream;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[expect(dead_code, reason = "part of the type; no operation of these streams fails")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

/// The number of a standard output stream.
pub(super) const fn number_of(stream: Stream) -> u32 {
    match stream {
        Stream::Output => 1,
        Stream::Error => 2,
    }
}

/// Links errors, pollables and streams.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut error = instance(linker, "wasi:io/error")?;
    resource::<IoError>(&mut error, "error")?;
    error.func_wrap("[method]error.to-debug-string", |_, (_,): (Resource<IoError>,)| {
        Ok(("input and output are closed".to_owned(),))
    })?;
    link_poll(&mut instance(linker, "wasi:io/poll")?)?;
    link_input_stream(&mut instance(linker, "wasi:io/streams")?)?;
    link_output_stream(&mut instance(linker, "wasi:io/streams")?)
}

fn link_poll(poll: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    poll.resource("pollable", ResourceType::host::<Pollable>(), |mut guest, number| {
        drop_handle(guest.data_mut(), number);
        Ok(())
    })?;
    poll.func_wrap("[method]pollable.ready", |mut guest: Guest<'_>, (handle,): (Resource<Pollable>,)| {
        Ok((settle(guest.data_mut(), handle.rep())? == Readiness::Ready,))
    })?;
    poll.func_wrap("[method]pollable.block", |mut guest: Guest<'_>, (handle,): (Resource<Pollable>,)| {
        wait(guest.data_mut(), &[handle.rep()]).map(|_| ())
    })?;
    poll.func_wrap("poll", |mut guest: Guest<'_>, (list,): (Vec<Resource<Pollable>>,)| {
        wasmtime::ensure!(!list.is_empty(), "poll of an empty list");
        let numbers: Vec<_> = list.iter().map(Resource::rep).collect();
        Ok((wait(guest.data_mut(), &numbers)?,))
    })
}

/// Waits until something of a list is ready, and tells the places in the list of what is. What waits for a response is
/// waited for only when nothing else is ready, one after the other.
fn wait(guest: &mut GuestState, numbers: &[u32]) -> wasmtime::Result<Vec<u32>> {
    let mut ready = Vec::new();
    for (place, number) in (0..).zip(numbers) {
        let is_ready = *number < http::FIRST_ID || guest.desk()?.readiness(*number)? == Readiness::Ready;
        if is_ready {
            ready.push(place);
        }
    }
    if !ready.is_empty() {
        return Ok(ready);
    }
    for (place, number) in (0..).zip(numbers) {
        if settle(guest, *number)? == Readiness::Ready {
            return Ok(vec![place]);
        }
    }
    Err(GuestStop::Misuse("waited for a response before it had finished the body of its request").into())
}

fn settle(guest: &mut GuestState, number: u32) -> wasmtime::Result<Readiness> {
    if number < http::FIRST_ID { Ok(Readiness::Ready) } else { guest.desk()?.settle(number) }
}

/// A handle that leads to an exchange of HTTP was dropped; any other has nothing behind it.
fn drop_handle(guest: &mut GuestState, number: u32) {
    if number >= http::FIRST_ID
        && let Ok(desk) = guest.desk()
    {
        desk.release(number);
    }
}

fn link_input_stream(streams: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    type Handle = Resource<InputStream>;
    streams.resource("input-stream", ResourceType::host::<InputStream>(), |mut guest, number| {
        drop_handle(guest.data_mut(), number);
        Ok(())
    })?;
    for name in ["read", "blocking-read"] {
        let name = format!("[method]input-stream.{name}");
        streams.func_wrap(&name, |mut guest: Guest<'_>, (stream, bytes_max): (Handle, u64)| {
            Ok((read(guest.data_mut(), stream.rep(), bytes_max)?.map(|bytes| bytes.to_vec()),))
        })?;
    }
    for name in ["skip", "blocking-skip"] {
        let name = format!("[method]input-stream.{name}");
        streams.func_wrap(&name, |mut guest: Guest<'_>, (stream, bytes_max): (Handle, u64)| {
            Ok((read(guest.data_mut(), stream.rep(), bytes_max)?.map(|bytes| bytes.len() as u64),))
        })?;
    }
    streams.func_wrap("[method]input-stream.subscribe", |_, (_,): (Handle,)| {
        Ok((Resource::<Pollable>::new_own(ALWAYS_READY),))
    })
}

/// Standard input is closed.
fn read(guest: &mut GuestState, stream: u32, bytes_max: u64) -> wasmtime::Result<StreamResult<bytes::Bytes>> {
    if stream < http::FIRST_ID {
        return Ok(Err(StreamError::Closed));
    }
    Ok(guest.desk()?.read(stream, bytes_max)?.ok_or(StreamError::Closed))
}

fn link_output_stream(streams: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    type Handle = Resource<OutputStream>;
    streams.resource("output-stream", ResourceType::host::<OutputStream>(), |mut guest, number| {
        if number >= http::FIRST_ID
            && let Ok(desk) = guest.data_mut().desk()
        {
            desk.close_output(number);
        }
        Ok(())
    })?;
    streams.func_wrap("[method]output-stream.check-write", |_, (_,): (Handle,)| {
        Ok((StreamResult::Ok(WRITE_BYTES_MAX),))
    })?;
    for name in ["write", "blocking-write-and-flush"] {
        let name = format!("[method]output-stream.{name}");
        streams.func_wrap(&name, |mut guest: Guest<'_>, (stream, bytes): (Handle, Vec<u8>)| {
            ensure_permitted(bytes.len() as u64)?;
            write(guest.data_mut(), stream.rep(), &bytes)?;
            Ok((StreamResult::Ok(()),))
        })?;
    }
    for name in ["write-zeroes", "blocking-write-zeroes-and-flush"] {
        let name = format!("[method]output-stream.{name}");
        streams.func_wrap(&name, |mut guest: Guest<'_>, (stream, count): (Handle, u64)| {
            ensure_permitted(count)?;
            // Into the log they are not written.
            if stream.rep() >= http::FIRST_ID {
                let zeroes = vec![0; usize::try_from(count)?];
                write(guest.data_mut(), stream.rep(), &zeroes)?;
            }
            Ok((StreamResult::Ok(()),))
        })?;
    }
    for name in ["flush", "blocking-flush"] {
        let name = format!("[method]output-stream.{name}");
        streams.func_wrap(&name, |_, (_,): (Handle,)| Ok((StreamResult::Ok(()),)))?;
    }
    for name in ["splice", "blocking-splice"] {
        let name = format!("[method]output-stream.{name}");
        streams.func_wrap(&name, |mut guest: Guest<'_>, (to, from, bytes_max)| {
            Ok((splice(guest.data_mut(), &to, &from, bytes_max)?,))
        })?;
    }
    streams.func_wrap("[method]output-stream.subscribe", |_, (_,): (Handle,)| {
        Ok((Resource::<Pollable>::new_own(ALWAYS_READY),))
    })
}

fn ensure_permitted(bytes: u64) -> wasmtime::Result<()> {
    wasmtime::ensure!(bytes <= WRITE_BYTES_MAX, "wrote more than was permitted");
    Ok(())
}

fn write(guest: &mut GuestState, stream: u32, bytes: &[u8]) -> wasmtime::Result<()> {
    if stream >= http::FIRST_ID {
        return guest.desk()?.write(stream, bytes);
    }
    let stream = if stream == number_of(Stream::Error) { Stream::Error } else { Stream::Output };
    guest.output.write_stream(stream, bytes);
    Ok(())
}

fn splice(
    guest: &mut GuestState,
    to: &Resource<OutputStream>,
    from: &Resource<InputStream>,
    bytes_max: u64,
) -> wasmtime::Result<StreamResult<u64>> {
    match read(guest, from.rep(), bytes_max.min(WRITE_BYTES_MAX))? {
        Ok(bytes) => {
            write(guest, to.rep(), &bytes)?;
            Ok(Ok(bytes.len() as u64))
        }
        Err(error) => Ok(Err(error)),
    }
}
