//! Linking of `wasi:http` into a component that may use it.

mod body;
mod fields;
mod request;
mod response;

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType};

use super::{Desk, OUTGOING_HANDLER, TYPES};
use crate::sandbox::state::GuestState;
use crate::sandbox::stop::GuestStop;

type Guest<'a> = StoreContextMut<'a, GuestState>;

struct WasiFields;
struct RequestOptions;
struct OutgoingRequest;
struct OutgoingBody;
struct FutureResponse;
struct IncomingResponse;
struct IncomingBody;
struct FutureTrailers;
/// What only servers have: incoming requests, and where their responses go.
struct ServerPart;

/// Resources that only servers have. Guests of general libraries import them and have no way to get one.
const SERVER_PARTS: [&str; 3] = ["incoming-request", "outgoing-response", "response-outparam"];

/// Links both interfaces, as far as the component imports them.
pub(in crate::sandbox) fn link(
    linker: &mut Linker<GuestState>,
    component: &Component,
) -> wasmtime::Result<()> {
    let engine = component.engine().clone();
    for (import, item) in component.component_type().imports(&engine) {
        let interface = import.split_once('@').map_or(import, |(interface, _)| interface);
        if let (TYPES, ComponentItem::ComponentInstance(instance)) = (interface, item.ty) {
            let mut types = linker.instance(import)?;
            fields::link(&mut types)?;
            request::link_types(&mut types)?;
            response::link(&mut types)?;
            body::link(&mut types)?;
            let exports: Vec<_> = instance.exports(&engine).map(|(name, _)| name.to_owned()).collect();
            link_server_parts(&mut types, &exports)?;
        } else if interface == OUTGOING_HANDLER {
            request::link_handler(&mut linker.instance(import)?)?;
        }
    }
    Ok(())
}

fn link_server_parts(types: &mut LinkerInstance<'_, GuestState>, exports: &[String]) -> wasmtime::Result<()> {
    for name in SERVER_PARTS {
        types.resource(name, ResourceType::host::<ServerPart>(), |_, _| Ok(()))?;
    }
    let is_of_servers = |name: &str| {
        name.starts_with('[') && SERVER_PARTS.iter().any(|part| name.contains(&format!("]{part}")))
    };
    for name in exports.iter().filter(|name| is_of_servers(name)) {
        let function = format!("{TYPES}#{name}");
        types.func_new(name, move |_, _, _, _| Err(GuestStop::Denied(function.clone()).into()))?;
    }
    Ok(())
}

/// Links a resource whose number leads to an exchange. `drop` is called when the guest drops one.
fn resource<T: 'static>(
    types: &mut LinkerInstance<'_, GuestState>,
    name: &str,
    drop: fn(&mut Desk, u32),
) -> wasmtime::Result<()> {
    types.resource(name, ResourceType::host::<T>(), move |mut guest, number| {
        drop(guest.data_mut().desk()?, number);
        Ok(())
    })
}

/// The desk of a guest, and the number behind a handle.
fn at<'a, T: 'static>(
    guest: &'a mut Guest<'_>,
    handle: &Resource<T>,
) -> wasmtime::Result<(&'a mut Desk, u32)> {
    Ok((guest.data_mut().desk()?, handle.rep()))
}

/// A handle that the guest owns.
fn own<T: 'static>(number: u32) -> Resource<T> {
    Resource::new_own(number)
}
