//! JSON files that list partitions: `{"partitions": [{"topic": "t", "partition": 0, …}]}`.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use dohle_admin::PartitionId;
use serde::Deserialize;

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
    version: Option<i32>,
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

/// Reads such a file.
///
/// # Errors
/// When it cannot be read, has another form, or lists a partition twice; `what` names the file.
pub fn read(path: &str, what: &str) -> anyhow::Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    parse(&text, what).with_context(|| path.to_owned())
}

fn parse(text: &str, what: &str) -> anyhow::Result<Vec<Entry>> {
    let document: Document =
        serde_json::from_str(text).context("The input string is not a valid JSON")?;
    if let Some(version) = document.version.filter(|version| *version != 1) {
        bail!("Not supported version field value {version}");
    }
    let Some(partitions) = document.partitions else {
        bail!("{what} is missing \"partitions\" field");
    };
    let mut seen = BTreeSet::new();
    let twice = partitions
        .iter()
        .map(Entry::id)
        .filter(|id| !seen.insert(id.clone()));
    let twice: BTreeSet<String> = twice.map(|id| id.to_string()).collect();
    if !twice.is_empty() {
        let twice: Vec<String> = twice.into_iter().collect();
        bail!(
            "{what} contains duplicate topic partitions: {}",
            twice.join(",")
        );
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

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
