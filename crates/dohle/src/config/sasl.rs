//! Reads the SASL properties of listeners. Pure.
//!
//! A property is looked up with the listener's prefix and the mechanism
//! (`listener.name.{listener}.{mechanism}.{property}`), with either alone, and without both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_api::{SaslConfig, SaslListener, TokenKeys};
use dohle_auth::jaas::{JaasConfig, LoginModule};
use dohle_auth::sasl::{EnabledMechanism, Jwks, Mechanism, PlainUsers, TokenRules};
use dohle_config::keys::broker as keys;
use dohle_config::{BrokerValues, ListenerValues};
use dohle_model::record::SecurityProtocol;
use dohle_tls::TlsSettings;
use hyper::Uri;

use super::ConfigFault;

/// Properties that name a class, which no node can load.
const CLASSES: &[&str] = &[
    "sasl.client.callback.handler.class",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
];

/// The handlers of OAUTHBEARER whose behaviour is built in: one checks signatures, and one accepts
/// tokens without.
const TOKEN_HANDLERS: [&str; 2] = [
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
    "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerValidatorCallbackHandler",
];
const UNSECURED_HANDLER: &str = "org.apache.kafka.common.security.oauthbearer.internals.unsecured.\
                                 OAuthBearerUnsecuredValidatorCallbackHandler";

/// The property of the principal builder.
pub(crate) const PRINCIPAL_BUILDER_CLASS: &str = "principal.builder.class";
/// The principal builder whose behaviour is built in.
const PRINCIPAL_BUILDER: &str =
    "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder";

/// A URL that the keys of a listener's tokens are fetched from.
#[derive(Debug, Clone)]
pub struct JwksEndpoint {
    /// The listener.
    pub listener: String,
    /// `sasl.oauthbearer.jwks.endpoint.url`, with http:// or https://.
    pub url: Uri,
    /// `sasl.oauthbearer.jwks.endpoint.refresh.ms`.
    pub refresh: Duration,
    /// `sasl.oauthbearer.jwks.endpoint.retry.backoff.ms`: the wait after the first failure.
    pub backoff: Duration,
    /// `sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms`.
    pub backoff_max: Duration,
    /// The TLS of an `https://` URL.
    pub tls: Option<JwksTls>,
    /// The place for the keys.
    pub keys: Arc<TokenKeys>,
}

/// The TLS with which keys are fetched. As in Kafka, its settings are the `ssl.*` options of the
/// JAAS line for OAUTHBEARER, and never those of the listener, whose authorities vouch for clients
/// and nodes. Without a trust store, the authorities of the system are trusted.
///
/// Source: `org.apache.kafka.common.security.oauthbearer.internals.secured.JaasOptionsUtils`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksTls {
    /// The settings.
    pub settings: TlsSettings,
    /// The property with the JAAS line, for messages.
    pub property: String,
}

impl JwksEndpoint {
    /// Returns whether the keys are fetched with TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

/// Reads the configuration of the listeners with these protocols, and where the keys of their
/// tokens are fetched from.
///
/// # Errors
/// When a listener has no mechanism that is supported, a mechanism has no users, or a class is
/// configured that would have to be loaded.
pub(super) fn read(
    values: &BrokerValues,
    protocols: &BTreeMap<String, SecurityProtocol>,
    read_file: ReadFile<'_>,
) -> Result<(SaslConfig, Vec<JwksEndpoint>), ConfigFault> {
    let mut listeners = BTreeMap::new();
    let mut endpoints = Vec::new();
    for (name, protocol) in protocols {
        refuse_principal_builder(&values.listener(name))?;
        if protocol.is_sasl() {
            let listener = listener(values, name, read_file, &mut endpoints)?;
            listeners.insert(name.clone(), Arc::new(listener));
        }
    }
    let config = SaslConfig {
        listeners,
        failure_delay: values.read(&keys::CONNECTION_FAILED_AUTHENTICATION_DELAY_MS),
    };
    Ok((config, endpoints))
}

fn refuse_principal_builder(values: &ListenerValues<'_>) -> Result<(), ConfigFault> {
    let set = values.refused(PRINCIPAL_BUILDER_CLASS);
    set.map_or(Ok(()), |(name, class)| {
        check_principal_builder(&name, class)
    })
}

/// Checks the value of `principal.builder.class`, which is set under `name`.
///
/// # Errors
/// When it is another class than the one whose behaviour is built in.
pub(crate) fn check_principal_builder(name: &str, class: &str) -> Result<(), ConfigFault> {
    if class == PRINCIPAL_BUILDER {
        return Ok(());
    }
    Err(ConfigFault::Invalid {
        name: name.to_owned(),
        value: class.to_owned(),
        allowed: format!(
            "{PRINCIPAL_BUILDER}, which is built in: the principal is the user of SASL, or the \
             distinguished name of the TLS certificate after ssl.principal.mapping.rules"
        ),
    })
}

fn listener(
    values: &BrokerValues,
    name: &str,
    read_file: ReadFile<'_>,
    endpoints: &mut Vec<JwksEndpoint>,
) -> Result<SaslListener, ConfigFault> {
    let values = values.listener(name);
    let mut mechanisms = Vec::new();
    let mut plain_users = PlainUsers::default();
    let mut tokens = None;
    for mechanism in enabled(&values, name)? {
        let values = values.mechanism(mechanism.name());
        refuse_classes(&values, mechanism)?;
        let jaas = jaas(&values, name, mechanism)?;
        if mechanism == Mechanism::OAuthBearer {
            let rules = token_rules(&values);
            check_verification(&values, &rules)?;
            let keys = match key_source(&values, name, rules.allow_unsecured, read_file)? {
                KeySource::Known(keys) => keys,
                KeySource::Url(mut endpoint) => {
                    if endpoint.url.scheme_str() == Some("https") {
                        endpoint.tls = Some(jwks_tls(&values, name, jaas.as_ref())?);
                    }
                    let keys = Arc::clone(&endpoint.keys);
                    endpoints.push(*endpoint);
                    keys
                }
            };
            tokens = Some((rules, keys));
        }
        if mechanism == Mechanism::Plain {
            plain_users = PlainUsers::new(&jaas.ok_or_else(|| missing_users(name))?);
            if plain_users.is_empty() {
                return Err(missing_users(name));
            }
        }
        let session_max = values.read(&keys::CONNECTIONS_MAX_REAUTH_MS);
        mechanisms.push(EnabledMechanism {
            mechanism,
            session_max: session_max.filter(|max| !max.is_zero()),
        });
    }
    Ok(SaslListener {
        mechanisms: mechanisms.into(),
        plain_users,
        tokens,
        receive_bytes_max: values.read(&keys::SASL_SERVER_MAX_RECEIVE_SIZE),
    })
}

/// Reads a file.
pub(super) type ReadFile<'a> = &'a dyn Fn(&str) -> std::io::Result<Vec<u8>>;

/// Where the keys that tokens are signed with come from.
enum KeySource {
    /// They are known, or there are none.
    Known(Arc<TokenKeys>),
    /// They are fetched.
    Url(Box<JwksEndpoint>),
}

/// Reads what tokens have to be like.
fn token_rules(values: &ListenerValues<'_>) -> TokenRules {
    let handler = values.text_set(&keys::SASL_SERVER_CALLBACK_HANDLER_CLASS);
    TokenRules {
        issuer: values.read(&keys::SASL_OAUTHBEARER_EXPECTED_ISSUER),
        audiences: values.read(&keys::SASL_OAUTHBEARER_EXPECTED_AUDIENCE),
        scope_claim: values.read(&keys::SASL_OAUTHBEARER_SCOPE_CLAIM_NAME),
        sub_claim: values.read(&keys::SASL_OAUTHBEARER_SUB_CLAIM_NAME),
        clock_skew: values.read(&keys::SASL_OAUTHBEARER_CLOCK_SKEW_SECONDS),
        allow_unsecured: handler == Some(UNSECURED_HANDLER),
    }
}

/// Refuses rules that leave a claim unverified although `sasl.oauthbearer.allow.unverified.…` is
/// set to `false`. Apache Kafka 4.4 refuses them also when that property is not set.
fn check_verification(values: &ListenerValues<'_>, rules: &TokenRules) -> Result<(), ConfigFault> {
    let (audience, issuer) = (
        &keys::SASL_OAUTHBEARER_ALLOW_UNVERIFIED_AUDIENCE,
        &keys::SASL_OAUTHBEARER_ALLOW_UNVERIFIED_ISSUER,
    );
    let audiences = keys::SASL_OAUTHBEARER_EXPECTED_AUDIENCE.name();
    let expected_issuer = keys::SASL_OAUTHBEARER_EXPECTED_ISSUER.name();
    for (is_verified, allow, expected) in [
        (!rules.audiences.is_empty(), audience, audiences),
        (rules.issuer.is_some(), issuer, expected_issuer),
    ] {
        let is_forbidden = values.text_set(allow).is_some() && !values.read(allow);
        if is_forbidden && !is_verified && !rules.allow_unsecured {
            return Err(ConfigFault::Missing {
                name: expected.to_owned(),
                wanted: format!("what tokens must name, as {} is false", values.name(allow)),
            });
        }
    }
    Ok(())
}

/// Reads where the keys that tokens are signed with come from, and the keys that are in a file.
fn key_source(
    values: &ListenerValues<'_>,
    listener: &str,
    allow_unsecured: bool,
    read_file: ReadFile<'_>,
) -> Result<KeySource, ConfigFault> {
    let key = &keys::SASL_OAUTHBEARER_JWKS_ENDPOINT_URL;
    let Some(url) = values.text_set(key) else {
        if allow_unsecured {
            return Ok(KeySource::Known(TokenKeys::new(None)));
        }
        return Err(ConfigFault::Missing {
            name: key.name().to_owned(),
            wanted: format!(
                "the URL (https://, http:// or file://) of a JSON Web Key Set with the keys that \
                 tokens are signed with. For development alone, \
                 sasl.server.callback.handler.class={UNSECURED_HANDLER} accepts tokens without a \
                 signature"
            ),
        });
    };
    let invalid = |allowed: String| ConfigFault::Invalid {
        name: values.name(key),
        // A user in a URL may have a password.
        value: match url.contains('@') {
            true => "[hidden]".to_owned(),
            false => url.to_owned(),
        },
        allowed,
    };
    let Some(path) = url.strip_prefix("file://") else {
        let Some(url) = http_url(url) else {
            return Err(invalid(
                "the URL of a JSON Web Key Set: https://, http:// or file://, without a user"
                    .to_owned(),
            ));
        };
        let backoff_max = &keys::SASL_OAUTHBEARER_JWKS_ENDPOINT_RETRY_BACKOFF_MAX_MS;
        return Ok(KeySource::Url(Box::new(JwksEndpoint {
            listener: listener.to_owned(),
            url,
            refresh: values.read(&keys::SASL_OAUTHBEARER_JWKS_ENDPOINT_REFRESH_MS),
            backoff: values.read(&keys::SASL_OAUTHBEARER_JWKS_ENDPOINT_RETRY_BACKOFF_MS),
            backoff_max: values.read(backoff_max),
            tls: None,
            keys: TokenKeys::new(None),
        })));
    };
    let json = read_file(path).map_err(|error| invalid(format!("a file to read ({error})")))?;
    let jwks = Jwks::parse(&json).map_err(|error| {
        invalid(format!(
            "the path of a JSON Web Key Set; of this one, {error}"
        ))
    })?;
    Ok(KeySource::Known(TokenKeys::new(Some(jwks))))
}

/// Reads the TLS with which the keys of a listener's tokens are fetched.
fn jwks_tls(
    values: &ListenerValues<'_>,
    listener: &str,
    jaas: Option<&JaasConfig>,
) -> Result<JwksTls, ConfigFault> {
    let property = match jaas {
        Some(_) => values.name(&keys::SASL_JAAS_CONFIG),
        None => format!(
            "listener.name.{}.oauthbearer.sasl.jaas.config",
            listener.to_lowercase()
        ),
    };
    let options = jaas.iter().flat_map(|jaas| &jaas.options);
    let options = options
        .filter(|(name, _)| name.starts_with("ssl."))
        .map(|(name, value)| (name.clone(), value.expose().to_owned()));
    let options = BrokerValues::fixed(Arc::new(options.collect()));
    let read = TlsSettings::read(&options.listener(listener));
    let settings = read.map_err(|error| ConfigFault::Jaas {
        name: property.clone(),
        listener: listener.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(JwksTls {
        settings: TlsSettings {
            verifies_host_name: true,
            ..settings
        },
        property,
    })
}

/// Returns a URL that can be requested; `None` for another.
fn http_url(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let authority = url.authority()?.as_str();
    (is_http && !authority.contains('@') && url.host().is_some_and(|host| !host.is_empty()))
        .then_some(url)
}

/// Reads the mechanisms of a listener.
pub(super) fn enabled(
    values: &ListenerValues<'_>,
    listener: &str,
) -> Result<Vec<Mechanism>, ConfigFault> {
    let key = &keys::SASL_ENABLED_MECHANISMS;
    let supported = || Mechanism::ALL.map(Mechanism::name).join(", ");
    if values.text_set(key).is_none() {
        return Err(ConfigFault::Missing {
            name: key.name().to_owned(),
            wanted: format!(
                "a list of {} for the listener {listener}: the default of Kafka is GSSAPI \
                 (Kerberos), which is not supported",
                supported()
            ),
        });
    }
    let mut mechanisms = Vec::new();
    for name in values.list(key) {
        let Some(mechanism) = Mechanism::from_name(name) else {
            return Err(ConfigFault::Invalid {
                name: values.name(key),
                value: name.to_owned(),
                allowed: format!("a list of {}", supported()),
            });
        };
        if !mechanisms.contains(&mechanism) {
            mechanisms.push(mechanism);
        }
    }
    Ok(mechanisms)
}

/// Refuses classes that would have to be loaded for a mechanism.
pub(super) fn refuse_classes(
    values: &ListenerValues<'_>,
    mechanism: Mechanism,
) -> Result<(), ConfigFault> {
    let handler = values.refused(keys::SASL_SERVER_CALLBACK_HANDLER_CLASS.name());
    let handler = handler.filter(|(_, class)| {
        let is_built_in = TOKEN_HANDLERS.contains(class) || *class == UNSECURED_HANDLER;
        mechanism != Mechanism::OAuthBearer || !is_built_in
    });
    let mut classes = CLASSES.iter();
    match handler.or_else(|| classes.find_map(|name| values.refused(name))) {
        None => Ok(()),
        Some((name, class)) => Err(ConfigFault::Invalid {
            name,
            value: class.to_owned(),
            allowed: format!(
                "nothing: classes are not loaded; {} are built in, with the users of PLAIN in \
                 sasl.jaas.config, and those of SCRAM created with kafka-configs",
                Mechanism::ALL.map(Mechanism::name).join(", ")
            ),
        }),
    }
}

/// Reads the JAAS line of a mechanism.
pub(super) fn jaas(
    values: &ListenerValues<'_>,
    listener: &str,
    mechanism: Mechanism,
) -> Result<Option<JaasConfig>, ConfigFault> {
    let key = &keys::SASL_JAAS_CONFIG;
    let Some(text) = values.text_set(key) else {
        return Ok(None);
    };
    let invalid = |reason: String| ConfigFault::Jaas {
        name: values.name(key),
        listener: listener.to_owned(),
        reason,
    };
    let config = JaasConfig::parse(text).map_err(|error| invalid(error.to_string()))?;
    let expected = module(mechanism);
    if config.module != expected {
        return Err(invalid(format!(
            "the login module of {mechanism} is {}",
            expected.class()
        )));
    }
    Ok(Some(config))
}

/// Returns the login module of a mechanism.
pub(super) fn module(mechanism: Mechanism) -> LoginModule {
    match mechanism {
        Mechanism::Plain => LoginModule::Plain,
        Mechanism::Scram(_) => LoginModule::Scram,
        Mechanism::OAuthBearer => LoginModule::OAuthBearer,
    }
}

fn missing_users(listener: &str) -> ConfigFault {
    ConfigFault::Missing {
        name: format!(
            "listener.name.{}.plain.sasl.jaas.config",
            listener.to_lowercase()
        ),
        wanted: format!(
            "the users of PLAIN: {} required user_NAME=\"PASSWORD\" …;",
            LoginModule::Plain.class()
        ),
    }
}

#[cfg(test)]
mod tests {
    use dohle_tls::Place;

    use super::*;

    /// A public key, from RFC 7515, appendix A.3.
    const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

    fn config(properties: &[(&str, &str)]) -> Result<SaslConfig, String> {
        read_all(properties).map(|(config, _)| config)
    }

    fn read_all(properties: &[(&str, &str)]) -> Result<(SaslConfig, Vec<JwksEndpoint>), String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let values = BrokerValues::fixed(Arc::new(properties.iter().map(owned).collect()));
        let protocols = [
            ("OPEN".to_owned(), SecurityProtocol::Plaintext),
            ("OUT".to_owned(), SecurityProtocol::SaslPlaintext),
        ];
        let read_file = |path: &str| match path {
            "/jwks.json" => Ok(JWKS.as_bytes().to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        read(&values, &protocols.into(), &read_file).map_err(|fault| fault.to_string())
    }

    fn mechanisms(config: &SaslConfig) -> Vec<&'static str> {
        let enabled = config.listeners["OUT"].mechanisms.iter();
        enabled.map(|it| it.mechanism.name()).collect()
    }

    #[test]
    fn a_listener_has_the_mechanisms_and_users_of_its_properties() {
        let users = format!("{PLAIN} required user_alice=\"secret\";");
        let config = config(&[
            ("sasl.enabled.mechanisms", "PLAIN"),
            (
                "listener.name.out.sasl.enabled.mechanisms",
                "SCRAM-SHA-512,PLAIN,PLAIN",
            ),
            ("listener.name.out.plain.sasl.jaas.config", &users),
            ("listener.name.out.plain.connections.max.reauth.ms", "60000"),
            ("connection.failed.authentication.delay.ms", "7"),
        ])
        .unwrap();
        assert_eq!(mechanisms(&config), ["SCRAM-SHA-512", "PLAIN"]);
        let listener = &config.listeners["OUT"];
        assert!(listener.plain_users.is_password("alice", "secret"));
        assert_eq!(listener.receive_bytes_max, 512 << 10);
        let lifetimes = listener.mechanisms.iter().map(|it| it.session_max);
        let minute = std::time::Duration::from_mins(1);
        assert_eq!(lifetimes.collect::<Vec<_>>(), [None, Some(minute)]);
        assert_eq!(config.failure_delay.as_millis(), 7);
        assert!(!config.listeners.contains_key("OPEN"));
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn a_listener_without_a_supported_mechanism_is_refused() {
        assert_eq!(
            config(&[]).unwrap_err(),
            "sasl.enabled.mechanisms is not set; it must be a list of PLAIN, SCRAM-SHA-256, \
             SCRAM-SHA-512, OAUTHBEARER for the listener OUT: the default of Kafka is GSSAPI \
             (Kerberos), which is not supported"
        );
        assert_eq!(
            config(&[("sasl.enabled.mechanisms", "SCRAM-SHA-256,GSSAPI")]).unwrap_err(),
            "sasl.enabled.mechanisms is \"GSSAPI\"; allowed is a list of PLAIN, SCRAM-SHA-256, \
             SCRAM-SHA-512, OAUTHBEARER"
        );
    }

    #[test]
    fn plain_needs_users_and_scram_does_not() {
        assert!(config(&[("sasl.enabled.mechanisms", "SCRAM-SHA-256")]).is_ok());
        let missing = config(&[("sasl.enabled.mechanisms", "PLAIN")]).unwrap_err();
        assert!(
            missing.starts_with("listener.name.out.plain.sasl.jaas.config is not set"),
            "{missing}"
        );
        let none = format!("{PLAIN} required username=\"x\" password=\"secret\";");
        let missing = config(&[
            ("sasl.enabled.mechanisms", "PLAIN"),
            ("listener.name.out.plain.sasl.jaas.config", &none),
        ]);
        assert!(missing.unwrap_err().contains("user_NAME"));
    }

    #[test]
    fn a_jaas_line_that_is_wrong_is_refused_without_its_secrets() {
        let refused = |line: &str| {
            let error = config(&[
                ("sasl.enabled.mechanisms", "PLAIN"),
                ("listener.name.out.plain.sasl.jaas.config", line),
            ])
            .unwrap_err();
            assert!(!error.contains("swordfish"), "{error}");
            error
        };
        assert_eq!(
            refused(&format!("{PLAIN} required user_alice=\"swordfish\"")),
            "listener.name.out.plain.sasl.jaas.config of the listener OUT: it does not end with a \
             semicolon"
        );
        assert!(
            refused("com.sun.security.auth.module.JndiLoginModule required a=\"swordfish\";")
                .contains("JndiLoginModule is not supported")
        );
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
        assert_eq!(
            refused(&format!("{scram} required user_alice=\"swordfish\";")),
            format!(
                "listener.name.out.plain.sasl.jaas.config of the listener OUT: the login module of \
                 PLAIN is {PLAIN}"
            )
        );
    }

    #[test]
    fn tokens_need_keys_unless_tokens_without_a_signature_are_asked_for() {
        let with = |pairs: &[(&str, &str)]| {
            let mut all = vec![("sasl.enabled.mechanisms", "OAUTHBEARER")];
            all.extend(pairs);
            config(&all)
        };
        let missing = with(&[]).unwrap_err();
        assert!(
            missing.starts_with("sasl.oauthbearer.jwks.endpoint.url is not set"),
            "{missing}"
        );
        let url = "sasl.oauthbearer.jwks.endpoint.url";
        let keys = with(&[
            (url, "file:///jwks.json"),
            ("sasl.oauthbearer.expected.audience", "a,b"),
            (
                "listener.name.out.oauthbearer.sasl.oauthbearer.expected.issuer",
                "joe",
            ),
        ])
        .unwrap();
        let (rules, jwks) = keys.listeners["OUT"].tokens.as_ref().unwrap();
        assert!(jwks.get().is_some() && !rules.allow_unsecured);
        assert_eq!(rules.audiences, ["a", "b"]);
        assert_eq!(rules.issuer.as_deref(), Some("joe"));
        assert_eq!(rules.clock_skew.as_secs(), 30);
        for wrong in [
            "ftp://example.com/jwks",
            "https://",
            "file:///missing",
            "/jwks.json",
        ] {
            let error = with(&[(url, wrong)]).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
        let error = with(&[(url, "https://alice:secret@example.com/jwks")]).unwrap_err();
        assert!(
            !error.contains("secret") && error.contains("without a user"),
            "{error}"
        );
        let handler = "listener.name.out.oauthbearer.sasl.server.callback.handler.class";
        let unsecured = with(&[(handler, UNSECURED_HANDLER)]).unwrap();
        let (rules, jwks) = unsecured.listeners["OUT"].tokens.as_ref().unwrap();
        assert!(jwks.get().is_none() && rules.allow_unsecured);
        let secured = [(handler, TOKEN_HANDLERS[0]), (url, "file:///jwks.json")];
        assert!(with(&secured).is_ok());
        assert!(with(&[(handler, "com.example.Handler")]).is_err());
    }

    #[test]
    fn claims_are_left_unverified_unless_that_is_forbidden() {
        let with = |pairs: &[(&str, &str)]| {
            let mut all = vec![
                ("sasl.enabled.mechanisms", "OAUTHBEARER"),
                ("sasl.oauthbearer.jwks.endpoint.url", "file:///jwks.json"),
            ];
            all.extend(pairs);
            config(&all).map(drop)
        };
        let audience = "sasl.oauthbearer.allow.unverified.audience";
        let issuer = "listener.name.out.oauthbearer.sasl.oauthbearer.allow.unverified.issuer";
        assert_eq!(with(&[]), Ok(()));
        assert_eq!(with(&[(audience, "true"), (issuer, "true")]), Ok(()));
        assert_eq!(
            with(&[(audience, "false")]).unwrap_err(),
            "sasl.oauthbearer.expected.audience is not set; it must be what tokens must name, as \
             sasl.oauthbearer.allow.unverified.audience is false"
        );
        let refused = with(&[(issuer, "FALSE")]).unwrap_err();
        assert!(
            refused.starts_with("sasl.oauthbearer.expected.issuer is not set")
                && refused.contains(issuer),
            "{refused}"
        );
        let expected = ("sasl.oauthbearer.expected.audience", "dohle");
        assert_eq!(with(&[(audience, "false"), expected]), Ok(()));
    }

    #[test]
    fn the_server_of_keys_is_trusted_by_the_options_of_the_jaas_line_alone() {
        let with = |options: &str| {
            let module = LoginModule::OAuthBearer.class();
            let line = format!("{module} required {options};");
            read_all(&[
                ("sasl.enabled.mechanisms", "OAUTHBEARER"),
                (
                    "sasl.oauthbearer.jwks.endpoint.url",
                    "https://idp.example.com/",
                ),
                ("listener.name.out.oauthbearer.sasl.jaas.config", &line),
                ("ssl.truststore.type", "PEM"),
                ("ssl.truststore.location", "/clients.pem"),
            ])
        };
        let tls = |options: &str| with(options).unwrap().1[0].tls.clone().unwrap();
        let property = "listener.name.out.oauthbearer.sasl.jaas.config";
        assert_eq!(tls("").settings.truststore, None);
        let own = tls(
            "ssl.truststore.type=PEM ssl.truststore.location=\"/idp.pem\" \
                       ssl.endpoint.identification.algorithm=\"\"",
        );
        let place = own.settings.truststore.map(|it| it.place);
        assert!(
            matches!(&place, Some(Place::File(path)) if path.ends_with("idp.pem")),
            "{place:?}"
        );
        assert!(own.settings.verifies_host_name);
        assert_eq!(own.property, property);
        let wrong = with("ssl.enabled.protocols=SSLv3").unwrap_err();
        assert!(
            wrong.contains(property) && wrong.contains("ssl.enabled.protocols"),
            "{wrong}"
        );
    }

    #[test]
    fn keys_at_a_url_are_fetched_for_each_listener() {
        let refresh = "listener.name.out.oauthbearer.sasl.oauthbearer.jwks.endpoint.refresh.ms";
        let url = "https://idp.example.com:8443/jwks?tenant=1";
        let (config, endpoints) = read_all(&[
            ("sasl.enabled.mechanisms", "OAUTHBEARER"),
            ("sasl.oauthbearer.jwks.endpoint.url", url),
            (refresh, "60000"),
        ])
        .unwrap();
        let [endpoint] = &endpoints[..] else {
            panic!("{endpoints:?}")
        };
        assert_eq!((&*endpoint.listener, endpoint.is_tls()), ("OUT", true));
        let tls = endpoint.tls.as_ref().unwrap();
        assert_eq!(tls.settings.truststore, None);
        assert_eq!(endpoint.url.to_string(), url);
        assert_eq!(endpoint.refresh, Duration::from_mins(1));
        assert_eq!(endpoint.backoff, Duration::from_millis(100));
        assert_eq!(endpoint.backoff_max, Duration::from_secs(10));
        let (_, keys) = config.listeners["OUT"].tokens.as_ref().unwrap();
        assert!(Arc::ptr_eq(keys, &endpoint.keys) && keys.get().is_none());
    }

    #[test]
    fn classes_are_refused_by_name() {
        let handler = "listener.name.out.scram-sha-256.sasl.server.callback.handler.class";
        let refused = config(&[
            ("sasl.enabled.mechanisms", "SCRAM-SHA-256"),
            (handler, "com.example.Handler"),
        ])
        .unwrap_err();
        let start = format!("{handler} is \"com.example.Handler\"; allowed is nothing");
        assert!(refused.starts_with(&start), "{refused}");
        let builder = config(&[
            ("sasl.enabled.mechanisms", "SCRAM-SHA-256"),
            ("principal.builder.class", "com.example.Builder"),
        ])
        .unwrap_err();
        let start = "principal.builder.class is \"com.example.Builder\"; allowed is org.apache";
        assert!(builder.starts_with(start), "{builder}");
        assert!(
            config(&[
                ("sasl.enabled.mechanisms", "SCRAM-SHA-256"),
                ("principal.builder.class", PRINCIPAL_BUILDER),
            ])
            .is_ok()
        );
    }
}
