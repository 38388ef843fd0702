//! Filters that select ACLs, as DescribeAcls and DeleteAcls have them.
//!
//! Source: `org.apache.kafka.common.acl.AclBindingFilter`,
//! `org.apache.kafka.common.resource.ResourcePatternFilter`.

use super::{AclEntry, AclOperation, PatternType, PermissionType, ResourceType, WILDCARD};

/// Kafka's code for "any" in all of a filter's fields.
const ANY_CODE: i8 = 1;

/// What a field of a filter asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<T> {
    /// Every value.
    Any,
    /// One value.
    One(T),
    /// A value that this release does not define. No ACL has it.
    Unknown,
}

impl<T: PartialEq> Wanted<T> {
    /// Returns what Kafka's code `code` asks for; `value` decodes the codes of single values.
    pub fn from_code(code: i8, value: impl FnOnce(i8) -> Option<T>) -> Self {
        match value(code) {
            _ if code == ANY_CODE => Self::Any,
            Some(value) => Self::One(value),
            None => Self::Unknown,
        }
    }

    /// Returns Kafka's code; `value` encodes single values.
    pub fn code(&self, value: impl FnOnce(&T) -> i8) -> i8 {
        match self {
            Self::Any => ANY_CODE,
            Self::One(one) => value(one),
            Self::Unknown => 0,
        }
    }

    fn accepts(&self, value: &T) -> bool {
        match self {
            Self::Any => true,
            Self::One(wanted) => wanted == value,
            Self::Unknown => false,
        }
    }
}

/// How the name in a filter selects patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PatternFilter {
    /// Patterns of any type with the filter's name.
    Any,
    /// Patterns that match the resource with the filter's name.
    Match,
    /// Patterns of one type with the filter's name.
    One(PatternType),
    /// A type that this release does not define. No ACL has it.
    Unknown,
}

impl PatternFilter {
    const MATCH_CODE: i8 = 2;

    /// Returns what Kafka's code `code` asks for.
    #[must_use]
    pub fn from_code(code: i8) -> Self {
        match PatternType::from_code(code) {
            Some(pattern_type) => Self::One(pattern_type),
            None if code == ANY_CODE => Self::Any,
            None if code == Self::MATCH_CODE => Self::Match,
            None => Self::Unknown,
        }
    }

    /// Returns Kafka's code.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            Self::Any => ANY_CODE,
            Self::Match => Self::MATCH_CODE,
            Self::One(pattern_type) => pattern_type as i8,
            Self::Unknown => 0,
        }
    }
}

/// Selects ACLs; a text that is `None` accepts every value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclFilter<'a> {
    /// The type of the resources.
    pub resource_type: Wanted<ResourceType>,
    /// How `resource_name` is compared.
    pub pattern_type: PatternFilter,
    /// The name of the ACL's resource, or of a resource that it matches.
    pub resource_name: Option<&'a str>,
    /// The principal, compared as a text: `User:*` selects ACLs for `User:*`.
    pub principal: Option<&'a str>,
    /// The host, compared as a text.
    pub host: Option<&'a str>,
    /// The operation of the ACL; [`AclOperation::All`] selects ACLs for all operations.
    pub operation: Wanted<AclOperation>,
    /// Whether the ACL allows or denies.
    pub permission: Wanted<PermissionType>,
}

impl AclFilter<'_> {
    /// Whether the filter selects an ACL.
    #[must_use]
    pub fn matches(&self, acl: &AclEntry) -> bool {
        let accepts =
            |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
        self.resource_type.accepts(&acl.resource_type)
            && self.matches_pattern(acl.pattern_type, &acl.resource_name)
            && accepts(self.principal, &acl.principal)
            && accepts(self.host, &acl.host)
            && self.operation.accepts(&acl.operation)
            && self.permission.accepts(&acl.permission)
    }

    fn matches_pattern(&self, pattern_type: PatternType, name: &str) -> bool {
        let is_wanted = |exactly: &str| exactly == name;
        match self.pattern_type {
            PatternFilter::Unknown => false,
            PatternFilter::One(wanted) if wanted != pattern_type => false,
            PatternFilter::One(_) | PatternFilter::Any => self.resource_name.is_none_or(is_wanted),
            PatternFilter::Match => self.resource_name.is_none_or(|wanted| match pattern_type {
                PatternType::Literal => wanted == name || name == WILDCARD,
                PatternType::Prefixed => wanted.starts_with(name),
            }),
        }
    }

    /// Returns the only ACL that the filter can select, if it names one value of each field.
    #[must_use]
    pub fn only_acl(&self) -> Option<AclEntry> {
        let Self {
            resource_type: Wanted::One(resource_type),
            pattern_type: PatternFilter::One(pattern_type),
            resource_name: Some(resource_name),
            principal: Some(principal),
            host: Some(host),
            operation: Wanted::One(operation),
            permission: Wanted::One(permission),
        } = *self
        else {
            return None;
        };
        Some(AclEntry {
            resource_type,
            pattern_type,
            resource_name: resource_name.into(),
            principal: principal.into(),
            host: host.into(),
            operation,
            permission,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Operation;
    use super::*;

    const ANYTHING: AclFilter<'_> = AclFilter {
        resource_type: Wanted::Any,
        pattern_type: PatternFilter::Any,
        resource_name: None,
        principal: None,
        host: None,
        operation: Wanted::Any,
        permission: Wanted::Any,
    };

    fn acl(pattern_type: PatternType, name: &str) -> AclEntry {
        AclEntry {
            resource_type: ResourceType::Topic,
            pattern_type,
            resource_name: name.into(),
            principal: "User:a".into(),
            host: "*".into(),
            operation: AclOperation::One(Operation::Read),
            permission: PermissionType::Allow,
        }
    }

    #[test]
    fn each_field_selects_by_itself() {
        let acl = acl(PatternType::Literal, "t");
        assert!(ANYTHING.matches(&acl));
        let with = |change: fn(&mut AclFilter<'static>)| {
            let mut filter = ANYTHING;
            change(&mut filter);
            filter.matches(&acl)
        };
        assert!(with(
            |it| it.resource_type = Wanted::One(ResourceType::Topic)
        ));
        assert!(!with(
            |it| it.resource_type = Wanted::One(ResourceType::Group)
        ));
        assert!(!with(|it| it.resource_type = Wanted::Unknown));
        assert!(!with(|it| it.pattern_type = PatternFilter::Unknown));
        assert!(with(|it| it.principal = Some("User:a")));
        assert!(!with(|it| it.principal = Some("User:*")));
        assert!(with(|it| it.host = Some("*")));
        assert!(!with(|it| it.host = Some("10.0.0.1")));
        assert!(!with(|it| it.operation = Wanted::One(AclOperation::All)));
        assert!(!with(|it| it.permission = Wanted::One(PermissionType::Deny)));
    }

    #[test]
    fn patterns_are_selected_by_name_or_by_what_they_match() {
        let patterns = [
            acl(PatternType::Literal, "orders"),
            acl(PatternType::Literal, "*"),
            acl(PatternType::Prefixed, "ord"),
            acl(PatternType::Prefixed, "orders"),
            acl(PatternType::Literal, "other"),
        ];
        let selected = |pattern_type, name| -> Vec<usize> {
            let filter = AclFilter {
                pattern_type,
                resource_name: name,
                ..ANYTHING
            };
            (0..patterns.len())
                .filter(|at| filter.matches(&patterns[*at]))
                .collect()
        };
        let literal = PatternFilter::One(PatternType::Literal);
        let prefixed = PatternFilter::One(PatternType::Prefixed);
        assert_eq!(selected(literal, Some("orders")), [0]);
        assert_eq!(selected(prefixed, Some("orders")), [3]);
        assert_eq!(selected(prefixed, None), [2, 3]);
        assert_eq!(selected(PatternFilter::Any, Some("orders")), [0, 3]);
        assert_eq!(selected(PatternFilter::Match, Some("orders")), [0, 1, 2, 3]);
        assert_eq!(selected(PatternFilter::Match, Some("*")), [1]);
        assert_eq!(selected(PatternFilter::Match, None), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_filter_that_names_every_field_selects_one_acl() {
        let acl = acl(PatternType::Prefixed, "orders");
        let mut filter = AclFilter {
            resource_type: Wanted::One(acl.resource_type),
            pattern_type: PatternFilter::One(acl.pattern_type),
            resource_name: Some(&acl.resource_name),
            principal: Some(&acl.principal),
            host: Some(&acl.host),
            operation: Wanted::One(acl.operation),
            permission: Wanted::One(acl.permission),
        };
        assert_eq!(filter.only_acl().as_ref(), Some(&acl));
        filter.pattern_type = PatternFilter::Match;
        assert_eq!(filter.only_acl(), None);
    }

    #[test]
    fn codes_are_kafkas() {
        let patterns = [0, 1, 2, 3, 4, 5].map(PatternFilter::from_code);
        assert_eq!(
            patterns,
            [
                PatternFilter::Unknown,
                PatternFilter::Any,
                PatternFilter::Match,
                PatternFilter::One(PatternType::Literal),
                PatternFilter::One(PatternType::Prefixed),
                PatternFilter::Unknown,
            ]
        );
        for code in 0..=4 {
            assert_eq!(PatternFilter::from_code(code).code(), code);
        }
        let operation = |code| Wanted::from_code(code, AclOperation::from_code);
        for code in 0..=15 {
            assert_eq!(operation(code).code(|one| one.code()), code);
        }
        assert_eq!(operation(0), Wanted::Unknown);
        assert_eq!(operation(1), Wanted::Any);
        assert_eq!(operation(2), Wanted::One(AclOperation::All));
        assert_eq!(operation(99), Wanted::Unknown);
    }
}
