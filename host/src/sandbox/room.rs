//! How much room there is for idle guests: decided by the memory and the mappings that the process may have.

use crate::memory::{self, MemoryLimit};

/// Mappings that are taken for granted where the system does not tell.
const MAPPINGS: usize = 65_530;
/// Mappings of idle guests, however many there may be: with three of them a guest reserves some 4 GiB of 128 TiB of
/// addresses.
const MAPPINGS_MAX: usize = 72_000;
/// Mappings of idle guests that there is always room for, in all and of one tenant.
const MAPPINGS_MIN: usize = 256;
/// Linear memory of one tenant's idle guests, touched or not, that there is always room for.
const TENANT_BYTES_MIN: u64 = 512 << 20;

/// The room for idle guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GuestRoom {
    /// Kernel mappings of the idle guests of all tenants.
    pub(super) mappings_max: usize,
    /// Kernel mappings of the idle guests of one tenant.
    pub(super) tenant_mappings_max: usize,
    /// Linear memory of one tenant's idle guests, touched or not.
    pub(super) tenant_bytes_max: u64,
    /// What the whole process may have resident until idle guests must go. What a guest has not touched costs nothing,
    /// so their linear memory is no measure.
    pub(super) resident_bytes_max: u64,
    /// After so much more linear memory of idle guests it is looked how much is resident.
    pub(super) look_every_bytes: u64,
}

impl GuestRoom {
    /// The room that this process has.
    pub(super) fn of_process() -> Self {
        Self::within(MemoryLimit::of_process().bytes, memory::mappings_max().unwrap_or(MAPPINGS))
    }

    /// The room where so many bytes may be used, and so many mappings be made. A quarter of either is left to the rest.
    pub(super) fn within(memory_bytes: u64, mappings: usize) -> Self {
        let mappings_max = (mappings / 4 * 3).clamp(MAPPINGS_MIN, MAPPINGS_MAX);
        Self {
            mappings_max,
            tenant_mappings_max: (mappings_max / 4).max(MAPPINGS_MIN),
            tenant_bytes_max: (memory_bytes / 2).max(TENANT_BYTES_MIN),
            resident_bytes_max: memory_bytes / 4 * 3,
            look_every_bytes: (memory_bytes / 64).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_follows_the_memory_and_the_mappings_there_are() {
        let large = GuestRoom::within(24 << 30, 65_530);
        assert_eq!((large.mappings_max, large.tenant_mappings_max), (49_146, 12_286));
        assert_eq!((large.resident_bytes_max, large.tenant_bytes_max), (18 << 30, 12 << 30));
        let small = GuestRoom::within(512 << 20, 65_530);
        assert_eq!((small.resident_bytes_max, small.look_every_bytes), (384 << 20, 8 << 20));
        assert_eq!(small.tenant_bytes_max, TENANT_BYTES_MIN);
        assert_eq!(GuestRoom::within(24 << 30, 1 << 20).mappings_max, MAPPINGS_MAX);
        assert_eq!(GuestRoom::within(0, 0).mappings_max, MAPPINGS_MIN);
    }
}
