//! The authorizer that decides by the ACLs in the cluster's metadata.
//!
//! ```text
//! MetadataDelta ─▶ apply: a changed clone of the index ─▶ swapped in ─▶ is_allowed reads it
//! ```
//!
//! Source: `org.apache.kafka.metadata.authorizer.StandardAuthorizer`; KIP-11, KIP-290, KIP-801.

mod denials;
mod index;
mod patterns;
mod settings;

use core::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use imbl::ordmap::DiffItem;
use parking_lot::Mutex;

use crate::{Authorizer, Principal};

use denials::{Denial, Denials};
use index::{AclIndex, Verdict};
pub use settings::{AclSettings, InvalidSuperUser};

/// The memory for denials that were logged, in bytes.
const DENIALS_BYTES_MAX: usize = 1 << 20;

/// A name for which no ACL is meant. With it Kafka asks whether a user may do everything.
const ANY_RESOURCE: &str = "hardcode";

/// Decides by the ACLs of the newest metadata: an operation is allowed if an ACL allows it and none
/// denies it. Super users may do everything. Until the first metadata, nobody else may do anything.
///
/// Each denial is logged once for each user, host, operation and resource, until the ACLs change.
#[derive(Debug)]
pub struct AclAuthorizer {
    settings: AclSettings,
    acls: ArcSwapOption<AclIndex>,
    denials: Mutex<Denials>,
}

/// Why an operation is allowed or denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    SuperUser,
    AllowedByAcl,
    DeniedByAcl,
    NoAclAllows,
    ResourceHasNoAcl { allowed: bool },
    AclsNotLoaded,
}

impl Rule {
    fn is_allowed(self) -> bool {
        match self {
            Self::SuperUser | Self::AllowedByAcl => true,
            Self::ResourceHasNoAcl { allowed } => allowed,
            Self::DeniedByAcl | Self::NoAclAllows | Self::AclsNotLoaded => false,
        }
    }
}

impl AclAuthorizer {
    /// Creates an authorizer that waits for the first metadata.
    #[must_use]
    pub fn new(settings: AclSettings) -> Self {
        Self {
            settings,
            acls: ArcSwapOption::empty(),
            denials: Mutex::new(Denials::new(DENIALS_BYTES_MAX)),
        }
    }

    /// Follows a change of the metadata. One task calls this, for each change in order.
    pub fn apply(&self, before: &MetadataImage, after: &MetadataImage, delta: &MetadataDelta) {
        let index = match self.acls.load_full() {
            Some(_) if delta.acls.is_empty() => return,
            Some(index) => {
                let mut index = AclIndex::clone(&index);
                index.apply(before, after, delta);
                index
            }
            None => AclIndex::of(after),
        };
        self.acls.store(Some(Arc::new(index)));
        self.denials.lock().clear();
    }

    /// Follows metadata of which the changes since `before` are not known one by one. Metadata
    /// that no record has been replayed into are none.
    pub fn follow(&self, before: &MetadataImage, after: &MetadataImage) {
        if after.offset == MetadataImage::default().offset {
            return;
        }
        let changed = before.acls.diff(&after.acls).map(|change| match change {
            DiffItem::Add(id, _) | DiffItem::Remove(id, _) => *id,
            DiffItem::Update { new: (id, _), .. } => *id,
        });
        let delta = MetadataDelta {
            acls: changed.collect(),
            ..MetadataDelta::default()
        };
        self.apply(before, after, &delta);
    }

    fn decide(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        resource: (ResourceType, &str),
    ) -> Rule {
        if self.settings.is_super_user(principal) {
            return Rule::SuperUser;
        }
        let acls = self.acls.load();
        let Some(acls) = acls.as_ref() else {
            return Rule::AclsNotLoaded;
        };
        match acls.decide(principal.name(), host, operation, resource) {
            Verdict::Allowed => Rule::AllowedByAcl,
            Verdict::Denied => Rule::DeniedByAcl,
            Verdict::NotAllowed => Rule::NoAclAllows,
            Verdict::NoAcls => Rule::ResourceHasNoAcl {
                allowed: self.settings.allow_everyone_if_no_acl_found,
            },
        }
    }

    fn log_denial(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        (kind, name): (ResourceType, &str),
        rule: Rule,
    ) {
        let denial = Denial {
            user: principal.name().into(),
            host,
            operation,
            kind,
            name: name.into(),
        };
        if self.denials.lock().insert(denial) {
            tracing::info!(
                user = principal.name(), %host, ?operation, resource_type = ?kind, resource = name,
                ?rule, "denied an operation"
            );
        }
    }
}

impl Authorizer for AclAuthorizer {
    fn is_allowed(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        (kind, name): (ResourceType, &str),
    ) -> bool {
        let rule = self.decide(principal, host, operation, (kind, name));
        if !rule.is_allowed() {
            self.log_denial(principal, host, operation, (kind, name), rule);
            return false;
        }
        tracing::debug!(
            user = principal.name(), %host, ?operation, resource_type = ?kind, resource = name,
            ?rule, "allowed an operation"
        );
        true
    }

    fn is_visible(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        resource: (ResourceType, &str),
    ) -> bool {
        let rule = self.decide(principal, host, operation, resource);
        rule.is_allowed()
    }

    fn is_allowed_for_any(
        &self,
        principal: &Principal,
        host: IpAddr,
        operation: Operation,
        kind: ResourceType,
    ) -> bool {
        if self.is_visible(principal, host, operation, (kind, ANY_RESOURCE)) {
            return true;
        }
        let acls = self.acls.load();
        let user = principal.name();
        acls.as_ref()
            .is_some_and(|acls| acls.allows_any(user, host, operation, kind))
    }
}

#[cfg(test)]
mod tests;
