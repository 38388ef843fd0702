//! The patterns that select the clients of a client metrics subscription (KIP-714).

use std::collections::BTreeMap;
use std::fmt;

use regex::{Regex, RegexBuilder};

/// The most memory that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A property of a client that patterns compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientField {
    /// `client_instance_id`.
    InstanceId,
    /// `client_id`.
    ClientId,
    /// `client_software_name`.
    SoftwareName,
    /// `client_software_version`.
    SoftwareVersion,
    /// `client_source_address`.
    SourceAddress,
    /// `client_source_port`.
    SourcePort,
}

impl ClientField {
    /// All fields, with their names in patterns.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("client_instance_id", Self::InstanceId),
        ("client_id", Self::ClientId),
        ("client_software_name", Self::SoftwareName),
        ("client_software_version", Self::SoftwareVersion),
        ("client_source_address", Self::SourceAddress),
        ("client_source_port", Self::SourcePort),
    ];

    fn parse(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names
            .find(|(known, _)| *known == name)
            .map(|(_, field)| *field)
    }
}

/// The value of `match`: patterns that all have to match a client.
#[derive(Debug, Clone, Default)]
pub struct ClientPatterns {
    /// The last pattern of each field counts, as in Kafka.
    patterns: BTreeMap<ClientField, Regex>,
}

impl ClientPatterns {
    /// Parses a comma-separated list of `field=pattern`. A pattern is a regular expression that has
    /// to match the whole value of the field.
    ///
    /// # Errors
    /// The item that is not a pattern, and the reason.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let mut patterns = BTreeMap::new();
        let items = text.split(',').map(str::trim);
        for item in items.filter(|item| !item.is_empty()) {
            let invalid = |reason: String| InvalidPattern {
                item: item.to_owned(),
                reason,
            };
            // Kafka ignores equals signs at the end.
            let pair = item.trim_end_matches('=').split_once('=');
            let Some((name, pattern)) = pair.filter(|(_, pattern)| !pattern.contains('=')) else {
                return Err(invalid("it is not field=pattern".to_owned()));
            };
            let Some(field) = ClientField::parse(name.trim()) else {
                let names = ClientField::NAMES.map(|(name, _)| name).join(", ");
                return Err(invalid(format!("the field is none of {names}")));
            };
            let pattern = RegexBuilder::new(&format!(r"\A(?:{})\z", pattern.trim()))
                .size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_err(|error| invalid(error.to_string()))?;
            patterns.insert(field, pattern);
        }
        Ok(Self { patterns })
    }

    /// Returns whether all patterns match a client whose fields have these values. A field without
    /// a value matches no pattern.
    pub fn matches<'a>(&self, value: impl Fn(ClientField) -> Option<&'a str>) -> bool {
        let mut patterns = self.patterns.iter();
        patterns.all(|(field, pattern)| value(*field).is_some_and(|it| pattern.is_match(it)))
    }
}

/// An item of `match` that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPattern {
    /// The item.
    pub item: String,
    /// Why it is not a pattern.
    pub reason: String,
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item, reason } = self;
        write!(f, "Illegal client matching pattern: {item} ({reason})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client<'a>(field: ClientField) -> Option<&'a str> {
        match field {
            ClientField::InstanceId => Some("AAECAwQFBgcICQoLDA0ODw"),
            ClientField::ClientId => Some("payments-7"),
            ClientField::SoftwareName => Some("apache-kafka-java"),
            ClientField::SoftwareVersion => Some("4.3.1"),
            ClientField::SourceAddress => Some("10.0.0.7"),
            ClientField::SourcePort => None,
        }
    }

    #[track_caller]
    fn check(patterns: &str, expected: bool) {
        let parsed = ClientPatterns::parse(patterns).unwrap();
        assert_eq!(parsed.matches(client), expected, "{patterns}");
    }

    #[test]
    fn all_patterns_match_the_whole_value_of_their_field() {
        check("", true);
        check("client_id=payments-[0-9]+", true);
        check("client_id=payments", false);
        check("client_id=a|payments-7", true);
        check("client_id=a|payments", false);
        check("client_id=payments|a", false);
        check(
            " client_software_name = apache-kafka-java , client_software_version = 4[.].* ",
            true,
        );
        check(
            "client_software_name=apache-kafka-java,client_software_version=3.*",
            false,
        );
        check("client_source_address=10[.]0[.].*", true);
        check("client_instance_id=AAECAwQFBgcICQoLDA0ODw", true);
    }

    #[test]
    fn a_field_without_a_value_matches_no_pattern() {
        check("client_source_port=.*", false);
    }

    #[test]
    fn the_last_pattern_of_a_field_counts() {
        check("client_id=x,client_id=payments-7", true);
        check("client_id=payments-7,client_id=x", false);
    }

    #[test]
    fn what_is_not_a_pattern_is_refused_with_its_reason() {
        for (text, reason) in [
            ("client_id", "it is not field=pattern"),
            ("client_id=", "it is not field=pattern"),
            ("client_id=a=b", "it is not field=pattern"),
            ("=b", "the field is none of"),
            ("user=b", "the field is none of"),
            ("client_id=(", "unclosed group"),
            ("client_id=(.{1000}){1000}", "size limit"),
            ("client_id=a{1000}{100}", "size limit"),
        ] {
            let refused = ClientPatterns::parse(text).unwrap_err().to_string();
            let begins = format!("Illegal client matching pattern: {text} (");
            assert!(refused.starts_with(&begins), "{refused}");
            assert!(refused.contains(reason), "{refused}");
        }
        check("client_id=payments-7==", true);
    }
}
