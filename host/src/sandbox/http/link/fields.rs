//! The resource `fields`.

use wasmtime::component::{LinkerInstance, Resource};

use super::{Guest, WasiFields, at, own, resource};
use crate::sandbox::http::Desk;
use crate::sandbox::http::fields::{Fields, HeaderError};
use crate::sandbox::state::GuestState;

type Handle = Resource<WasiFields>;
type Changed = wasmtime::Result<(Result<(), HeaderError>,)>;
/// A name and a value.
type Entry = (String, Vec<u8>);

pub(super) fn link(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    resource::<WasiFields>(types, "fields", Desk::drop_fields)?;
    types.func_wrap("[constructor]fields", |mut guest: Guest<'_>, (): ()| {
        Ok((keep(guest.data_mut().desk()?, Fields::default())?,))
    })?;
    types.func_wrap("[static]fields.from-list", |mut guest: Guest<'_>, (entries,): (Vec<Entry>,)| {
        let mut fields = Fields::default();
        for (name, value) in entries {
            if let Err(error) = fields.append(&name, &value)? {
                return Ok((Err(error),));
            }
        }
        Ok((Ok(keep(guest.data_mut().desk()?, fields)?),))
    })?;
    link_reading(types)?;
    link_changing(types)
}

fn link_reading(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    types.func_wrap("[method]fields.get", |mut guest: Guest<'_>, (handle, name): (Handle, String)| {
        Ok((of(&mut guest, &handle)?.get(&name),))
    })?;
    types.func_wrap("[method]fields.has", |mut guest: Guest<'_>, (handle, name): (Handle, String)| {
        Ok((!of(&mut guest, &handle)?.get(&name).is_empty(),))
    })?;
    types.func_wrap("[method]fields.entries", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let entries = of(&mut guest, &handle)?.entries().iter();
        let entries = entries.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        Ok((entries.collect::<Vec<Entry>>(),))
    })?;
    types.func_wrap("[method]fields.clone", |mut guest: Guest<'_>, (handle,): (Handle,)| {
        let copy = of(&mut guest, &handle)?.thawed();
        Ok((keep(guest.data_mut().desk()?, copy)?,))
    })
}

fn link_changing(types: &mut LinkerInstance<'_, GuestState>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]fields.set",
        |mut guest: Guest<'_>, (handle, name, values): (Handle, String, Vec<Vec<u8>>)| -> Changed {
            Ok((of(&mut guest, &handle)?.set(&name, &values)?,))
        },
    )?;
    types.func_wrap(
        "[method]fields.append",
        |mut guest: Guest<'_>, (handle, name, value): (Handle, String, Vec<u8>)| -> Changed {
            Ok((of(&mut guest, &handle)?.append(&name, &value)?,))
        },
    )?;
    types.func_wrap(
        "[method]fields.delete",
        |mut guest: Guest<'_>, (handle, name): (Handle, String)| -> Changed {
            Ok((of(&mut guest, &handle)?.delete(&name),))
        },
    )
}

fn of<'a>(guest: &'a mut Guest<'_>, handle: &Handle) -> wasmtime::Result<&'a mut Fields> {
    let (desk, id) = at(guest, handle)?;
    desk.fields_mut(id)
}

pub(super) fn keep(desk: &mut Desk, fields: Fields) -> wasmtime::Result<Handle> {
    Ok(own(desk.add_fields(fields)?))
}
