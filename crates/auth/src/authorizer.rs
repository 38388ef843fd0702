//! Who decides what a principal may do.

use core::net::IpAddr;
use std::fmt::Debug;

use dohle_model::acl::{Operation, OperationSet, ResourceType};

use crate::Principal;

/// Decides about operations. An implementation reads what it has in memory: it is asked for each
/// request.
pub trait Authorizer: Debug + Send + Sync {
    /// Returns whether ACLs decide. Where they do not, APIs that change or list them are refused.
    fn has_acls(&self) -> bool {
        true
    }

    /// Returns whether `principal`, connected from `host`, may carry out `operation` on the
    /// resource, which the request names. The cluster's name is `kafka-cluster`. An implementation
    /// may log a denial: it is an attempt to do what is forbidden.
    fn is_allowed(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        resource: (ResourceType, &str),
    ) -> bool;

    /// Returns the same as [`Authorizer::is_allowed`], for a resource that the request does not
    /// name, such as each topic when all topics are listed. A denial is not logged.
    fn is_visible(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        resource: (ResourceType, &str),
    ) -> bool {
        self.is_allowed(principal, host, operation, resource)
    }

    /// Returns whether `principal`, connected from `host`, may carry out `operation` on at least
    /// one resource of the type, whether or not that resource exists. A producer is idempotent, for
    /// example, if it may write to any topic (KIP-679). A denial is not logged.
    fn is_allowed_for_any(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        kind: ResourceType,
    ) -> bool;

    /// Returns those of the resource's operations that are allowed. Denials are not logged.
    fn allowed_operations(
        &self,
        principal: &Principal,
        host: IpAddr,
        resource: (ResourceType, &str),
    ) -> OperationSet {
        let operations = resource.0.operations();
        operations
            .iter()
            .filter(|operation| self.is_visible(principal, host, *operation, resource))
            .collect()
    }
}

/// Allows everything: Kafka's behaviour without `authorizer.class.name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowAll;

impl Authorizer for AllowAll {
    fn has_acls(&self) -> bool {
        false
    }

    fn is_allowed(
        &self,
        _principal: &Principal,
        _host: IpAddr,
        _operation: Operation,
        _resource: (ResourceType, &str),
    ) -> bool {
        true
    }

    fn is_allowed_for_any(
        &self,
        _principal: &Principal,
        _host: IpAddr,
        _operation: Operation,
        _kind: ResourceType,
    ) -> bool {
        true
    }

    fn allowed_operations(
        &self,
        _principal: &Principal,
        _host: IpAddr,
        (kind, _): (ResourceType, &str),
    ) -> OperationSet {
        kind.operations()
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    #[derive(Debug)]
    struct ReadOnly;

    impl Authorizer for ReadOnly {
        fn is_allowed(
            &self,
            _principal: &Principal,
            _host: IpAddr,
            operation: Operation,
            _resource: (ResourceType, &str),
        ) -> bool {
            matches!(operation, Operation::Read | Operation::Describe)
        }

        fn is_allowed_for_any(
            &self,
            _principal: &Principal,
            _host: IpAddr,
            operation: Operation,
            _kind: ResourceType,
        ) -> bool {
            matches!(operation, Operation::Read | Operation::Describe)
        }
    }

    #[test]
    fn the_operations_of_a_resource_are_those_that_are_allowed() {
        let (principal, host) = (Principal::user("alice"), Ipv4Addr::LOCALHOST.into());
        let allowed = |by: &dyn Authorizer, kind| {
            by.allowed_operations(&principal, host, (kind, "name"))
                .iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(
            allowed(&ReadOnly, ResourceType::Topic),
            [Operation::Read, Operation::Describe]
        );
        assert_eq!(
            allowed(&ReadOnly, ResourceType::Cluster),
            [Operation::Describe]
        );
        assert_eq!(
            allowed(&AllowAll, ResourceType::TransactionalId),
            [
                Operation::Write,
                Operation::Describe,
                Operation::TwoPhaseCommit
            ]
        );
    }
}
