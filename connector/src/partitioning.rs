//! Which partition a key belongs to: the platform's hash, the same in every release and on every machine.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::address::PartitionId;

/// The partition of a key in a topic with this many partitions, counted from zero, by the name that the platform knows;
/// zero when it has none. [`Partitioning::Key`](crate::Partitioning::Key) publishes to the same one.
#[must_use]
pub fn calculate_partition(key: &str, partition_count: u32) -> u32 {
    partition_of(key, partition_count).map_or(0, |partition| partition.0)
}

/// The partition of a key in a topic with this many partitions; `None` when it has none.
///
/// SipHash-1-3 with zero keys over the UTF-8 bytes and a closing `0xFF`, modulo the number of partitions.
pub(crate) fn partition_of(key: &str, partitions: u32) -> Option<PartitionId> {
    let remainder = hash(key).checked_rem(u64::from(partitions))?;
    u32::try_from(remainder).ok().map(PartitionId)
}

fn hash(key: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(key.as_bytes());
    hasher.write_u8(0xFF);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, hash, and the hash modulo 8, 16 and 3.
    const VECTORS: [(&str, u64, u32, u32, u32); 10] = [
        ("tenant-123", 0xb0aa_0206_e063_0bdd, 5, 13, 0),
        ("tenant-456", 0x3694_7c9c_d841_cea7, 7, 7, 2),
        ("550e8400-e29b-41d4-a716-446655440000", 0x8ad9_4f75_a514_0373, 3, 3, 2),
        ("00000000-0000-0000-0000-000000000000", 0xc104_447f_85ee_a341, 1, 1, 1),
        ("00000000-0000-0000-0000-000000000001", 0x5e90_e49e_dc64_db90, 0, 0, 2),
        ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", 0x81ac_0225_784c_9e17, 7, 7, 0),
        ("f47ac10b-58cc-4372-a567-0e02b2c3d479", 0xe0f9_fa90_6c4a_d0e1, 1, 1, 0),
        ("018f6b1e-7c3a-7d41-9f5e-2b8c0a1d4e6f", 0x2085_ac7d_a79f_97d7, 7, 7, 2),
        ("", 0x3040_6ea5_23c5_3def, 7, 15, 1),
        ("Ünïcode-арендатор", 0x4d2e_b2c4_4194_3763, 3, 3, 0),
    ];

    #[test]
    fn keys_hash_to_the_partitions_of_the_platform() {
        for (key, hashed, of_8, of_16, of_3) in VECTORS {
            assert_eq!(hash(key), hashed, "{key}");
            assert_eq!(partition_of(key, 8), Some(PartitionId(of_8)), "{key}");
            assert_eq!(partition_of(key, 16), Some(PartitionId(of_16)), "{key}");
            assert_eq!(partition_of(key, 3), Some(PartitionId(of_3)), "{key}");
            assert_eq!(calculate_partition(key, 8), of_8, "{key}");
        }
    }

    #[test]
    fn a_topic_without_partitions_has_none_for_any_key() {
        assert_eq!(partition_of("tenant-123", 0), None);
        assert_eq!(calculate_partition("tenant-123", 0), 0);
    }
}
