//! Interfaces that a guest's standard library may import without using them: files and sockets.
//!
//! They are linked by the component's own types. Nothing can be had through them: lists are empty, and what can
//! fail fails with the interface's code for a denied access.

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{
    Component, Linker, LinkerInstance, Resource, ResourceAny, ResourceType, Type, Val,
};
use wasmtime::{Engine, StoreContextMut};

use crate::sandbox::state::GuestState;
use crate::sandbox::stop::GuestStop;

/// The interfaces, each with the resources that it defines.
const INTERFACES: [(&str, &[&str]); 9] = [
    ("wasi:filesystem/preopens", &[]),
    ("wasi:filesystem/types", &["descriptor", "directory-entry-stream"]),
    ("wasi:sockets/instance-network", &[]),
    ("wasi:sockets/ip-name-lookup", &["resolve-address-stream"]),
    ("wasi:sockets/network", &["network"]),
    ("wasi:sockets/tcp", &["tcp-socket"]),
    ("wasi:sockets/tcp-create-socket", &[]),
    ("wasi:sockets/udp", &["udp-socket", "incoming-datagram-stream", "outgoing-datagram-stream"]),
    ("wasi:sockets/udp-create-socket", &[]),
];

/// The codes by which these interfaces say that an access is denied.
const DENIED_CODES: [&str; 2] = ["access-denied", "access"];

struct Denied;

/// Whether an interface, named without its version, is one of these.
pub(super) fn contains(interface: &str) -> bool {
    INTERFACES.iter().any(|(name, _)| *name == interface)
}

/// Links those of them that the component imports.
pub(super) fn link(linker: &mut Linker<GuestState>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine().clone();
    for (import, item) in component.component_type().imports(&engine) {
        let interface = import.split_once('@').map_or(import, |(interface, _)| interface);
        let own = INTERFACES.iter().find(|(name, _)| *name == interface);
        if let (Some((_, resources)), ComponentItem::ComponentInstance(instance)) = (own, item.ty) {
            let mut linked = linker.instance(import)?;
            for resource in *resources {
                linked.resource(resource, ResourceType::host::<Denied>(), |_, _| Ok(()))?;
            }
            link_functions(&mut linked, import, &instance, &engine)?;
        }
    }
    Ok(())
}

fn link_functions(
    linked: &mut LinkerInstance<'_, GuestState>,
    import: &str,
    instance: &ComponentInstance,
    engine: &Engine,
) -> wasmtime::Result<()> {
    for (name, item) in instance.exports(engine) {
        if matches!(item.ty, ComponentItem::ComponentFunc(_)) {
            let function = format!("{import}#{name}");
            linked.func_new(name, move |mut guest, ty, params, results| {
                give_back(&mut guest, params)?;
                for (result, ty) in results.iter_mut().zip(ty.results()) {
                    let denial = denial(&mut guest, &ty)?;
                    *result = denial.ok_or_else(|| GuestStop::Denied(function.clone()))?;
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// What was lent has to be given back before the call ends.
fn give_back(guest: &mut StoreContextMut<'_, GuestState>, params: &[Val]) -> wasmtime::Result<()> {
    for param in params {
        if let Val::Resource(handle) = param {
            handle.resource_drop(&mut *guest)?;
        }
    }
    Ok(())
}

/// The value of a type that says: nothing here for you.
fn denial(guest: &mut StoreContextMut<'_, GuestState>, ty: &Type) -> wasmtime::Result<Option<Val>> {
    Ok(match ty {
        Type::List(_) => Some(Val::List(Vec::new())),
        Type::Option(_) => Some(Val::Option(None)),
        Type::Own(_) => {
            let handle = Resource::<Denied>::new_own(0);
            Some(Val::Resource(ResourceAny::try_from_resource(handle, guest)?))
        }
        Type::Result(result) => match result.err() {
            Some(Type::Enum(codes)) => {
                let code = DENIED_CODES.into_iter().find(|code| codes.names().any(|name| name == *code));
                code.map(|code| Val::Result(Err(Some(Box::new(Val::Enum(code.to_owned()))))))
            }
            _ => None,
        },
        _ => None,
    })
}
