//! The memory of one guest: counted over all its memories and tables, refused above its limit.

use wasmtime::ResourceLimiter;

use super::engine::MemoryInit;

/// What one table element is charged.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();
/// Core instances of one guest. Runtimes of Python are linked at their start from some forty modules.
const INSTANCES_MAX: usize = 64;
/// Linear memories of one guest.
const MEMORIES_MAX: usize = 4;
/// Tables of one guest.
const TABLES_MAX: usize = 16;

/// Counts a guest's memory and remembers what it was refused.
#[derive(Debug)]
pub(super) struct MemoryMeter {
    allowed_bytes: u64,
    memory_bytes: u64,
    table_bytes: u64,
    /// Memories that came to be.
    memories: usize,
    /// How they get their data.
    init: MemoryInit,
    refused_bytes: Option<u64>,
    host_failed: bool,
}

impl MemoryMeter {
    /// A meter that allows `allowed_bytes` in all, of memories that get their data so.
    pub(super) fn new(allowed_bytes: u64, init: MemoryInit) -> Self {
        Self {
            allowed_bytes,
            memory_bytes: 0,
            table_bytes: 0,
            memories: 0,
            init,
            refused_bytes: None,
            host_failed: false,
        }
    }

    /// Forgets what was refused before, because a guest that goes on has coped with it.
    pub(super) fn begin_call(&mut self) {
        self.refused_bytes = None;
    }

    /// Linear memory the guest has.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Mappings of the kernel that the guest takes.
    pub(super) fn mappings(&self) -> usize {
        1 + self.init.mappings() * self.memories
    }

    /// What the guest asked for in all when it was last refused memory in this call.
    pub(super) fn refused_bytes(&self) -> Option<u64> {
        self.refused_bytes
    }

    /// Whether the operating system could not give memory that the guest may have.
    pub(super) fn host_failed(&self) -> bool {
        self.host_failed
    }

    fn admits(&mut self, more_bytes: u64) -> bool {
        let wanted = (self.memory_bytes + self.table_bytes).saturating_add(more_bytes);
        let admitted = wanted <= self.allowed_bytes;
        if !admitted {
            self.refused_bytes = Some(wanted);
        }
        admitted
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more_bytes = bytes(desired.saturating_sub(current));
        // Beyond its own maximum the growth fails whatever is said here, and that is not our limit's doing.
        if maximum.is_some_and(|maximum| desired > maximum) || !self.admits(more_bytes) {
            return Ok(false);
        }
        self.memory_bytes += more_bytes;
        self.memories += usize::from(current == 0);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // What was counted stays counted: the guest is not worth more care, it loses only its own allowance.
        self.host_failed = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more_bytes = bytes(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES));
        if maximum.is_some_and(|maximum| desired > maximum) || !self.admits(more_bytes) {
            return Ok(false);
        }
        self.table_bytes += more_bytes;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
