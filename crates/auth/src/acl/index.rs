//! An index of the ACLs, which decides about operations.
//!
//! Invariant: the cost of a decision grows with the number of patterns that match the resource,
//! with the number of different lengths of the ranges of addresses that ACLs name, and with the
//! logarithm of the number of ACLs. The maps are persistent: a changed clone shares what did not
//! change with the index that readers still use.
//!
//! Source: `org.apache.kafka.metadata.authorizer.StandardAuthorizerData`, whose verdicts are the
//! same (`tests/standard_authorizer.rs`), and `authorizeByResourceType` of
//! `org.apache.kafka.server.authorizer.Authorizer`.

use core::net::IpAddr;
use core::ops::Bound;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use dohle_model::acl::{
    AclEntry, AclOperation, Operation, PatternType, PermissionType, ResourceType,
};
use dohle_model::address_range::{AddressRange, PrefixLength};
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use imbl::OrdMap;

use super::patterns::{Prefixes, prefixes};

/// The name that as an ACL's resource, host or user matches every one.
const ANY: &str = "*";

/// The ACLs of an image.
#[derive(Debug, Clone, Default)]
pub(super) struct AclIndex {
    literal: [OrdMap<Arc<str>, Pattern>; ResourceType::ALL.len()],
    prefixed: [OrdMap<Arc<str>, Pattern>; ResourceType::ALL.len()],
    /// The users that ACLs name, `*` included.
    users: OrdMap<Arc<str>, User>,
    /// The operations that the ACLs of one pattern allow and deny one user at one host.
    grants: OrdMap<(PatternId, UserId, Host), Grants>,
    /// The patterns of `grants` that name a user.
    named: OrdMap<(UserId, ResourceType, PatternId), NamedPattern>,
    /// The lengths of the ranges that ACLs name, with the number of those ACLs.
    range_lengths: OrdMap<PrefixLength, usize>,
    next_id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PatternId(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct UserId(u64);

/// The resources of one type that one name and pattern type describe.
#[derive(Debug, Clone)]
struct Pattern {
    id: PatternId,
    /// The number of its ACLs, those that match no client included.
    acls: usize,
}

#[derive(Debug, Clone)]
struct User {
    id: UserId,
    acls: usize,
}

#[derive(Debug, Clone)]
struct NamedPattern {
    pattern_type: PatternType,
    name: Arc<str>,
    acls: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Any,
    Address(IpAddr),
    Range(AddressRange),
}

impl Host {
    /// Returns the host of an ACL; `None` if it is neither `*` nor an address nor a range of them,
    /// and so matches no client. Addresses are compared as numbers, where Kafka compares their
    /// texts.
    fn of_acl(host: &str) -> Option<Self> {
        if host == ANY {
            return Some(Self::Any);
        }
        if host.contains('/') {
            return AddressRange::parse(host).ok().map(Self::Range);
        }
        let address: IpAddr = host.parse().ok()?;
        Some(Self::Address(address.to_canonical()))
    }
}

/// The operations that ACLs of one pattern, user and host allow and deny. An ACL that was added
/// twice is in it twice.
#[derive(Debug, Clone, Default)]
struct Grants(Vec<(AclOperation, PermissionType)>);

/// Whether an ACL that names `operation` applies to what is `asked`.
fn names(operation: AclOperation, asked: Operation) -> bool {
    operation == AclOperation::All || operation == AclOperation::One(asked)
}

/// Whether allowing `operation` allows what is `asked`. Only what is allowed implies another
/// operation: denying Read does not deny Describe.
fn allows(operation: AclOperation, asked: Operation) -> bool {
    use AclOperation::One;
    use Operation as Op;
    names(operation, asked)
        || match asked {
            Op::Describe => matches!(
                operation,
                One(Op::Read | Op::Write | Op::Delete | Op::Alter)
            ),
            Op::DescribeConfigs => operation == One(Op::AlterConfigs),
            _ => false,
        }
}

impl Grants {
    fn denies(&self, asked: Operation) -> bool {
        let mut entries = self.0.iter();
        entries.any(|(operation, permission)| {
            *permission == PermissionType::Deny && names(*operation, asked)
        })
    }

    fn allows(&self, asked: Operation) -> bool {
        let mut entries = self.0.iter();
        entries.any(|(operation, permission)| {
            *permission == PermissionType::Allow && allows(*operation, asked)
        })
    }

    /// Whether an ACL allows the operation by its own name.
    fn allows_by_name(&self, asked: Operation) -> bool {
        let mut entries = self.0.iter();
        entries.any(|(operation, permission)| {
            *permission == PermissionType::Allow && names(*operation, asked)
        })
    }
}

/// The decision of the ACLs about an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An ACL allows it, and none denies it.
    Allowed,
    /// An ACL denies it.
    Denied,
    /// The resource has ACLs, of which none allows it.
    NotAllowed,
    /// No ACL matches the resource.
    NoAcls,
}

impl AclIndex {
    /// Returns the index of the ACLs of an image.
    pub(super) fn of(image: &MetadataImage) -> Self {
        let mut index = Self::default();
        for entry in image.acls.values() {
            index.add(entry);
        }
        index
    }

    /// Applies the changes that led from one image to the next.
    pub(super) fn apply(
        &mut self,
        before: &MetadataImage,
        after: &MetadataImage,
        delta: &MetadataDelta,
    ) {
        for id in &delta.acls {
            if let Some(entry) = before.acls.get(id) {
                self.remove(entry);
            }
            if let Some(entry) = after.acls.get(id) {
                self.add(entry);
            }
        }
    }

    /// Whether nothing is left of any ACL.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let mut patterns = self.literal.iter().chain(&self.prefixed);
        patterns.all(OrdMap::is_empty)
            && self.users.is_empty()
            && self.grants.is_empty()
            && self.named.is_empty()
            && self.range_lengths.is_empty()
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn patterns(&self, entry: &AclEntry) -> &OrdMap<Arc<str>, Pattern> {
        match entry.pattern_type {
            PatternType::Literal => &self.literal[slot(entry.resource_type)],
            PatternType::Prefixed => &self.prefixed[slot(entry.resource_type)],
        }
    }

    fn patterns_mut(&mut self, entry: &AclEntry) -> &mut OrdMap<Arc<str>, Pattern> {
        match entry.pattern_type {
            PatternType::Literal => &mut self.literal[slot(entry.resource_type)],
            PatternType::Prefixed => &mut self.prefixed[slot(entry.resource_type)],
        }
    }

    fn add(&mut self, entry: &AclEntry) {
        let fresh = PatternId(self.next_id());
        let pattern = self
            .patterns_mut(entry)
            .entry(Arc::clone(&entry.resource_name))
            .or_insert(Pattern { id: fresh, acls: 0 });
        pattern.acls += 1;
        let pattern = pattern.id;
        let Some((name, host)) = reach(entry) else {
            return;
        };
        let fresh = UserId(self.next_id());
        let user = self
            .users
            .entry(name.into())
            .or_insert(User { id: fresh, acls: 0 });
        user.acls += 1;
        let user = user.id;
        let grants = self.grants.entry((pattern, user, host)).or_default();
        grants.0.push((entry.operation, entry.permission));
        if let Host::Range(range) = host {
            *self.range_lengths.entry(range.prefix_length()).or_default() += 1;
        }
        let named = self
            .named
            .entry((user, entry.resource_type, pattern))
            .or_insert_with(|| NamedPattern {
                pattern_type: entry.pattern_type,
                name: Arc::clone(&entry.resource_name),
                acls: 0,
            });
        named.acls += 1;
    }

    fn remove(&mut self, entry: &AclEntry) {
        let Some(pattern) = self.patterns(entry).get(&entry.resource_name) else {
            return;
        };
        let (id, last) = (pattern.id, pattern.acls == 1);
        if last {
            self.patterns_mut(entry).remove(&entry.resource_name);
        } else if let Some(pattern) = self.patterns_mut(entry).get_mut(&entry.resource_name) {
            pattern.acls -= 1;
        }
        if let Some((name, host)) = reach(entry) {
            self.remove_grant(entry, id, name, host);
        }
    }

    fn remove_grant(&mut self, entry: &AclEntry, pattern: PatternId, name: &str, host: Host) {
        let Some(user) = self.users.get_mut(name) else {
            return;
        };
        let id = user.id;
        user.acls -= 1;
        if user.acls == 0 {
            self.users.remove(name);
        }
        if let Host::Range(range) = host {
            let length = range.prefix_length();
            match self.range_lengths.get_mut(&length) {
                Some(acls) if *acls > 1 => *acls -= 1,
                _ => {
                    self.range_lengths.remove(&length);
                }
            }
        }
        let key = (pattern, id, host);
        if let Some(grants) = self.grants.get_mut(&key) {
            let removed = (entry.operation, entry.permission);
            if let Some(at) = grants.0.iter().position(|grant| *grant == removed) {
                grants.0.swap_remove(at);
            }
            if grants.0.is_empty() {
                self.grants.remove(&key);
            }
        }
        let key = (id, entry.resource_type, pattern);
        if let Some(named) = self.named.get_mut(&key) {
            named.acls -= 1;
            if named.acls == 0 {
                self.named.remove(&key);
            }
        }
    }

    /// Returns the decision of the ACLs about an operation of a user on a resource.
    pub(super) fn decide(
        &self,
        user: &str,
        host: IpAddr,
        asked: Operation,
        (kind, name): (ResourceType, &str),
    ) -> Verdict {
        let users = self.users_of(user);
        let ranges = self.ranges_of(host);
        let mut verdict = Verdict::NoAcls;
        for pattern in self.matching(kind, name) {
            if verdict == Verdict::NoAcls {
                verdict = Verdict::NotAllowed;
            }
            for grants in self.grants_of(pattern, users, host, &ranges) {
                if grants.denies(asked) {
                    return Verdict::Denied;
                }
                if grants.allows(asked) {
                    verdict = Verdict::Allowed;
                }
            }
        }
        verdict
    }

    /// Whether an ACL allows an operation on at least one resource of a type, by the operation's
    /// own name, and no other ACL denies it on everything that this ACL covers.
    pub(super) fn allows_any(
        &self,
        user: &str,
        host: IpAddr,
        asked: Operation,
        kind: ResourceType,
    ) -> bool {
        let (mut allowed, mut allowed_prefixes) = (Vec::new(), Vec::new());
        let (mut denied, mut denied_prefixes) = (HashSet::new(), BTreeSet::new());
        let ranges = self.ranges_of(host);
        let mut anything = false;
        for user in self.users_of(user).into_iter().flatten() {
            let first = (user, kind, PatternId(0));
            let last = (user, kind, PatternId(u64::MAX));
            for ((_, _, id), pattern) in self.named.range(first..=last) {
                let name: &str = &pattern.name;
                let literal = pattern.pattern_type == PatternType::Literal;
                for grants in self.grants_of(*id, [Some(user), None], host, &ranges) {
                    if grants.denies(asked) {
                        match literal {
                            true if name == ANY => return false,
                            true => denied.insert(name),
                            false => denied_prefixes.insert(name),
                        };
                    }
                    if grants.allows_by_name(asked) {
                        match literal {
                            true if name == ANY => anything = true,
                            true => allowed.push(name),
                            false => allowed_prefixes.push(name),
                        }
                    }
                }
            }
        }
        let denied_by_prefix = |name: &str| {
            let floor = |rest: &str| {
                let below = denied_prefixes
                    .range::<str, _>((Bound::Unbounded, Bound::Included(rest)))
                    .next_back();
                below.map(|prefix| (*prefix, ()))
            };
            prefixes(name, floor).next().is_some()
        };
        let mut literals = allowed.into_iter().filter(|name| !denied.contains(name));
        anything
            || literals.any(|name| !denied_by_prefix(name))
            || allowed_prefixes
                .into_iter()
                .any(|name| !denied_by_prefix(name))
    }

    /// Returns the ids of the users whose ACLs apply to a user: itself and `*`.
    fn users_of(&self, name: &str) -> [Option<UserId>; 2] {
        let id = |name: &str| self.users.get(name).map(|user| user.id);
        [id(name), id(ANY).filter(|_| name != ANY)]
    }

    /// Returns the patterns that match a resource.
    fn matching<'a>(
        &'a self,
        kind: ResourceType,
        name: &'a str,
    ) -> impl Iterator<Item = PatternId> {
        let (literal, prefixed) = (&self.literal[slot(kind)], &self.prefixed[slot(kind)]);
        let any = literal.get(ANY).filter(|_| name != ANY);
        let literal = literal.get(name).into_iter().chain(any);
        let floor = |rest: &str| {
            let below = prefixed.get_prev(rest);
            below.map(|(prefix, pattern)| (&**prefix, pattern))
        };
        let prefixed: Prefixes<'a, _> = prefixes(name, floor);
        let patterns = literal.chain(prefixed.map(|(_, pattern)| pattern));
        patterns.map(|pattern| pattern.id)
    }

    /// Returns the ranges that contain an address, of the lengths that ACLs name.
    fn ranges_of(&self, host: IpAddr) -> Vec<Host> {
        let address = host.to_canonical();
        let lengths = self.range_lengths.keys();
        let ranges = lengths.filter_map(|length| length.range_of(address));
        ranges.map(Host::Range).collect()
    }

    /// Returns the grants of a pattern for users at a host, which is in `ranges`.
    fn grants_of<'a>(
        &'a self,
        pattern: PatternId,
        users: [Option<UserId>; 2],
        host: IpAddr,
        ranges: &'a [Host],
    ) -> impl Iterator<Item = &'a Grants> {
        let hosts = [Host::Any, Host::Address(host.to_canonical())];
        let users = users.into_iter().flatten();
        let hosts = move || hosts.into_iter().chain(ranges.iter().copied());
        users
            .flat_map(move |user| hosts().map(move |host| (pattern, user, host)))
            .filter_map(|key| self.grants.get(&key))
    }
}

/// Returns the user and the host of an ACL; `None` if it matches no client, because it names
/// another type of principal, or neither an address nor a range of addresses.
fn reach(entry: &AclEntry) -> Option<(&str, Host)> {
    let user = entry.principal.strip_prefix("User:")?;
    Some((user, Host::of_acl(&entry.host)?))
}

/// Returns the place of a type of resources in an array of all types.
fn slot(kind: ResourceType) -> usize {
    kind as usize - ResourceType::ALL[0] as usize
}
