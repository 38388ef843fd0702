//! The digest by which sets of records are compared across clients.
//!
//! It contains the number of records, a hash that does not depend on their order (`sum`), and a
//! hash of the order of the records of each key (`order`). `compat/go` and `compat/java` compute
//! the same.

use std::collections::HashMap;
use std::fmt;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// A digest being computed; records of one key are added in their order.
#[derive(Debug, Default, Clone)]
pub struct Digest {
    count: u64,
    bytes: u64,
    sum: u64,
    chains: HashMap<Box<[u8]>, u64>,
}

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(hash, |h, b| (h ^ u64::from(*b)).wrapping_mul(FNV_PRIME))
}

/// The finalizer of splitmix64.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

impl Digest {
    /// Adds a record.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let hash = mix(fnv(fnv(fnv(FNV_OFFSET, key), &[0]), value));
        self.count += 1;
        self.bytes += value.len() as u64;
        self.sum = self.sum.wrapping_add(hash);
        let next = |chain: u64| {
            chain
                .rotate_left(5)
                .wrapping_mul(FNV_PRIME)
                .wrapping_add(hash)
        };
        match self.chains.get_mut(key) {
            Some(chain) => *chain = next(*chain),
            None => {
                self.chains.insert(key.into(), next(fnv(FNV_OFFSET, key)));
            }
        }
    }

    /// Returns the number of records added.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self
            .chains
            .values()
            .fold(0u64, |sum, chain| sum.wrapping_add(mix(*chain)));
        let Self {
            count, bytes, sum, ..
        } = self;
        write!(
            f,
            "count={count} bytes={bytes} sum={sum:016x} order={order:016x}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    fn digest(records: &[(&str, &str)]) -> String {
        let mut digest = Digest::default();
        for (key, value) in records {
            digest.add(key.as_bytes(), value.as_bytes());
        }
        digest.to_string()
    }

    #[test]
    fn the_order_of_records_of_different_keys_does_not_matter() {
        assert_eq!(
            digest(&[("a", "1"), ("b", "2")]),
            digest(&[("b", "2"), ("a", "1")])
        );
    }

    #[test]
    fn records_of_one_key_that_change_places_change_the_order_alone() {
        let (kept, swapped) = (
            digest(&[("a", "1"), ("a", "2")]),
            digest(&[("a", "2"), ("a", "1")]),
        );
        let (kept_set, kept_order) = kept.split_once(" order=").unwrap();
        let (swapped_set, swapped_order) = swapped.split_once(" order=").unwrap();
        assert_eq!(kept_set, swapped_set);
        assert_ne!(kept_order, swapped_order);
    }

    #[test]
    fn a_duplicate_and_a_lost_record_show() {
        let all = digest(&[("a", "1"), ("a", "2")]);
        assert_ne!(all, digest(&[("a", "1"), ("a", "2"), ("a", "2")]));
        assert_ne!(all, digest(&[("a", "1")]));
    }
}
