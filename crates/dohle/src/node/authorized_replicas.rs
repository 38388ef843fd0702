//! The authorizer's place among what follows the metadata.

use std::sync::Arc;

use dohle_auth::AclAuthorizer;
use dohle_broker::metadata::{LocalReplicas, MetadataChange};

/// The authorizer and the replicas of a broker, in the order in which they follow the metadata: an
/// ACL holds before the response to CreateAcls is sent, and before a newer topic serves.
pub(super) struct AuthorizedReplicas<R> {
    /// The authorizer; `None` where everyone is allowed everything.
    pub authorizer: Option<Arc<AclAuthorizer>>,
    /// The replicas.
    pub replicas: R,
}

impl<R: LocalReplicas> LocalReplicas for AuthorizedReplicas<R> {
    async fn apply(&self, change: &MetadataChange) {
        if let Some(authorizer) = &self.authorizer {
            authorizer.apply(&change.before, &change.after, &change.delta);
        }
        self.replicas.apply(change).await;
    }
}
