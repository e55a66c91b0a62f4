//! What the sandbox keeps for each tenant: how many of its calls are unanswered, and its idle guests.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use foldhash::HashMap;

use crate::event::Tenant;
use crate::sandbox::component::ComponentId;
use crate::sandbox::guest::Guest;
use crate::sandbox::idle::IdleGuests;
use crate::sandbox::pool::PerPool;

/// Most idle guests of all tenants.
const GUESTS_MAX: usize = 4_096;
/// Most linear memory of all idle guests together, touched or not.
const MEMORY_BYTES_MAX: u64 = 8 << 30;
/// Guests that go at once when there are too many, so that the search for the oldest is not made for each.
const SURPLUS: usize = 64;
/// Tenancies that a caller remembers before it starts anew.
const KNOWN_MAX: usize = 4_096;

/// What the sandbox keeps for one tenant. Its lock is taken for calls of this tenant alone, except while guests make
/// room or their component goes.
#[derive(Debug)]
pub(crate) struct Tenancy {
    tenant: Tenant,
    unanswered: PerPool<AtomicUsize>,
    idle: Mutex<IdleGuests>,
}

impl Tenancy {
    fn new(tenant: &Tenant) -> Self {
        Self { tenant: tenant.detached(), unanswered: PerPool::default(), idle: Mutex::default() }
    }

    /// Whose it is.
    pub(super) fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Calls of the tenant that were submitted and are not answered yet.
    pub(super) fn unanswered(&self) -> &PerPool<AtomicUsize> {
        &self.unanswered
    }

    fn idle(&self) -> MutexGuard<'_, IdleGuests> {
        // Whole between its methods, so a panic elsewhere leaves nothing half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_used(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || self.idle().len() > 0
    }
}

/// All tenancies of a sandbox. Calls carry their tenancy, so that running one asks nothing of what tenants share but
/// two counters.
#[derive(Debug, Default)]
pub(crate) struct Tenancies {
    all: Mutex<Registry>,
    /// Counts the moments at which guests become idle.
    moment: AtomicU64,
    guests: AtomicUsize,
    memory_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Registry {
    by_tenant: HashMap<Tenant, Arc<Tenancy>>,
    /// How many there may be before those that nobody uses are looked for.
    sweep_at: usize,
}

impl Tenancies {
    /// The tenancy of a tenant. Takes a lock that all share: a caller with many calls remembers it ([`TenancyCache`]).
    pub(crate) fn of(&self, tenant: &Tenant) -> Arc<Tenancy> {
        let mut registry = self.registry();
        if let Some(tenancy) = registry.by_tenant.get(tenant) {
            return Arc::clone(tenancy);
        }
        registry.sweep();
        let tenancy = Arc::new(Tenancy::new(tenant));
        registry.by_tenant.insert(tenancy.tenant.clone(), Arc::clone(&tenancy));
        tenancy
    }

    /// The guest of a component and tenant that became idle last.
    pub(super) fn take(&self, tenancy: &Tenancy, component: ComponentId) -> Option<Guest> {
        let guest = tenancy.idle().take(component)?;
        self.gone(std::slice::from_ref(&guest));
        Some(guest)
    }

    /// Keeps a guest of a tenant for later. Guests that must go to make room are dropped before this returns: first
    /// the oldest of this tenant, and when all have too many the oldest of all.
    pub(super) fn keep(&self, tenancy: &Tenancy, guest: Guest) {
        let moment = self.moment.fetch_add(1, Ordering::Relaxed);
        let guests = self.guests.fetch_add(1, Ordering::AcqRel) + 1;
        let bytes = guest.memory_bytes();
        let memory_bytes = self.memory_bytes.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes);
        let surplus = tenancy.idle().keep(guest, moment);
        self.gone(&surplus);
        // Out of the lock: dropping a guest unmaps its memory.
        drop(surplus);
        if guests > GUESTS_MAX || memory_bytes > MEMORY_BYTES_MAX {
            self.make_room();
        }
    }

    /// Drops the guests of a component.
    pub(super) fn forget(&self, component: ComponentId) {
        let tenancies: Vec<_> = self.registry().by_tenant.values().cloned().collect();
        for tenancy in tenancies {
            let forgotten = tenancy.idle().take_all(component);
            self.gone(&forgotten);
        }
    }

    /// How many guests are idle.
    pub(super) fn idle_guests(&self) -> usize {
        self.guests.load(Ordering::Acquire)
    }

    /// Drops those of all guests that are idle for longest. One thread at a time does that; the others go on.
    fn make_room(&self) {
        let registry = match self.all.try_lock() {
            Ok(registry) => registry,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let mut moments: Vec<u64> = Vec::new();
        for tenancy in registry.by_tenant.values() {
            moments.extend(tenancy.idle().moments());
        }
        let last = SURPLUS.min(moments.len()).saturating_sub(1);
        if moments.is_empty() {
            return;
        }
        let (_, &mut moment, _) = moments.select_nth_unstable(last);
        let surplus: Vec<_> =
            registry.by_tenant.values().flat_map(|tenancy| tenancy.idle().take_up_to(moment)).collect();
        drop(registry);
        self.gone(&surplus);
    }

    fn gone(&self, guests: &[Guest]) {
        let bytes = guests.iter().map(Guest::memory_bytes).sum();
        self.guests.fetch_sub(guests.len(), Ordering::AcqRel);
        self.memory_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic can leave an entry too many or too few, never half of one.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Drops tenancies without guests that nobody holds, once there are twice as many as were left the last time.
    fn sweep(&mut self) {
        if self.by_tenant.len() >= self.sweep_at {
            self.by_tenant.retain(|_, tenancy| tenancy.is_used());
            self.sweep_at = (2 * self.by_tenant.len()).max(KNOWN_MAX);
        }
    }
}

/// The tenancies that a caller of a sandbox has met lately, found without a lock.
#[derive(Debug)]
pub(crate) struct TenancyCache {
    tenancies: Arc<Tenancies>,
    known: HashMap<Tenant, Arc<Tenancy>>,
}

impl TenancyCache {
    /// Knows none yet.
    pub(super) fn new(tenancies: &Arc<Tenancies>) -> Self {
        Self { tenancies: Arc::clone(tenancies), known: HashMap::default() }
    }

    /// The tenancy of a tenant.
    pub(crate) fn of(&mut self, tenant: &Tenant) -> Arc<Tenancy> {
        if let Some(tenancy) = self.known.get(tenant) {
            return Arc::clone(tenancy);
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let tenancy = self.tenancies.of(tenant);
        self.known.insert(tenancy.tenant.clone(), Arc::clone(&tenancy));
        tenancy
    }
}
