//! The variables with which users of the images of Apache, Confluent and Bitnami secure listeners.
//! Pure.
//!
//! - Bitnami: `KAFKA_CLIENT_USERS`, `KAFKA_CLIENT_PASSWORDS`, `KAFKA_INTER_BROKER_USER`,
//!   `KAFKA_CONTROLLER_USER` and their passwords become the JAAS lines of listeners with SASL, and
//!   with SCRAM the first users of a new cluster; `KAFKA_TLS_…` and `KAFKA_CERTIFICATE_PASSWORD`
//!   are about key stores in the folders of that image. A variable `NAME_FILE` names a file that
//!   has the value of `NAME`.
//! - Apache and Confluent: `KAFKA_OPTS` with `-Djava.security.auth.login.config=FILE`.
//!
//! No property that is set is changed. Bitnami's default passwords are not used.

use std::collections::BTreeMap;
use std::io;

use dohle_auth::Secret;
use dohle_auth::jaas::{JaasEntry, LoginModule, jaas_property, parse_file};
use dohle_model::record::SecurityProtocol;
use dohle_model::scram::ScramMechanism;

use super::super::listeners::security_protocol;
use super::super::secret_files::{SecretFile, has_secret_options};
use super::super::source::names_a_file;
use super::super::{ConfigFault, FirstUser, Sources};

/// The folders with Bitnami's key stores: that of the image, and the one that is mounted.
const FOLDERS: [&str; 2] = [
    "/opt/bitnami/kafka/config/certs",
    "/bitnami/kafka/config/certs",
];

/// The option of the JVM that names a JAAS file.
const LOGIN_CONFIG: &str = "-Djava.security.auth.login.config=";

/// The mechanisms that Bitnami's image enables.
const MECHANISMS: &str = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512";

/// Reads a file.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> io::Result<String>;

/// A user with a password.
type User = (String, String);

/// The purpose of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Clients,
    InterBroker,
    Controller,
}

/// The variables, with the values of those that name files.
pub(super) struct Variables<'a> {
    values: BTreeMap<&'a str, String>,
}

impl Sources {
    /// Completes the properties of listeners with TLS and SASL like the scripts of the images.
    ///
    /// # Errors
    /// When a file cannot be read, or the variables contradict each other. No error has a password.
    pub fn complete_security(
        &mut self,
        variables: &[(String, String)],
        read: ReadFile<'_>,
    ) -> Result<(), ConfigFault> {
        let given = variables.iter();
        let passwords = given.filter(|(name, _)| names_a_file(name) && name.contains("PASSWORD"));
        let passwords = passwords.map(|(name, path)| SecretFile::new(name, "the password", path));
        self.secret_files.extend(passwords);
        let variables = Variables::new(variables, read)?;
        self.complete_tls(&variables, read);
        if let Some(path) = variables.login_config() {
            // Bitnami's image makes this file itself, from the variables with users.
            let is_made = variables.have_users() && matches!(read(path), Err(e) if is_absent(&e));
            if !is_made {
                self.complete_from_jaas_file(path, read)?;
            }
        }
        self.complete_users(&variables)
    }

    /// Returns the listeners with a protocol for which `wanted` holds, with their purposes.
    fn listeners_with(&self, wanted: impl Fn(SecurityProtocol) -> bool) -> Vec<(String, Role)> {
        let names = |property: &str| -> Vec<String> {
            self.items(property).map(str::to_uppercase).collect()
        };
        let controllers = names("controller.listener.names");
        let inter_broker = names("inter.broker.listener.name");
        let map: BTreeMap<String, String> = self
            .items("listener.security.protocol.map")
            .filter_map(|item| item.split_once(':'))
            .map(|(name, protocol)| (name.trim().to_uppercase(), protocol.trim().to_owned()))
            .collect();
        let mut found = Vec::new();
        for item in self
            .items("listeners")
            .chain(self.items("advertised.listeners"))
        {
            let Some((name, _)) = item.split_once("://") else {
                continue;
            };
            let name = name.to_uppercase();
            let protocol = map.get(&name).unwrap_or(&name);
            let role = match &name {
                name if controllers.contains(name) => Role::Controller,
                name if inter_broker.contains(name) => Role::InterBroker,
                _ => Role::Clients,
            };
            let is_wanted = security_protocol(protocol).is_some_and(&wanted);
            if is_wanted && !found.contains(&(name.clone(), role)) {
                found.push((name, role));
            }
        }
        found
    }

    /// Sets the properties of Bitnami's key stores, if this is a node of that image with TLS.
    fn complete_tls(&mut self, variables: &Variables<'_>, read: ReadFile<'_>) {
        let listeners = self.listeners_with(SecurityProtocol::is_tls);
        let has_store = ["ssl.keystore.location", "ssl.keystore.key"];
        if listeners.is_empty() || has_store.iter().any(|name| self.has(name)) {
            return;
        }
        let is_pem = variables.get("KAFKA_TLS_TYPE") == Some("PEM");
        // The files of the image's own folder come before those of the mounted one.
        let found = |name: &str| {
            let mut paths = FOLDERS.iter().map(|folder| format!("{folder}/{name}"));
            paths.find_map(|path| match read(&path) {
                Ok(content) => Some((path, content)),
                // A JKS or PKCS#12 store is there, and not a text.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    Some((path, String::new()))
                }
                Err(_) => None,
            })
        };
        let trusted = variables.get("KAFKA_TLS_TRUSTSTORE_FILE");
        if is_pem {
            let (Some((_, key)), Some((_, chain))) =
                (found("kafka.keystore.key"), found("kafka.keystore.pem"))
            else {
                return;
            };
            self.add_missing("ssl.keystore.key", &key);
            self.add_missing("ssl.keystore.certificate.chain", &chain);
            let trusted = trusted.map(|path| read(path).unwrap_or_default());
            let trusted = trusted.or_else(|| found("kafka.truststore.pem").map(|(_, text)| text));
            self.add_missing("ssl.truststore.certificates", &trusted.unwrap_or_default());
        } else {
            let Some((path, _)) = found("kafka.keystore.jks") else {
                return;
            };
            self.add_missing("ssl.keystore.location", &path);
            let trusted = trusted.map(str::to_owned);
            let trusted = trusted.or_else(|| found("kafka.truststore.jks").map(|(path, _)| path));
            self.add_missing("ssl.truststore.location", &trusted.unwrap_or_default());
        }
        for store in ["keystore", "truststore"] {
            let kind = if is_pem { "PEM" } else { "JKS" };
            self.add_missing(&format!("ssl.{store}.type"), kind);
            if let Some(password) = variables
                .get("KAFKA_CERTIFICATE_PASSWORD")
                .filter(|_| !is_pem)
            {
                self.add_missing(&format!("ssl.{store}.password"), password);
            }
        }
        if let Some(password) = variables.get("KAFKA_CERTIFICATE_PASSWORD") {
            self.add_missing("ssl.key.password", password);
        }
        let client_auth = variables.get("KAFKA_TLS_CLIENT_AUTH").unwrap_or("required");
        self.add_missing("ssl.client.auth", client_auth);
        for (name, _) in listeners {
            if let Some(value) = variables.get(&format!("KAFKA_TLS_{name}_CLIENT_AUTH")) {
                let property = format!("listener.name.{}.ssl.client.auth", name.to_lowercase());
                self.add_missing(&property, value);
            }
        }
    }

    /// Sets the JAAS lines of listeners from the sections of a file: `name.KafkaServer`, with the
    /// listener's name in lower case, before `KafkaServer`.
    fn complete_from_jaas_file(
        &mut self,
        path: &str,
        read: ReadFile<'_>,
    ) -> Result<(), ConfigFault> {
        let invalid = |allowed: String| ConfigFault::Invalid {
            name: "KAFKA_OPTS".to_owned(),
            value: format!("{LOGIN_CONFIG}{path}"),
            allowed,
        };
        let text = read(path);
        let text = text.map_err(|error| invalid(format!("a file that can be read ({error})")))?;
        if has_secret_options(&text) {
            let file = SecretFile::new("KAFKA_OPTS", "the secrets", path);
            self.secret_files.push(file);
        }
        let sections = parse_file(&text);
        let sections = sections.map_err(|error| invalid(format!("a JAAS file; {error}")))?;
        let sections: BTreeMap<String, Vec<JaasEntry>> = sections.into_iter().collect();
        for (name, _) in self.listeners_with(SecurityProtocol::is_sasl) {
            let name = name.to_lowercase();
            let own = sections.get(&format!("{name}.KafkaServer"));
            for entry in own
                .or_else(|| sections.get("KafkaServer"))
                .into_iter()
                .flatten()
            {
                for mechanism in mechanisms_of(&entry.module) {
                    let property = format!("listener.name.{name}.{mechanism}.sasl.jaas.config");
                    self.add_missing(&property, &entry.property());
                }
            }
        }
        Ok(())
    }

    /// Sets the JAAS lines of listeners from the users of Bitnami's variables, and collects the
    /// first users of a new cluster.
    fn complete_users(&mut self, variables: &Variables<'_>) -> Result<(), ConfigFault> {
        let clients = variables.clients()?;
        let inter_broker = variables.user("KAFKA_INTER_BROKER")?;
        let controller = variables.user("KAFKA_CONTROLLER")?;
        let listeners = self.listeners_with(SecurityProtocol::is_sasl);
        let is_used = !clients.is_empty() || inter_broker.is_some() || controller.is_some();
        if listeners.is_empty() || !is_used {
            return Ok(());
        }
        self.add_missing("sasl.enabled.mechanisms", MECHANISMS);
        for (name, role) in &listeners {
            let prefix = format!("listener.name.{}", name.to_lowercase());
            let controllers = self
                .properties
                .get("sasl.mechanism.controller.protocol")
                .cloned();
            let enabled = match (role, controllers) {
                (Role::Controller, Some(mechanism)) => {
                    self.add_missing(&format!("{prefix}.sasl.enabled.mechanisms"), &mechanism);
                    vec![mechanism]
                }
                _ => self
                    .items("sasl.enabled.mechanisms")
                    .map(str::to_owned)
                    .collect(),
            };
            let (own, users) = match role {
                Role::Clients => (None, clients.clone()),
                Role::InterBroker => (inter_broker.as_ref(), clients.clone()),
                Role::Controller => (controller.as_ref(), Vec::new()),
            };
            for mechanism in enabled {
                let property = format!("{prefix}.{}.sasl.jaas.config", mechanism.to_lowercase());
                if let Some(line) = jaas_line(&mechanism, own, &users) {
                    self.add_missing(&property, &line);
                }
            }
        }
        self.collect_first_users(&clients, inter_broker.as_ref(), controller.as_ref());
        Ok(())
    }

    fn collect_first_users(
        &mut self,
        clients: &[User],
        inter_broker: Option<&User>,
        controller: Option<&User>,
    ) {
        let mut first = Vec::new();
        let mut add = |mechanism: &str, user: &User| {
            if let Some(mechanism) = ScramMechanism::from_name(mechanism) {
                first.push(FirstUser {
                    name: user.0.clone(),
                    mechanism,
                    password: Secret::new(&user.1),
                });
            }
        };
        for mechanism in self.items("sasl.enabled.mechanisms") {
            for user in clients {
                add(mechanism, user);
            }
        }
        for (property, user) in [
            ("sasl.mechanism.inter.broker.protocol", inter_broker),
            ("sasl.mechanism.controller.protocol", controller),
        ] {
            if let (Some(mechanism), Some(user)) = (self.properties.get(property), user) {
                add(mechanism, user);
            }
        }
        self.first_users = first;
    }
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Returns the JAAS line of a mechanism, with the node's own user and the users that may log in.
fn jaas_line(mechanism: &str, own: Option<&User>, users: &[User]) -> Option<String> {
    let mut options: Vec<(String, &str)> = Vec::new();
    if let Some((name, password)) = own {
        options.push(("username".to_owned(), name));
        options.push(("password".to_owned(), password));
    }
    let module = match mechanism {
        "PLAIN" => {
            for (name, password) in users.iter().chain(own) {
                options.push((format!("user_{name}"), password));
            }
            LoginModule::Plain
        }
        _ => {
            ScramMechanism::from_name(mechanism)?;
            LoginModule::Scram
        }
    };
    let options: Vec<(&str, &str)> = options
        .iter()
        .map(|(name, v)| (name.as_str(), *v))
        .collect();
    Some(jaas_property(module, &options).to_string())
}

/// Returns the mechanisms of a login module, in the form of prefixes of properties.
fn mechanisms_of(module: &str) -> &'static [&'static str] {
    let known = LoginModule::ALL
        .into_iter()
        .find(|known| known.class() == module);
    match known {
        Some(LoginModule::Plain) => &["plain"],
        Some(LoginModule::Scram) => &["scram-sha-256", "scram-sha-512"],
        Some(LoginModule::OAuthBearer) => &["oauthbearer"],
        None => &[],
    }
}

impl<'a> Variables<'a> {
    pub(super) fn new(
        given: &'a [(String, String)],
        read: ReadFile<'_>,
    ) -> Result<Self, ConfigFault> {
        let mut values: BTreeMap<&str, String> = given
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        for (name, path) in given.iter().filter(|(name, _)| names_a_file(name)) {
            let content = read(path).map_err(|error| ConfigFault::Invalid {
                name: name.clone(),
                value: path.clone(),
                allowed: format!("the path of a file that can be read ({error})"),
            })?;
            let name = name.strip_suffix("_FILE").unwrap_or(name);
            values.insert(name, content.trim_end_matches(['\r', '\n']).to_owned());
        }
        Ok(Self { values })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Returns the JAAS file that `KAFKA_OPTS` names.
    fn login_config(&self) -> Option<&str> {
        let mut options = self.get("KAFKA_OPTS")?.split_whitespace();
        let path = options.find_map(|option| option.strip_prefix(LOGIN_CONFIG))?;
        Some(path.trim_matches(['"', '\'']))
    }

    /// Returns whether any of Bitnami's variables names a user.
    fn have_users(&self) -> bool {
        let names = [
            "KAFKA_CLIENT_USERS",
            "KAFKA_INTER_BROKER_USER",
            "KAFKA_CONTROLLER_USER",
        ];
        names.iter().any(|name| self.get(name).is_some())
    }

    /// Returns the users of clients, with their passwords.
    fn clients(&self) -> Result<Vec<User>, ConfigFault> {
        let split = |name: &str| -> Vec<String> {
            let text = self.get(name).unwrap_or_default();
            let parts = text.split([',', ';']).flat_map(str::split_whitespace);
            parts.map(str::to_owned).collect()
        };
        let (users, passwords) = (split("KAFKA_CLIENT_USERS"), split("KAFKA_CLIENT_PASSWORDS"));
        if users.len() != passwords.len() {
            return Err(ConfigFault::Missing {
                name: "KAFKA_CLIENT_PASSWORDS".to_owned(),
                wanted: format!(
                    "one password for each of the {} users in KAFKA_CLIENT_USERS; there are {}",
                    users.len(),
                    passwords.len()
                ),
            });
        }
        Ok(users.into_iter().zip(passwords).collect())
    }

    /// Returns the user of the variables with a prefix, with its password.
    fn user(&self, prefix: &str) -> Result<Option<User>, ConfigFault> {
        let [user, password] = ["USER", "PASSWORD"].map(|part| format!("{prefix}_{part}"));
        match (self.get(&user), self.get(&password)) {
            (Some(name), Some(password)) => Ok(Some((name.to_owned(), password.to_owned()))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(ConfigFault::Missing {
                name: password,
                wanted: format!("the password of the user in {user}"),
            }),
            (None, Some(_)) => Err(ConfigFault::Missing {
                name: user,
                wanted: format!("the user of the password in {password}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
