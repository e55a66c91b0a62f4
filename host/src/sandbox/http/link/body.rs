//! The resources `outgoing-body`, `incoming-body` and `future-trailers`. There are no trailers, either way.

use wasmtime::component::{LinkerInstance, Resource};

use super::{FutureTrailers, Guest, IncomingBody, OutgoingBody, WasiFields, at, own, resource};
use crate::sandbox::http::Desk;
use crate::sandbox::http::desk::misuse;
use crate::sandbox::http::error_code::ErrorCode;
use crate::sandbox::state::GuestState;
use crate::sandbox::wasi::{ALWAYS_READY, InputStream, OutputStream, Pollable};

type Trailers = Option<Result<Result<Option<Resource<WasiFields>>, ErrorCode>, ()>>;

pub(super) fn link(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    link_outgoing(types)?;
    link_incoming(types)?;
    link_trailers(types)
}

fn link_outgoing(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    type Handle = Resource<OutgoingBody>;
    resource::<OutgoingBody>(types, "outgoing-body", Desk::close_body)?;
    types.func_wrap("[method]outgoing-body.write", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let (desk, id) = at(&mut guest, &handle)?;
        let opened = desk.exchange_mut(id)?.body.open_stream();
        Ok((if opened { Ok(own::<OutputStream>(desk.hold(id)?)) } else { Err(()) },))
    })?;
    types.func_wrap(
        "[static]outgoing-body.finish",
        |mut guest: Guest<'_>, (handle, trailers): (Handle, Option<Resource<WasiFields>>)| {
            let (desk, id) = at(&mut guest, &handle)?;
            let trailers = trailers.map(|trailers| desk.take_fields(trailers.rep())).transpose()?;
            let finished = match trailers.filter(|trailers| !trailers.entries().is_empty()) {
                Some(_) => {
                    Err(ErrorCode::InternalError(Some("trailers are not sent by this host".to_owned())))
                }
                None => {
                    let exchange = desk.exchange_mut(id)?;
                    exchange.body.finish(&exchange.request.fields).map_err(misuse)?
                }
            };
            desk.close_body(id);
            Ok((finished,))
        },
    )
}

fn link_incoming(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    type Handle = Resource<IncomingBody>;
    resource::<IncomingBody>(types, "incoming-body", Desk::release)?;
    types.func_wrap("[method]incoming-body.stream", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let (desk, id) = at(&mut guest, &handle)?;
        let first = desk.reading(id)?.stream.take();
        Ok((if first { Ok(own::<InputStream>(desk.hold(id)?)) } else { Err(()) },))
    })?;
    // The handle of the body becomes the one of its trailers.
    types.func_wrap("[static]incoming-body.finish", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let (desk, id) = at(&mut guest, &handle)?;
        desk.reading(id)?;
        Ok((own::<FutureTrailers>(id),))
    })
}

fn link_trailers(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    type Handle = Resource<FutureTrailers>;
    resource::<FutureTrailers>(types, "future-trailers", Desk::release)?;
    types.func_wrap("[method]future-trailers.subscribe", |_: Guest<'_>, (_,): (Handle,)| {
        Ok((own::<Pollable>(ALWAYS_READY),))
    })?;
    types.func_wrap("[method]future-trailers.get", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let (desk, id) = at(&mut guest, &handle)?;
        let first = desk.reading(id)?.trailers.take();
        Ok((if first { Some(Ok(Ok(None))) } else { Some(Err(())) } as Trailers,))
    })
}
