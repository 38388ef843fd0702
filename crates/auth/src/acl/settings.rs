//! The settings of the authorizer.

use std::collections::HashSet;

use crate::Principal;

/// The properties of StandardAuthorizer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AclSettings {
    /// The names of the users that may do everything.
    super_users: HashSet<Box<str>>,
    /// `allow.everyone.if.no.acl.found`: whether everyone may do everything with a resource that no
    /// ACL matches.
    pub allow_everyone_if_no_acl_found: bool,
}

/// A part of `super.users` is not a principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "super.users has {0:?}; each super user has a type and a name, such as User:admin, and ; \
     separates them"
)]
pub struct InvalidSuperUser(pub String);

impl AclSettings {
    /// Parses `super.users`: principals with their types, separated by `;`.
    ///
    /// # Errors
    /// When a part has no type.
    pub fn parse(
        super_users: &str,
        allow_everyone_if_no_acl_found: bool,
    ) -> Result<Self, InvalidSuperUser> {
        let mut settings = Self {
            allow_everyone_if_no_acl_found,
            ..Self::default()
        };
        for principal in super_users.split(';').map(str::trim) {
            if principal.is_empty() {
                continue;
            }
            let invalid = || InvalidSuperUser(principal.to_owned());
            let (kind, name) = principal.split_once(':').ok_or_else(invalid)?;
            // No client has a principal of another type.
            if kind == Principal::TYPE {
                settings.super_users.insert(name.into());
            }
        }
        Ok(settings)
    }

    /// Returns whether a principal may do everything.
    #[must_use]
    pub fn is_super_user(&self, principal: &Principal) -> bool {
        self.super_users.contains(principal.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn super_users_are_parsed_as_kafka_does() {
        let settings = AclSettings::parse("User:a; User:CN=b,O=x:y ;;Group:c", false).unwrap();
        let is_super = |name| settings.is_super_user(&Principal::user(name));
        assert!(is_super("a") && is_super("CN=b,O=x:y"));
        assert!(!is_super("c") && !is_super("") && !is_super("b"));
        let error = AclSettings::parse("User:a;admin", false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "super.users has \"admin\"; each super user has a type and a name, such as \
             User:admin, and ; separates them"
        );
    }
}
