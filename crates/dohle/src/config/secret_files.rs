//! Which files a node's secrets are read from. Pure.

use std::path::PathBuf;

use dohle_config::{ConfigDef, ListenerProperty, Scope, find};

/// A file with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// The property in the file, or the property or variable that names the file.
    pub setting: String,
    /// What the file contains.
    pub content: &'static str,
    /// The file.
    pub path: PathBuf,
}

impl SecretFile {
    /// Returns the file of this path. `setting` names it, or is a property in it.
    pub(super) fn new(setting: &str, content: &'static str, path: &str) -> Self {
        Self {
            setting: setting.to_owned(),
            content,
            path: path.into(),
        }
    }
}

/// Properties of type PASSWORD that are not secret: certificates as PEM.
const PUBLIC: &[&str] = &[
    "ssl.keystore.certificate.chain",
    "ssl.truststore.certificates",
];
/// What options of JAAS lines with secrets have in their names, in lower case.
const SECRET_OPTIONS: &[&str] = &["password", "secret", "user_"];

/// Returns whether a property has a secret value.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    let of_listener = || ListenerProperty::parse(name).map(|property| property.def);
    let Some(def): Option<&ConfigDef> = find(Scope::Broker, name).or_else(of_listener) else {
        return false;
    };
    match def.name {
        "sasl.jaas.config" => has_secret_options(value),
        name => def.kind.is_sensitive() && !PUBLIC.contains(&name) && !value.trim().is_empty(),
    }
}

/// Returns whether a JAAS line or file has an option with a secret.
pub(super) fn has_secret_options(jaas: &str) -> bool {
    let jaas = jaas.to_lowercase();
    SECRET_OPTIONS.iter().any(|option| jaas.contains(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_passwords_keys_and_jaas_lines_with_either() {
        for (name, value, expected) in [
            ("ssl.keystore.password", "p", true),
            ("ssl.keystore.password", " ", false),
            ("listener.name.out.ssl.key.password", "p", true),
            ("delegation.token.secret.key", "k", true),
            ("ssl.keystore.key", "PEM", true),
            ("ssl.keystore.certificate.chain", "PEM", false),
            (
                "listener.name.out.ssl.truststore.certificates",
                "PEM",
                false,
            ),
            (
                "sasl.jaas.config",
                "M required username=\"u\" password=\"p\";",
                true,
            ),
            (
                "listener.name.out.plain.sasl.jaas.config",
                "M required user_a=\"p\";",
                true,
            ),
            ("sasl.jaas.config", "M required clientSecret=\"p\";", true),
            ("sasl.jaas.config", "M required;", false),
            ("ssl.keystore.location", "/password", false),
            ("my.password", "p", false),
        ] {
            assert_eq!(is_secret(name, value), expected, "{name}={value}");
        }
    }
}
