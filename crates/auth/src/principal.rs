//! Who sends a request.

use std::fmt;
use std::sync::Arc;

/// The authenticated sender of a request, as ACLs and quotas name it (`User:alice`).
///
/// Source: `org.apache.kafka.common.security.auth.KafkaPrincipal`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    name: Arc<str>,
}

impl Principal {
    /// The type of every principal: Kafka's own listeners have no other.
    pub const TYPE: &str = "User";

    /// Returns the principal of a user.
    #[must_use]
    pub fn user(name: &str) -> Self {
        Self { name: name.into() }
    }

    /// Returns the principal of clients on listeners that do not authenticate.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::user("ANONYMOUS")
    }

    /// Returns the name without the type.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Self::TYPE, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_written_as_kafka_writes_it() {
        assert_eq!(Principal::anonymous().to_string(), "User:ANONYMOUS");
        assert_eq!(Principal::user("alice"), Principal::user("alice"));
    }
}
