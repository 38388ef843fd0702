//! Versions of APIs that a node serves and the recorded release of Apache Kafka, 4.3.1, does not
//! have. Their answers are recorded from 4.4.0, and stand apart. Pure.

use super::compare::Difference;
use super::script::Script;

/// The folder of these recordings, beside that of 4.3.1.
pub const FOLDER: &str = "kafka-4.4.0";

/// The APIs with the first of these versions.
const FIRST: [(&str, i16); 7] = [
    ("ApiVersions", 5),
    ("DeleteGroups", 3),
    ("StreamsGroupDescribe", 1),
    ("StreamsGroupHeartbeat", 1),
    ("StreamsGroupTopologyDescriptionUpdate", 0),
    ("TxnOffsetCommit", 6),
    ("UnregisterController", 0),
];

/// The properties that 4.4.0 adds.
const PROPERTIES: &str = include_str!("../../../crates/config/src/testdata/kafka-4.4.0.tsv");

/// Returns whether a difference is that a resource has a property that 4.3.1 does not have.
pub fn is_property(difference: &Difference) -> bool {
    let Some((_, name)) = difference.field.split_once(".Configs.") else {
        return false;
    };
    let mut names = PROPERTIES
        .lines()
        .filter_map(|line| line.split('\t').nth(1));
    difference.kafka == "absent" && names.any(|known| known == name)
}

/// Returns whether an API has such versions.
pub fn has(api: &str) -> bool {
    FIRST.iter().any(|(name, _)| *name == api)
}

/// Leaves those sequences of scripts that are recorded from 4.4.0, or from 4.3.1.
pub fn retain(scripts: &mut Vec<Script>, newer: bool) {
    for script in scripts.iter_mut() {
        let first = FIRST.iter().find(|(api, _)| *api == script.api);
        let is_newer = |version: i16| first.is_some_and(|(_, first)| version >= *first);
        script
            .sequences
            .retain(|sequence| is_newer(sequence.version) == newer);
    }
    scripts.retain(|script| !script.sequences.is_empty());
}

#[cfg(test)]
mod tests {
    use super::super::script::each;
    use super::*;

    #[test]
    fn a_property_of_4_4_is_no_difference_where_4_3_has_none() {
        let difference = |field: &str, kafka: &str| Difference {
            api: "DescribeConfigs".to_owned(),
            case: "s/c".to_owned(),
            field: format!("Results[0].Configs.{field}"),
            kafka: kafka.to_owned(),
            ours: "{}".to_owned(),
            version: 1,
        };
        assert!(is_property(&difference("remote.copy.lag.ms", "absent")));
        assert!(!is_property(&difference("remote.copy.lag.ms", "{}")));
        assert!(!is_property(&difference("remote.copy.lag", "absent")));
        assert!(!is_property(&difference("retention.ms", "absent")));
    }

    #[test]
    fn each_version_is_recorded_from_one_release() {
        let all = || {
            ["DeleteGroups", "Fetch"].map(|api| Script {
                api,
                unordered: &[],
                sequences: each("s", 2..=4, &[], |_| Vec::new()),
            })
        };
        let versions = |newer| {
            let mut scripts = Vec::from(all());
            retain(&mut scripts, newer);
            let of = |script: &Script| script.sequences.iter().map(|it| it.version).collect();
            let found = scripts.iter().map(|script| (script.api, of(script)));
            found.collect::<Vec<(_, Vec<_>)>>()
        };
        let older = [("DeleteGroups", vec![2]), ("Fetch", vec![2, 3, 4])];
        assert_eq!(versions(false), older);
        assert_eq!(versions(true), [("DeleteGroups", vec![3, 4])]);
    }
}
