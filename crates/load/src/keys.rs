//! Keys of records, and the partitions that Kafka's default partitioner chooses for them.
//!
//! Pure.

/// The keys `0` to `count - 1`, by partition.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    by_partition: Vec<Vec<u64>>,
}

impl Keys {
    /// Distributes the keys over the partitions of a topic as Kafka's Java client does.
    pub(crate) fn new(count: u64, partitions: usize) -> Self {
        let mut by_partition = vec![Vec::new(); partitions];
        for key in 0..count {
            by_partition[partition_of(&text(key), partitions)].push(key);
        }
        Self { by_partition }
    }

    /// Returns the numbers of the keys in a partition.
    pub(crate) fn of(&self, partition: usize) -> &[u64] {
        &self.by_partition[partition]
    }
}

/// Returns a key as bytes.
pub(crate) fn text(key: u64) -> Vec<u8> {
    format!("key-{key:010}").into_bytes()
}

/// Returns the partition of a key. Source: Kafka's `BuiltInPartitioner.partitionForKey`.
fn partition_of(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions
}

/// The 32-bit hash of keys. Source: Kafka's `Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    for (index, byte) in rest.iter().enumerate().rev() {
        hash ^= u32::from(*byte) << (8 * index);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_kafkas() {
        // From Kafka's UtilsTest.testMurmur2.
        for (text, expected) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, expected, "{text}");
        }
    }

    #[test]
    fn each_key_is_in_one_partition() {
        let keys = Keys::new(1000, 7);
        let mut all: Vec<u64> = (0..7).flat_map(|it| keys.of(it).to_vec()).collect();
        assert!((0..7).all(|partition| keys.of(partition).len() > 90));
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
    }
}
