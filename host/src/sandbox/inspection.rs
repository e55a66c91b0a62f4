//! Inspection: what a component is and asks for, and whether it would be admitted if it were granted all of that.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::handler::HandlerName;
use crate::route::TenantScope;
use crate::sandbox::admission::{Need, Structure};
use crate::sandbox::{
    AdmissionError, AdmittedComponent, Grants, GuestLimits, GuestSpec, Isolation, Sandbox, denied,
};

/// What an inspected component may take to start, so that how much it takes is found out.
const START_TIME_MAX: Duration = Duration::from_secs(10);
const START_MEMORY_BYTES_MAX: u64 = 1 << 30;

/// What was found out about a component.
#[derive(Debug)]
pub(crate) struct Inspection {
    /// What it imports, in its order. Unknown, like all but the verdict, when it does not compile.
    pub(crate) imports: Vec<Import>,
    /// The names of what it exports, in its order.
    pub(crate) exports: Vec<String>,
    /// What it is made of.
    pub(crate) structure: Option<Structure>,
    /// What it would be admitted as with everything granted, or why it would not.
    pub(crate) verdict: Result<Arc<AdmittedComponent>, AdmissionError>,
}

/// An import of a component.
#[derive(Debug, Serialize)]
pub(crate) struct Import {
    /// Its name.
    pub(crate) name: String,
    /// What stands between the component and this import.
    #[serde(flatten)]
    pub(crate) needs: ImportNeed,
}

/// What stands between a component and an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "needs", rename_all = "kebab-case")]
pub(crate) enum ImportNeed {
    /// Nothing: every component gets it.
    Nothing,
    /// Nothing, but there is nothing to be had from it: files and sockets, which standard libraries import.
    NothingAndEmpty,
    /// A grant of the handler.
    Grant {
        /// The grant's name in the configuration.
        grant: &'static str,
    },
    /// A host that serves a later version of the contract.
    NewerHost,
    /// This host has the interface in another version only.
    OtherVersion {
        /// What versions it has.
        expected: &'static str,
    },
    /// No host grants it.
    NeverGranted,
}

impl Sandbox {
    /// Looks at a component as if it were to be admitted with everything granted and generous limits.
    ///
    /// Waits as [`Sandbox::admit`] does.
    pub(crate) async fn inspect(&self, name: HandlerName, bytes: Bytes) -> Inspection {
        let spec = spec(name);
        // Held until the end, so that admission finds it compiled.
        let code = match self.inner.codes.get(&spec, bytes.clone()).await {
            Ok((code, _)) => code,
            Err(refusal) => {
                let (imports, exports) = (Vec::new(), Vec::new());
                return Inspection { imports, exports, structure: None, verdict: Err(refusal) };
            }
        };
        let structure = code.structure.clone();
        let import = |name: &String| Import { name: name.clone(), needs: ImportNeed::of(name) };
        Inspection {
            imports: structure.imports.iter().map(import).collect(),
            exports: structure.exports.clone(),
            structure: Some(structure),
            verdict: self.admit(spec, bytes).await,
        }
    }
}

impl Inspection {
    /// The grants that the component needs, each once and in the order of its imports.
    pub(crate) fn grants(&self) -> Vec<&'static str> {
        let mut grants = Vec::new();
        for import in &self.imports {
            match import.needs {
                ImportNeed::Grant { grant } if !grants.contains(&grant) => grants.push(grant),
                _ => {}
            }
        }
        grants
    }
}

impl ImportNeed {
    fn of(import: &str) -> Self {
        let interface = import.split_once('@').map_or(import, |(interface, _)| interface);
        match Need::of(import) {
            Need::Nothing if denied::contains(interface) => Self::NothingAndEmpty,
            Need::Nothing => Self::Nothing,
            Need::Grant(row) => Self::Grant { grant: row.grant },
            Need::NewerHost => Self::NewerHost,
            Need::OtherVersion(expected) => Self::OtherVersion { expected },
            Need::Never => Self::NeverGranted,
        }
    }
}

fn spec(handler: HandlerName) -> GuestSpec {
    let limits = GuestLimits {
        deadline: START_TIME_MAX,
        memory_bytes_max: START_MEMORY_BYTES_MAX,
        ..GuestLimits::default()
    };
    let grants = Grants {
        log: true,
        clocks: true,
        random: true,
        state: true,
        config: Some(Arc::default()),
        http: Some(Arc::default()),
    };
    let (tenants, isolation) = (TenantScope::All, Isolation::default());
    GuestSpec { handler, tenants, limits, grants, isolation, emits: None, dedup: None }
}
