//! Levels of features by name and by release, as in Apache Kafka 4.4.

use anyhow::{Context as _, bail};
pub use dohle_model::features::METADATA_VERSION;
use dohle_model::features::{
    self, KAFKA_LEVELS, LATEST_RELEASE, RELEASES, defaults_of, dependency, release,
};

/// Returns the `metadata.version` of a release: `3.9-IV0`, or `3.9` for the last one of it.
///
/// # Errors
/// When there is no such release.
pub fn metadata_version(release: &str) -> anyhow::Result<i16> {
    features::metadata_version(release).with_context(|| {
        let all = RELEASES.join(", ");
        format!("Unknown metadata.version '{release}'. Supported metadata.version are: {all}")
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
    let cannot = format!("Can't parse feature=level string {text}");
    let pair = text.split_once('=');
    let (name, level) = pair.with_context(|| format!("{cannot}: equals sign not found."))?;
    match level.trim().parse() {
        Ok(number) => Ok((name.trim().to_owned(), number)),
        Err(_) => bail!("{cannot}: unable to parse {} as a short.", level.trim()),
    }
}

/// `version-mapping`, as Kafka's tools print it.
///
/// # Errors
/// When there is no such release.
pub fn render_mapping(release: Option<&str>) -> anyhow::Result<String> {
    let release = release.unwrap_or(LATEST_RELEASE);
    let level = metadata_version(release)?;
    let mut text = format!("metadata.version={level} ({release})\n");
    for (name, level) in defaults_of(level) {
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
        let Some((_, levels)) = KAFKA_LEVELS.iter().find(|(known, _)| *known == name) else {
            bail!("Unknown feature: {name}");
        };
        if !levels.iter().any(|(known, _)| *known == level) {
            bail!("No feature:{name} with feature level {level}");
        }
        text += &match dependency(&name, level) {
            Some((on, needs)) => {
                let needs = format!("{needs} ({})", release(needs).unwrap_or_default());
                format!("{name}={level} requires:\n    {on}={needs}\n")
            }
            None => format!("{name}={level} has no dependencies.\n"),
        };
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
