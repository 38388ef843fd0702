//! Which kinds of cases the recordings have for each version of an API: valid ones, ones at the
//! boundary of a field's values, and invalid ones. Pure.
//!
//! A case is valid when its answer has no error, and invalid when it has one, or none at all. It is
//! at a boundary when a field of its version has an outermost value, and not in all cases: the
//! lowest or highest number of its type, -1, an empty text or list, null, or one name twice in a
//! list. Cases that every API has, with broken bytes and unusual headers, do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::recording::Answer;
use super::run;
use super::schema::{Field, Kind as Type, Message};

/// The sequences that every API has.
const GENERAL: [&str; 3] = ["bytes", "frames", "versions"];

/// A kind of cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Without an error.
    Valid,
    /// At the boundary of a field's values.
    Boundary,
    /// With an error, or without an answer.
    Invalid,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid",
            Self::Boundary => "boundary",
            Self::Invalid => "invalid",
        })
    }
}

const AUTH: &str = "needs an authenticated client";
const OFF: &str = "switched off";

/// Kinds that versions of an API lack, and why. A kind that is not lacking any more is reported.
pub const LACKING: [(&str, RangeInclusive<i16>, Kind, &str); 32] = [
    ("Produce", 0..=2, Kind::Valid, "advertised, and not served"),
    (
        "Produce",
        0..=2,
        Kind::Boundary,
        "advertised, and not served",
    ),
    ("ApiVersions", 0..=2, Kind::Boundary, "no field"),
    ("ApiVersions", 0..=2, Kind::Invalid, "no field"),
    ("ListConfigResources", 0..=0, Kind::Boundary, "no field"),
    ("ListConfigResources", 0..=0, Kind::Invalid, "no field"),
    ("GetTelemetrySubscriptions", 0..=0, Kind::Boundary, "one id"),
    ("DescribeCluster", 0..=0, Kind::Boundary, "one flag"),
    ("DescribeCluster", 0..=0, Kind::Invalid, "one flag"),
    ("ListGroups", 0..=3, Kind::Boundary, "no field"),
    (
        "ListGroups",
        0..=5,
        Kind::Invalid,
        "no error without an authorizer",
    ),
    (
        "DescribeGroups",
        0..=5,
        Kind::Invalid,
        "a group that does not exist is dead",
    ),
    (
        "DescribeLogDirs",
        1..=5,
        Kind::Invalid,
        "what does not exist is left out",
    ),
    (
        "ListPartitionReassignments",
        0..=0,
        Kind::Invalid,
        "what does not exist is left out",
    ),
    ("SaslHandshake", 0..=1, Kind::Valid, AUTH),
    ("SaslAuthenticate", 0..=2, Kind::Valid, AUTH),
    ("CreateDelegationToken", 1..=3, Kind::Valid, AUTH),
    ("RenewDelegationToken", 1..=2, Kind::Valid, AUTH),
    ("RenewDelegationToken", 1..=2, Kind::Boundary, AUTH),
    ("ExpireDelegationToken", 1..=2, Kind::Valid, AUTH),
    ("ExpireDelegationToken", 1..=2, Kind::Boundary, AUTH),
    ("DescribeDelegationToken", 1..=3, Kind::Valid, AUTH),
    ("ShareGroupHeartbeat", 1..=1, Kind::Valid, OFF),
    ("ShareFetch", 1..=2, Kind::Valid, OFF),
    ("ShareAcknowledge", 1..=2, Kind::Valid, OFF),
    ("AlterShareGroupOffsets", 0..=0, Kind::Valid, OFF),
    ("DeleteShareGroupOffsets", 0..=0, Kind::Valid, OFF),
    ("StreamsGroupHeartbeat", 0..=1, Kind::Valid, OFF),
    (
        "StreamsGroupTopologyDescriptionUpdate",
        0..=0,
        Kind::Valid,
        OFF,
    ),
    ("AddRaftVoter", 0..=1, Kind::Valid, OFF),
    ("RemoveRaftVoter", 0..=0, Kind::Valid, OFF),
    (
        "UnregisterBroker",
        0..=0,
        Kind::Valid,
        "the one node of the server is needed",
    ),
];

/// Returns the kinds that the recordings of an API lack, by version.
pub fn missing(request: &Message, answers: &[Answer]) -> BTreeSet<(i16, Kind)> {
    let mut versions: BTreeMap<i16, Vec<&Answer>> = BTreeMap::new();
    let own = answers.iter().filter(|answer| !is_general(&answer.case));
    for answer in own {
        versions.entry(answer.version).or_default().push(answer);
    }
    let mut missing = BTreeSet::new();
    for (version, answers) in versions {
        let valid = answers.iter().filter(|answer| {
            answer.response.is_object() && run::errors(&answer.response).is_empty()
        });
        let valid = valid.count();
        if valid == 0 {
            missing.insert((version, Kind::Valid));
        }
        if valid == answers.len() {
            missing.insert((version, Kind::Invalid));
        }
        if !has_boundary(request, version, &answers) {
            missing.insert((version, Kind::Boundary));
        }
    }
    missing
}

fn is_general(case: &str) -> bool {
    let sequence = case.split('/').next();
    sequence.is_some_and(|sequence| GENERAL.contains(&sequence))
}

/// Returns whether a field has an outermost value in some of the cases, and not in all.
fn has_boundary(request: &Message, version: i16, answers: &[&Answer]) -> bool {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for answer in answers {
        let mut walk = Walk {
            request,
            version,
            found: BTreeSet::new(),
        };
        walk.fields("", &request.fields, &answer.request);
        for boundary in walk.found {
            *found.entry(boundary).or_default() += 1;
        }
    }
    found.values().any(|count| *count < answers.len())
}

/// Collects the outermost values of a request.
struct Walk<'a> {
    request: &'a Message,
    version: i16,
    found: BTreeSet<String>,
}

impl Walk<'_> {
    fn fields(&mut self, path: &str, fields: &[Field], value: &Value) {
        let version = self.version;
        for field in fields.iter().filter(|it| it.versions.contains(version)) {
            let value = value.get(&field.name).unwrap_or(&field.default);
            self.value(&format!("{path}.{}", field.name), &field.kind, value);
        }
    }

    fn value(&mut self, path: &str, kind: &Type, value: &Value) {
        match (kind, value) {
            (_, Value::Null) => self.outermost(path, "null"),
            (Type::Int(bytes), Value::Number(number)) => {
                let highest = i64::MAX >> (64 - 8 * bytes);
                let outermost = [-1, highest, -1 - highest];
                if number
                    .as_i64()
                    .is_some_and(|number| outermost.contains(&number))
                {
                    self.outermost(path, &number.to_string());
                }
            }
            (Type::Text, Value::String(text)) if text.is_empty() => self.outermost(path, "empty"),
            (Type::Array(of), Value::Array(items)) => {
                if items.is_empty() {
                    self.outermost(path, "empty");
                }
                let names: BTreeSet<String> = items.iter().map(name).collect();
                if names.len() < items.len() {
                    self.outermost(path, "twice");
                }
                for item in items {
                    self.value(path, of, item);
                }
            }
            (Type::Struct(name), _) => {
                let request = self.request;
                if let Some(fields) = request.structs.get(name) {
                    self.fields(path, fields, value);
                }
            }
            _ => {}
        }
    }

    fn outermost(&mut self, path: &str, what: &str) {
        self.found.insert(format!("{path} {what}"));
    }
}

/// Returns what names an element of a list: a text of it, or all of it.
fn name(item: &Value) -> String {
    let fields = [
        "Name",
        "Topic",
        "GroupId",
        "TransactionalId",
        "ResourceName",
    ];
    let named = fields.iter().find_map(|field| item.get(field)?.as_str());
    named.map_or_else(|| item.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::Schemas;
    use super::super::{folder, newer, recording, session};
    use super::*;

    fn recorded(of: &str, api: &str) -> Vec<Answer> {
        let path = folder().join(of).join(format!("{api}.json"));
        match std::fs::read_to_string(path) {
            Ok(text) => recording::parse(&text).unwrap(),
            Err(_) => Vec::new(),
        }
    }

    #[test]
    fn each_version_has_a_valid_a_boundary_and_an_invalid_case() {
        let schemas = session::schemas().unwrap();
        let mut complaints = Vec::new();
        for script in super::super::scripts::all() {
            let api = script.api;
            let mut answers = recorded("kafka", api);
            answers.extend(recorded(newer::FOLDER, api));
            let mut missing = missing(schemas.request(api).unwrap(), &answers);
            for (_, versions, kind, _) in LACKING.iter().filter(|row| row.0 == api) {
                for version in versions.clone() {
                    if !missing.remove(&(version, *kind)) {
                        complaints.push(format!("{api} v{version} has a case that is {kind}"));
                    }
                }
            }
            let lacks = |(version, kind)| format!("{api} v{version} has no case that is {kind}");
            complaints.extend(missing.into_iter().map(lacks));
        }
        assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    }

    #[test]
    fn a_version_without_a_kind_is_reported() {
        let request = json!({"apiKey": 1, "validVersions": "0-2", "flexibleVersions": "none",
            "fields": [
                {"name": "Limit", "type": "int32", "versions": "1+"},
                {"name": "Names", "type": "[]string", "versions": "0+"}]});
        let schemas = Schemas::parse(&json!({ "ApiRequest": request }).to_string()).unwrap();
        let request = schemas.request("Api").unwrap();
        let answer = |case: &str, version, request: Value, error: i16| Answer {
            case: case.to_owned(),
            version,
            request,
            response: json!({ "ErrorCode": error }),
        };
        let one = || json!({"Limit": 7, "Names": ["a"]});
        let highest = || json!({"Limit": i32::MAX, "Names": ["a"]});
        let answers = [
            answer("s/a", 0, one(), 0),
            answer("s/b", 0, highest(), 3),
            answer("s/a", 1, one(), 0),
            answer("s/b", 1, highest(), 3),
            answer("bytes/a byte follows", 2, one(), 0),
            answer("s/a", 2, highest(), 0),
            answer("s/b", 2, highest(), 0),
        ];
        // Version 0 has no limit, and the limit of version 2 is always the highest one.
        let expected = [(0, Kind::Boundary), (2, Kind::Boundary), (2, Kind::Invalid)];
        assert_eq!(missing(request, &answers), expected.into());
    }
}
