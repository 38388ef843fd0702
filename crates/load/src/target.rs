//! How a client connects: TLS and SASL from its properties.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use dohle_auth::Secret;
use dohle_auth::jaas::JaasConfig;
use dohle_auth::sasl::Mechanism;
use dohle_config::{BrokerValues, Properties};
use dohle_rpc::sasl::{Credential, SaslClient};
use dohle_tls::{Authentication, ClientPurpose, ClientTls, Connector, NodeStream, TlsSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::error::LoadError;

/// The largest response during an authentication, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Reads how to connect. Reads the files of keys and certificates.
///
/// # Errors
/// Names the property that cannot be used.
pub(crate) fn connector(properties: &Properties) -> Result<Connector, LoadError> {
    let property = |name: &str| properties.get(name).map(|value| value.trim());
    let protocol = property("security.protocol").unwrap_or("PLAINTEXT");
    let (tls, sasl) = match protocol.to_uppercase().as_str() {
        "PLAINTEXT" => (false, false),
        "SSL" => (true, false),
        "SASL_PLAINTEXT" => (false, true),
        "SASL_SSL" => (true, true),
        _ => {
            return Err(LoadError::Property(format!(
                "security.protocol is {protocol:?}; allowed is one of PLAINTEXT, SSL, \
                 SASL_PLAINTEXT, SASL_SSL"
            )));
        }
    };
    let mut connector = Connector::plaintext();
    if tls {
        let values = BrokerValues::fixed(Arc::new(properties.clone()));
        // Clients have no listeners, so no property has a listener's prefix.
        let settings = TlsSettings::read(&values.listener(""));
        let tls = settings.and_then(|settings| ClientTls::new(ClientPurpose::Tool, settings));
        connector = Connector::tls(tls.map_err(|error| LoadError::Property(error.to_string()))?);
    }
    if sasl {
        connector = connector.authenticated(Arc::new(sasl_login(properties)?));
    }
    Ok(connector)
}

fn sasl_login(properties: &Properties) -> Result<SaslLogin, LoadError> {
    let property = |name: &str| properties.get(name).map(|value| value.trim());
    let supported = Mechanism::ALL.map(Mechanism::name).join(", ");
    let name = property("sasl.mechanism").unwrap_or("GSSAPI");
    let mechanism = Mechanism::from_name(name).ok_or_else(|| {
        LoadError::Property(format!(
            "sasl.mechanism is {name:?}; allowed is one of {supported}"
        ))
    })?;
    let (credential, source) = if mechanism == Mechanism::OAuthBearer {
        const URL: &str = "sasl.oauthbearer.token.endpoint.url";
        let file = property(URL).and_then(|url| url.strip_prefix("file://"));
        let file = file.ok_or_else(|| {
            LoadError::Property(format!(
                "{URL} must be file:// and the path of a file with a token: a load does not fetch \
                 tokens"
            ))
        })?;
        (Credential::TokenFile(file.into()), URL)
    } else {
        const JAAS: &str = "sasl.jaas.config";
        let line = property(JAAS).unwrap_or_default();
        let jaas = JaasConfig::parse(line);
        let jaas = jaas.map_err(|error| LoadError::Property(format!("{JAAS}: {error}")))?;
        let option = |name: &str| {
            let value = jaas.option(name);
            value.ok_or_else(|| LoadError::Property(format!("{JAAS} has no option {name}")))
        };
        let credential = Credential::Password {
            user: option("username")?.into(),
            password: Secret::new(option("password")?),
        };
        (credential, JAAS)
    };
    Ok(SaslLogin {
        mechanism,
        client: SaslClient::new("", mechanism, credential, source.to_owned()),
        source,
    })
}

/// Authenticates a client at the beginning of each connection.
struct SaslLogin {
    mechanism: Mechanism,
    client: SaslClient,
    /// The property with the credential, for messages.
    source: &'static str,
}

impl SaslLogin {
    async fn exchange(&self, stream: &mut NodeStream) -> Result<(), String> {
        let lost = |error: std::io::Error| format!("the connection broke: {error}");
        let mut exchange = self.client.begin()?;
        let mut request = Some(exchange.first()?);
        while let Some(frame) = request {
            stream.write_all(&frame).await.map_err(lost)?;
            stream.flush().await.map_err(lost)?;
            let length = stream.read_u32().await.map_err(lost)? as usize;
            if length > ANSWER_BYTES_MAX {
                return Err("the server does not speak Kafka's protocol".to_owned());
            }
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer).await.map_err(lost)?;
            request = exchange.on_answer(answer.into())?;
        }
        Ok(())
    }
}

impl Authentication for SaslLogin {
    fn authenticate<'a>(
        &'a self,
        stream: &'a mut NodeStream,
        (host, port): (&'a str, u16),
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            self.exchange(stream).await.map_err(|reason| {
                format!(
                    "authentication with {} at {host}:{port} failed: {reason}; check {}",
                    self.mechanism, self.source
                )
            })
        })
    }
}

impl fmt::Debug for SaslLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SaslLogin({})", self.mechanism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(properties: &[(&str, &str)]) -> Result<Connector, String> {
        let pairs = properties.iter();
        let properties = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        connector(&properties.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_properties_of_a_client_are_those_of_kafkas() {
        assert!(read(&[]).unwrap().is_plaintext());
        const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                             username=\"u\" password=\"p-secret\";";
        let sasl = read(&[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.jaas.config", PLAIN),
        ]);
        let sasl = sasl.unwrap();
        assert!(!sasl.is_plaintext());
        assert!(!format!("{sasl:?}").contains("secret"));
    }

    #[test]
    fn a_property_that_cannot_be_used_is_named() {
        let refused = |properties: &[(&str, &str)]| read(properties).unwrap_err();
        let protocol = ("security.protocol", "SASL_PLAINTEXT");
        assert!(refused(&[("security.protocol", "TLS")]).contains("SASL_SSL"));
        assert!(refused(&[protocol]).contains("sasl.mechanism is \"GSSAPI\""));
        let plain = ("sasl.mechanism", "PLAIN");
        assert!(refused(&[protocol, plain]).starts_with("sasl.jaas.config"));
        let token = ("sasl.mechanism", "OAUTHBEARER");
        assert!(refused(&[protocol, token]).contains("file://"));
        let missing = ("ssl.truststore.location", "/nowhere.p12");
        let missing = refused(&[("security.protocol", "SSL"), missing]);
        assert!(missing.contains("/nowhere.p12"), "{missing}");
    }
}
