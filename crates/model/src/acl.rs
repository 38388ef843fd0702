//! Access control: operations, the resources that they apply to, and the entries (ACLs) that allow
//! or deny them.
//!
//! Source: the packages `org.apache.kafka.common.acl` and `org.apache.kafka.common.resource`,
//! `org.apache.kafka.security.authorizer.AclEntry`, and KIP-11, KIP-290.

mod filter;

use std::sync::Arc;

pub use filter::{AclFilter, PatternFilter, Wanted};

/// An operation that an ACL allows or denies. The discriminant is Kafka's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Operation {
    /// Fetching records, and committing offsets of a group.
    Read = 3,
    /// Producing records.
    Write = 4,
    /// Creating topics.
    Create = 5,
    /// Deleting topics, records and groups.
    Delete = 6,
    /// Changing partitions, replicas and the cluster.
    Alter = 7,
    /// Reading metadata and offsets.
    Describe = 8,
    /// What brokers and controllers ask of each other.
    ClusterAction = 9,
    /// Reading configuration.
    DescribeConfigs = 10,
    /// Changing configuration.
    AlterConfigs = 11,
    /// Producing idempotently.
    IdempotentWrite = 12,
    /// Creating delegation tokens for a user (KIP-373).
    CreateTokens = 13,
    /// Listing the delegation tokens of a user (KIP-373).
    DescribeTokens = 14,
    /// Preparing transactions that have no timeout (KIP-939).
    TwoPhaseCommit = 15,
}

impl Operation {
    /// Returns the operation with Kafka's code `code`; `None` for other codes, those for "any",
    /// "all" and "unknown" included.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        OperationSet::ALL.into_iter().find(|it| *it as i8 == code)
    }
}

/// The type of a resource. The discriminant is Kafka's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ResourceType {
    /// A topic, by its name.
    Topic = 2,
    /// A group, by its id.
    Group = 3,
    /// The cluster, of which there is one.
    Cluster = 4,
    /// A transactional id.
    TransactionalId = 5,
    /// A delegation token, by its id.
    DelegationToken = 6,
    /// A user, by its principal (`User:alice`).
    User = 7,
}

impl ResourceType {
    /// All types.
    pub const ALL: [Self; 6] = [
        Self::Topic,
        Self::Group,
        Self::Cluster,
        Self::TransactionalId,
        Self::DelegationToken,
        Self::User,
    ];

    /// Returns the type with Kafka's code `code`; `None` for other codes, those for "any" and
    /// "unknown" included.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|it| *it as i8 == code)
    }

    /// Returns the operations that exist for resources of this type.
    #[must_use]
    pub fn operations(self) -> OperationSet {
        use Operation as Op;
        OperationSet::of(match self {
            Self::Topic => &[
                Op::Read,
                Op::Write,
                Op::Create,
                Op::Delete,
                Op::Alter,
                Op::Describe,
                Op::DescribeConfigs,
                Op::AlterConfigs,
            ],
            Self::Group => &[
                Op::Read,
                Op::Delete,
                Op::Describe,
                Op::DescribeConfigs,
                Op::AlterConfigs,
            ],
            Self::Cluster => &[
                Op::Create,
                Op::Alter,
                Op::Describe,
                Op::ClusterAction,
                Op::DescribeConfigs,
                Op::AlterConfigs,
                Op::IdempotentWrite,
            ],
            Self::TransactionalId => &[Op::Write, Op::Describe, Op::TwoPhaseCommit],
            Self::DelegationToken => &[Op::Describe],
            Self::User => &[Op::CreateTokens, Op::DescribeTokens],
        })
    }
}

/// The name of the one resource of the type Cluster.
pub const CLUSTER_NAME: &str = "kafka-cluster";

/// The name that in an ACL with the pattern type Literal matches every resource.
pub const WILDCARD: &str = "*";

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OperationSet(i32);

impl OperationSet {
    const ALL: [Operation; 13] = [
        Operation::Read,
        Operation::Write,
        Operation::Create,
        Operation::Delete,
        Operation::Alter,
        Operation::Describe,
        Operation::ClusterAction,
        Operation::DescribeConfigs,
        Operation::AlterConfigs,
        Operation::IdempotentWrite,
        Operation::CreateTokens,
        Operation::DescribeTokens,
        Operation::TwoPhaseCommit,
    ];

    /// Returns the set of these operations.
    #[must_use]
    pub fn of(operations: &[Operation]) -> Self {
        operations.iter().copied().collect()
    }

    /// Returns the operations in the order of their codes.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Self::ALL
            .into_iter()
            .filter(move |operation| self.0 & (1 << *operation as i32) != 0)
    }

    /// Returns the bits of an `authorizedOperations` field: bit n is the operation with code n
    /// (KIP-430).
    #[must_use]
    pub fn bits(self) -> i32 {
        self.0
    }
}

impl FromIterator<Operation> for OperationSet {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        let bits = operations
            .into_iter()
            .map(|operation| 1 << operation as i32);
        Self(bits.fold(0, |set, bit| set | bit))
    }
}

/// How the name of an ACL's resource is compared with a resource's name. The discriminant is
/// Kafka's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PatternType {
    /// The names are equal, or the ACL's is `*`.
    Literal = 3,
    /// The resource's name begins with the ACL's.
    Prefixed = 4,
}

impl PatternType {
    /// Returns the pattern type with Kafka's code `code`; `None` for other codes, those for "any",
    /// "match" and "unknown" included.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        [Self::Literal, Self::Prefixed]
            .into_iter()
            .find(|it| *it as i8 == code)
    }
}

/// Whether an ACL allows or denies. The discriminant is Kafka's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PermissionType {
    /// Denies, also where another ACL allows.
    Deny = 2,
    /// Allows.
    Allow = 3,
}

impl PermissionType {
    /// Returns the permission type with Kafka's code `code`; `None` for other codes, those for
    /// "any" and "unknown" included.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        [Self::Deny, Self::Allow]
            .into_iter()
            .find(|it| *it as i8 == code)
    }
}

/// The operations that an ACL names: one, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AclOperation {
    /// Every operation.
    All,
    /// One operation.
    One(Operation),
}

impl AclOperation {
    const ALL_CODE: i8 = 2;

    /// Returns Kafka's code.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            Self::All => Self::ALL_CODE,
            Self::One(operation) => operation as i8,
        }
    }

    /// Returns what Kafka's code `code` names; `None` for "any", "unknown" and other codes.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        if code == Self::ALL_CODE {
            Some(Self::All)
        } else {
            Operation::from_code(code).map(Self::One)
        }
    }
}

/// An ACL: allows or denies operations on the resources that match a pattern to a principal that
/// connects from a host. Kafka's `AclBinding`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclEntry {
    /// The type of the resources.
    pub resource_type: ResourceType,
    /// How `resource_name` is compared.
    pub pattern_type: PatternType,
    /// The name or the beginning of the names; the literal name `*` matches every resource.
    pub resource_name: Arc<str>,
    /// The principal with its type (`User:alice`); `User:*` matches every user.
    pub principal: Arc<str>,
    /// The address of the client, or a range of addresses such as `10.0.0.0/8`; `*` matches every
    /// address.
    pub host: Arc<str>,
    /// The operations.
    pub operation: AclOperation,
    /// Whether they are allowed or denied.
    pub permission: PermissionType,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_of_a_set_are_kafkas() {
        // As a broker of Apache Kafka 4.3.1 without an authorizer answers them.
        assert_eq!(ResourceType::Topic.operations().bits(), 0b1101_1111_1000);
        assert_eq!(ResourceType::Group.operations().bits(), 0b1101_0100_1000);
        assert_eq!(
            ResourceType::Cluster.operations().bits(),
            0b1_1111_1010_0000
        );
    }

    #[test]
    fn a_set_lists_what_it_was_made_of() {
        for kind in ResourceType::ALL {
            let operations = kind.operations();
            assert_eq!(operations.iter().collect::<OperationSet>(), operations);
        }
        assert_eq!(OperationSet::default().iter().count(), 0);
    }

    #[test]
    fn codes_are_kafkas() {
        for code in i8::MIN..=i8::MAX {
            let resource = ResourceType::from_code(code);
            assert_eq!(
                resource.map(|it| it as i8),
                (2..=7).contains(&code).then_some(code)
            );
            let operation = AclOperation::from_code(code);
            assert_eq!(
                operation.map(AclOperation::code),
                (2..=15).contains(&code).then_some(code)
            );
            let pattern = PatternType::from_code(code);
            assert_eq!(
                pattern.map(|it| it as i8),
                (3..=4).contains(&code).then_some(code)
            );
            let permission = PermissionType::from_code(code);
            assert_eq!(
                permission.map(|it| it as i8),
                (2..=3).contains(&code).then_some(code)
            );
        }
    }
}
