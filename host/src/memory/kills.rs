//! Whether the kernel has killed for want of memory: what a host that died of it must not blame on events.

use std::fs;
use std::hash::BuildHasher;
use std::os::unix::fs::MetadataExt;

use foldhash::quality::FixedState;

use super::cgroup::count;

/// Makes numbers of names that are the same in another process.
const STATE: FixedState = FixedState::with_seed(0x6f6f_6d5f_6b69_6c6c);

/// How many processes the kernel has killed for want of memory, as far as this one can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct KillCounts {
    /// Tells the starts of the machine apart, each of which counts from zero; zero where nothing is known.
    boot: u64,
    machine: u64,
    /// Tells control groups apart, even two of one name; zero where none counts.
    group: u64,
    in_group: u64,
}

impl KillCounts {
    /// Length of its bytes.
    pub(crate) const BYTES: usize = 32;

    /// As they are now. Reads some small files of the kernel.
    pub(crate) fn now() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let vmstat = fs::read_to_string("/proc/vmstat").unwrap_or_default();
        let group = super::groups().into_iter().find_map(|group| {
            let number = fs::metadata(&group.dir).ok()?.ino();
            Some((STATE.hash_one((&group.dir, number)).max(1), group.kills()?))
        });
        let (group, in_group) = group.unwrap_or_default();
        Self {
            boot: boot.map_or(0, |boot| STATE.hash_one(boot).max(1)),
            machine: count(&vmstat, "oom_kill").unwrap_or_default(),
            group,
            in_group,
        }
    }

    /// Whether one was killed since then that may have been this host's predecessor: in the control group if it is still
    /// the same one, else anywhere on the machine.
    pub(crate) fn have_risen_since(&self, before: &Self) -> bool {
        if self.boot == 0 || self.boot != before.boot {
            return false;
        }
        let is_same_group = self.group != 0 && self.group == before.group;
        if is_same_group { self.in_group > before.in_group } else { self.machine > before.machine }
    }

    /// Of a machine without control groups.
    #[cfg(test)]
    pub(crate) fn of_machine(machine: u64) -> Self {
        Self { boot: 1, machine, ..Self::default() }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let numbers = [self.boot, self.machine, self.group, self.in_group];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] made; nothing is known of what is shorter.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut numbers = bytes.chunks_exact(8).filter_map(|number| number.try_into().ok());
        let mut next = || numbers.next().map_or(0, u64::from_le_bytes);
        Self { boot: next(), machine: next(), group: next(), in_group: next() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: KillCounts = KillCounts { boot: 7, machine: 10, group: 3, in_group: 2 };

    #[test]
    fn the_group_decides_while_it_is_the_same() {
        assert!(KillCounts { machine: 11, in_group: 3, ..BEFORE }.have_risen_since(&BEFORE));
        assert!(!KillCounts { machine: 11, ..BEFORE }.have_risen_since(&BEFORE), "another group's process");
        assert!(!BEFORE.have_risen_since(&BEFORE));
    }

    #[test]
    fn in_a_new_group_or_without_one_the_machine_decides() {
        for group in [0, 4] {
            let now = KillCounts { group, in_group: 0, ..BEFORE };
            assert!(!now.have_risen_since(&BEFORE));
            assert!(KillCounts { machine: 11, ..now }.have_risen_since(&BEFORE));
        }
    }

    #[test]
    fn nothing_is_concluded_over_a_restart_of_the_machine_or_from_nothing() {
        let now = KillCounts { machine: 99, in_group: 99, ..BEFORE };
        assert!(!KillCounts { boot: 8, ..now }.have_risen_since(&BEFORE));
        assert!(!now.have_risen_since(&KillCounts::default()));
        assert!(!now.have_risen_since(&KillCounts::read(&[1, 2, 3])));
    }

    #[test]
    fn counts_survive_being_written() {
        assert_eq!(KillCounts::read(&BEFORE.to_bytes()), BEFORE);
        let now = KillCounts::now();
        assert!(now.boot != 0 && !now.have_risen_since(&KillCounts::read(&now.to_bytes())));
    }
}
