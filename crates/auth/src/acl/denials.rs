//! Which denials were logged already.

use core::net::IpAddr;
use std::collections::HashSet;

use dohle_model::acl::{Operation, ResourceType};

/// A denied question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Denial {
    pub user: Box<str>,
    pub host: IpAddr,
    pub operation: Operation,
    pub kind: ResourceType,
    pub name: Box<str>,
}

impl Denial {
    fn bytes(&self) -> usize {
        self.user.len() + self.name.len() + size_of::<Self>()
    }
}

/// Remembers denials in bounded memory: at least the newest half of `bytes_max`.
#[derive(Debug)]
pub(super) struct Denials {
    bytes_max: usize,
    newer: HashSet<Denial>,
    newer_bytes: usize,
    older: HashSet<Denial>,
}

impl Denials {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            newer: HashSet::new(),
            newer_bytes: 0,
            older: HashSet::new(),
        }
    }

    /// Remembers a denial. Returns whether it was not remembered before.
    pub(super) fn insert(&mut self, denial: Denial) -> bool {
        if self.newer.contains(&denial) {
            return false;
        }
        let is_new = !self.older.contains(&denial);
        if self.newer_bytes + denial.bytes() > self.bytes_max / 2 {
            self.older = std::mem::take(&mut self.newer);
            self.newer_bytes = 0;
        }
        self.newer_bytes += denial.bytes();
        self.newer.insert(denial);
        is_new
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    /// Forgets all denials, because the ACLs have changed.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn denial(name: &str) -> Denial {
        Denial {
            user: "alice".into(),
            host: Ipv4Addr::LOCALHOST.into(),
            operation: Operation::Read,
            kind: ResourceType::Topic,
            name: name.into(),
        }
    }

    #[test]
    fn a_denial_is_new_once() {
        let mut denials = Denials::new(1 << 20);
        assert!(denials.insert(denial("a")));
        assert!(!denials.insert(denial("a")));
        let other = Denial {
            operation: Operation::Write,
            ..denial("a")
        };
        assert!(denials.insert(other));
        denials.clear();
        assert!(denials.insert(denial("a")));
    }

    #[test]
    fn memory_is_bounded_and_what_repeats_stays_known() {
        let mut denials = Denials::new(100 * denial("00000").bytes());
        assert!(denials.insert(denial("again")));
        for n in 0..10_000 {
            assert!(denials.insert(denial(&format!("{n:05}"))));
            assert!(!denials.insert(denial("again")));
            assert!(denials.newer.len() + denials.older.len() <= 100);
        }
    }
}
