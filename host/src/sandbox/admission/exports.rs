//! What a component exports: the world it was built for, and the function to call.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex};

use super::version::{Fit, fit};
use super::{AdmissionError, listed, reason};
use crate::sandbox::guest::{BatchParams, BatchResults, EventParams, EventResults};
use crate::sandbox::{World, contract, text};

/// The worlds, the faster one first: a component that exports both runs as that.
const WORLDS: [(World, &str, &str); 2] = [
    (World::Batch, contract::BATCH, contract::HANDLE_BATCH),
    (World::Event, contract::HANDLER, contract::HANDLE),
];

/// The world that a component exports, in a version that a host of version `ours` serves, and the function to call.
pub(super) fn entry(
    component: &Component,
    ours: &'static str,
) -> Result<(World, ComponentExportIndex), AdmissionError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(component.engine()).map(|(name, _)| name).collect();
    for (world, interface, function) in WORLDS {
        let of_interface = exports.iter().filter(|export| version_of(export, interface).is_some());
        let mut served = of_interface.filter(|export| {
            version_of(export, interface).is_some_and(|version| fit(version, ours) == Fit::Served)
        });
        if let Some(export) = served.next() {
            check_type(component, world, export)?;
            return index(component, export, function)
                .map(|index| (world, index))
                .ok_or_else(|| other_type(export, format!("it has no `{function}`")));
        }
    }
    Err(no_entry(&exports, ours))
}

/// The version that an export has, if it is of this interface.
fn version_of<'a>(export: &'a str, interface: &str) -> Option<&'a str> {
    let version = export.strip_prefix(interface)?;
    if version.is_empty() { Some(version) } else { version.strip_prefix('@') }
}

fn no_entry(exports: &[&str], expected: &'static str) -> AdmissionError {
    for export in exports {
        for (_, interface, _) in WORLDS {
            let Some(version) = version_of(export, interface) else { continue };
            let found = text::shown(export, 256);
            return match fit(version, expected) {
                Fit::Newer => AdmissionError::NewerVersion { found, expected },
                Fit::Served | Fit::Other => AdmissionError::OtherVersion { found, expected },
            };
        }
    }
    AdmissionError::NoHandler { found: listed(exports), expected }
}

fn index(component: &Component, export: &str, function: &str) -> Option<ComponentExportIndex> {
    let interface = component.get_export_index(None, export)?;
    component.get_export_index(Some(&interface), function)
}

fn check_type(component: &Component, world: World, export: &str) -> Result<(), AdmissionError> {
    let ty = component.component_type();
    let engine = component.engine();
    let Some(ComponentItem::ComponentInstance(interface)) = ty.get_export(engine, export).map(|item| item.ty)
    else {
        return Err(other_type(export, "it is no interface".to_owned()));
    };
    let function = match world {
        World::Event => contract::HANDLE,
        World::Batch => contract::HANDLE_BATCH,
    };
    let Some(ComponentItem::ComponentFunc(found)) =
        interface.get_export(engine, function).map(|item| item.ty)
    else {
        return Err(other_type(export, format!("it has no function `{function}`")));
    };
    let checked = match world {
        World::Event => found.typecheck::<EventParams<'_>, EventResults>(&ty.instance_type()),
        World::Batch => found.typecheck::<BatchParams<'_>, BatchResults>(&ty.instance_type()),
    };
    checked.map_err(|error| other_type(export, reason(&error)))
}

fn other_type(export: &str, reason: String) -> AdmissionError {
    AdmissionError::OtherType { export: text::shown(export, 256), reason }
}
