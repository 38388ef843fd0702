//! The `ssl.*` properties as typed values. Pure: no file is opened.

use std::path::PathBuf;

use dohle_auth::{Secret, is_same_secret};
use dohle_config::keys::broker as keys;
use dohle_config::{BrokerKey, ListenerValues};

use crate::error::TlsError;
use crate::suites;

/// The format of a key store or trust store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreType {
    /// A text with certificates and a private key.
    Pem,
    /// A binary file: JKS or PKCS#12, which its first bytes distinguish. Java reads either under
    /// both names, too.
    Binary,
}

/// Where key material is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In the properties themselves, as PEM.
    Inline(Secret),
}

/// A key store or a trust store.
#[derive(Debug, Clone)]
pub struct Source {
    /// The property that has the material or names the file, for messages.
    pub property: String,
    /// The property of the type, for messages.
    pub type_property: String,
    /// The format.
    pub kind: StoreType,
    /// Where it is.
    pub place: Place,
    /// The password of the store.
    pub password: Option<Secret>,
    /// The password of the private key, where it differs from the store's.
    pub key_password: Option<Secret>,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        let same =
            |a: &Secret, b: &Secret| is_same_secret(a.expose().as_bytes(), b.expose().as_bytes());
        let same_password = |a: &Option<Secret>, b: &Option<Secret>| match (a, b) {
            (Some(a), Some(b)) => same(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        let same_place = match (&self.place, &other.place) {
            (Place::File(a), Place::File(b)) => a == b,
            (Place::Inline(a), Place::Inline(b)) => same(a, b),
            _ => false,
        };
        same_place
            && self.kind == other.kind
            && same_password(&self.password, &other.password)
            && same_password(&self.key_password, &other.key_password)
    }
}

impl Eq for Source {}

/// Whether a listener asks its clients for a certificate (`ssl.client.auth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// It does not.
    None,
    /// It does, and serves clients without one, too.
    Requested,
    /// It does, and refuses clients without one.
    Required,
}

/// The TLS properties of a listener, or of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The own certificates and private key.
    pub keystore: Option<Source>,
    /// The certificates that vouch for peers.
    pub truststore: Option<Source>,
    /// `ssl.client.auth`.
    pub client_auth: ClientAuth,
    /// `ssl.enabled.protocols`: names of versions that are supported.
    pub protocols: Vec<String>,
    /// `ssl.cipher.suites`: names of suites that are supported; empty for all of them.
    pub cipher_suites: Vec<String>,
    /// Whether a server's certificate must be for the host that was connected to
    /// (`ssl.endpoint.identification.algorithm`).
    pub verifies_host_name: bool,
    /// `ssl.principal.mapping.rules`.
    pub principal_mapping_rules: String,
    /// `ssl.allow.dn.changes`: whether a new certificate may have another subject.
    pub allows_dn_changes: bool,
    /// `ssl.allow.san.changes`: whether a new certificate may lack alternative names of the old
    /// one.
    pub allows_san_changes: bool,
}

/// Properties that load Java classes, which are refused.
const CLASSES: &[&str] = &[
    "ssl.engine.factory.class",
    "ssl.provider",
    "security.providers",
];

impl TlsSettings {
    /// Reads the properties.
    ///
    /// # Errors
    /// Names the first property that cannot be used, with the listener's prefix if it has one.
    pub fn read(values: &ListenerValues<'_>) -> Result<Self, TlsError> {
        for class in CLASSES {
            if let Some((property, value)) = values.refused(class) {
                let value = value.to_owned();
                return Err(TlsError::Class { property, value });
            }
        }
        let invalid = |property: String, value: &str, allowed: String| TlsError::Invalid {
            property,
            value: value.to_owned(),
            allowed,
        };
        let protocol = values.read(&keys::SSL_PROTOCOL);
        if protocol != "TLS" && suites::version(&protocol).is_none() {
            let allowed = format!("TLS, {}", suites::version_names());
            return Err(invalid(
                values.name(&keys::SSL_PROTOCOL),
                &protocol,
                allowed,
            ));
        }
        let protocols = values.read(&keys::SSL_ENABLED_PROTOCOLS);
        let is_unknown = |name: &&String| suites::version(name).is_none();
        if let Some(unknown) = protocols.iter().find(is_unknown) {
            let allowed = format!("a list of any of {}", suites::version_names());
            let property = values.name(&keys::SSL_ENABLED_PROTOCOLS);
            return Err(invalid(property, unknown, allowed));
        }
        if protocols.is_empty() {
            let allowed = format!("a list of any of {}", suites::version_names());
            return Err(invalid(
                values.name(&keys::SSL_ENABLED_PROTOCOLS),
                "",
                allowed,
            ));
        }
        let cipher_suites = values.read(&keys::SSL_CIPHER_SUITES);
        if let Some(unknown) = cipher_suites.iter().find(|name| !suites::is_suite(name)) {
            let allowed = format!("a list of any of {}", suites::suite_names());
            return Err(invalid(
                values.name(&keys::SSL_CIPHER_SUITES),
                unknown,
                allowed,
            ));
        }
        let identification = values.read(&keys::SSL_ENDPOINT_IDENTIFICATION_ALGORITHM);
        if !(identification.is_empty() || identification.eq_ignore_ascii_case("https")) {
            let allowed = "https, or nothing to accept certificates for any host".to_owned();
            let property = values.name(&keys::SSL_ENDPOINT_IDENTIFICATION_ALGORITHM);
            return Err(invalid(property, &identification, allowed));
        }
        Ok(Self {
            keystore: keystore(values)?,
            truststore: truststore(values)?,
            client_auth: match values.read(&keys::SSL_CLIENT_AUTH).as_str() {
                "required" => ClientAuth::Required,
                "requested" => ClientAuth::Requested,
                _ => ClientAuth::None,
            },
            protocols,
            cipher_suites,
            verifies_host_name: !identification.is_empty(),
            principal_mapping_rules: values
                .text(&keys::SSL_PRINCIPAL_MAPPING_RULES)
                .unwrap_or("DEFAULT")
                .to_owned(),
            allows_dn_changes: values.read(&keys::SSL_ALLOW_DN_CHANGES),
            allows_san_changes: values.read(&keys::SSL_ALLOW_SAN_CHANGES),
        })
    }
}

fn store_type(values: &ListenerValues<'_>, key: &BrokerKey<String>) -> Result<StoreType, TlsError> {
    let name = values.read(key);
    match name.to_uppercase().as_str() {
        "PEM" => Ok(StoreType::Pem),
        "JKS" | "PKCS12" => Ok(StoreType::Binary),
        _ => Err(TlsError::Invalid {
            property: values.name(key),
            allowed: format!(
                "PEM, PKCS12 or JKS; convert the store with: keytool -importkeystore -srckeystore \
                 FILE -srcstoretype {name} -destkeystore store.p12 -deststoretype PKCS12"
            ),
            value: name,
        }),
    }
}

fn secret(values: &ListenerValues<'_>, key: &BrokerKey<Option<String>>) -> Option<Secret> {
    values.text_set(key).map(Secret::new)
}

fn keystore(values: &ListenerValues<'_>) -> Result<Option<Source>, TlsError> {
    let chain = values.text_set(&keys::SSL_KEYSTORE_CERTIFICATE_CHAIN);
    let key = values.text_set(&keys::SSL_KEYSTORE_KEY);
    let location = values.text_set(&keys::SSL_KEYSTORE_LOCATION);
    let name = |key: &BrokerKey<Option<String>>| values.name(key);
    let (property, place) = match (location, chain, key) {
        (None, None, None) => return Ok(None),
        (Some(location), None, None) => (
            name(&keys::SSL_KEYSTORE_LOCATION),
            Place::File(PathBuf::from(location)),
        ),
        (None, Some(chain), Some(key)) => (
            name(&keys::SSL_KEYSTORE_KEY),
            Place::Inline(Secret::new(&format!("{chain}\n{key}"))),
        ),
        (Some(_), ..) => {
            return Err(TlsError::Combination(format!(
                "{} is set together with {} or {}; set either the file or the certificates and \
                 the key",
                name(&keys::SSL_KEYSTORE_LOCATION),
                name(&keys::SSL_KEYSTORE_CERTIFICATE_CHAIN),
                name(&keys::SSL_KEYSTORE_KEY),
            )));
        }
        (None, chain, _) => {
            let (set, missing) = match chain {
                Some(_) => (
                    &keys::SSL_KEYSTORE_CERTIFICATE_CHAIN,
                    &keys::SSL_KEYSTORE_KEY,
                ),
                None => (
                    &keys::SSL_KEYSTORE_KEY,
                    &keys::SSL_KEYSTORE_CERTIFICATE_CHAIN,
                ),
            };
            return Err(TlsError::Combination(format!(
                "{} is set and {} is not; set both",
                name(set),
                name(missing)
            )));
        }
    };
    let kind = store_type(values, &keys::SSL_KEYSTORE_TYPE)?;
    let type_property = values.name(&keys::SSL_KEYSTORE_TYPE);
    check_inline(&property, &type_property, kind, &place)?;
    let password = secret(values, &keys::SSL_KEYSTORE_PASSWORD);
    if kind == StoreType::Pem && password.is_some() {
        return Err(TlsError::Combination(format!(
            "{} is set, and {type_property} is PEM, which has no password of a store: set {} for \
             an encrypted key instead",
            name(&keys::SSL_KEYSTORE_PASSWORD),
            name(&keys::SSL_KEY_PASSWORD),
        )));
    }
    if kind == StoreType::Binary && password.is_none() {
        return Err(TlsError::Combination(format!(
            "{property} is set and {} is not; set it to the password of the key store, or \
             {type_property}=PEM if the file is PEM",
            name(&keys::SSL_KEYSTORE_PASSWORD),
        )));
    }
    Ok(Some(Source {
        property,
        type_property,
        kind,
        place,
        password,
        key_password: secret(values, &keys::SSL_KEY_PASSWORD),
    }))
}

fn truststore(values: &ListenerValues<'_>) -> Result<Option<Source>, TlsError> {
    let certificates = values.text_set(&keys::SSL_TRUSTSTORE_CERTIFICATES);
    let location = values.text_set(&keys::SSL_TRUSTSTORE_LOCATION);
    let name = |key: &BrokerKey<Option<String>>| values.name(key);
    let (property, place) = match (location, certificates) {
        (None, None) => return Ok(None),
        (Some(location), None) => (
            name(&keys::SSL_TRUSTSTORE_LOCATION),
            Place::File(PathBuf::from(location)),
        ),
        (None, Some(certificates)) => (
            name(&keys::SSL_TRUSTSTORE_CERTIFICATES),
            Place::Inline(Secret::new(certificates)),
        ),
        (Some(_), Some(_)) => {
            return Err(TlsError::Combination(format!(
                "{} and {} are both set; set one of them",
                name(&keys::SSL_TRUSTSTORE_LOCATION),
                name(&keys::SSL_TRUSTSTORE_CERTIFICATES),
            )));
        }
    };
    let kind = store_type(values, &keys::SSL_TRUSTSTORE_TYPE)?;
    let type_property = values.name(&keys::SSL_TRUSTSTORE_TYPE);
    check_inline(&property, &type_property, kind, &place)?;
    let password = secret(values, &keys::SSL_TRUSTSTORE_PASSWORD);
    if kind == StoreType::Pem && password.is_some() {
        return Err(TlsError::Combination(format!(
            "{} is set, and {type_property} is PEM, which has no password: remove it",
            name(&keys::SSL_TRUSTSTORE_PASSWORD),
        )));
    }
    Ok(Some(Source {
        property,
        type_property,
        kind,
        place,
        password,
        key_password: None,
    }))
}

fn check_inline(
    property: &str,
    type_property: &str,
    kind: StoreType,
    place: &Place,
) -> Result<(), TlsError> {
    match place {
        Place::Inline(_) if kind != StoreType::Pem => Err(TlsError::Combination(format!(
            "{property} is set, and {type_property} is not PEM; set {type_property}=PEM"
        ))),
        _ => Ok(()),
    }
}
