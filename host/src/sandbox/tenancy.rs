//! What the sandbox keeps for each tenant: how many of its calls are unanswered, and its idle guests.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use bytestring::ByteString;
use foldhash::HashMap;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::event::Tenant;
use crate::memory;
use crate::route::TenantScope;
use crate::sandbox::component::ComponentId;
use crate::sandbox::guest::Guest;
use crate::sandbox::idle::IdleGuests;
use crate::sandbox::pool::PerPool;
use crate::sandbox::room::GuestRoom;

/// Tenants that are drawn when a guest must go: of theirs the one that is idle for longest goes. So what is used stays,
/// and where more tenants take turns than there is room for, each finds its guest as often as there is room, where of
/// all guests the oldest would always be the one that is needed next.
const DRAWN: usize = 3;
/// One in so many guests that become idle takes the place of an older one when there is no room; the others go themselves. A
/// guest that goes and comes costs some 100 µs, so where tenants take turns it is better to keep the same ones: of 32,000
/// tenants with room for 16,000, half find their guest and not a fifth. A tenant with much to do is let in soon enough.
const DISPLACING: u32 = 8;
/// Guests that one call makes go at most, when there are too many.
const SURPLUS_MAX: usize = 64;
/// Guests that go at a look that finds too much memory resident.
const RESIDENT_SURPLUS: usize = 16;
/// Tenancies that a caller remembers before it starts anew.
const KNOWN_MAX: usize = 65_536;

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
#[derive(Debug)]
pub(crate) struct Tenancies {
    room: GuestRoom,
    all: Mutex<Registry>,
    /// Those with idle guests, and some that had.
    holders: Mutex<Holders>,
    /// Counts the moments at which guests become idle.
    moment: AtomicU64,
    guests: AtomicUsize,
    /// Kernel mappings of the idle guests.
    mappings: AtomicUsize,
    /// Linear memory of guests that became idle since it was last looked how much is resident.
    unseen_bytes: AtomicU64,
}

/// Tenancies of which guests can be taken, in no order.
#[derive(Debug)]
struct Holders {
    tenancies: Vec<Arc<Tenancy>>,
    random: SmallRng,
}

#[derive(Debug, Default)]
struct Registry {
    by_tenant: HashMap<Tenant, Arc<Tenancy>>,
    /// How many there may be before those that nobody uses are looked for.
    sweep_at: usize,
}

impl Tenancies {
    /// No guests yet, and this room for them.
    pub(super) fn new(room: GuestRoom) -> Self {
        Self {
            room,
            all: Mutex::default(),
            holders: Mutex::new(Holders {
                tenancies: Vec::new(),
                random: SmallRng::from_rng(&mut rand::rng()),
            }),
            moment: AtomicU64::new(0),
            guests: AtomicUsize::new(0),
            mappings: AtomicUsize::new(0),
            unseen_bytes: AtomicU64::new(0),
        }
    }

    /// The tenancy of a tenant. Takes a lock that all share: a caller with many calls remembers it ([`TenancyCache`]).
    pub(crate) fn of(&self, tenant: &Tenant) -> Arc<Tenancy> {
        let mut registry = self.registry();
        if let Some(tenancy) = registry.by_tenant.get(tenant) {
            return Arc::clone(tenancy);
        }
        if registry.is_sweep_due() {
            self.holders().forget_empty();
            registry.sweep();
        }
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
    /// the oldest of this tenant, and when too much memory is resident, old ones of others. When all have too many, it is
    /// mostly this guest that goes, and now and then old ones of others.
    pub(super) fn keep(&self, tenancy: &Arc<Tenancy>, guest: Guest) {
        let moment = self.moment.fetch_add(1, Ordering::Relaxed);
        let more = guest.mappings();
        let is_full = self.mappings.load(Ordering::Acquire) + more > self.room.mappings_max;
        if is_full && !rand::random_ratio(1, DISPLACING) {
            return;
        }
        self.guests.fetch_add(1, Ordering::AcqRel);
        let mappings = self.mappings.fetch_add(more, Ordering::AcqRel) + more;
        let too_many = self.too_many_resident(guest.memory_bytes());
        let (surplus, was_listed) = {
            let mut idle = tenancy.idle();
            (idle.keep(guest, moment, &self.room), idle.list(true))
        };
        self.gone(&surplus);
        // Out of the lock: dropping a guest unmaps its memory.
        drop(surplus);
        if !was_listed {
            self.holders().tenancies.push(Arc::clone(tenancy));
        }
        let surplus = mappings.saturating_sub(self.room.mappings_max).div_ceil(more);
        let too_many = too_many.max(surplus).min(SURPLUS_MAX);
        if too_many > 0 {
            self.make_room(too_many);
        }
    }

    /// How many guests must go because too much memory is resident. Looks only now and then.
    fn too_many_resident(&self, more_bytes: u64) -> usize {
        let unseen = self.unseen_bytes.fetch_add(more_bytes, Ordering::Relaxed).saturating_add(more_bytes);
        if unseen < self.room.look_every_bytes {
            return 0;
        }
        self.unseen_bytes.store(0, Ordering::Relaxed);
        let resident = memory::resident_bytes().unwrap_or_default();
        if resident > self.room.resident_bytes_max { RESIDENT_SURPLUS } else { 0 }
    }

    /// Drops the guests of a component that handles events of these tenants.
    pub(super) fn forget(&self, component: ComponentId, tenants: &TenantScope) {
        if self.idle_guests() == 0 {
            return;
        }
        let tenancies: Vec<Arc<Tenancy>> = match tenants {
            TenantScope::Only(names) => {
                let registry = self.registry();
                let named = |name: &ByteString| registry.by_tenant.get(&Tenant::Named(name.clone())).cloned();
                names.iter().filter_map(named).collect()
            }
            TenantScope::All | TenantScope::Platform => self.holders().tenancies.clone(),
        };
        for tenancy in tenancies {
            let forgotten = tenancy.idle().take_all(component);
            self.gone(&forgotten);
        }
    }

    /// How many guests are idle.
    pub(super) fn idle_guests(&self) -> usize {
        self.guests.load(Ordering::Acquire)
    }

    /// Drops so many guests of a few tenants that are drawn for each. One thread at a time does that; the others go on.
    fn make_room(&self, guests: usize) {
        let mut holders = match self.holders.try_lock() {
            Ok(holders) => holders,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let surplus: Vec<Guest> = (0..guests).filter_map(|_| holders.take_old()).collect();
        drop(holders);
        self.gone(&surplus);
    }

    fn gone(&self, guests: &[Guest]) {
        self.guests.fetch_sub(guests.len(), Ordering::AcqRel);
        self.mappings.fetch_sub(guests.iter().map(Guest::mappings).sum(), Ordering::AcqRel);
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        // A panic can leave a tenancy too many, which is found to have no guests.
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic can leave an entry too many or too few, never half of one.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Tenancies {
    fn default() -> Self {
        Self::new(GuestRoom::of_process())
    }
}

impl Holders {
    /// Forgets the tenancies that have no guests.
    fn forget_empty(&mut self) {
        self.tenancies.retain(|tenancy| {
            let mut idle = tenancy.idle();
            let is_kept = idle.len() > 0;
            idle.list(is_kept);
            is_kept
        });
    }

    /// Takes the guest that is idle for longest of a few tenants.
    fn take_old(&mut self) -> Option<Guest> {
        let mut oldest: Option<(u64, Arc<Tenancy>)> = None;
        let mut drawn = 0;
        while drawn < DRAWN && !self.tenancies.is_empty() {
            let at = self.random.random_range(0..self.tenancies.len());
            let Some(tenancy) = self.tenancies.get(at) else { break };
            let mut idle = tenancy.idle();
            match idle.oldest() {
                Some(moment) => {
                    drawn += 1;
                    drop(idle);
                    if oldest.as_ref().is_none_or(|(known, _)| moment < *known) {
                        oldest = Some((moment, Arc::clone(tenancy)));
                    }
                }
                None => {
                    idle.list(false);
                    drop(idle);
                    self.tenancies.swap_remove(at);
                }
            }
        }
        oldest.and_then(|(_, tenancy)| tenancy.idle().take_oldest())
    }
}

impl Registry {
    /// Whether there are twice as many tenancies as were left the last time.
    fn is_sweep_due(&self) -> bool {
        self.by_tenant.len() >= self.sweep_at
    }

    /// Drops tenancies without guests that nobody holds.
    fn sweep(&mut self) {
        self.by_tenant.retain(|_, tenancy| tenancy.is_used());
        self.sweep_at = (2 * self.by_tenant.len()).max(KNOWN_MAX);
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
