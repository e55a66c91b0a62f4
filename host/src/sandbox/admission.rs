//! Admission: which components may become guests. Every refusal says what was found, what was expected and
//! what to do.

mod exports;
mod form;
mod imports;
mod refusal;
mod structure;
mod version;

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, StoreContextMut};

use crate::event::Tenant;
use crate::outcome::Outcome;
use crate::sandbox::code::{Code, CodeSource};
use crate::sandbox::component::{ComponentFacts, ComponentId, StateUse, TrialStart};
use crate::sandbox::contract::{self, LogLevel};
use crate::sandbox::engine::{ByInit, Engines};
use crate::sandbox::guest::Guest;
use crate::sandbox::http::{self, Courier, HttpAccess};
use crate::sandbox::state::GuestState;
use crate::sandbox::tenancy::Tenancies;
use crate::sandbox::{
    AdmittedComponent, Excess, Grants, GuestLimits, GuestSpec, Pool, SandboxSettings, config_store, denied,
    keyvalue, module, random, text, wasi,
};

pub(super) use form::check as check_form;
pub(super) use imports::Need;
pub use refusal::AdmissionError;
pub(crate) use structure::Structure;
pub use structure::{Part, StructureError};

/// Names that are listed in a refusal, at most.
const NAMES_SHOWN_MAX: usize = 16;

/// Checks components and links them.
pub(super) struct Admission {
    linkers: ByInit<Linker<GuestState>>,
    ceilings: GuestLimits,
    courier: Arc<Courier>,
}

impl Admission {
    /// Links what every component may import.
    pub(super) fn new(
        engines: &Engines,
        settings: &SandboxSettings,
        courier: Arc<Courier>,
    ) -> wasmtime::Result<Self> {
        let linker = |engine: &Engine| -> wasmtime::Result<_> {
            let mut linker = Linker::new(engine);
            wasi::link(&mut linker)?;
            Ok(linker)
        };
        let linkers = ByInit { copied: linker(&engines.copied)?, mapped: linker(&engines.mapped)? };
        Ok(Self { linkers, ceilings: settings.ceilings.clone(), courier })
    }

    /// Checks a compiled component against its grants and limits. Takes as long as the guest's trial start may; the
    /// clock must tick.
    pub(super) fn admit(
        &self,
        spec: GuestSpec,
        (code, source): (Arc<Code>, CodeSource),
        tenancies: &Arc<Tenancies>,
    ) -> Result<AdmittedComponent, AdmissionError> {
        if let Some(Excess { limit, wanted, ceiling }) = spec.limits.above(&self.ceilings).into_iter().next()
        {
            return Err(AdmissionError::AboveCeiling { limit, wanted, ceiling });
        }
        let component = &code.component;
        imports::check(component, &spec.grants)?;
        let (world, entry) = exports::entry(component, contract::VERSION)?;
        let init = exports::init(component, contract::VERSION)?;
        let linker = self.linker(&code, &spec.grants);
        let template = linker
            .and_then(|linker| linker.instantiate_pre(component))
            .map_err(|error| AdmissionError::OtherImportType { reason: reason(&error) })?;
        let state = state_use(component);
        let http = self.http_access(component, &spec);
        let waits = state == StateUse::Possible || http.is_some() || spec.dedup.is_some();
        let facts = ComponentFacts {
            digest: format!("blake3:{}", code.digest.to_hex()),
            size_bytes: code.size_bytes,
            source,
            start: TrialStart::default(),
            world,
            pool: if waits { Pool::Waiting } else { Pool::Computing },
            state,
        };
        let (tenancies, spec) = (Arc::downgrade(tenancies), Arc::new(spec));
        let id = ComponentId::next();
        let mut admitted =
            AdmittedComponent { id, spec, code, facts, template, entry, init, tenancies, http };
        let began = Instant::now();
        match Guest::start(&admitted, &Tenant::Platform) {
            Ok(guest) => {
                admitted.facts.start =
                    TrialStart { time: began.elapsed(), memory_bytes: guest.memory_bytes() };
                Ok(admitted)
            }
            Err(outcome) => Err(AdmissionError::DoesNotStart { outcome: start_failure(&outcome) }),
        }
    }

    fn linker(&self, code: &Code, grants: &Grants) -> wasmtime::Result<Linker<GuestState>> {
        let component = &code.component;
        let mut linker = self.linkers.of(code.memory_init()).clone();
        denied::link(&mut linker, component)?;
        module::link(&mut linker)?;
        if grants.state {
            keyvalue::link(&mut linker)?;
        }
        if grants.config.is_some() {
            config_store::link(&mut linker)?;
        }
        if grants.random {
            random::link(&mut linker, wasi::VERSION)?;
        }
        if grants.log {
            link_log(&mut linker, contract::VERSION)?;
        }
        if grants.http.is_some() {
            http::link(&mut linker, component)?;
        }
        Ok(linker)
    }

    /// What a component shares of HTTP, when it uses it.
    fn http_access(&self, component: &Component, spec: &GuestSpec) -> Option<Arc<HttpAccess>> {
        let grant = spec.grants.http.as_ref().filter(|_| http::is_imported_by(component))?;
        Some(Arc::new(HttpAccess::new(grant, &spec.limits, &self.courier)))
    }
}

fn state_use(component: &Component) -> StateUse {
    let store = format!("{}@{}", keyvalue::STORE, keyvalue::VERSION);
    let ty = component.component_type();
    let imports = ty.imports(component.engine()).any(|(import, _)| import == store);
    if imports { StateUse::Possible } else { StateUse::Never }
}

fn link_log(linker: &mut Linker<GuestState>, version: &str) -> wasmtime::Result<()> {
    let mut log = linker.instance(&format!("{}@{version}", contract::LOG))?;
    log.func_wrap("write", |mut guest: StoreContextMut<'_, GuestState>, (level, line): (LogLevel, String)| {
        guest.data_mut().output.write_line(level, &line);
        Ok(())
    })
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

#[cfg(test)]
mod tests;
