//! What a server answered to a script, as a file that people read. Pure.
//!
//! Neighbouring versions with the same response stand together. The request is as the script has
//! it: a version without one of its fields leaves the field out.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The width that values are broken at.
const WIDTH: usize = 120;

/// The answer to one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// `sequence/case`.
    pub case: String,
    /// The version.
    pub version: i16,
    /// The request as the script has it.
    pub request: Value,
    /// The response without what varies.
    pub response: Value,
}

/// Returns a recording as text.
pub fn to_text(api: &str, answers: &[Answer]) -> String {
    let mut cases: Vec<&str> = Vec::new();
    for answer in answers {
        if !cases.contains(&answer.case.as_str()) {
            cases.push(&answer.case);
        }
    }
    let mut groups: Vec<(i16, &Answer)> = Vec::new();
    for case in cases {
        let mut of_case: Vec<&Answer> = answers.iter().filter(|it| it.case == case).collect();
        of_case.sort_by_key(|answer| answer.version);
        let start = groups.len();
        for answer in of_case {
            let last = groups[start..].last_mut().filter(|(last, first)| {
                *last + 1 == answer.version
                    && first.request == answer.request
                    && first.response == answer.response
            });
            match last {
                Some((last, _)) => *last = answer.version,
                None => groups.push((answer.version, answer)),
            }
        }
    }
    let mut text = format!("{{\"api\": \"{api}\", \"cases\": [");
    for (index, (last, answer)) in groups.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| groups[before].1);
        let is_same =
            before.is_some_and(|it| it.case == answer.case && it.request == answer.request);
        if is_same {
            text.push(',');
        } else {
            text.push_str(if before.is_some() { "]},\n" } else { "\n" });
            let case = json!(answer.case);
            let request = pretty(&answer.request, 4, 14);
            let _ = write!(
                text,
                "{{\"case\": {case},\n \"request\": {request},\n \"responses\": ["
            );
        }
        let versions = range_text(answer.version, *last);
        let response = pretty(&answer.response, 4, 30);
        let _ = write!(
            text,
            "\n  {{\"versions\": \"{versions}\", \"response\": {response}}}"
        );
    }
    text.push_str("]}\n]}\n");
    text
}

/// Returns the answers in the text of a recording.
pub fn parse(text: &str) -> Result<Vec<Answer>> {
    let recording: Value = serde_json::from_str(text)?;
    let mut answers = Vec::new();
    for case in recording["cases"].as_array().context("no cases")? {
        let name = case["case"].as_str().context("a case without a name")?;
        for group in case["responses"].as_array().context("no responses")? {
            let versions = group["versions"].as_str();
            let versions = versions.with_context(|| format!("versions of {name}"))?;
            let (first, last) = parse_range(versions)?;
            answers.extend((first..=last).map(|version| Answer {
                case: name.to_owned(),
                version,
                request: case["request"].clone(),
                response: group["response"].clone(),
            }));
        }
    }
    Ok(answers)
}

/// Returns a range of versions: `3` or `3-5`; `-1` is one version.
pub fn range_text(first: i16, last: i16) -> String {
    match first == last {
        true => format!("{first}"),
        false => format!("{first}-{last}"),
    }
}

/// Returns the first and the last version of such a range.
pub fn parse_range(text: &str) -> Result<(i16, i16)> {
    let number = |text: &str| {
        text.parse::<i16>()
            .with_context(|| format!("versions {text}"))
    };
    let dash = text.char_indices().skip(1).find(|(_, c)| *c == '-');
    match dash {
        Some((at, _)) => Ok((number(&text[..at])?, number(&text[at + 1..])?)),
        None => Ok((number(text)?, number(text)?)),
    }
}

/// Returns JSON on one line where it fits, else with a line for each element.
fn pretty(value: &Value, indent: usize, used: usize) -> String {
    let line = one_line(value);
    let is_leaf = !matches!(value, Value::Array(_) | Value::Object(_));
    if is_leaf || used + line.chars().count() <= WIDTH {
        return line;
    }
    let space = " ".repeat(indent);
    let items: Vec<String> = match value {
        Value::Array(items) => items
            .iter()
            .map(|item| format!("{space}{}", pretty(item, indent + 2, indent)))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let name = format!("{space}{}: ", json!(name));
                format!("{name}{}", pretty(value, indent + 2, name.len()))
            })
            .collect(),
        _ => Vec::new(),
    };
    let (open, close) = match value {
        Value::Array(_) => ('[', ']'),
        _ => ('{', '}'),
    };
    format!("{open}\n{}{close}", items.join(",\n"))
}

fn one_line(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(one_line).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, it)| format!("{}: {}", json!(name), one_line(it)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_survives_its_file() {
        let answer = |case: &str, version, response| Answer {
            case: case.to_owned(),
            version,
            request: json!({"id": "tx%"}),
            response,
        };
        let long: Value = (0..60).collect();
        let answers = vec![
            answer("a/b", -1, json!("closed")),
            answer("a/b", 0, json!({"ErrorCode": 3})),
            answer("a/b", 1, json!({"ErrorCode": 3})),
            answer("a/c", 7, json!({"List": long, "Other": [{"x": null}]})),
        ];
        let text = to_text("Api", &answers);
        assert!(text.contains(r#""versions": "0-1""#), "{text}");
        assert_eq!(parse(&text).unwrap(), answers);
    }
}
