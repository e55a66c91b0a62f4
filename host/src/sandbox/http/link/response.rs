//! The resources `future-incoming-response` and `incoming-response`.

use wasmtime::component::{LinkerInstance, Resource};

use super::{FutureResponse, Guest, IncomingBody, IncomingResponse, at, fields, own, resource};
use crate::sandbox::http::Desk;
use crate::sandbox::http::error_code::ErrorCode;
use crate::sandbox::state::GuestState;
use crate::sandbox::wasi::{IoError, Pollable};

type Future = Resource<FutureResponse>;
type Handle = Resource<IncomingResponse>;
type Taken = Option<Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>>;

pub(super) fn link(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    resource::<FutureResponse>(types, "future-incoming-response", Desk::release)?;
    types.func_wrap(
        "[method]future-incoming-response.subscribe",
        |mut guest: Guest<'_>, (future,): (Future,)| {
            let (desk, id) = at(&mut guest, &future)?;
            Ok((own::<Pollable>(desk.hold(id)?),))
        },
    )?;
    types.func_wrap(
        "[method]future-incoming-response.get",
        |mut guest: Guest<'_>, (future,): (Future,)| {
            let (desk, id) = at(&mut guest, &future)?;
            let taken: Taken = match desk.take_result(id)? {
                None => None,
                Some(Err(())) => Some(Err(())),
                Some(Ok(Err(code))) => Some(Ok(Err(code))),
                Some(Ok(Ok(()))) => Some(Ok(Ok(own(desk.hold(id)?)))),
            };
            Ok((taken,))
        },
    )?;
    // The streams of this host do not fail: what can fail has failed before there is a stream.
    types
        .func_wrap("http-error-code", |_: Guest<'_>, (_,): (Resource<IoError>,)| Ok((None::<ErrorCode>,)))?;
    link_response(types)
}

fn link_response(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    resource::<IncomingResponse>(types, "incoming-response", Desk::release)?;
    types.func_wrap("[method]incoming-response.status", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let (desk, id) = at(&mut guest, &handle)?;
        Ok((desk.reading(id)?.response.status,))
    })?;
    types.func_wrap("[method]incoming-response.headers", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let (desk, id) = at(&mut guest, &handle)?;
        let copy = desk.reading(id)?.response.fields.frozen();
        Ok((fields::keep(desk, copy)?,))
    })?;
    types.func_wrap("[method]incoming-response.consume", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let (desk, id) = at(&mut guest, &handle)?;
        let first = desk.reading(id)?.body.take();
        Ok((if first { Ok(own::<IncomingBody>(desk.hold(id)?)) } else { Err(()) },))
    })
}
