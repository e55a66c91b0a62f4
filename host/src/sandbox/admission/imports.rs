//! What a component may import: the interfaces that need a grant, and those that every component gets.

use wasmtime::component::Component;

use super::version::{Fit, fit, is_wasi_release};
use super::{AdmissionError, listed};
use crate::sandbox::{Grants, config_store, contract, denied, http, keyvalue, module, random, text, wasi};

/// An interface that an operator can grant.
#[derive(Debug)]
pub(in crate::sandbox) struct Grantable {
    /// The interface, without its version.
    interface: &'static str,
    /// Which of its versions are offered.
    versions: Versions,
    /// The grant's name in the configuration.
    pub(in crate::sandbox) grant: &'static str,
    /// Whether a handler has it.
    is_granted: fn(&Grants) -> bool,
}

/// Which versions of an interface are offered.
#[derive(Debug, Clone, Copy)]
enum Versions {
    /// Those of the contract that this host serves.
    OfContract,
    /// Those of WASI 0.2.
    OfWasi,
    /// This one.
    Exactly(&'static str),
}

/// Everything that needs a grant. What is linked for a grant has its row here.
const GRANTABLE: &[Grantable] = &[
    Grantable {
        interface: contract::LOG,
        versions: Versions::OfContract,
        grant: "log",
        is_granted: |grants| grants.log,
    },
    Grantable {
        interface: keyvalue::STORE,
        versions: Versions::Exactly(keyvalue::VERSION),
        grant: "state",
        is_granted: |grants| grants.state,
    },
    Grantable {
        interface: http::OUTGOING_HANDLER,
        versions: Versions::OfWasi,
        grant: "http",
        is_granted: |grants| grants.http.is_some(),
    },
    Grantable {
        interface: http::TYPES,
        versions: Versions::OfWasi,
        grant: "http",
        is_granted: |grants| grants.http.is_some(),
    },
    Grantable {
        interface: config_store::STORE,
        versions: Versions::Exactly(config_store::VERSION),
        grant: "config",
        is_granted: |grants| grants.config.is_some(),
    },
    Grantable {
        interface: random::RANDOM,
        versions: Versions::OfWasi,
        grant: "random",
        is_granted: |grants| grants.random,
    },
    Grantable {
        interface: random::INSECURE,
        versions: Versions::OfWasi,
        grant: "random",
        is_granted: |grants| grants.random,
    },
];

/// What stands between a component and one of its imports.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) enum Need {
    /// Nothing: every component gets it.
    Nothing,
    /// A grant.
    Grant(&'static Grantable),
    /// A newer host: the import is of a later version of the contract.
    NewerHost,
    /// Another version of the same interface, which this host has.
    OtherVersion(&'static str),
    /// It is never granted.
    Never,
}

/// The versions of WASI that are offered, for people.
const WASI_RELEASES: &str = "0.2.0 or a later release of 0.2";

impl Need {
    /// What an import needs, by its name.
    pub(in crate::sandbox) fn of(import: &str) -> Self {
        Self::of_host(import, contract::VERSION)
    }

    /// The same for a host of another version of the contract.
    fn of_host(import: &str, ours: &str) -> Self {
        let (interface, version) = import.split_once('@').unwrap_or((import, ""));
        let offered = |versions, need| match versions {
            Versions::OfContract => match fit(version, ours) {
                Fit::Served => need,
                Fit::Newer => Self::NewerHost,
                Fit::Other => Self::OtherVersion(contract::VERSION),
            },
            Versions::OfWasi if is_wasi_release(version) => need,
            Versions::OfWasi => Self::OtherVersion(WASI_RELEASES),
            Versions::Exactly(offered) if version == offered => need,
            Versions::Exactly(offered) => Self::OtherVersion(offered),
        };
        if let Some(row) = GRANTABLE.iter().find(|row| row.interface == interface) {
            return offered(row.versions, Self::Grant(row));
        }
        if interface == contract::TYPES {
            return offered(Versions::OfContract, Self::Nothing);
        }
        if import == module::HOST {
            return Self::Nothing;
        }
        let is_standard = wasi::contains(interface) || denied::contains(interface);
        if is_standard { offered(Versions::OfWasi, Self::Nothing) } else { Self::Never }
    }
}

/// Refuses imports that no grant allows, all by name, and then the first one whose grant is missing.
pub(super) fn check(component: &Component, grants: &Grants) -> Result<(), AdmissionError> {
    let ty = component.component_type();
    let mut unknown: Vec<String> = Vec::new();
    let mut refused = None;
    for (import, _) in ty.imports(component.engine()) {
        let found = || text::shown(import, 256);
        match Need::of(import) {
            Need::Nothing => {}
            Need::Grant(row) if (row.is_granted)(grants) => {}
            Need::Grant(Grantable { grant, .. }) => {
                refused.get_or_insert_with(|| AdmissionError::NotGranted { import: found(), grant });
            }
            Need::NewerHost => {
                let expected = contract::VERSION;
                refused.get_or_insert_with(|| AdmissionError::NewerVersion { found: found(), expected });
            }
            Need::OtherVersion(expected) => unknown.push(format!("{import}, expected version {expected}")),
            Need::Never => unknown.push(import.to_owned()),
        }
    }
    if unknown.is_empty() {
        return refused.map_or(Ok(()), Err);
    }
    let unknown: Vec<&str> = unknown.iter().map(String::as_str).collect();
    Err(AdmissionError::UnknownImports { imports: listed(&unknown), grantable: grantable() })
}

/// The interfaces that can be granted, for people.
fn grantable() -> String {
    let name = |row: &Grantable| match row.versions {
        Versions::OfContract | Versions::OfWasi => row.interface.to_owned(),
        Versions::Exactly(version) => format!("{}@{version}", row.interface),
    };
    let names: Vec<String> = GRANTABLE.iter().map(name).collect();
    listed(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_of_earlier_contracts_are_served_and_later_ones_need_a_newer_host() {
        for (import, expected) in [
            ("guesthouse:handler/log@0.1.0", "Grant"),
            ("guesthouse:handler/log@0.1.4", "Grant"),
            ("guesthouse:handler/log@0.1.5", "NewerHost"),
            ("guesthouse:handler/log@0.2.0", "OtherVersion"),
            ("guesthouse:handler/types@0.1.1", "Nothing"),
            ("guesthouse:handler/types@0.1.5", "NewerHost"),
            ("guesthouse:handler/types", "OtherVersion"),
            ("wasi:io/poll@0.2.0", "Nothing"),
            ("wasi:io/poll@0.2.0-rc-2023-11-10", "OtherVersion"),
            ("wasi:filesystem/types@0.2.0-rc-2023-11-10", "OtherVersion"),
            ("wasi:http/types@0.2.0-rc-2023-12-05", "OtherVersion"),
            ("wasi:random/random@0.2.0-rc-2023-11-10", "OtherVersion"),
            ("rustok:module/host@1.0.0", "Nothing"),
            ("rustok:module/host@1.0.1", "Never"),
            ("wasi:io/poll@0.3.0", "OtherVersion"),
            ("wasi:threads/spawn@0.2.0", "Never"),
            ("wasi:keyvalue/store@0.2.0-draft2", "Grant"),
            ("wasi:keyvalue/store@0.2.0-draft", "OtherVersion"),
            ("wasi:keyvalue/store@0.2.0", "OtherVersion"),
            ("wasi:keyvalue/atomics@0.2.0-draft2", "Never"),
            ("wasi:keyvalue/batch@0.2.0-draft2", "Never"),
            ("wasi:http/outgoing-handler@0.2.3", "Grant"),
            ("wasi:http/types@0.2.12", "Grant"),
            ("wasi:http/outgoing-handler@0.3.0", "OtherVersion"),
            ("wasi:http/incoming-handler@0.2.3", "Never"),
        ] {
            let need = format!("{:?}", Need::of_host(import, "0.1.4"));
            assert!(need.starts_with(expected), "{import}: {need}");
        }
    }
}
