//! Admission: which components may become guests. Every refusal says what was found, what was expected and
//! what to do.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, Linker};
use wasmtime::{Engine, StoreContextMut};

use crate::event::Tenant;
use crate::outcome::Outcome;
use crate::sandbox::component::{ComponentFacts, ComponentId};
use crate::sandbox::contract::{self, LogLevel};
use crate::sandbox::guest::{BatchParams, BatchResults, EventParams, EventResults, Guest};
use crate::sandbox::idle::IdleGuests;
use crate::sandbox::state::GuestState;
use crate::sandbox::{AdmittedComponent, Grants, GuestSpec, World, denied, text, wasi};

/// Names that are listed in a refusal, at most.
const NAMES_SHOWN_MAX: usize = 16;
/// First bytes of a WebAssembly binary, before its version.
const MAGIC: &[u8] = b"\0asm";
/// Version and layer of a component and of a core module.
const COMPONENT_LAYER: &[u8] = &[0x0d, 0, 1, 0];
const MODULE_LAYER: &[u8] = &[1, 0, 0, 0];

/// Why a component is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// No bytes.
    #[error("the file is empty, expected a WebAssembly component")]
    Empty,
    /// More bytes than allowed.
    #[error(
        "the component has {found} bytes, allowed are {allowed}; build it with optimisation and without debug information, or raise the limit"
    )]
    TooLarge {
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        allowed: u64,
    },
    /// Not WebAssembly in binary form.
    #[error("the file starts with {found}, expected a WebAssembly component in binary form")]
    NotWebAssembly {
        /// Its first bytes.
        found: String,
    },
    /// The text form.
    #[error("the file is WebAssembly text, expected the binary form; make it with `wasm-tools parse`")]
    Text,
    /// Machine code.
    #[error(
        "the file is precompiled machine code, which is never accepted; deploy the component that it was made from"
    )]
    Precompiled,
    /// A core module.
    #[error(
        "the file is a WebAssembly core module, expected a component; build for the target `wasm32-wasip2`, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Damaged, or in need of a feature that is switched off.
    #[error(
        "the component is not valid: {reason}; build it again, and without proposals beyond WebAssembly 2.0"
    )]
    Invalid {
        /// The compiler's message.
        reason: String,
    },
    /// Another version of the contract.
    #[error(
        "the component exports {found}, expected version {expected}; build it against `guesthouse:handler@{expected}`"
    )]
    OtherVersion {
        /// The export with its version.
        found: String,
        /// The version of this host.
        expected: &'static str,
    },
    /// No handler.
    #[error(
        "the component exports {found}, expected `guesthouse:handler/handler@{expected}` or `guesthouse:handler/batch@{expected}`; export one of them"
    )]
    NoHandler {
        /// What it exports instead.
        found: String,
        /// The version of this host.
        expected: &'static str,
    },
    /// The handler's function is missing or has another type.
    #[error(
        "`{export}` of the component has another type than `wit/handler.wit`: {reason}; build it against that file"
    )]
    OtherType {
        /// The interface.
        export: String,
        /// What differs.
        reason: String,
    },
    /// An import that the operator could grant and did not.
    #[error(
        "the component imports {import}, which is not granted; add `{grant}` to the handler's grants, or remove the import"
    )]
    NotGranted {
        /// The import.
        import: String,
        /// The grant that would allow it.
        grant: &'static str,
    },
    /// Imports that no grant allows.
    #[error(
        "the component imports {imports}, which is not granted; a handler may import `guesthouse:handler/log` and what standard libraries import of WASI 0.2: remove the rest"
    )]
    UnknownImports {
        /// The imports.
        imports: String,
    },
    /// An import has another type than the host offers.
    #[error(
        "an import of the component has another type than the host offers: {reason}; build it against the WASI 0.2 and `guesthouse:handler` packages"
    )]
    OtherImportType {
        /// The linker's message.
        reason: String,
    },
    /// It does not start under its limits.
    #[error("the component does not start under its limits: {outcome}")]
    DoesNotStart {
        /// What its trial start ended in.
        outcome: String,
    },
    /// The compiler panicked or was cancelled.
    #[error(
        "the component could not be compiled: the compiler stopped; report the component as a compiler bug"
    )]
    CompilerStopped,
}

/// Makes components of bytes.
#[derive(Clone)]
pub(super) struct Admission {
    engine: Engine,
    linker: Linker<GuestState>,
    bytes_max: u64,
}

impl Admission {
    /// Links what every component may import.
    pub(super) fn new(engine: &Engine, bytes_max: u64) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        wasi::link(&mut linker)?;
        Ok(Self { engine: engine.clone(), linker, bytes_max })
    }

    /// Compiles a component and checks it against its grants and limits. Takes a second or two for a large one,
    /// and the deadline of the guest's trial start; the clock must tick.
    pub(super) fn admit(
        &self,
        spec: GuestSpec,
        bytes: &Bytes,
        idle: &Arc<IdleGuests>,
    ) -> Result<AdmittedComponent, AdmissionError> {
        self.check_form(bytes)?;
        let component = Component::from_binary(&self.engine, bytes)
            .map_err(|error| AdmissionError::Invalid { reason: reason(&error) })?;
        check_imports(&component, spec.grants)?;
        let (world, entry) = entry(&component)?;
        let linker = self.linker(&component, spec.grants);
        let template = linker
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(|error| AdmissionError::OtherImportType { reason: reason(&error) })?;
        let facts = ComponentFacts {
            digest: format!("blake3:{}", blake3::hash(bytes).to_hex()),
            size_bytes: bytes.len() as u64,
            world,
        };
        let idle = Arc::downgrade(idle);
        let admitted = AdmittedComponent { id: ComponentId::next(), spec, facts, template, entry, idle };
        match Guest::start(&admitted, &Tenant::Platform) {
            Ok(_) => Ok(admitted),
            Err(outcome) => Err(AdmissionError::DoesNotStart { outcome: start_failure(&outcome) }),
        }
    }

    fn check_form(&self, bytes: &[u8]) -> Result<(), AdmissionError> {
        let found = bytes.len() as u64;
        if found == 0 {
            return Err(AdmissionError::Empty);
        }
        if found > self.bytes_max {
            return Err(AdmissionError::TooLarge { found, allowed: self.bytes_max });
        }
        if Engine::detect_precompiled(bytes).is_some() {
            return Err(AdmissionError::Precompiled);
        }
        match bytes.strip_prefix(MAGIC) {
            Some(rest) if rest.starts_with(COMPONENT_LAYER) => Ok(()),
            Some(rest) if rest.starts_with(MODULE_LAYER) => Err(AdmissionError::CoreModule),
            Some(_) => {
                Err(AdmissionError::Invalid { reason: "its version is unknown or missing".to_owned() })
            }
            None if is_text(bytes) => Err(AdmissionError::Text),
            None => Err(AdmissionError::NotWebAssembly { found: first_bytes(bytes) }),
        }
    }

    fn linker(&self, component: &Component, grants: Grants) -> wasmtime::Result<Linker<GuestState>> {
        let mut linker = self.linker.clone();
        denied::link(&mut linker, component)?;
        if grants.log {
            link_log(&mut linker)?;
        }
        Ok(linker)
    }
}

fn link_log(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut log = linker.instance(&format!("{}@{}", contract::LOG, contract::VERSION))?;
    log.func_wrap("write", |mut guest: StoreContextMut<'_, GuestState>, (level, line): (LogLevel, String)| {
        guest.data_mut().output.write_line(level, &line);
        Ok(())
    })
}

/// Refuses the first import that could be granted, or all that could not be.
fn check_imports(component: &Component, grants: Grants) -> Result<(), AdmissionError> {
    let ty = component.component_type();
    let mut unknown = Vec::new();
    for (import, _) in ty.imports(component.engine()) {
        let (interface, version) = import.split_once('@').unwrap_or((import, ""));
        let offered = match interface {
            contract::LOG | contract::TYPES => version == contract::VERSION,
            _ => version.starts_with("0.2.") && (wasi::contains(interface) || denied::contains(interface)),
        };
        if !offered {
            unknown.push(import);
        } else if interface == contract::LOG && !grants.log {
            return Err(AdmissionError::NotGranted { import: import.to_owned(), grant: "log" });
        }
    }
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(AdmissionError::UnknownImports { imports: listed(&unknown) }),
    }
}

/// The world that a component exports and the function to call.
fn entry(component: &Component) -> Result<(World, ComponentExportIndex), AdmissionError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(component.engine()).map(|(name, _)| name).collect();
    let worlds = [
        (World::Batch, contract::BATCH, contract::HANDLE_BATCH),
        (World::Event, contract::HANDLER, contract::HANDLE),
    ];
    for (world, interface, function) in worlds {
        let export = format!("{interface}@{}", contract::VERSION);
        if exports.contains(&export.as_str()) {
            check_type(component, world, &export)?;
            return index(component, &export, function).map(|index| (world, index)).ok_or_else(|| {
                AdmissionError::OtherType { export, reason: format!("it has no `{function}`") }
            });
        }
    }
    let of_another_version = exports.iter().find(|export| {
        let interface = export.split_once('@').map_or(**export, |(interface, _)| interface);
        interface == contract::BATCH || interface == contract::HANDLER
    });
    let expected = contract::VERSION;
    Err(match of_another_version {
        Some(found) => AdmissionError::OtherVersion { found: text::shown(found, 256), expected },
        None => AdmissionError::NoHandler { found: listed(&exports), expected },
    })
}

fn index(component: &Component, export: &str, function: &str) -> Option<ComponentExportIndex> {
    let interface = component.get_export_index(None, export)?;
    component.get_export_index(Some(&interface), function)
}

fn check_type(component: &Component, world: World, export: &str) -> Result<(), AdmissionError> {
    let other_type = |reason| AdmissionError::OtherType { export: export.to_owned(), reason };
    let ty = component.component_type();
    let engine = component.engine();
    let Some(ComponentItem::ComponentInstance(interface)) = ty.get_export(engine, export).map(|item| item.ty)
    else {
        return Err(other_type("it is no interface".to_owned()));
    };
    let function = match world {
        World::Event => contract::HANDLE,
        World::Batch => contract::HANDLE_BATCH,
    };
    let Some(ComponentItem::ComponentFunc(found)) =
        interface.get_export(engine, function).map(|item| item.ty)
    else {
        return Err(other_type(format!("it has no function `{function}`")));
    };
    let checked = match world {
        World::Event => found.typecheck::<EventParams<'_>, EventResults>(&ty.instance_type()),
        World::Batch => found.typecheck::<BatchParams<'_>, BatchResults>(&ty.instance_type()),
    };
    checked.map_err(|error| other_type(reason(&error)))
}

/// The engine's message with its causes.
fn reason(error: &wasmtime::Error) -> String {
    text::reason(&format!("{error:#}"))
}

fn start_failure(outcome: &Outcome) -> String {
    format!("{}: {outcome}", outcome.kind())
}

fn listed(names: &[&str]) -> String {
    let mut shown: Vec<_> =
        names.iter().take(NAMES_SHOWN_MAX).map(|name| format!("`{}`", text::shown(name, 128))).collect();
    match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => {}
        more => shown.push(format!("{more} more")),
    }
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}

/// The text form starts with a parenthesis, after blanks and comments.
fn is_text(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    start.starts_with(b"(") || start.starts_with(b";;")
}

fn first_bytes(bytes: &[u8]) -> String {
    let shown: Vec<_> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("bytes {}", shown.join(" "))
}

#[cfg(test)]
mod tests;
