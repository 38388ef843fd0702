//! Levels of features by name and by release, as in Apache Kafka 4.3.

use anyhow::bail;

/// The feature that gates the metadata's records.
pub const METADATA_VERSION: &str = "metadata.version";

/// `metadata.version` 7 and what follows, by the names of their releases.
const METADATA_VERSIONS: [&str; 25] = [
    "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2",
    "3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0",
    "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0",
    "4.4-IV0",
];
const FIRST: i16 = 7;

/// The newest release that is no preview.
pub const LATEST: &str = "4.3-IV0";

/// Features, with each level and the `metadata.version` from which on it is the default.
const FEATURES: [(&str, &[(i16, i16)]); 6] = [
    ("kraft.version", &[(0, 7), (1, 21)]),
    ("transaction.version", &[(0, 7), (1, 24), (2, 24)]),
    ("group.version", &[(0, 7), (1, 22)]),
    ("eligible.leader.replicas.version", &[(0, 7), (1, 26)]),
    ("share.version", &[(0, 7), (1, 28)]),
    ("streams.version", &[(0, 7), (1, 29)]),
];

/// The one dependency that there is: feature, level, and the `metadata.version` that it needs.
const DEPENDENCY: (&str, i16, i16) = ("eligible.leader.replicas.version", 1, 23);

/// The release of a `metadata.version`.
#[must_use]
pub fn release(level: i16) -> Option<&'static str> {
    let index = usize::try_from(level - FIRST).ok()?;
    METADATA_VERSIONS.get(index).copied()
}

/// The `metadata.version` of a release: `3.9-IV0`, or `3.9` for the last one of it.
///
/// # Errors
/// When there is no such release.
pub fn metadata_version(release: &str) -> anyhow::Result<i16> {
    let mut parts = release.split('.');
    let key = match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) => format!("{major}.{minor}"),
        _ => release.to_owned(),
    };
    let of_release = |known: &&str| **known == key || known.split('-').next() == Some(&key);
    let Some(index) = METADATA_VERSIONS.iter().rposition(of_release) else {
        bail!(
            "Unknown metadata.version '{release}'. Supported metadata.version are: {}",
            METADATA_VERSIONS.join(", ")
        );
    };
    Ok(FIRST + i16::try_from(index)?)
}

/// The levels of a feature in Apache Kafka; `None` when it has no such feature.
#[must_use]
pub fn levels(feature: &str) -> Option<Vec<i16>> {
    let (_, levels) = FEATURES.iter().find(|(name, _)| *name == feature)?;
    Some(levels.iter().map(|(level, _)| *level).collect())
}

/// The features of Apache Kafka in order, `metadata.version` not among them.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = FEATURES.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names
}

/// The levels that a release has by default, `metadata.version` not among them.
pub fn defaults(metadata_version: i16) -> impl Iterator<Item = (&'static str, i16)> {
    FEATURES.iter().map(move |(name, levels)| {
        let fits = levels.iter().filter(|(_, from)| *from <= metadata_version);
        (*name, fits.map(|(level, _)| *level).max().unwrap_or(0))
    })
}

/// A level as people read it.
#[must_use]
pub fn display(feature: &str, level: i16) -> String {
    match release(level) {
        _ if feature != METADATA_VERSION => level.to_string(),
        Some(release) => release.to_owned(),
        None => format!("UNKNOWN {level}"),
    }
}

/// Reads `feature=level`.
///
/// # Errors
/// When it is something else.
pub fn parse(text: &str) -> anyhow::Result<(String, i16)> {
    let Some((name, level)) = text.split_once('=') else {
        bail!("Can't parse feature=level string {text}: equals sign not found.");
    };
    let (name, level) = (name.trim(), level.trim());
    match level.parse() {
        Ok(level) => Ok((name.to_owned(), level)),
        Err(_) => {
            bail!("Can't parse feature=level string {text}: unable to parse {level} as a short.")
        }
    }
}

/// `version-mapping`, as Kafka's tools print it.
///
/// # Errors
/// When there is no such release.
pub fn render_mapping(release: Option<&str>) -> anyhow::Result<String> {
    let release = release.unwrap_or(LATEST);
    let level = metadata_version(release)?;
    let mut text = format!("metadata.version={level} ({release})\n");
    for (name, level) in defaults(level) {
        text += &format!("{name}={level}\n");
    }
    Ok(text)
}

/// `feature-dependencies`, as Kafka's tools print it.
///
/// # Errors
/// When there is no such feature or level.
pub fn render_dependencies<'a>(features: impl Iterator<Item = &'a str>) -> anyhow::Result<String> {
    let mut text = String::new();
    for feature in features {
        let (name, level) = parse(feature)?;
        if name == METADATA_VERSION {
            let Some(release) = release(level) else {
                bail!("Unknown metadata.version {level}");
            };
            text += &format!("{name}={level} ({release}) has no dependencies.\n");
            continue;
        }
        let Some((_, levels)) = FEATURES.iter().find(|(known, _)| *known == name) else {
            bail!("Unknown feature: {name}");
        };
        if !levels.iter().any(|(known, _)| *known == level) {
            bail!("No feature:{name} with feature level {level}");
        }
        let (dependent, at, needs) = DEPENDENCY;
        if name == dependent && level == at {
            let release = release(needs).unwrap_or_default();
            text +=
                &format!("{name}={level} requires:\n    metadata.version={needs} ({release})\n");
        } else {
            text += &format!("{name}={level} has no dependencies.\n");
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn releases_have_levels() {
        for (name, level) in [
            ("3.3-IV3", 7),
            ("3.9-IV0", 21),
            ("4.3-IV0", 30),
            ("3.7", 19),
        ] {
            assert_eq!(metadata_version(name).unwrap(), level, "{name}");
        }
        assert_eq!(release(30), Some(LATEST));
        assert_eq!(display(METADATA_VERSION, 99), "UNKNOWN 99");
        let error = metadata_version("5.0").unwrap_err().to_string();
        assert!(
            error.starts_with("Unknown metadata.version '5.0'."),
            "{error}"
        );
    }

    #[test]
    fn mappings_and_dependencies_are_printed_as_kafka_does() {
        expect![[r#"
            metadata.version=30 (4.3-IV0)
            kraft.version=1
            transaction.version=2
            group.version=1
            eligible.leader.replicas.version=1
            share.version=1
            streams.version=1
        "#]]
        .assert_eq(&render_mapping(None).unwrap());
        let old = render_mapping(Some("3.9-IV0")).unwrap();
        assert!(
            old.ends_with("share.version=0\nstreams.version=0\n"),
            "{old}"
        );
        let features = [
            "transaction.version=2",
            "eligible.leader.replicas.version=1",
        ];
        expect![[r#"
            transaction.version=2 has no dependencies.
            eligible.leader.replicas.version=1 requires:
                metadata.version=23 (4.0-IV1)
        "#]]
        .assert_eq(&render_dependencies(features.into_iter()).unwrap());
        let error = render_dependencies(["x=1"].into_iter())
            .unwrap_err()
            .to_string();
        assert_eq!(error, "Unknown feature: x");
    }
}
