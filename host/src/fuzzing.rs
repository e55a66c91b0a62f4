//! What the fuzz targets reach for inside of the host. No part of the library's interface.

use crate::state::key::Namespace;

/// The range of a tenant and handler in the state store, and a guest's key as it stands there.
pub fn state_key(tenant: &str, handler: &str, key: &str) -> (Vec<u8>, Vec<u8>) {
    let namespace = Namespace::new(tenant, handler);
    (namespace.as_bytes().to_vec(), namespace.entry(key))
}
