//! Properties of client metrics subscriptions (KIP-714).
//!
//! Names, types, defaults, ranges, importance and documentation are those of Apache Kafka 4.3 (see
//! NOTICE). Sorted by name.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{Int, List};
use crate::definition::Default::Value;
use crate::definition::Importance::Medium;
use crate::definition::Validator::{Between, ClientPatterns};

#[rustfmt::skip]
pub(super) const TABLE: &[ConfigDef] = &[
    ConfigDef::new("interval.ms", Int, Value("300000"), Medium)
        .check(Between(100, 3_600_000)).honoured()
        .doc("Metrics push interval in milliseconds"),
    ConfigDef::new("match", List, Value(""), Medium)
        .check(ClientPatterns).honoured()
        .doc("Client match criteria"),
    ConfigDef::new("metrics", List, Value(""), Medium)
        .honoured()
        .doc("Telemetry metric name prefix list"),
];
