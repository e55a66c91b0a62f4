//! `wasi:config/store` for guests: what the operator configured for their handler, secrets included.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower};

use crate::sandbox::state::GuestState;

/// The interface, without its version.
pub(super) const STORE: &str = "wasi:config/store";
/// The one version that is offered. Earlier drafts name the interface or its error differently.
pub(super) const VERSION: &str = "0.2.0-rc.1";

type Guest<'a> = StoreContextMut<'a, GuestState>;
type Pairs = Vec<(String, String)>;

/// `store.error`
#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "part of the type; everything was read when the host started")]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

/// Links the interface.
pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut store = linker.instance(&format!("{STORE}@{VERSION}"))?;
    store.func_wrap("get", |guest: Guest<'_>, (key,): (String,)| {
        let config = guest.data().spec.grants.config.as_deref();
        let value = config.and_then(|config| config.get(&key)).map(str::to_owned);
        Ok((Ok::<Option<String>, ConfigError>(value),))
    })?;
    store.func_wrap("get-all", |guest: Guest<'_>, (): ()| {
        let pairs = guest.data().spec.grants.config_pairs();
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Ok((Ok::<Pairs, ConfigError>(pairs),))
    })
}
