//! The resources `outgoing-request` and `request-options`, and the function that sends.

use std::time::Duration;

use wasmtime::component::{LinkerInstance, Resource};

use super::{
    FutureResponse, Guest, OutgoingBody, OutgoingRequest, RequestOptions, WasiFields, at, fields, own,
    resource,
};
use crate::sandbox::http::Desk;
use crate::sandbox::http::courier::Timeouts;
use crate::sandbox::http::error_code::ErrorCode;
use crate::sandbox::http::exchange::{Draft, Scheme};
use crate::sandbox::http::method::{WasiMethod, WasiScheme};
use crate::sandbox::state::GuestState;

type Handle = Resource<OutgoingRequest>;
type Options = Resource<RequestOptions>;
/// One of the timeouts.
type Which = fn(&mut Timeouts) -> &mut Option<Duration>;

pub(super) fn link_types(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    resource::<OutgoingRequest>(types, "outgoing-request", Desk::release)?;
    types.func_wrap(
        "[constructor]outgoing-request",
        |mut guest: Guest<'_>, (headers,): (Resource<WasiFields>,)| {
            let (desk, id) = at(&mut guest, &headers)?;
            let fields = desk.take_fields(id)?;
            Ok((own::<OutgoingRequest>(desk.begin(fields)?),))
        },
    )?;
    types.func_wrap("[method]outgoing-request.body", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let (desk, id) = at(&mut guest, &handle)?;
        let opened = desk.exchange_mut(id)?.body.open();
        Ok((if opened { Ok(own::<OutgoingBody>(desk.hold(id)?)) } else { Err(()) },))
    })?;
    types.func_wrap("[method]outgoing-request.headers", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let (desk, id) = at(&mut guest, &handle)?;
        let copy = desk.exchange_mut(id)?.request.fields.frozen();
        Ok((fields::keep(desk, copy)?,))
    })?;
    link_reading(types)?;
    link_writing(types)?;
    link_options(types)
}

pub(super) fn link_handler(handler: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    handler.func_wrap("handle", |mut guest: Guest<'_>, (handle, options): (Handle, Option<Options>)| {
        let (desk, id) = at(&mut guest, &handle)?;
        let timeouts = match options {
            Some(options) => desk.take_timeouts(options.rep())?,
            None => Timeouts::default(),
        };
        let sent: Result<(), ErrorCode> = desk.send(id, timeouts)?;
        if sent.is_err() {
            desk.release(id);
        }
        // The handle of the request becomes the one of its future.
        Ok((sent.map(|()| own::<FutureResponse>(id)),))
    })
}

fn link_reading(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    types.func_wrap("[method]outgoing-request.method", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        Ok((WasiMethod::of(&draft(&mut guest, &handle)?.method),))
    })?;
    types.func_wrap("[method]outgoing-request.scheme", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        Ok((WasiScheme::of(&draft(&mut guest, &handle)?.scheme),))
    })?;
    types.func_wrap("[method]outgoing-request.authority", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        Ok((draft(&mut guest, &handle)?.authority.clone(),))
    })?;
    types.func_wrap(
        "[method]outgoing-request.path-with-query",
        |mut guest: Guest<'_>, (handle,): (Handle,)| {
            Ok((draft(&mut guest, &handle)?.path.as_ref().map(ToString::to_string),))
        },
    )
}

fn link_writing(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut guest: Guest<'_>, (handle, method): (Handle, WasiMethod)| {
            let parsed = method.parse().ok_or(());
            let draft = draft(&mut guest, &handle)?;
            Ok((parsed.map(|method| draft.method = method),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-scheme",
        |mut guest: Guest<'_>, (handle, scheme): (Handle, Option<WasiScheme>)| {
            let parsed: Result<Scheme, ()> = WasiScheme::parse(scheme).ok_or(());
            let draft = draft(&mut guest, &handle)?;
            Ok((parsed.map(|scheme| draft.scheme = scheme),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut guest: Guest<'_>, (handle, authority): (Handle, Option<String>)| {
            let fits = authority.as_deref().is_none_or(Draft::is_authority);
            let parsed = if fits { Ok(authority) } else { Err(()) };
            let draft = draft(&mut guest, &handle)?;
            Ok((parsed.map(|authority| draft.authority = authority),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut guest: Guest<'_>, (handle, path): (Handle, Option<String>)| {
            let path = path.filter(|path| !path.is_empty());
            let parsed = path.map(|path| Draft::parse_path(&path).ok_or(())).transpose();
            let draft = draft(&mut guest, &handle)?;
            Ok((parsed.map(|path| draft.path = path),))
        },
    )
}

fn link_options(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    resource::<RequestOptions>(types, "request-options", Desk::drop_timeouts)?;
    types.func_wrap("[constructor]request-options", |mut guest: Guest<'_>, (): ()| {
        Ok((own::<RequestOptions>(guest.data_mut().desk()?.add_timeouts()?),))
    })?;
    let each: [(&str, Which); 3] = [
        ("connect-timeout", |timeouts| &mut timeouts.connect),
        ("first-byte-timeout", |timeouts| &mut timeouts.first_byte),
        ("between-bytes-timeout", |timeouts| &mut timeouts.between_bytes),
    ];
    for (name, which) in each {
        let get = format!("[method]request-options.{name}");
        types.func_wrap(&get, move |mut guest: Guest<'_>, (handle,): (Options,)| {
            let (desk, id) = at(&mut guest, &handle)?;
            let nanos = which(desk.timeouts_mut(id)?).map(|time| time.as_nanos());
            Ok((nanos.map(|nanos| u64::try_from(nanos).unwrap_or(u64::MAX)),))
        })?;
        let set = format!("[method]request-options.set-{name}");
        types.func_wrap(&set, move |mut guest: Guest<'_>, (handle, nanos): (Options, Option<u64>)| {
            let (desk, id) = at(&mut guest, &handle)?;
            *which(desk.timeouts_mut(id)?) = nanos.map(Duration::from_nanos);
            Ok((Result::<(), ()>::Ok(()),))
        })?;
    }
    Ok(())
}

fn draft<'a>(guest: &'a mut Guest<'_>, handle: &Handle) -> wasmtime::Result<&'a mut Draft> {
    let (desk, id) = at(guest, handle)?;
    Ok(&mut desk.exchange_mut(id)?.request)
}
