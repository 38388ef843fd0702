//! Operations and the types of resources that they apply to.
//!
//! Source: `org.apache.kafka.common.acl.AclOperation`,
//! `org.apache.kafka.common.resource.ResourceType` and
//! `org.apache.kafka.security.authorizer.AclEntry`.

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
}

impl ResourceType {
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
            Self::TransactionalId => &[Op::Write, Op::Describe],
        })
    }
}

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OperationSet(i32);

impl OperationSet {
    const ALL: [Operation; 10] = [
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
        for kind in [
            ResourceType::Topic,
            ResourceType::Group,
            ResourceType::Cluster,
            ResourceType::TransactionalId,
        ] {
            let operations = kind.operations();
            assert_eq!(operations.iter().collect::<OperationSet>(), operations);
        }
        assert_eq!(OperationSet::default().iter().count(), 0);
    }
}
