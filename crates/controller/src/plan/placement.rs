//! Places replicas: striped over racks, then over the brokers of each rack, like Kafka's
//! `StripedReplicaPlacer`.
//!
//! Goals: spread leaders evenly over racks, and inside each rack over its brokers; place the
//! replicas of a partition on different racks; spread replicas evenly; use fenced brokers only when
//! the others are used up, and never as the first replica. Deterministic: the same brokers and seed
//! give the same placement.

use std::collections::{BTreeMap, BTreeSet};

use dohle_model::NodeId;
use dohle_model::image::MetadataImage;

/// A broker that replicas may be placed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsableBroker {
    /// The broker.
    pub id: NodeId,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether it is fenced: no leader is placed on it.
    pub fenced: bool,
}

/// Returns the brokers of an image that have a log directory for new replicas. Brokers that are
/// shutting down get no new replicas while others can take them.
#[must_use]
pub fn usable_brokers(image: &MetadataImage) -> Vec<UsableBroker> {
    let usable = |b: &std::sync::Arc<dohle_model::record::BrokerRegistration>| UsableBroker {
        id: b.id,
        rack: b.rack.clone(),
        fenced: b.fenced || b.in_controlled_shutdown,
    };
    let brokers = image.brokers.values();
    let usable_ones = brokers.filter(|broker| broker.has_uncordoned_dir());
    usable_ones.map(usable).collect()
}

/// Chooses the replicas of `partitions` partitions, the preferred leader first.
///
/// # Errors
/// The reason why the replication factor cannot be met, with the number of available brokers.
pub fn place(
    brokers: &[UsableBroker],
    partitions: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, String> {
    if replication_factor == 0 {
        return Err("the replication factor must be at least 1".to_owned());
    }
    let active = brokers.iter().filter(|broker| !broker.fenced).count();
    if replication_factor > brokers.len() {
        return Err(format!(
            "a replication factor of {replication_factor} needs as many brokers, but {} are \
             registered ({active} of them running)",
            brokers.len()
        ));
    }
    if active == 0 {
        return Err(format!(
            "none of the {} registered brokers is running",
            brokers.len()
        ));
    }
    let mut racks = Racks::new(brokers, seed);
    let placed = (0..partitions).map(|_| racks.place(replication_factor));
    let placed: Vec<Vec<NodeId>> = placed.collect();
    for replicas in &placed {
        let distinct: BTreeSet<&NodeId> = replicas.iter().collect();
        assert!(
            replicas.len() == replication_factor && distinct.len() == replication_factor,
            "a partition with {replication_factor} replicas is placed on {replicas:?}"
        );
    }
    Ok(placed)
}

/// SplitMix64, which is enough here: it derives well mixed bits from a seed.
struct Mixer(u64);

impl Mixer {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// A ring of brokers; each round starts one broker further.
#[derive(Default)]
struct Ring {
    brokers: Vec<NodeId>,
    taken: usize,
    offset: usize,
    round: usize,
}

impl Ring {
    fn start_anywhere(&mut self, mixer: &mut Mixer) {
        self.brokers.sort_unstable();
        self.offset = mixer.below(self.brokers.len());
    }

    fn next(&mut self, round: usize) -> Option<NodeId> {
        if self.brokers.is_empty() {
            return None;
        }
        if self.round != round {
            self.round = round;
            self.taken = 0;
            self.offset = (self.offset + 1) % self.brokers.len();
        }
        if self.taken == self.brokers.len() {
            return None;
        }
        let broker = self.brokers[(self.taken + self.offset) % self.brokers.len()];
        self.taken += 1;
        Some(broker)
    }
}

#[derive(Default)]
struct Rack {
    active: Ring,
    fenced: Ring,
}

impl Rack {
    fn next(&mut self, round: usize) -> Option<NodeId> {
        self.active.next(round).or_else(|| self.fenced.next(round))
    }
}

struct Racks {
    /// The racks; those with active brokers come first.
    racks: Vec<Rack>,
    /// The number of racks with active brokers.
    leading: usize,
    active: usize,
    offset: usize,
    round: usize,
    mixer: Mixer,
}

impl Racks {
    fn new(brokers: &[UsableBroker], seed: u64) -> Self {
        let mut mixer = Mixer(seed);
        let mut by_name: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for broker in brokers {
            let rack = by_name.entry(broker.rack.as_deref()).or_default();
            let ring = if broker.fenced {
                &mut rack.fenced
            } else {
                &mut rack.active
            };
            ring.brokers.push(broker.id);
        }
        let mut racks: Vec<Rack> = by_name.into_values().collect();
        for rack in &mut racks {
            rack.active.start_anywhere(&mut mixer);
            rack.fenced.start_anywhere(&mut mixer);
        }
        racks.sort_by_key(|rack| rack.active.brokers.is_empty());
        let leading = racks
            .iter()
            .filter(|rack| !rack.active.brokers.is_empty())
            .count();
        let offset = mixer.below(leading);
        let active = brokers.iter().filter(|broker| !broker.fenced).count();
        Self {
            racks,
            leading,
            active,
            offset,
            round: 0,
            mixer,
        }
    }

    /// Places one partition. The caller has checked that there are at least `replication_factor`
    /// brokers, one of them active.
    fn place(&mut self, replication_factor: usize) -> Vec<NodeId> {
        // Every active broker has led once since the last shuffle: shuffle again, so that the
        // combinations of brokers do not repeat.
        if self.round == self.active && self.active > 1 {
            self.shuffle();
            self.round = 0;
        }
        assert!(
            self.leading > 0 && self.active > 0,
            "a partition is placed with {} active brokers in {} racks",
            self.active,
            self.leading
        );
        let count = self.racks.len();
        let start = self.offset % count;
        let mut replicas = Vec::with_capacity(replication_factor);
        let mut leader_rack = None;
        for step in 0..count {
            let at = (start + step) % count;
            if let Some(leader) = self.racks[at].active.next(self.round) {
                replicas.push(leader);
                leader_rack = Some(at);
                break;
            }
        }
        let mut at = start;
        let mut misses = 0;
        while replicas.len() < replication_factor && misses <= count {
            // The leader's rack already holds a replica of the first lap.
            if leader_rack == Some(at) {
                leader_rack = None;
            } else if let Some(broker) = self.racks[at].next(self.round) {
                replicas.push(broker);
                misses = 0;
            } else {
                misses += 1;
            }
            at = (at + 1) % count;
        }
        self.round += 1;
        self.offset = (start + 1) % self.leading.max(1);
        replicas
    }

    fn shuffle(&mut self) {
        self.mixer.shuffle(&mut self.racks[..self.leading]);
        for rack in &mut self.racks {
            self.mixer.shuffle(&mut rack.active.brokers);
            self.mixer.shuffle(&mut rack.fenced.brokers);
        }
    }
}
