//! JSON files that list partitions: `{"partitions": [{"topic": "t", "partition": 0, …}]}`.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use dohle_admin::PartitionId;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One entry of such a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// An offset, where the file's purpose is offsets.
    pub offset: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Document {
    partitions: Option<Vec<Entry>>,
}

impl Entry {
    /// The partition that it is about.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        PartitionId {
            topic: self.topic.clone(),
            partition: self.partition,
        }
    }
}

/// Reads a JSON file, whose version is 1 where it has one.
///
/// # Errors
/// When it cannot be read, or has another form.
pub fn read_json<T: DeserializeOwned>(path: &str) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    parse_json(&text).with_context(|| path.to_owned())
}

/// Reads the text of such a file.
///
/// # Errors
/// When it has another form.
pub fn parse_json<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    #[derive(Deserialize)]
    struct Versioned {
        version: Option<i32>,
    }
    let invalid = "The input string is not a valid JSON";
    let Versioned { version } = serde_json::from_str(text).context(invalid)?;
    if let Some(version) = version.filter(|version| *version != 1) {
        bail!("Not supported version field value {version}");
    }
    serde_json::from_str(text).context(invalid)
}

/// Returns what occurs more than once, in order.
pub fn duplicates<T: Clone + Ord + ToString>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let twice = all.into_iter().filter(|one| !seen.insert(one.clone()));
    let twice: BTreeSet<T> = twice.collect();
    twice.iter().map(ToString::to_string).collect()
}

/// Reads a list of partitions.
///
/// # Errors
/// When the file cannot be read, has another form, or lists a partition twice; `what` names it.
pub fn read(path: &str, what: &str) -> anyhow::Result<Vec<Entry>> {
    check(read_json(path)?, what).with_context(|| path.to_owned())
}

fn check(document: Document, what: &str) -> anyhow::Result<Vec<Entry>> {
    let partitions = document.partitions;
    let partitions =
        partitions.with_context(|| format!("{what} is missing \"partitions\" field"))?;
    let twice = duplicates(partitions.iter().map(Entry::id)).join(",");
    if !twice.is_empty() {
        bail!("{what} contains duplicate topic partitions: {twice}");
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, what: &str) -> anyhow::Result<Vec<Entry>> {
        check(parse_json(text)?, what)
    }

    #[test]
    fn entries_are_read_and_mistakes_are_told() {
        let text = r#"{"partitions":[{"topic":"t","partition":1,"offset":3}],"version":1}"#;
        let entries = parse(text, "Offset json file").unwrap();
        assert_eq!(entries[0].id().to_string(), "t-1");
        assert_eq!(entries[0].offset, Some(3));
        for (text, part) in [
            ("{", "not a valid JSON"),
            ("{}", "Offset json file is missing \"partitions\" field"),
            (
                r#"{"partitions":[],"version":2}"#,
                "Not supported version field value 2",
            ),
            (
                r#"{"partitions":[{"topic":"t","partition":1},{"topic":"t","partition":1}]}"#,
                "Offset json file contains duplicate topic partitions: t-1",
            ),
            (
                r#"{"partitions":[{"topic":"t"}]}"#,
                "missing field `partition`",
            ),
        ] {
            let error = format!("{:#}", parse(text, "Offset json file").unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
