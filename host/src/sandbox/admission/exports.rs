//! What a component exports: the world it was built for, and the function to call.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, Lift, Lower};

use super::version::{Fit, fit};
use super::{AdmissionError, listed, reason};
use crate::sandbox::guest::{BatchParams, BatchResults, EventParams, EventResults};
use crate::sandbox::lifecycle::{InitParams, InitResults};
use crate::sandbox::module::{RunParams, RunResults};
use crate::sandbox::{World, contract, module, text};

/// The world that a component exports, in a version that a host of version `ours` serves, and the function to call.
/// A component that exports several runs as the fastest of them.
pub(super) fn entry(
    component: &Component,
    ours: &'static str,
) -> Result<(World, ComponentExportIndex), AdmissionError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(component.engine()).map(|(name, _)| name).collect();
    let (world, index) = if let Some(export) = served(&exports, contract::BATCH, ours) {
        (World::Batch, checked::<BatchParams<'_>, BatchResults>(component, export, contract::HANDLE_BATCH))
    } else if let Some(export) = served(&exports, contract::HANDLER, ours) {
        (World::Event, checked::<EventParams<'_>, EventResults>(component, export, contract::HANDLE))
    } else if exports.contains(&module::RUN) {
        (World::Module, run_of_module(component))
    } else {
        return Err(no_entry(&exports, &[contract::BATCH, contract::HANDLER], ours));
    };
    index.map(|index| (world, index))
}

/// The function of a component of `rustok:module`, which is exported by itself.
fn run_of_module(component: &Component) -> Result<ComponentExportIndex, AdmissionError> {
    let ty = component.component_type();
    let other = |found: String| {
        other_type(module::RUN, format!("expected the one of `rustok:module@1.0.0`, {found}"))
    };
    let Some(ComponentItem::ComponentFunc(run)) =
        ty.get_export(component.engine(), module::RUN).map(|item| item.ty)
    else {
        return Err(other("found no function".to_owned()));
    };
    let same = run.typecheck::<RunParams<'_>, RunResults>(&ty.instance_type());
    same.map_err(|error| other(reason(&error)))?;
    component.get_export_index(None, module::RUN).ok_or_else(|| other("found no function".to_owned()))
}

/// What a guest does before its first event, if the component exports that.
pub(super) fn init(
    component: &Component,
    ours: &'static str,
) -> Result<Option<ComponentExportIndex>, AdmissionError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(component.engine()).map(|(name, _)| name).collect();
    if let Some(export) = served(&exports, contract::LIFECYCLE, ours) {
        return checked::<InitParams<'_>, InitResults>(component, export, contract::INIT).map(Some);
    }
    match exports.iter().any(|export| version_of(export, contract::LIFECYCLE).is_some()) {
        true => Err(no_entry(&exports, &[contract::LIFECYCLE], ours)),
        false => Ok(None),
    }
}

/// The export of an interface in a version that a host of version `ours` serves.
fn served<'a>(exports: &[&'a str], interface: &str, ours: &str) -> Option<&'a str> {
    let is_served = |export: &&&str| {
        version_of(export, interface).is_some_and(|version| fit(version, ours) == Fit::Served)
    };
    exports.iter().find(is_served).copied()
}

/// The version that an export has, if it is of this interface.
fn version_of<'a>(export: &'a str, interface: &str) -> Option<&'a str> {
    let version = export.strip_prefix(interface)?;
    if version.is_empty() { Some(version) } else { version.strip_prefix('@') }
}

fn no_entry(exports: &[&str], interfaces: &[&str], expected: &'static str) -> AdmissionError {
    for export in exports {
        for interface in interfaces {
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

/// The function of an exported interface, whose type must be the one of the contract.
fn checked<Params, Results>(
    component: &Component,
    export: &str,
    function: &str,
) -> Result<ComponentExportIndex, AdmissionError>
where
    Params: ComponentNamedList + Lower,
    Results: ComponentNamedList + Lift,
{
    let ty = component.component_type();
    let engine = component.engine();
    let Some(ComponentItem::ComponentInstance(interface)) = ty.get_export(engine, export).map(|item| item.ty)
    else {
        return Err(other_type(export, "it is no interface".to_owned()));
    };
    let missing = || other_type(export, format!("it has no function `{function}`"));
    let Some(ComponentItem::ComponentFunc(found)) =
        interface.get_export(engine, function).map(|item| item.ty)
    else {
        return Err(missing());
    };
    let same = found.typecheck::<Params, Results>(&ty.instance_type());
    same.map_err(|error| other_type(export, reason(&error)))?;
    let interface = component.get_export_index(None, export).ok_or_else(missing)?;
    component.get_export_index(Some(&interface), function).ok_or_else(missing)
}

fn other_type(export: &str, reason: String) -> AdmissionError {
    AdmissionError::OtherType { export: text::shown(export, 256), reason }
}
