//! Which of the APIs and versions that a server advertises the scripts lack. Pure.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::script::{Script, Sequence, Step};

/// The sequences that every API has, which say nothing about how a version is answered.
const GENERAL: [&str; 2] = ["bytes", "versions"];

/// Returns what is advertised and has no case: `api_versions` is a normalised response of
/// ApiVersions, and `names` the APIs by key.
///
/// # Errors
/// When the response is not one of ApiVersions.
pub fn missing(
    api_versions: &Value,
    names: &BTreeMap<i64, String>,
    scripts: &[Script],
) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for (key, api) in api_versions["ApiKeys"].as_object().context("no ApiKeys")? {
        let number = |field: &str| api[field].as_i64().with_context(|| field.to_owned());
        let (min, max) = (number("MinVersion")?, number("MaxVersion")?);
        let key: i64 = key.parse()?;
        let name = names.get(&key);
        let script = scripts
            .iter()
            .find(|script| Some(script.api) == name.map(String::as_str));
        let Some(script) = script else {
            missing.push(format!("the API with the key {key} has no script"));
            continue;
        };
        for version in min..=max {
            if !script.sequences.iter().any(|it| covers(it, version)) {
                missing.push(format!(
                    "{} v{version} has no case in its script",
                    script.api
                ));
            }
        }
    }
    Ok(missing)
}

fn covers(sequence: &Sequence, version: i64) -> bool {
    let is_case = |step: &Step| matches!(step, Step::Case { .. });
    i64::from(sequence.version) == version
        && !GENERAL.contains(&sequence.name)
        && sequence.steps.iter().any(is_case)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::script::{around, call, case, each};
    use super::*;

    #[test]
    fn an_api_and_a_version_without_cases_are_missing() {
        let request = json!({});
        let mut sequences = each("s", 0..=1, &[], |_| vec![case("c", json!({}))]);
        sequences.extend(each("s", 2..=2, &[], |_| vec![call("Other", 0, json!({}))]));
        sequences.extend(around(0..=2, &request));
        let scripts = [Script {
            api: "Api",
            unordered: &[],
            sequences,
        }];
        let advertised = json!({"ApiKeys": {
            "7": {"MinVersion": 0, "MaxVersion": 3},
            "8": {"MinVersion": 0, "MaxVersion": 0},
            "9": {"MinVersion": 0, "MaxVersion": 0}}});
        let names = [(7, "Api".to_owned()), (8, "Other".to_owned())].into();
        let expected = [
            "Api v2 has no case in its script",
            "Api v3 has no case in its script",
            "the API with the key 8 has no script",
            "the API with the key 9 has no script",
        ];
        assert_eq!(missing(&advertised, &names, &scripts).unwrap(), expected);
    }
}
