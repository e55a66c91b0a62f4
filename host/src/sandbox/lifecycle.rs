//! What a guest does before its first event: its `lifecycle.init`, when the component exports it.

use wasmtime::Store;
use wasmtime::component::Instance;

use crate::sandbox::AdmittedComponent;
use crate::sandbox::state::GuestState;
use crate::sandbox::stop::GuestStop;

/// Parameters of `init`.
pub(super) type InitParams<'a> = (&'a [(&'a str, &'a str)],);
/// Result of `init`.
pub(super) type InitResults = (Result<(), String>,);

/// Lets a guest get ready. Its deadline has begun.
///
/// # Errors
/// [`GuestStop::NotReady`] when it says that it cannot, else what stopped it.
pub(super) fn init(
    component: &AdmittedComponent,
    instance: &Instance,
    store: &mut Store<GuestState>,
) -> wasmtime::Result<()> {
    let Some(index) = component.init else { return Ok(()) };
    let init = instance.get_typed_func::<InitParams<'_>, InitResults>(&mut *store, index)?;
    let pairs: Vec<_> = component.spec.grants.config_pairs().collect();
    let (ready,) = init.call(store, (&pairs,))?;
    ready.map_err(|reason| GuestStop::NotReady(reason).into())
}
