//! A client's properties, put together from a file, from options in the form `key=value`, and from
//! what the tool sets itself.

use std::collections::{BTreeMap, HashMap};

use kacrab::config::Properties as ClientProperties;

use crate::cluster::is_built_in;

/// Properties whose values are Java classes.
const CLASSES: [&str; 6] = [
    "key.serializer",
    "value.serializer",
    "key.deserializer",
    "value.deserializer",
    "interceptor.classes",
    "metric.reporters",
];

/// A client's properties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

/// Reads `key=value`; a key without a value gets an empty one.
#[must_use]
pub fn key_values<'a>(texts: impl IntoIterator<Item = &'a str>) -> Properties {
    let pairs = texts
        .into_iter()
        .map(|text| text.split_once('=').unwrap_or((text, "")));
    Properties(
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    )
}

impl From<HashMap<String, String>> for Properties {
    fn from(map: HashMap<String, String>) -> Self {
        Self(map.into_iter().collect())
    }
}

impl Properties {
    /// Returns the value of a property.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns whether a property is set, to any value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns whether a property is set to `true`.
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    /// Returns whether a consumer leaves out records of transactions that are open or aborted.
    #[must_use]
    pub fn reads_committed(&self) -> bool {
        let level = self.get("isolation.level");
        level.is_some_and(|level| level.trim().eq_ignore_ascii_case("read_committed"))
    }

    /// Sets a property.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Sets a property that is not set yet.
    pub fn set_default(&mut self, name: &str, value: impl Into<String>) {
        self.0
            .entry(name.to_owned())
            .or_insert_with(|| value.into());
    }

    /// Adds other properties, which take precedence.
    pub fn extend(&mut self, over: Self) {
        self.0.extend(over.0);
    }

    /// Disables idempotence when other properties exclude it, unless it is explicitly enabled.
    /// Source: Kafka's `ProducerConfig`.
    pub(super) fn settle_idempotence(&mut self) {
        let number = |name: &str| {
            self.get(name)
                .and_then(|text| text.trim().parse::<i64>().ok())
        };
        let acks = self
            .get("acks")
            .is_none_or(|acks| matches!(acks.trim(), "all" | "-1"));
        let retries = number("retries").is_none_or(|retries| retries > 0);
        let in_flight = number("max.in.flight.requests.per.connection");
        let in_flight = in_flight.is_none_or(|in_flight| in_flight <= 5);
        let fits = acks && retries && in_flight;
        if !fits && !self.has("transactional.id") {
            self.set_default("enable.idempotence", "false");
        }
    }

    /// Returns the properties of a connection, without those of producers and consumers.
    pub(super) fn connection(&self) -> HashMap<String, String> {
        const PREFIXES: [&str; 5] = ["security.", "sasl.", "ssl.", "socket.", "reconnect."];
        const NAMES: [&str; 4] = [
            "client.id",
            "client.dns.lookup",
            "default.api.timeout.ms",
            "connections.max.idle.ms",
        ];
        let of_connections = self.0.iter().filter(|(name, _)| {
            PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name.as_str())
        });
        of_connections
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Returns the properties that the client accepts: all but those whose values are Java classes.
    pub(super) fn without_classes(&self) -> ClientProperties {
        let plain = self
            .0
            .iter()
            .filter(|(name, value)| !CLASSES.contains(&name.as_str()) && !is_built_in(name, value));
        plain
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_may_hold_equal_signs_or_nothing() {
        let properties = key_values(["a=b=c", "d", "e="]);
        assert_eq!(properties.get("a"), Some("b=c"));
        assert_eq!(properties.get("d"), Some(""));
        assert_eq!(properties.get("e"), Some(""));
    }

    #[test]
    fn what_does_not_go_with_idempotence_turns_it_off_unless_it_was_asked_for() {
        let settled = |texts: &[&str]| {
            let mut properties = key_values(texts.iter().copied());
            properties.settle_idempotence();
            properties.get("enable.idempotence").map(str::to_owned)
        };
        assert_eq!(settled(&["acks=-1", "retries=3"]), None);
        assert_eq!(settled(&["acks=1"]).as_deref(), Some("false"));
        assert_eq!(settled(&["retries=0"]).as_deref(), Some("false"));
        let many = "max.in.flight.requests.per.connection=6";
        assert_eq!(settled(&[many]).as_deref(), Some("false"));
        let asked = settled(&["acks=1", "enable.idempotence=true"]);
        assert_eq!(asked.as_deref(), Some("true"));
    }

    #[test]
    fn kafkas_handler_of_tokens_is_built_in_and_other_handlers_are_passed_on() {
        const NAME: &str = "sasl.login.callback.handler.class";
        let passed_on = |class: &str| {
            let properties = key_values([format!("{NAME}={class}").as_str()]);
            properties.without_classes().get(NAME).is_some()
        };
        let package = "org.apache.kafka.common.security.oauthbearer";
        assert!(!passed_on(&format!(
            "{package}.OAuthBearerLoginCallbackHandler"
        )));
        assert!(!passed_on(&format!(
            "{package}.secured.OAuthBearerLoginCallbackHandler"
        )));
        assert!(passed_on("my.Handler"));
    }

    #[test]
    fn only_what_connections_need_goes_to_the_connection() {
        let properties = key_values(["linger.ms=5", "sasl.mechanism=PLAIN", "client.id=me"]);
        let mut names: Vec<String> = properties.connection().into_keys().collect();
        names.sort();
        assert_eq!(names, ["client.id", "sasl.mechanism"]);
    }
}
