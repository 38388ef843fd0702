//! What handlers ask the authorizer about the sender of a request.
//!
//! The table of APIs lists the operations that each API asks for; a test compares the list with the
//! questions that handlers ask.
//!
//! Source: `kafka.server.AuthHelper`.

use std::collections::HashSet;

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::{ApiError, ErrorCode};

use super::request::Call;

/// The name of the one resource of the type Cluster.
pub(crate) const CLUSTER: &str = "kafka-cluster";

impl Call {
    /// Returns whether the sender may carry out an operation on a resource that the request names.
    pub fn is_allowed(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        self.check_row(operation, kind);
        let host = self.request.client_address.ip();
        self.authorizer
            .is_allowed(&self.request.principal, host, operation, (kind, name))
    }

    /// Returns whether the sender may carry out an operation on a resource that the request does
    /// not name, or for which there is an alternative. A denial is not logged.
    pub fn is_visible(&self, operation: Operation, kind: ResourceType, name: &str) -> bool {
        self.check_row(operation, kind);
        let host = self.request.client_address.ip();
        self.authorizer
            .is_visible(&self.request.principal, host, operation, (kind, name))
    }

    /// Returns whether the sender may carry out an operation on some resource of the type.
    pub fn is_allowed_for_any(&self, operation: Operation, kind: ResourceType) -> bool {
        self.check_row(operation, kind);
        let host = self.request.client_address.ip();
        self.authorizer
            .is_allowed_for_any(&self.request.principal, host, operation, kind)
    }

    /// Requires that the sender may carry out an operation on a resource that the request names.
    ///
    /// # Errors
    /// The error code of a denial for this type of resource.
    pub fn authorize(
        &self,
        operation: Operation,
        kind: ResourceType,
        name: &str,
    ) -> Result<(), ErrorCode> {
        match self.is_allowed(operation, kind, name) {
            true => Ok(()),
            false => Err(denial(kind)),
        }
    }

    /// Requires that the sender may carry out an operation on the cluster.
    ///
    /// # Errors
    /// CLUSTER_AUTHORIZATION_FAILED.
    pub fn authorize_cluster(&self, operation: Operation) -> Result<(), ErrorCode> {
        self.authorize(operation, ResourceType::Cluster, CLUSTER)
    }

    /// Requires that the sender may change ACLs, and that an authorizer decides by them.
    ///
    /// # Errors
    /// CLUSTER_AUTHORIZATION_FAILED, or SECURITY_DISABLED with Kafka's message.
    pub fn authorize_acl_changes(&self) -> Result<(), ApiError> {
        self.authorize_cluster(Operation::Alter)?;
        if self.has_acls() {
            Ok(())
        } else {
            Err(ErrorCode::SecurityDisabled.because("No Authorizer is configured."))
        }
    }

    /// Removes the items of a request whose resource the sender may not use, and returns them.
    /// Allocates nothing when all items are allowed.
    pub fn take_denied<T>(
        &self,
        operation: Operation,
        kind: ResourceType,
        items: &mut Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> Vec<T> {
        let is_denied = |item: &mut T| !self.is_allowed(operation, kind, name(item));
        items.extract_if(.., is_denied).collect()
    }

    /// Returns those of the topics that the sender may describe. The request does not name them.
    pub fn visible_topics<'a>(&self, topics: impl Iterator<Item = &'a str>) -> HashSet<&'a str> {
        let topics: HashSet<&str> = topics.collect();
        let is_visible =
            |topic: &&str| self.is_visible(Operation::Describe, ResourceType::Topic, topic);
        topics.into_iter().filter(is_visible).collect()
    }

    /// Returns the `authorizedOperations` field for a resource (KIP-430).
    pub fn authorized_operations(&self, kind: ResourceType, name: &str) -> i32 {
        let host = self.request.client_address.ip();
        self.authorizer
            .allowed_operations(&self.request.principal, host, (kind, name))
            .bits()
    }

    /// Returns the `clusterAuthorizedOperations` field: none of them without Describe on the
    /// cluster.
    pub fn operations_on_cluster(&self) -> i32 {
        match self.authorize_cluster(Operation::Describe) {
            Ok(()) => self.authorized_operations(ResourceType::Cluster, CLUSTER),
            Err(_) => 0,
        }
    }

    /// Checks that the API's row in the table lists a question.
    fn check_row(&self, operation: Operation, kind: ResourceType) {
        debug_assert!(
            self.access.contains(&(kind, operation)),
            "the row of the API does not list {operation:?} on {kind:?}"
        );
    }
}

/// Returns the error code of a denial for a type of resource.
pub(crate) fn denial(kind: ResourceType) -> ErrorCode {
    match kind {
        ResourceType::Topic => ErrorCode::TopicAuthorizationFailed,
        ResourceType::Group => ErrorCode::GroupAuthorizationFailed,
        ResourceType::Cluster => ErrorCode::ClusterAuthorizationFailed,
        ResourceType::TransactionalId => ErrorCode::TransactionalIdAuthorizationFailed,
        ResourceType::DelegationToken | ResourceType::User => {
            ErrorCode::DelegationTokenAuthorizationFailed
        }
    }
}
