//! What is added to a configuration and what is taken out of it.

use std::collections::BTreeMap;

use dohle_admin::load_properties;

use crate::options::{Parsed, UsageError, usage};

/// A change of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// New values, by name.
    pub add: BTreeMap<String, String>,
    /// Names that go back to their default.
    pub delete: Vec<String>,
}

impl Change {
    /// Reads `--add-config`, `--add-config-file` and `--delete-config`.
    pub fn new(parsed: &Parsed) -> anyhow::Result<Self> {
        let mut add = BTreeMap::new();
        if let Some(path) = parsed.value("add-config-file")? {
            add.extend(load_properties(path)?);
        }
        if let Some(text) = parsed.value("add-config")? {
            add.extend(pairs(text)?);
        }
        let of_logger = |c: char| c.is_ascii_alphanumeric() || "$._-".contains(c);
        if let Some(name) = add.keys().find(|name| !name.chars().all(of_logger)) {
            let message = format!("Invalid character found for config key: {name}");
            return Err(UsageError(message).into());
        }
        let delete = parsed
            .values("delete-config")
            .flat_map(|text| text.split(','));
        let delete = delete.map(|name| name.trim().to_owned()).collect();
        Ok(Self { add, delete })
    }
}

/// `k1=v1,k2=[v1,v2]`: commas and equals signs in brackets belong to the value.
fn pairs(text: &str) -> Result<Vec<(String, String)>, UsageError> {
    let wrong = "Invalid entity config: all configs to be added must be in the format \"key=val\" \
                 or  \"key=[val1,val2]\" to group values which contain commas.";
    let mut pairs = Vec::new();
    let mut depth = 0_usize;
    let mut part = String::new();
    for letter in text.chars().chain([',']) {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let Some((name, value)) = part.split_once('=') else {
                    return usage(wrong);
                };
                let value = value.replace(['[', ']'], "");
                pairs.push((name.trim().to_owned(), value.trim().to_owned()));
                part.clear();
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    if !part.is_empty() {
        return usage(wrong);
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        pairs(text).unwrap()
    }

    #[test]
    fn brackets_group_values() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("retention.ms", "60000"),
            pair("cleanup.policy", "compact,delete"),
            pair("x", ""),
        ];
        assert_eq!(
            read("retention.ms=60000,cleanup.policy=[compact,delete],x="),
            expected
        );
        let expected = [pair("SCRAM-SHA-256", "iterations=8192,password=a=b")];
        assert_eq!(
            read("SCRAM-SHA-256=[iterations=8192,password=a=b]"),
            expected
        );
        for wrong in ["retention.ms", "a=1,b", "a=[1,2"] {
            assert!(pairs(wrong).is_err(), "{wrong}");
        }
    }
}
