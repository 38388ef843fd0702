//! The differences between recordings, and the list of those that are intended. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::recording::{Answer, parse_range, range_text};

/// One value that differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The API.
    pub api: String,
    /// `sequence/case`.
    pub case: String,
    /// The field's path in the response.
    pub field: String,
    /// Kafka's value.
    pub kafka: String,
    /// The value of the server that is compared.
    pub ours: String,
    /// The version.
    pub version: i16,
}

/// Returns what differs between a recording of Kafka and another, and the cases that cannot be
/// compared: those that are not recorded as they are sent now, or recorded and not sent any more.
///
/// `sent` has the cases of the script with their versions.
pub fn differences(
    api: &str,
    kafka: &[Answer],
    ours: &[Answer],
    sent: &BTreeSet<(String, i16)>,
) -> (BTreeSet<Difference>, Vec<String>) {
    let key = |answer: &Answer| (answer.case.clone(), answer.version);
    let kafka: BTreeMap<_, _> = kafka.iter().map(|answer| (key(answer), answer)).collect();
    let stale = |case: &str, version: i16, why: &str| {
        format!("{api} v{version} {case}: {why}; `make wire-record` records anew")
    };
    let gone = kafka.keys().filter(|key| !sent.contains(key));
    let mut complaints: Vec<String> = gone
        .map(|(case, version)| stale(case, *version, "no script has this recorded case"))
        .collect();
    let mut found = BTreeSet::new();
    for ours in ours {
        let (case, version) = (&ours.case, ours.version);
        let Some(kafka) = kafka.get(&key(ours)) else {
            complaints.push(stale(case, version, "not recorded"));
            continue;
        };
        if kafka.request != ours.request {
            complaints.push(stale(case, version, "recorded with another request"));
            continue;
        }
        let mut fields = Vec::new();
        diff("", Some(&kafka.response), Some(&ours.response), &mut fields);
        found.extend(fields.into_iter().map(|(field, kafka, ours)| Difference {
            api: api.to_owned(),
            case: case.clone(),
            field,
            kafka,
            ours,
            version,
        }));
    }
    (found, complaints)
}

fn diff(
    path: &str,
    kafka: Option<&Value>,
    ours: Option<&Value>,
    found: &mut Vec<(String, String, String)>,
) {
    if kafka == ours {
        return;
    }
    match (kafka, ours) {
        (Some(Value::Object(kafka)), Some(Value::Object(ours))) => {
            let names: BTreeSet<&String> = kafka.keys().chain(ours.keys()).collect();
            for name in names {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                diff(&path, kafka.get(name), ours.get(name), found);
            }
        }
        (Some(Value::Array(kafka)), Some(Value::Array(ours))) => {
            for index in 0..kafka.len().max(ours.len()) {
                let path = format!("{path}[{index}]");
                diff(&path, kafka.get(index), ours.get(index), found);
            }
        }
        _ => {
            let text = |value: Option<&Value>| match value {
                Some(value) => value.to_string(),
                None => "absent".to_owned(),
            };
            let path = if path.is_empty() { "." } else { path };
            found.push((path.to_owned(), text(kafka), text(ours)));
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(&self.version.to_string()))
    }
}

impl Difference {
    fn line(&self, versions: &str) -> String {
        let Self {
            api,
            case,
            field,
            kafka,
            ours,
            ..
        } = self;
        [api, versions, case, field, kafka, ours].join(" | ")
    }
}

/// Returns differences as lines of the list of intended ones: neighbouring versions in one line.
pub fn lines<'a>(differences: impl IntoIterator<Item = &'a Difference>) -> Vec<String> {
    let mut groups: Vec<(Difference, i16)> = Vec::new();
    for difference in differences {
        let next = Difference {
            version: 0,
            ..difference.clone()
        };
        let last = groups.last_mut().filter(|(first, last)| {
            let same = Difference {
                version: 0,
                ..first.clone()
            };
            same == next && *last + 1 == difference.version
        });
        match last {
            Some((_, last)) => *last = difference.version,
            None => groups.push((difference.clone(), difference.version)),
        }
    }
    groups
        .iter()
        .map(|(first, last)| first.line(&range_text(first.version, *last)))
        .collect()
}

/// Reads the list of intended differences: after a line `reason: …` the lines that it explains.
///
/// # Errors
/// When a line has no reason, or not six columns, or is there twice.
pub fn parse_intended(text: &str) -> Result<BTreeSet<Difference>> {
    let mut found = BTreeSet::new();
    let mut reason = "";
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(given) = line.strip_prefix("reason:") {
            reason = given.trim();
            continue;
        }
        ensure!(
            !reason.is_empty(),
            "an intended difference without a reason: {line}"
        );
        let columns: Vec<&str> = line.splitn(6, " | ").collect();
        let [api, versions, case, field, kafka, ours] = columns[..] else {
            anyhow::bail!("API | versions | case | field | Kafka | Dohle is expected: {line}");
        };
        let (first, last) = parse_range(versions)?;
        for version in first..=last {
            let difference = Difference {
                api: api.to_owned(),
                case: case.to_owned(),
                field: field.to_owned(),
                kafka: kafka.to_owned(),
                ours: ours.to_owned(),
                version,
            };
            ensure!(found.insert(difference), "twice: {line}");
        }
    }
    Ok(found)
}

/// Returns what is wrong, for a person to read: differences that nobody intends, and intended ones
/// that do not occur. Empty when nothing is.
pub fn report(found: &BTreeSet<Difference>, intended: &BTreeSet<Difference>) -> String {
    let section = |title: &str, lines: Vec<String>| match lines.is_empty() {
        true => String::new(),
        false => format!("{title}\n  {}\n", lines.join("\n  ")),
    };
    let new = lines(found.difference(intended));
    let gone = lines(intended.difference(found));
    section(
        "Dohle does not answer as Apache Kafka (API | versions | case | field | Kafka | Dohle):",
        new,
    ) + &section(
        "Intended differences that do not occur; take them from the list:",
        gone,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(version: i16, response: Value) -> Answer {
        Answer {
            case: "s/c".to_owned(),
            version,
            request: json!({}),
            response,
        }
    }

    fn sent() -> BTreeSet<(String, i16)> {
        [0, 1].map(|version| ("s/c".to_owned(), version)).into()
    }

    fn found() -> BTreeSet<Difference> {
        let kafka = |version| answer(version, json!({"A": [{"E": 1}], "B": 2}));
        let ours = |version| answer(version, json!({"A": [{"E": 0}, 5], "B": 2}));
        let (kafka, ours) = ([kafka(0), kafka(1)], [ours(0), ours(1)]);
        let (found, complaints) = differences("Api", &kafka, &ours, &sent());
        assert_eq!(complaints, Vec::<String>::new());
        found
    }

    #[test]
    fn differences_name_the_field_and_both_values() {
        let expected = [
            "Api | 0-1 | s/c | A[0].E | 1 | 0",
            "Api | 0-1 | s/c | A[1] | absent | 5",
        ];
        assert_eq!(lines(&found()), expected);
    }

    #[test]
    fn a_difference_is_intended_in_the_versions_that_are_listed() {
        let list = "reason: so it is\n\
                    Api | 0 | s/c | A[0].E | 1 | 0\n\
                    Api | 0-1 | s/c | A[1] | absent | 5\n\
                    Api | 4 | s/c | A[1] | absent | 5\n";
        let report = report(&found(), &parse_intended(list).unwrap());
        let expected = "Dohle does not answer as Apache Kafka \
                        (API | versions | case | field | Kafka | Dohle):\n  \
                        Api | 1 | s/c | A[0].E | 1 | 0\n\
                        Intended differences that do not occur; take them from the list:\n  \
                        Api | 4 | s/c | A[1] | absent | 5\n";
        assert_eq!(report, expected);
    }

    #[test]
    fn an_intended_difference_has_a_reason() {
        let error = parse_intended("Api | 0 | s/c | A | 1 | 0").unwrap_err();
        assert!(error.to_string().contains("without a reason"), "{error}");
    }

    #[test]
    fn recordings_and_scripts_have_the_same_requests() {
        let mut changed = answer(0, json!({}));
        changed.request = json!({"A": 1});
        let kafka = [answer(0, json!({})), answer(7, json!({}))];
        let ours = [changed, answer(1, json!({}))];
        let (found, complaints) = differences("Api", &kafka, &ours, &sent());
        assert_eq!(found, BTreeSet::new());
        let expected = [
            "Api v7 s/c: no script has this recorded case; `make wire-record` records anew",
            "Api v0 s/c: recorded with another request; `make wire-record` records anew",
            "Api v1 s/c: not recorded; `make wire-record` records anew",
        ];
        assert_eq!(complaints, expected);
    }
}
