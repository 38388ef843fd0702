//! Names in requests, and values in responses that vary from run to run. Pure.
//!
//! In a request, `%` in a text is the sequence's own suffix, and a text `$name`, `$name+1` or
//! `$name-1` is a value that an earlier response gave. In a response, the suffix becomes `%` again;
//! ids of producers and topics, times, ports and texts of errors become words in angle brackets.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Producer ids from here on are made up by scripts; servers give lower ones.
pub const MADE_UP: i64 = 1_000_000;

/// Milliseconds since 1970 from here on are not those of a script.
const NOW_FROM: i64 = 1_000_000_000_000;

/// Lists that become objects, by this field of their elements, so that an element that is missing
/// does not move all later ones.
const KEYED: [(&str, &str); 4] = [
    ("ApiKeys", "ApiKey"),
    ("Configs", "Name"),
    ("SupportedFeatures", "Name"),
    ("FinalizedFeatures", "Name"),
];

/// The fields of elements of lists that name what a sequence made.
const NAMES: [&str; 5] = [
    "TransactionalId",
    "GroupId",
    "Name",
    "ResourceName",
    "Topic",
];

/// What one run of a sequence knows.
#[derive(Debug)]
pub struct Scope {
    unique: String,
    captured: BTreeMap<String, Value>,
    producers: Vec<i64>,
    topics: BTreeMap<String, String>,
    /// Whether a response is about the metadata log, whose offsets depend on the time.
    is_quorum: bool,
    /// Whether a response gives a client an instance id, which its subscription id depends on.
    is_new_instance: bool,
}

impl Scope {
    /// Returns a scope whose names end with `unique`.
    pub fn new(unique: String) -> Self {
        Self {
            unique,
            captured: BTreeMap::new(),
            producers: Vec::new(),
            topics: BTreeMap::new(),
            is_quorum: false,
            is_new_instance: false,
        }
    }

    /// Keeps a value for later requests.
    pub fn capture(&mut self, name: &str, value: Value) {
        self.captured.insert(name.to_owned(), value);
    }

    /// Keeps the id of a topic of the sequence: requests name it `$id of TOPIC`.
    pub fn topic(&mut self, name: &str, id: &str) {
        self.capture(&format!("id of {name}"), json!(id));
        self.topics.insert(id.to_owned(), name.to_owned());
    }

    /// Returns a request with its names filled in.
    pub fn fill(&self, template: &Value) -> Result<Value> {
        Ok(match template {
            Value::String(text) => match text.strip_prefix('$') {
                Some(name) => self.captured(name)?,
                None => json!(text.replace('%', &self.unique)),
            },
            Value::Array(items) => items
                .iter()
                .map(|item| self.fill(item))
                .collect::<Result<_>>()?,
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.fill(value)?)));
                Value::Object(fields.collect::<Result<Map<_, _>>>()?)
            }
            other => other.clone(),
        })
    }

    fn captured(&self, name: &str) -> Result<Value> {
        let split = name.find(['+', '-']).unwrap_or(name.len());
        let (name, more) = name.split_at(split);
        let value = self.captured.get(name);
        let value = value.with_context(|| format!("no earlier response gave {name}"))?;
        if more.is_empty() {
            return Ok(value.clone());
        }
        let number = value
            .as_i64()
            .with_context(|| format!("{name} is no number"))?;
        let more: i64 = more.trim_start_matches('+').parse()?;
        Ok(json!(number.saturating_add(more)))
    }

    /// Returns a response without what varies. The lists named in `unordered` are sorted.
    pub fn normalise(&mut self, response: &Value, unordered: &[&str]) -> Value {
        let topic = response.pointer("/Topics/0/TopicName");
        self.is_quorum = topic.is_some_and(|name| name == "__cluster_metadata");
        let instance = response.get("ClientInstanceId").and_then(Value::as_str);
        self.is_new_instance = instance.is_some_and(|id| !is_made_up(id));
        self.value("", response, unordered)
    }

    fn value(&mut self, field: &str, value: &Value, unordered: &[&str]) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| (name.clone(), self.value(name, value, unordered)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Value::Array(items) if KEYED.iter().any(|(list, _)| *list == field) => {
                keyed(field, items)
            }
            Value::Array(items) => {
                let items = items.iter().filter(|item| self.is_own(item));
                let items: Vec<&Value> = items.collect();
                let mut items: Vec<Value> = items
                    .into_iter()
                    .map(|item| self.value(field, item, unordered))
                    .collect();
                if unordered.contains(&field) {
                    items.sort_by_key(Value::to_string);
                }
                Value::Array(items)
            }
            Value::Number(number) => match number.as_i64() {
                Some(number) => self.number(field, number),
                None => value.clone(),
            },
            Value::String(text) => self.text(field, text),
            other => other.clone(),
        }
    }

    /// Returns whether an element of a list is not about something of another sequence.
    fn is_own(&self, item: &Value) -> bool {
        let of_script = |name: &str| name.contains(&self.unique) || !is_of_a_sequence(name);
        let names = NAMES.iter().filter_map(|field| item.get(field));
        names.filter_map(Value::as_str).all(of_script)
    }

    fn number(&mut self, field: &str, number: i64) -> Value {
        if field.ends_with("ProducerId") && (0..MADE_UP).contains(&number) {
            let known = self.producers.iter().position(|id| *id == number);
            let index = known.unwrap_or_else(|| {
                self.producers.push(number);
                self.producers.len() - 1
            });
            return json!(format!("<producer {}>", index + 1));
        }
        let is_time = field.contains("Timestamp") || field.ends_with("TimeMs");
        match field {
            "Port" if number > 0 => json!("<port>"),
            // Kafka names any broker.
            "ControllerId" if number > 0 => json!("<node>"),
            "SessionId" if number != 0 => json!("<session>"),
            "SubscriptionId" if self.is_new_instance => json!("<subscription>"),
            "TotalBytes" | "UsableBytes" if number > 0 => json!("<bytes>"),
            "HighWatermark" | "LogEndOffset" | "LeaderEpoch" if self.is_quorum => json!("<offset>"),
            "FinalizedFeaturesEpoch" | "BrokerEpoch" if number > 0 => json!("<offset>"),
            _ if is_time && (NOW_FROM..i64::MAX).contains(&number) => json!("<time>"),
            _ => json!(number),
        }
    }

    fn text(&self, field: &str, text: &str) -> Value {
        if field.ends_with("ErrorMessage") {
            return json!("<text>");
        }
        if field == "LogDir" {
            return json!("<path>");
        }
        if field == "ReplicaDirectoryId" && text.bytes().any(|byte| byte != b'0') {
            return json!("<directory>");
        }
        if matches!(field, "MemberId" | "Leader") && text.len() == 22 {
            return json!("<uuid>");
        }
        let is_id = matches!(field, "TopicId" | "ClientInstanceId");
        if is_id && !self.topics.contains_key(text) && !is_made_up(text) {
            return json!("<id>");
        }
        match self.topics.get(text) {
            Some(topic) => json!(format!("<id of {topic}>")),
            None => json!(without_uuid(&text.replace(&self.unique, "%"))),
        }
    }
}

/// Returns whether an id is one of those that scripts make up.
fn is_made_up(id: &str) -> bool {
    id.as_bytes().windows(2).all(|pair| pair[0] == pair[1]) || id.starts_with("abab")
}

/// Returns the elements of a list as an object, as [`KEYED`] says.
fn keyed(list: &str, items: &[Value]) -> Value {
    let key = KEYED.iter().find(|(field, _)| *field == list);
    let key = key.map_or("", |(_, key)| *key);
    let fields = items.iter().map(|item| {
        let mut item = item.clone();
        let name = item.as_object_mut().and_then(|fields| fields.remove(key));
        let name = name.map_or_else(String::new, |name| match name {
            Value::String(text) => text,
            other => other.to_string(),
        });
        (name, item)
    });
    Value::Object(fields.collect())
}

/// Returns whether a name ends with the suffix of a sequence, as `t.Api-sequence.v07`.
fn is_of_a_sequence(name: &str) -> bool {
    let start = name.len().checked_sub(4);
    start
        .and_then(|start| name.get(start..))
        .is_some_and(|end| end.starts_with(".v"))
}

/// Replaces an id that a server makes up, as those of members of groups: 36 characters with dashes.
fn without_uuid(text: &str) -> String {
    const LENGTH: usize = 36;
    let is_uuid = |part: &[u8]| {
        part.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let found = text.as_bytes().windows(LENGTH).position(is_uuid);
    match found {
        Some(at) => format!("{}<uuid>{}", &text[..at], &text[at + LENGTH..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_use_earlier_responses_and_the_sequences_own_names() {
        let mut scope = Scope::new(".s.v01".to_owned());
        scope.capture("pid", json!(7));
        let filled = scope.fill(&json!({"id": "tx%", "a": "$pid", "b": "$pid+1", "c": "$pid-9"}));
        let expected = json!({"id": "tx.s.v01", "a": 7, "b": 8, "c": -2});
        assert_eq!(filled.unwrap(), expected);
        assert!(scope.fill(&json!("$epoch")).is_err());
    }

    #[test]
    fn responses_lose_what_varies_and_nothing_else() {
        let mut scope = Scope::new(".s.v01".to_owned());
        scope.topic("t", "aa");
        let response = json!([
            {"ProducerId": 4000, "Timestamp": 1_790_000_000_000_i64, "Port": 2004, "TopicId": "aa"},
            {"ProducerId": 2, "Timestamp": 1_000_001, "Port": -1, "TopicId": "bb"},
            {"ProducerId": 4000, "Timestamp": -1, "ErrorMessage": "it is so", "Name": "t.s.v01"},
            {"ProducerId": -1, "ErrorMessage": null, "ErrorCode": 3, "TransactionalId": "o.s.v02"},
            {"ProducerId": -1, "ErrorMessage": null, "ErrorCode": 3},
        ]);
        let expected = json!([
            {"ProducerId": "<producer 1>", "Timestamp": "<time>", "Port": "<port>",
                "TopicId": "<id of t>"},
            {"ProducerId": "<producer 2>", "Timestamp": 1_000_001, "Port": -1, "TopicId": "bb"},
            {"ProducerId": "<producer 1>", "Timestamp": -1, "ErrorMessage": "<text>", "Name": "t%"},
            {"ProducerId": -1, "ErrorMessage": null, "ErrorCode": 3},
        ]);
        assert_eq!(scope.normalise(&response, &[]), expected);
    }
}
