//! Configuration providers: replaces references such as `${file:/run/secrets/kafka:password}` in
//! values by what the named provider returns (KIP-297, KIP-421, KIP-632, KIP-887).
//!
//! A reference is `${PROVIDER:KEY}` or `${PROVIDER:PATH:KEY}`. `config.providers` lists the names
//! of providers, `config.providers.NAME.class` is the class of one, and
//! `config.providers.NAME.param.…` are its parameters. Values that a provider returns are not
//! searched for further references.
//!
//! Differences from Kafka: a reference that cannot be resolved is an error, where Kafka uses the
//! text of the reference as the value. A class of which Dohle has no implementation is an error.
//!
//! Source: Kafka's `AbstractConfig`, `ConfigTransformer` and `AllowedPaths`.

use std::collections::BTreeMap;

use regex::Regex;

use super::Properties;
use super::keys::broker as keys;
use super::properties;
use super::value::list;

/// The beginning of the names of classes and parameters of providers.
pub const PROVIDERS_PREFIX: &str = "config.providers.";

/// The package of Kafka's providers.
const PACKAGE: &str = "org.apache.kafka.common.config.provider.";

/// What providers read from outside of the process.
pub trait ExternalValues {
    /// Returns the value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;

    /// Returns whether there is a file or directory at this path.
    fn exists(&self, path: &str) -> bool;

    /// Returns whether there is a directory at this path.
    fn is_directory(&self, path: &str) -> bool;

    /// Returns whether there is a regular file at this path.
    fn is_file(&self, path: &str) -> bool;

    /// Reads a file.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// A provider that cannot be used, or a reference that cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// A class that is none of Kafka's providers.
    #[error(
        "{PROVIDERS_PREFIX}{provider}.class is {class:?}, a provider that Dohle does not have; \
         allowed is {PACKAGE}EnvVarConfigProvider, {PACKAGE}FileConfigProvider or \
         {PACKAGE}DirectoryConfigProvider"
    )]
    Class {
        /// The provider's name.
        provider: String,
        /// Its class.
        class: String,
    },
    /// A parameter with a value that is not allowed.
    #[error("{PROVIDERS_PREFIX}{provider}.param.{parameter} is {value:?}; {allowed}")]
    Parameter {
        /// The provider's name.
        provider: String,
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A reference that cannot be resolved.
    #[error(
        "{property} refers to the key {key:?}{} of the provider {provider:?}: {reason}",
        if path.is_empty() { String::new() } else { format!(" in {path}") }
    )]
    Unresolved {
        /// The property whose value has the reference.
        property: String,
        /// The provider's name.
        provider: String,
        /// The path; empty when there is none.
        path: String,
        /// The key.
        key: String,
        /// Why it cannot be resolved, and what to do.
        reason: String,
    },
}

/// A reference in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reference<'a> {
    provider: &'a str,
    path: &'a str,
    key: &'a str,
}

/// A provider with its parameters.
enum Provider {
    Environment { allowlist: Option<Regex> },
    File { allowed: AllowedPaths },
    Directory { allowed: AllowedPaths },
}

/// Replaces the references in the values of properties.
///
/// # Errors
/// All mistakes: each provider that cannot be used, and each reference that cannot be resolved.
pub fn resolve(
    properties: &mut Properties,
    external: &dyn ExternalValues,
) -> Result<(), Vec<ProviderError>> {
    let mut errors = Vec::new();
    let providers = providers(properties, external, &mut errors);
    let mut resolved = Vec::new();
    for (name, value) in properties.iter() {
        // Kafka configures providers from values as they are written.
        if name.starts_with(PROVIDERS_PREFIX) {
            continue;
        }
        let find = |reference: Reference<'_>| {
            let provider = match providers.get(reference.provider) {
                Some(Some(provider)) => provider,
                // The provider itself is reported.
                Some(None) => return Ok(String::new()),
                None => return Err(unknown_provider(properties, reference.provider)),
            };
            provider.get(external, reference)
        };
        if let Some(value) = replaced(name, value, &find, &mut errors) {
            resolved.push((name.clone(), value));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    properties.extend(resolved);
    Ok(())
}

/// Returns whether a text has a reference to a provider.
#[must_use]
pub fn has_reference(value: &str) -> bool {
    next_reference(value).is_some()
}

/// Returns a value with its references replaced; `None` when it has none. Failures are added to
/// `errors`.
fn replaced(
    property: &str,
    value: &str,
    find: &dyn Fn(Reference<'_>) -> Result<String, String>,
    errors: &mut Vec<ProviderError>,
) -> Option<String> {
    let mut text = String::new();
    let mut rest = value;
    let mut is_replaced = false;
    while let Some((before, reference, after)) = next_reference(rest) {
        is_replaced = true;
        text.push_str(before);
        match find(reference) {
            Ok(found) => text.push_str(&found),
            Err(reason) => errors.push(ProviderError::Unresolved {
                property: property.to_owned(),
                provider: reference.provider.to_owned(),
                path: reference.path.to_owned(),
                key: reference.key.to_owned(),
                reason,
            }),
        }
        rest = after;
    }
    text.push_str(rest);
    is_replaced.then_some(text)
}

/// Returns the first reference in a text, and what is before and after it (Kafka's
/// `ConfigTransformer.DEFAULT_PATTERN`).
fn next_reference(text: &str) -> Option<(&str, Reference<'_>, &str)> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find("${")?;
        let end = start + text[start..].find('}')?;
        let Some((provider, rest)) = text[start + 2..end].split_once(':') else {
            from = end + 1;
            continue;
        };
        let (path, key) = rest.split_once(':').unwrap_or(("", rest));
        let reference = Reference {
            provider,
            path,
            key,
        };
        return Some((&text[..start], reference, &text[end + 1..]));
    }
}

/// Returns the providers by name; `None` for one that cannot be used.
fn providers(
    properties: &Properties,
    external: &dyn ExternalValues,
    errors: &mut Vec<ProviderError>,
) -> BTreeMap<String, Option<Provider>> {
    let names = properties.get(keys::CONFIG_PROVIDERS.name());
    let mut providers = BTreeMap::new();
    for name in list(names.map_or("", String::as_str)) {
        let Some(class) = properties.get(&format!("{PROVIDERS_PREFIX}{name}.class")) else {
            continue;
        };
        let provider = Provider::new(name, class.trim(), properties, external);
        let provider = provider.map_err(|error| errors.push(error)).ok();
        providers.insert(name.to_owned(), provider);
    }
    providers
}

/// Explains why there is no provider of this name.
fn unknown_provider(properties: &Properties, name: &str) -> String {
    let names = properties.get(keys::CONFIG_PROVIDERS.name());
    if list(names.map_or("", String::as_str)).any(|listed| listed == name) {
        return format!(
            "{PROVIDERS_PREFIX}{name}.class is not set; set it to the provider's class, for \
             example {PACKAGE}EnvVarConfigProvider"
        );
    }
    format!(
        "config.providers does not list {name:?}; add it, and set {PROVIDERS_PREFIX}{name}.class \
         to the provider's class"
    )
}

impl Provider {
    fn new(
        name: &str,
        class: &str,
        properties: &Properties,
        external: &dyn ExternalValues,
    ) -> Result<Self, ProviderError> {
        let parameter = |parameter: &str| {
            let value = properties.get(&format!("{PROVIDERS_PREFIX}{name}.param.{parameter}"));
            value.map(|value| value.trim())
        };
        let allowed = || AllowedPaths::new(name, parameter("allowed.paths"), external);
        match class.strip_prefix(PACKAGE) {
            Some("EnvVarConfigProvider") => {
                let pattern = parameter("allowlist.pattern");
                let allowlist = pattern.map(|pattern| {
                    Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|error| {
                        ProviderError::Parameter {
                            provider: name.to_owned(),
                            parameter: "allowlist.pattern",
                            value: pattern.to_owned(),
                            allowed: format!("allowed is a regular expression ({error})"),
                        }
                    })
                });
                Ok(Self::Environment {
                    allowlist: allowlist.transpose()?,
                })
            }
            Some("FileConfigProvider") => Ok(Self::File {
                allowed: allowed()?,
            }),
            Some("DirectoryConfigProvider") => Ok(Self::Directory {
                allowed: allowed()?,
            }),
            _ => Err(ProviderError::Class {
                provider: name.to_owned(),
                class: class.to_owned(),
            }),
        }
    }

    /// Returns the value of a reference, or the reason why there is none.
    fn get(
        &self,
        external: &dyn ExternalValues,
        reference: Reference<'_>,
    ) -> Result<String, String> {
        let Reference {
            provider,
            path,
            key,
        } = reference;
        match self {
            Self::Environment { allowlist } => {
                if !path.is_empty() {
                    return Err(format!(
                        "variables have no path; write ${{{provider}:VARIABLE}}"
                    ));
                }
                if allowlist.as_ref().is_some_and(|it| !it.is_match(key)) {
                    return Err(format!(
                        "{PROVIDERS_PREFIX}{provider}.param.allowlist.pattern does not allow it"
                    ));
                }
                let unset = || "there is no such environment variable".to_owned();
                external.variable(key).ok_or_else(unset)
            }
            Self::File { allowed } => {
                let path = allowed.check(provider, path)?;
                let text = external.read(&path)?;
                let mut entries = properties::parse_utf8(&text).map_err(|it| it.to_string())?;
                // The last entry of a key is its value.
                let at = entries.iter().rposition(|(name, _)| name == key);
                let missing = || "the file has no such key".to_owned();
                at.map(|at| entries.swap_remove(at).1).ok_or_else(missing)
            }
            Self::Directory { allowed } => {
                let path = allowed.check(provider, path)?;
                if !external.is_directory(&path) {
                    return Err("the path is not that of a directory".to_owned());
                }
                let is_name = !key.contains('/') && !matches!(key, "" | "." | "..");
                let file = format!("{}/{key}", path.trim_end_matches('/'));
                if !is_name || !external.is_file(&file) {
                    return Err("the directory has no such file".to_owned());
                }
                let content = external.read(&file)?;
                String::from_utf8(content).map_err(|_| "the file is not UTF-8".to_owned())
            }
        }
    }
}

/// The paths that a provider may read; none means all.
struct AllowedPaths(Option<Vec<String>>);

impl AllowedPaths {
    fn new(
        provider: &str,
        value: Option<&str>,
        external: &dyn ExternalValues,
    ) -> Result<Self, ProviderError> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(Self(None));
        };
        let mut allowed = Vec::new();
        for path in list(value) {
            let normal = normalized(path);
            if !normal.starts_with('/') || !external.exists(&normal) {
                return Err(ProviderError::Parameter {
                    provider: provider.to_owned(),
                    parameter: "allowed.paths",
                    value: value.to_owned(),
                    allowed: format!(
                        "allowed is a list of absolute paths that exist, and {path} is not one"
                    ),
                });
            }
            allowed.push(normal);
        }
        Ok(Self(Some(allowed)))
    }

    /// Returns the path to read, or the reason why it must not be read.
    fn check(&self, provider: &str, path: &str) -> Result<String, String> {
        if path.is_empty() {
            return Err(format!(
                "the reference has no path; write ${{{provider}:PATH:KEY}}"
            ));
        }
        let Self(Some(allowed)) = self else {
            return Ok(path.to_owned());
        };
        let path = normalized(path);
        let is_below = |allowed: &String| {
            let rest = path.strip_prefix(allowed.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || allowed == "/")
        };
        if allowed.iter().any(is_below) {
            return Ok(path);
        }
        Err(format!(
            "{PROVIDERS_PREFIX}{provider}.param.allowed.paths does not allow this path"
        ))
    }
}

/// Returns a path without `.`, `..` and empty components, as Java's `Path.normalize`: links are not
/// followed.
fn normalized(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => {
                names.pop();
            }
            ".." if is_absolute => {}
            name => names.push(name),
        }
    }
    let relative = names.join("/");
    if is_absolute {
        format!("/{relative}")
    } else {
        relative
    }
}

#[cfg(test)]
mod tests;
