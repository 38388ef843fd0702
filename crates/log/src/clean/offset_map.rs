//! Maps each key of the dirty part to its newest offset, in bounded memory whose size depends on
//! the dirty part.
//!
//! A key is identified by 128 bits of SipHash with a random secret for each cleaning. A collision
//! of two keys would lose a record. Clients cannot construct one without the secret, and among a
//! billion keys its probability is less than one in 10^20.
//!
//! Source: Kafka's `SkimpyOffsetMap.java`, which uses MD5.

use std::hash::Hasher;

use dohle_model::Offset;
use dohle_storage::Entropy;
use siphasher::sip128::{Hasher128, SipHasher13};

/// The hash, and the offset plus one; a slot of zeros is free. The system maps zeroed memory only
/// when it is written, so unused slots take no physical memory.
type HashSlot = [u64; 3];

const SLOT_BYTES: usize = size_of::<HashSlot>();

#[derive(Debug)]
pub(crate) struct OffsetMap {
    slots: Vec<HashSlot>,
    len: usize,
    len_max: usize,
    hash_key: (u64, u64),
}

impl OffsetMap {
    /// Creates a map for at most `keys` different keys in at most `bytes` of memory, of which the
    /// share `load_factor` may be used. Returns `None` when there is no room for even one key.
    pub(crate) fn new(
        keys: u64,
        bytes: usize,
        load_factor: f64,
        entropy: &dyn Entropy,
    ) -> Option<Self> {
        let load_factor = if load_factor.is_finite() {
            load_factor.clamp(0.01, 1.0)
        } else {
            0.9
        };
        let affordable = bytes / SLOT_BYTES;
        let wanted = (keys as f64 / load_factor).ceil() as usize;
        let slots = wanted.saturating_add(1).max(2).min(affordable);
        // One slot remains free, so that every search ends.
        let len_max = ((slots as f64 * load_factor) as usize).min(slots.saturating_sub(1));
        if slots < 2 {
            return None;
        }
        Some(Self {
            slots: vec![[0; 3]; slots],
            len: 0,
            len_max: len_max.max(1),
            hash_key: (entropy.next(), entropy.next()),
        })
    }

    /// Returns the slot that contains the key, or the free slot for it.
    fn find(&self, key: &[u8]) -> (usize, [u64; 2]) {
        let mut hasher = SipHasher13::new_with_keys(self.hash_key.0, self.hash_key.1);
        hasher.write(key);
        let hash = hasher.finish128();
        let slots = self.slots.len();
        let mut at = ((u128::from(hash.h1) * slots as u128) >> 64) as usize;
        loop {
            let slot = &self.slots[at];
            if slot[2] == 0 || (slot[0] == hash.h1 && slot[1] == hash.h2) {
                return (at, [hash.h1, hash.h2]);
            }
            at = if at + 1 == slots { 0 } else { at + 1 };
        }
    }

    /// Records the newest offset of a key. Returns `false` when the key is new and the map is full.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let (at, hash) = self.find(key);
        if self.slots[at][2] == 0 {
            if self.len == self.len_max {
                return false;
            }
            self.len += 1;
            assert!(
                self.len <= self.len_max && self.len < self.slots.len(),
                "{} keys in {} slots, at most {}",
                self.len,
                self.slots.len(),
                self.len_max
            );
        }
        self.slots[at] = [hash[0], hash[1], offset.0 as u64 + 1];
        true
    }

    /// Returns the newest offset of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        let (at, _) = self.find(key);
        match self.slots[at][2] {
            0 => None,
            offset => Some(Offset((offset - 1) as i64)),
        }
    }

    /// Returns the number of keys in the map.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the bytes of memory that the map may use.
    #[cfg(test)]
    fn size(&self) -> usize {
        self.slots.len() * SLOT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use dohle_storage::Environment;

    use super::*;

    fn map(keys: u64, bytes: usize, load_factor: f64) -> Option<OffsetMap> {
        let environment = Environment::native();
        OffsetMap::new(keys, bytes, load_factor, &*environment.entropy)
    }

    #[test]
    fn each_key_has_its_newest_offset() {
        let mut map = map(1000, 1 << 20, 0.9).unwrap();
        for round in 0..3i64 {
            for key in 0..1000i64 {
                assert!(map.put(&key.to_be_bytes(), Offset(round * 1000 + key)));
            }
        }
        assert_eq!(map.len(), 1000);
        for key in 0..1000i64 {
            assert_eq!(map.get(&key.to_be_bytes()), Some(Offset(2000 + key)));
        }
        assert_eq!(map.get(b"another"), None);
        assert_eq!(map.get(b""), None);
    }

    #[test]
    fn memory_follows_the_keys_and_stops_at_its_bound() {
        assert!(map(10, 128 << 20, 0.9).unwrap().size() < 400);
        let bounded = map(u64::MAX, 24_000, 0.9).unwrap();
        assert_eq!(bounded.size(), 24_000);
        assert!(map(10, 47, 0.9).is_none());
    }

    #[test]
    fn a_full_map_takes_no_new_key_but_newer_offsets_of_those_it_has() {
        for load_factor in [0.5, 0.9, 1.0, 7.0, f64::NAN] {
            let mut map = map(1 << 40, 240, load_factor).unwrap();
            let mut taken = 0;
            while map.put(&[taken], Offset(i64::from(taken))) {
                taken += 1;
            }
            assert!((1..10).contains(&taken), "{taken} of 10 slots");
            assert!(map.put(&[0], Offset(77)));
            assert_eq!(map.get(&[0]), Some(Offset(77)));
            assert_eq!(map.get(&[taken]), None);
        }
    }
}
