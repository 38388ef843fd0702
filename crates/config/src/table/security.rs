//! Properties of brokers: TLS, SASL and authorization.
//!
//! Names, types, defaults, ranges, importance, update modes and documentation are those of Apache
//! Kafka 4.3, with what 4.4 adds (see NOTICE). Sorted by name.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{
    Boolean, Class, Double, Int, List, Long, Password, Short, String,
};
use crate::definition::Default::{Null, Value};
use crate::definition::Importance::{High, Low, Medium};
use crate::definition::UpdateMode::PerBroker;
use crate::definition::Validator::{AtLeast, Between, OneOf, OneOfAnyCase};

#[rustfmt::skip]
pub(super) const TABLE: &[ConfigDef] = &[
    ConfigDef::new("authorizer.class.name", String, Value(""), Low)
        .honoured()
        .doc("The fully qualified name of a class that implements \
             <code>org.apache.kafka.server.authorizer.Authorizer</code> interface, which is \
             used by the broker for authorization."),
    ConfigDef::new("connection.failed.authentication.delay.ms", Int, Value("100"), Low)
        .check(AtLeast(0)).honoured()
        .doc("Connection close delay on failed authentication: this is the time (in \
             milliseconds) by which connection close will be delayed on authentication \
             failure. This must be configured to be less than connections.max.idle.ms to \
             prevent connection timeout."),
    ConfigDef::new("connections.max.reauth.ms", Long, Value("0"), Medium)
        .honoured()
        .doc("When explicitly set to a positive number (the default is 0, not a positive \
             number), a session lifetime that will not exceed the configured value will be \
             communicated to v2.2.0 or later clients when they authenticate. The broker will \
             disconnect any such connection that is not re-authenticated within the session \
             lifetime and that is then subsequently used for any purpose other than \
             re-authentication. Configuration names can optionally be prefixed with listener \
             prefix and SASL mechanism name in lower-case. For example, \
             listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms=3600000"),
    ConfigDef::new("delegation.token.expiry.check.interval.ms", Long, Value("3600000"), Low)
        .honoured()
        .check(AtLeast(1))
        .doc("Scan interval to remove expired delegation tokens."),
    ConfigDef::new("delegation.token.expiry.time.ms", Long, Value("86400000"), Medium)
        .honoured()
        .check(AtLeast(1))
        .doc("The token validity time in milliseconds before the token needs to be renewed. \
             Default value 1 day."),
    ConfigDef::new("delegation.token.max.lifetime.ms", Long, Value("604800000"), Medium)
        .honoured()
        .check(AtLeast(1))
        .doc("The token has a maximum lifetime beyond which it cannot be renewed anymore. \
             Default value 7 days."),
    ConfigDef::new("delegation.token.secret.key", Password, Null, Medium)
        .honoured()
        .doc("Secret key to generate and verify delegation tokens. The same key must be \
             configured across all the brokers.  If using Kafka with KRaft, the key must also \
             be set across all controllers.  If the key is not set or set to empty string, \
             brokers will disable the delegation token support."),
    ConfigDef::new(
        "principal.builder.class",
        Class,
        Value(
            "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
        ),
        Medium,
    )
        .dynamic(PerBroker)
        .doc("The fully qualified name of a class that implements the KafkaPrincipalBuilder \
             interface, which is used to build the KafkaPrincipal object used during \
             authorization. If no principal builder is defined, the default behavior depends \
             on the security protocol in use. For SSL authentication,  the principal will be \
             derived using the rules defined by <code>ssl.principal.mapping.rules</code> \
             applied on the distinguished name from the client certificate if one is provided; \
             otherwise, if client authentication is not required, the principal name will be \
             ANONYMOUS. For SASL authentication, the principal will be derived using the rules \
             defined by <code>sasl.kerberos.principal.to.local.rules</code> if GSSAPI is in \
             use, and the SASL authentication ID for other mechanisms. For PLAINTEXT, the \
             principal will be ANONYMOUS. Note that custom implementations of \
             <code>KafkaPrincipalBuilder</code> is required to implement \
             <code>KafkaPrincipalSerde</code> interface, otherwise brokers will not be able to \
             forward requests to the controller."),
    ConfigDef::new("sasl.client.callback.handler.class", Class, Null, Medium)
        .doc("The fully qualified name of a SASL client callback handler class that implements \
             the AuthenticateCallbackHandler interface."),
    ConfigDef::new("sasl.enabled.mechanisms", List, Value("GSSAPI"), Medium)
        .dynamic(PerBroker).honoured().with_restart()
        .doc("The list of SASL mechanisms enabled in the Kafka server. The list may contain any \
             mechanism for which a security provider is available. Only GSSAPI is enabled by \
             default."),
    ConfigDef::new("sasl.jaas.config", Password, Null, Medium)
        .dynamic(PerBroker).honoured().with_restart()
        .doc("JAAS login context parameters for SASL connections in the format used by JAAS \
             configuration files. JAAS configuration file format is described <a \
             href=\"https://docs.oracle.com/javase/8/docs/technotes/guides/security/jgss/tutori\
             als/LoginConfigFile.html\">here</a>. The format for the value is: \
             <code>loginModuleClass controlFlag (optionName=optionValue)*;</code>. For \
             brokers, the config must be prefixed with listener prefix and SASL mechanism name \
             in lower-case. For example, \
             listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=com.example.ScramLoginModul\
             e required;"),
    ConfigDef::new("sasl.kerberos.kinit.cmd", String, Value("/usr/bin/kinit"), Medium)
        .dynamic(PerBroker)
        .doc("Kerberos kinit command path."),
    ConfigDef::new("sasl.kerberos.min.time.before.relogin", Long, Value("60000"), Medium)
        .dynamic(PerBroker)
        .doc("Login thread sleep time between refresh attempts."),
    ConfigDef::new("sasl.kerberos.principal.to.local.rules", List, Value("DEFAULT"), Medium)
        .dynamic(PerBroker)
        .doc("A list of rules for mapping from principal names to short names (typically \
             operating system usernames). The rules are evaluated in order and the first rule \
             that matches a principal name is used to map it to a short name. Any later rules \
             in the list are ignored. By default, principal names of the form \
             <code>{username}/{hostname}@{REALM}</code> are mapped to <code>{username}</code>. \
             For more details on the format please see <a href=\"#security_authz\"> security \
             authorization and acls</a>. Note that this configuration is ignored if an \
             extension of <code>KafkaPrincipalBuilder</code> is provided by the \
             <code>principal.builder.class</code> configuration."),
    ConfigDef::new("sasl.kerberos.service.name", String, Null, Medium)
        .dynamic(PerBroker)
        .doc("The Kerberos principal name that Kafka runs as. This can be defined either in \
             Kafka's JAAS config or in Kafka's config."),
    ConfigDef::new("sasl.kerberos.ticket.renew.jitter", Double, Value("0.05"), Medium)
        .dynamic(PerBroker)
        .doc("Percentage of random jitter added to the renewal time."),
    ConfigDef::new("sasl.kerberos.ticket.renew.window.factor", Double, Value("0.8"), Medium)
        .dynamic(PerBroker)
        .doc("Login thread will sleep until the specified window factor of time from last \
             refresh to ticket's expiry has been reached, at which time it will try to renew \
             the ticket."),
    ConfigDef::new("sasl.login.callback.handler.class", Class, Null, Medium)
        .doc("The fully qualified name of a SASL login callback handler class that implements \
             the AuthenticateCallbackHandler interface. For brokers, login callback handler \
             config must be prefixed with listener prefix and SASL mechanism name in \
             lower-case. For example, \
             listener.name.sasl_ssl.scram-sha-256.sasl.login.callback.handler.class=com.example\
             .CustomScramLoginCallbackHandler"),
    ConfigDef::new("sasl.login.class", Class, Null, Medium)
        .doc("The fully qualified name of a class that implements the Login interface. For \
             brokers, login config must be prefixed with listener prefix and SASL mechanism \
             name in lower-case. For example, \
             listener.name.sasl_ssl.scram-sha-256.sasl.login.class=com.example.CustomScramLogin"),
    ConfigDef::new("sasl.login.connect.timeout.ms", Int, Null, Low)
        .doc("The (optional) value in milliseconds for the external authentication provider \
             connection timeout. Currently applies only to OAUTHBEARER."),
    ConfigDef::new("sasl.login.read.timeout.ms", Int, Null, Low)
        .doc("The (optional) value in milliseconds for the external authentication provider \
             read timeout. Currently applies only to OAUTHBEARER."),
    ConfigDef::new("sasl.login.refresh.buffer.seconds", Short, Value("300"), Medium)
        .dynamic(PerBroker)
        .doc("The amount of buffer time before credential expiration to maintain when \
             refreshing a credential, in seconds. If a refresh would otherwise occur closer to \
             expiration than the number of buffer seconds then the refresh will be moved up to \
             maintain as much of the buffer time as possible. Legal values are between 0 and \
             3600 (1 hour); a default value of  300 (5 minutes) is used if no value is \
             specified. This value and sasl.login.refresh.min.period.seconds are both ignored \
             if their sum exceeds the remaining lifetime of a credential. Currently applies \
             only to OAUTHBEARER."),
    ConfigDef::new("sasl.login.refresh.min.period.seconds", Short, Value("60"), Medium)
        .dynamic(PerBroker)
        .doc("The desired minimum time for the login refresh thread to wait before refreshing a \
             credential, in seconds. Legal values are between 0 and 900 (15 minutes); a \
             default value of 60 (1 minute) is used if no value is specified.  This value and  \
             sasl.login.refresh.buffer.seconds are both ignored if their sum exceeds the \
             remaining lifetime of a credential. Currently applies only to OAUTHBEARER."),
    ConfigDef::new("sasl.login.refresh.window.factor", Double, Value("0.8"), Medium)
        .dynamic(PerBroker)
        .doc("Login refresh thread will sleep until the specified window factor relative to the \
             credential's lifetime has been reached, at which time it will try to refresh the \
             credential. Legal values are between 0.5 (50%) and 1.0 (100%) inclusive; a \
             default value of 0.8 (80%) is used if no value is specified. Currently applies \
             only to OAUTHBEARER."),
    ConfigDef::new("sasl.login.refresh.window.jitter", Double, Value("0.05"), Medium)
        .dynamic(PerBroker)
        .doc("The maximum amount of random jitter relative to the credential's lifetime that is \
             added to the login refresh thread's sleep time. Legal values are between 0 and \
             0.25 (25%) inclusive; a default value of 0.05 (5%) is used if no value is \
             specified. Currently applies only to OAUTHBEARER."),
    ConfigDef::new("sasl.login.retry.backoff.max.ms", Long, Value("10000"), Low)
        .doc("The (optional) value in milliseconds for the maximum wait between login attempts \
             to the external authentication provider. Login uses an exponential backoff \
             algorithm with an initial wait based on the sasl.login.retry.backoff.ms setting \
             and will double in wait length between attempts up to a maximum wait length \
             specified by the sasl.login.retry.backoff.max.ms setting. Currently applies only \
             to OAUTHBEARER."),
    ConfigDef::new("sasl.login.retry.backoff.ms", Long, Value("100"), Low)
        .doc("The (optional) value in milliseconds for the initial wait between login attempts \
             to the external authentication provider. Login uses an exponential backoff \
             algorithm with an initial wait based on the sasl.login.retry.backoff.ms setting \
             and will double in wait length between attempts up to a maximum wait length \
             specified by the sasl.login.retry.backoff.max.ms setting. Currently applies only \
             to OAUTHBEARER."),
    ConfigDef::new("sasl.mechanism.controller.protocol", String, Value("GSSAPI"), High)
        .honoured()
        .doc("SASL mechanism used for communication with controllers. Default is GSSAPI."),
    ConfigDef::new("sasl.mechanism.inter.broker.protocol", String, Value("GSSAPI"), Medium)
        .dynamic(PerBroker).honoured().with_restart()
        .doc("SASL mechanism used for inter-broker communication. Default is GSSAPI."),
    ConfigDef::new("sasl.oauthbearer.allow.unverified.audience", Boolean, Value("false"), Medium)
        .honoured()
        .doc("The (optional) setting that allows the broker to validate JWTs without verifying the \
             audience. By default the broker requires sasl.oauthbearer.expected.audience to be \
             set whenever sasl.oauthbearer.jwks.endpoint.url is configured, and rejects any JWT \
             whose \"aud\" claim does not match one of the expected audiences. When this is set \
             to true that requirement is lifted: the \"aud\" claim is no longer checked and a JWT \
             bearing any (or no) audience is accepted. Leaving the audience unverified is \
             insecure and strongly discouraged; enable it only for deployments that intentionally \
             accept tokens regardless of their intended audience. The default value is 'false'."),
    ConfigDef::new("sasl.oauthbearer.allow.unverified.issuer", Boolean, Value("false"), Medium)
        .honoured()
        .doc("The (optional) setting that allows the broker to validate JWTs without verifying the \
             issuer. By default the broker requires sasl.oauthbearer.expected.issuer to be set \
             whenever sasl.oauthbearer.jwks.endpoint.url is configured, and rejects any JWT whose \
             \"iss\" claim does not match the expected issuer. When this is set to true that \
             requirement is lifted: the \"iss\" claim is no longer checked and a JWT bearing any \
             (or no) issuer is accepted. Leaving the issuer unverified is insecure and strongly \
             discouraged; enable it only for deployments that intentionally accept tokens \
             regardless of which issuer minted them. The default value is 'false'."),
    ConfigDef::new("sasl.oauthbearer.assertion.algorithm", String, Value("RS256"), Medium)
        .check(OneOfAnyCase(&["ES256", "RS256"]))
        .doc("<p>The algorithm the Apache Kafka client should use to sign the assertion sent to \
             the identity provider. It is also used as the value of the OAuth <code>alg</code> \
             (Algorithm) header in the JWT assertion.</p><p><em>Note</em>: If a value for \
             <code>sasl.oauthbearer.assertion.file</code> is provided, this configuration will \
             be ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.assertion.claim.aud", String, Null, Medium)
        .doc("<p>The JWT <code>aud</code> (Audience) claim which will be included in the  \
             client JWT assertion created locally.</p><p><em>Note</em>: If a value for \
             <code>sasl.oauthbearer.assertion.file</code> is provided, this configuration will \
             be ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.assertion.claim.exp.seconds", Int, Value("300"), Low)
        .check(Between(0, 86_400))
        .doc("<p>The number of seconds <em>in the future</em> for which the JWT is valid. The \
             value is used to determine the JWT <code>exp</code> (Expiration) claim based on \
             the current system time when the JWT is created.</p><p>The formula to generate \
             the <code>exp</code> claim is very simple:</p><pre>Let:\n\n  x = the current \
             timestamp in seconds, on client\n  y = the value of this \
             configuration\n\nThen:\n\n  exp = x + y\n</pre><p><em>Note</em>: If a value for \
             <code>sasl.oauthbearer.assertion.file</code> is provided, this configuration will \
             be ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.assertion.claim.iss", String, Null, Medium)
        .doc("<p>The value to be used as the <code>iss</code> (Issuer) claim which will be \
             included in the client JWT assertion created locally.</p><p><em>Note</em>: If a \
             value for <code>sasl.oauthbearer.assertion.file</code> is provided, this \
             configuration will be ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.assertion.claim.jti.include", Boolean, Value("false"), Medium)
        .doc("<p>Flag that determines if the JWT assertion should generate a unique ID for the \
             JWT and include it in the <code>jti</code> (JWT ID) claim.</p><p><em>Note</em>: \
             If a value for <code>sasl.oauthbearer.assertion.file</code> is provided, this \
             configuration will be ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.assertion.claim.nbf.seconds", Int, Value("60"), Low)
        .check(Between(0, 3600))
        .doc("<p>The number of seconds <em>in the past</em> from which the JWT is valid. The \
             value is used to determine the JWT <code>nbf</code> (Not Before) claim based on \
             the current system time when the JWT is created.</p><p>The formula to generate \
             the <code>nbf</code> claim is very simple:</p><pre>Let:\n\n  x = the current \
             timestamp in seconds, on client\n  y = the value of this \
             configuration\n\nThen:\n\n  nbf = x - y\n</pre><p><em>Note</em>: If a value for \
             <code>sasl.oauthbearer.assertion.file</code> is provided, this configuration will \
             be ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.assertion.claim.sub", String, Null, Medium)
        .doc("<p>The value to be used as the <code>sub</code> (Subject) claim which will be \
             included in the client JWT assertion created locally.</p><p><em>Note</em>: If a \
             value for <code>sasl.oauthbearer.assertion.file</code> is provided, this \
             configuration will be ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.assertion.file", String, Null, Medium)
        .doc("<p>File that contains a <em>pre-generated</em> JWT assertion.</p><p>The \
             underlying implementation caches the file contents to avoid the performance hit \
             of loading the file on each access. The caching mechanism will detect whenthe \
             file changes to allow for the file to be reloaded on modifications. This allows \
             for &quot;live&quot; assertion rotation without restarting the Kafka \
             client.</p><p>The file contains the assertion in the serialized, three part JWT \
             format:</p><ol><li>The <em>header</em> section is a base 64-encoded JWT header \
             that contains values like <code>alg</code> (Algorithm), <code>typ</code> (Type, \
             always the literal value <code>JWT</code>), etc.</li><li>The <em>payload</em> \
             section includes the base 64-encoded set of JWT claims, such as <code>aud</code> \
             (Audience), <code>iss</code> (Issuer), <code>sub</code> (Subject), \
             etc.</li><li>The <em>signature</em> section is the concatenated <em>header</em> \
             and <em>payload</em> sections that was signed using a private key</li></ol><p>See \
             <a href=\"https://datatracker.ietf.org/doc/html/rfc7519\">RFC 7519</a> and <a \
             href=\"https://datatracker.ietf.org/doc/html/rfc7515\">RFC 7515</a> for more \
             details on the JWT and JWS formats.</p><p><em>Note</em>: If a value for \
             <code>sasl.oauthbearer.assertion.file</code> is provided, all other \
             <code>sasl.oauthbearer.assertion.</code>* configurations are ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.assertion.private.key.file", String, Null, Medium)
        .doc("<p>File that contains a private key in the standard PEM format which is used to \
             sign the JWT assertion sent to the identity provider.</p><p>The underlying \
             implementation caches the file contents to avoid the performance hit of loading \
             the file on each access. The caching mechanism will detect when the file changes \
             to allow for the file to be reloaded on modifications. This allows for \
             &quot;live&quot; private key rotation without restarting the Kafka \
             client.</p><p><em>Note</em>: If a value for \
             <code>sasl.oauthbearer.assertion.file</code> is provided, this configuration will \
             be ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.assertion.private.key.passphrase", Password, Null, Medium)
        .doc("<p>The optional passphrase to decrypt the private key file specified by \
             <code>sasl.oauthbearer.assertion.private.key.file</code>.</p><p><em>Note</em>: If \
             the file referred to by <code>sasl.oauthbearer.assertion.private.key.file</code> \
             is modified on the file system at runtime and it was created with a \
             <em>different</em> passphrase than it was previously, the client will not be able \
             to access the private key file because the passphrase is now out of date. For \
             that reason, when using private key passphrases, either use the same passphrase \
             each time, or&mdash;for improved security&mdash;restart the Kafka client using \
             the new passphrase configuration.</p><p><em>Note</em>: If a value for \
             <code>sasl.oauthbearer.assertion.file</code> is provided, this configuration will \
             be ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.assertion.template.file", String, Null, Medium)
        .doc("<p>This optional configuration specifies the file containing the JWT headers \
             and/or payload claims to be used when creating the JWT assertion.</p><p>Not all \
             identity providers require the same set of claims; some may require a given claim \
             while others may prohibit it. In order to provide the most flexibility, this \
             configuration allows the user to provide the static header values and claims that \
             are to be included in the JWT.</p><p><em>Note</em>: If a value for \
             <code>sasl.oauthbearer.assertion.file</code> is provided, this configuration will \
             be ignored.</p>"),
    ConfigDef::new("sasl.oauthbearer.client.credentials.client.id", String, Null, Medium)
        .doc("<p>The ID (defined in/by the OAuth identity provider) to identify the client \
             requesting the token.</p><p>The client ID was previously stored as part of the \
             <code>sasl.jaas.config</code> configuration with the key <code>clientId</code>. \
             For backward compatibility, the <code>clientId</code> JAAS option can still be \
             used, but it is deprecated and will be removed in a future version.</p><p>Order \
             of \
             precedence:</p><ul><li><code>sasl.oauthbearer.client.credentials.client.id</code> \
             from configuration</li><li><code>clientId</code> from JAAS</li></ul>"),
    ConfigDef::new("sasl.oauthbearer.client.credentials.client.secret", Password, Null, Medium)
        .doc("<p>The secret (defined by either the user or preassigned, depending on the \
             identity provider) of the client requesting the token.</p><p>The client secret \
             was previously stored as part of the <code>sasl.jaas.config</code> configuration \
             with the key <code>clientSecret</code>. For backward compatibility, the \
             <code>clientSecret</code> JAAS option can still be used, but it is deprecated and \
             will be removed in a future version.</p><p>Order of \
             precedence:</p><ul><li><code>sasl.oauthbearer.client.credentials.client.secret</co\
             de> from configuration</li><li><code>clientSecret</code> from JAAS</li></ul>"),
    ConfigDef::new("sasl.oauthbearer.clock.skew.seconds", Int, Value("30"), Low)
        .honoured()
        .doc("The (optional) value in seconds to allow for differences between the time of the \
             OAuth/OIDC identity provider and the broker."),
    ConfigDef::new("sasl.oauthbearer.expected.audience", List, Value(""), High)
        .honoured()
        .doc("The (strongly recommended) comma-delimited setting for the broker to use to \
             verify that the JWT was issued for one of the expected audiences. The JWT will be \
             inspected for the standard OAuth \"aud\" claim and if this value is set, the \
             broker will match the value from JWT's \"aud\" claim  to see if there is an exact \
             match. If there is no match, the broker will reject the JWT and authentication \
             will fail. If this value is not set, the broker will accept a token that has no \
             \"aud\" claim, which is strongly discouraged."),
    ConfigDef::new("sasl.oauthbearer.expected.issuer", String, Null, High)
        .honoured()
        .doc("The (strongly recommended) setting for the broker to use to verify that the JWT \
             was created by the expected issuer. The JWT will be inspected for the standard \
             OAuth \"iss\" claim and if this value is set, the broker will match it exactly \
             against what is in the JWT's \"iss\" claim. If there is no match, the broker will \
             reject the JWT and authentication will fail. If this value is not set, the broker \
             will accept a JWT bearing any (or no) issuer, which is strongly discouraged."),
    ConfigDef::new("sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Value("3600000"), Low)
        .honoured()
        .doc("The (optional) value in milliseconds for the broker to wait between refreshing \
             its JWKS (JSON Web Key Set) cache that contains the keys to verify the signature \
             of the JWT."),
    ConfigDef::new("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long, Value("10000"), Low)
        .honoured()
        .doc("The (optional) value in milliseconds for the maximum wait between attempts to \
             retrieve the JWKS (JSON Web Key Set) from the external authentication provider. \
             JWKS retrieval uses an exponential backoff algorithm with an initial wait based \
             on the sasl.oauthbearer.jwks.endpoint.retry.backoff.ms setting and will double in \
             wait length between attempts up to a maximum wait length specified by the \
             sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms setting."),
    ConfigDef::new("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, Value("100"), Low)
        .honoured()
        .doc("The (optional) value in milliseconds for the initial wait between JWKS (JSON Web \
             Key Set) retrieval attempts from the external authentication provider. JWKS \
             retrieval uses an exponential backoff algorithm with an initial wait based on the \
             sasl.oauthbearer.jwks.endpoint.retry.backoff.ms setting and will double in wait \
             length between attempts up to a maximum wait length specified by the \
             sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms setting."),
    ConfigDef::new("sasl.oauthbearer.jwks.endpoint.url", String, Null, Medium)
        .honoured()
        .doc("The OAuth/OIDC provider URL from which the provider's <a \
             href=\"https://datatracker.ietf.org/doc/html/rfc7517#section-5\">JWKS (JSON Web \
             Key Set)</a> can be retrieved. The URL can be HTTP(S)-based or file-based. If the \
             URL is HTTP(S)-based, the JWKS data will be retrieved from the OAuth/OIDC \
             provider via the configured URL on broker startup. All then-current keys will be \
             cached on the broker for incoming requests. If an authentication request is \
             received for a JWT that includes a \"kid\" header claim value that isn't yet in \
             the cache, the JWKS endpoint will be queried again on demand. However, the broker \
             polls the URL every sasl.oauthbearer.jwks.endpoint.refresh.ms milliseconds to \
             refresh the cache with any forthcoming keys before any JWT requests that include \
             them are received. If the URL is file-based, the broker will load the JWKS file \
             from a configured location on startup. In the event that the JWT includes a \
             \"kid\" header value that isn't in the JWKS file, the broker will reject the JWT \
             and authentication will fail."),
    ConfigDef::new(
        "sasl.oauthbearer.jwt.retriever.class",
        Class,
        Value("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
        Medium,
    )
        .doc("<p>The fully-qualified class name of a <code>JwtRetriever</code> implementation \
             used to request tokens from the identity provider.</p><p>The default \
             configuration value represents a class that maintains backward compatibility with \
             previous versions of Apache Kafka. The default implementation uses the \
             configuration to determine which concrete implementation to create.<p>Other \
             implementations that are provided \
             include:</p><ul><li><code>org.apache.kafka.common.security.oauthbearer.ClientCrede\
             ntialsJwtRetriever</code></li><li><code>org.apache.kafka.common.security.oauthbear\
             er.DefaultJwtRetriever</code></li><li><code>org.apache.kafka.common.security.oauth\
             bearer.FileJwtRetriever</code></li><li><code>org.apache.kafka.common.security.oaut\
             hbearer.JwtBearerJwtRetriever</code></li></ul>"),
    ConfigDef::new(
        "sasl.oauthbearer.jwt.validator.class",
        Class,
        Value("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
        Medium,
    )
        .check(OneOf(&[
            "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator",
            "org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator",
        ]))
        .doc("<p>The fully-qualified class name of a <code>JwtValidator</code> implementation \
             used to validate the JWT from the identity provider.</p><p>The default validator \
             (<code>org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator</code>) \
             maintains backward compatibility with previous versions of Apache Kafka. The \
             default validator uses configuration to determine which concrete implementation \
             to create.<p>The built-in <code>JwtValidator</code> implementations \
             are:</p><ul><li><code>org.apache.kafka.common.security.oauthbearer.BrokerJwtValida\
             tor</code></li><li><code>org.apache.kafka.common.security.oauthbearer.ClientJwtVal\
             idator</code></li><li><code>org.apache.kafka.common.security.oauthbearer.DefaultJw\
             tValidator</code></li></ul>"),
    ConfigDef::new("sasl.oauthbearer.scope", String, Null, Medium)
        .doc("<p>This is the level of access a client application is granted to a resource or \
             API which is included in the token request. If provided, it should match one or \
             more scopes configured in the identity provider.</p><p>The scope was previously \
             stored as part of the <code>sasl.jaas.config</code> configuration with the key \
             <code>scope</code>. For backward compatibility, the <code>scope</code> JAAS \
             option can still be used, but it is deprecated and will be removed in a future \
             version.</p><p>Order of \
             precedence:</p><ul><li><code>sasl.oauthbearer.scope</code> from \
             configuration</li><li><code>scope</code> from JAAS</li></ul>"),
    ConfigDef::new("sasl.oauthbearer.scope.claim.name", String, Value("scope"), Low)
        .honoured()
        .doc("The OAuth claim for the scope is often named \"scope\", but this (optional) \
             setting can provide a different name to use for the scope included in the JWT \
             payload's claims if the OAuth/OIDC provider uses a different name for that claim."),
    ConfigDef::new("sasl.oauthbearer.sub.claim.name", String, Value("sub"), Low)
        .honoured()
        .doc("The OAuth claim for the subject is often named \"sub\", but this (optional) \
             setting can provide a different name to use for the subject included in the JWT \
             payload's claims if the OAuth/OIDC provider uses a different name for that claim."),
    ConfigDef::new("sasl.oauthbearer.token.endpoint.url", String, Null, Medium)
        .honoured()
        .doc("The URL for the OAuth/OIDC identity provider. If the URL is HTTP(S)-based, it is \
             the issuer's token endpoint URL to which requests will be made to login based on \
             the configuration in <code>sasl.oauthbearer.jwt.retriever.class</code>. If the \
             URL is file-based, it specifies a file containing an access token (in JWT \
             serialized form) issued by the OAuth/OIDC identity provider to use for \
             authorization."),
    ConfigDef::new("sasl.server.callback.handler.class", Class, Null, Medium)
        .honoured()
        .doc("The fully qualified name of a SASL server callback handler class that implements \
             the AuthenticateCallbackHandler interface. Server callback handlers must be \
             prefixed with listener prefix and SASL mechanism name in lower-case. For example, \
             listener.name.sasl_ssl.plain.sasl.server.callback.handler.class=com.example.Custom\
             PlainCallbackHandler."),
    ConfigDef::new("sasl.server.max.receive.size", Int, Value("524288"), Medium)
        .honoured()
        .doc("The maximum receive size allowed before and during initial SASL authentication. \
             Default receive size is 512KB. GSSAPI limits requests to 64K, but we allow upto \
             512KB by default for custom SASL mechanisms. In practice, PLAIN, SCRAM and OAUTH \
             mechanisms can use much smaller limits."),
    ConfigDef::new("security.inter.broker.protocol", String, Value("PLAINTEXT"), Medium)
        .check(OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])).honoured()
        .doc("Security protocol used to communicate between brokers. It is an error to set this \
             and inter.broker.listener.name properties at the same time."),
    ConfigDef::new("security.providers", String, Null, Low)
        .only_default()
        .doc("A list of configurable creator classes each returning a provider implementing \
             security algorithms. These classes should implement the \
             <code>org.apache.kafka.common.security.auth.SecurityProviderCreator</code> \
             interface."),
    ConfigDef::new("ssl.allow.dn.changes", Boolean, Value("false"), Low)
        .honoured()
        .doc("Indicates whether changes to the certificate distinguished name should be allowed \
             during a dynamic reconfiguration of certificates or not."),
    ConfigDef::new("ssl.allow.san.changes", Boolean, Value("false"), Low)
        .honoured()
        .doc("Indicates whether changes to the certificate subject alternative names should be \
             allowed during a dynamic reconfiguration of certificates or not."),
    ConfigDef::new("ssl.cipher.suites", List, Value(""), Medium)
        .dynamic(PerBroker).honoured()
        .doc("A list of cipher suites. This is a named combination of authentication, \
             encryption, MAC and key exchange algorithm used to negotiate the security \
             settings for a network connection using TLS or SSL network protocol. By default \
             all the available cipher suites are supported."),
    ConfigDef::new("ssl.client.auth", String, Value("none"), Medium)
        .check(OneOf(&["required", "requested", "none"])).dynamic(PerBroker).honoured()
        .doc("Configures kafka broker to request client authentication. The following settings \
             are common:  <ul> <li><code>ssl.client.auth=required</code> If set to required \
             client authentication is required. <li><code>ssl.client.auth=requested</code> \
             This means client authentication is optional. unlike required, if this option is \
             set client can choose not to provide authentication information about itself \
             <li><code>ssl.client.auth=none</code> This means client authentication is not \
             needed.</ul>"),
    ConfigDef::new("ssl.enabled.protocols", List, Value("TLSv1.2,TLSv1.3"), Medium)
        .dynamic(PerBroker).honoured()
        .doc("The list of protocols enabled for SSL connections. The default is \
             'TLSv1.2,TLSv1.3'. This means that clients and servers will prefer TLSv1.3 if \
             both support it and fallback to TLSv1.2 otherwise (assuming both support at least \
             TLSv1.2). This default should be fine for most use cases. If this configuration \
             is set to an empty list, Kafka will use the protocols enabled by default in the \
             underlying SSLEngine, which may include additional protocols depending on the JVM \
             version. Also see the config documentation for <code>ssl.protocol</code> to \
             understand how it can impact the TLS version negotiation behavior."),
    ConfigDef::new("ssl.endpoint.identification.algorithm", String, Value("https"), Low)
        .dynamic(PerBroker).honoured()
        .doc("The endpoint identification algorithm to validate server hostname using server \
             certificate. "),
    ConfigDef::new("ssl.engine.factory.class", Class, Null, Low)
        .dynamic(PerBroker)
        .doc("The class of type org.apache.kafka.common.security.auth.SslEngineFactory to \
             provide SSLEngine objects. Default value is \
             org.apache.kafka.common.security.ssl.DefaultSslEngineFactory. Alternatively, \
             setting this to \
             org.apache.kafka.common.security.ssl.CommonNameLoggingSslEngineFactory will log \
             the common name of expired SSL certificates used by clients to authenticate at \
             any of the brokers with log level INFO. Note that this will cause a tiny delay \
             during establishment of new connections from mTLS clients to brokers due to the \
             extra code for examining the certificate chain provided by the client. Note \
             further that the implementation uses a custom truststore based on the standard \
             Java truststore and thus might be considered a security risk due to not being as \
             mature as the standard one."),
    ConfigDef::new("ssl.key.password", Password, Null, Medium)
        .dynamic(PerBroker).honoured()
        .doc("The password of the private key in the key store file or the PEM key specified in \
             'ssl.keystore.key'."),
    ConfigDef::new("ssl.keymanager.algorithm", String, Value("SunX509"), Medium)
        .dynamic(PerBroker)
        .doc("The algorithm used by key manager factory for SSL connections. Default value is \
             the key manager factory algorithm configured for the Java Virtual Machine."),
    ConfigDef::new("ssl.keystore.certificate.chain", Password, Null, Medium)
        .dynamic(PerBroker).honoured()
        .doc("Certificate chain in the format specified by 'ssl.keystore.type'. Default SSL \
             engine factory supports only PEM format with a list of X.509 certificates"),
    ConfigDef::new("ssl.keystore.key", Password, Null, Medium)
        .dynamic(PerBroker).honoured()
        .doc("Private key in the format specified by 'ssl.keystore.type'. Default SSL engine \
             factory supports only PEM format with PKCS#8 keys. If the key is encrypted, key \
             password must be specified using 'ssl.key.password'"),
    ConfigDef::new("ssl.keystore.location", String, Null, Medium)
        .dynamic(PerBroker).honoured()
        .doc("The location of the key store file. This is optional for client and can be used \
             for two-way authentication for client."),
    ConfigDef::new("ssl.keystore.password", Password, Null, Medium)
        .dynamic(PerBroker).honoured()
        .doc("The store password for the key store file. This is optional for client and only \
             needed if 'ssl.keystore.location' is configured. Key store password is not \
             supported for PEM format."),
    ConfigDef::new("ssl.keystore.type", String, Value("JKS"), Medium)
        .dynamic(PerBroker).honoured()
        .doc("The file format of the key store file. This is optional for client. The values \
             currently supported by the default <code>ssl.engine.factory.class</code> are \
             [JKS, PKCS12, PEM]."),
    ConfigDef::new("ssl.principal.mapping.rules", String, Value("DEFAULT"), Low)
        .honoured()
        .doc("A list of rules for mapping from distinguished name from the client certificate \
             to short name. The rules are evaluated in order and the first rule that matches a \
             principal name is used to map it to a short name. Any later rules in the list are \
             ignored. By default, distinguished name of the X.500 certificate will be the \
             principal. For more details on the format please see <a href=\"#security_authz\"> \
             security authorization and acls</a>. Note that this configuration is ignored if \
             an extension of KafkaPrincipalBuilder is provided by the \
             <code>principal.builder.class</code> configuration."),
    ConfigDef::new("ssl.protocol", String, Value("TLSv1.3"), Medium)
        .dynamic(PerBroker).honoured()
        .doc("The SSL protocol used to generate the SSLContext. The default is 'TLSv1.3', which \
             should be fine for most use cases. A typical alternative to the default is \
             'TLSv1.2'. Allowed values for this config are dependent on the JVM. Clients using \
             the defaults for this config and 'ssl.enabled.protocols' will downgrade to \
             'TLSv1.2' if the server does not support 'TLSv1.3'. If this config is set to \
             'TLSv1.2', however, clients will not use 'TLSv1.3' even if it is one of the \
             values in <code>ssl.enabled.protocols</code> and the server only supports \
             'TLSv1.3'."),
    ConfigDef::new("ssl.provider", String, Null, Medium)
        .dynamic(PerBroker)
        .doc("The name of the security provider used for SSL connections. Default value is the \
             default security provider of the JVM."),
    ConfigDef::new("ssl.secure.random.implementation", String, Null, Low)
        .dynamic(PerBroker)
        .doc("The SecureRandom PRNG implementation to use for SSL cryptography operations. "),
    ConfigDef::new("ssl.trustmanager.algorithm", String, Value("PKIX"), Medium)
        .dynamic(PerBroker)
        .doc("The algorithm used by trust manager factory for SSL connections. Default value is \
             the trust manager factory algorithm configured for the Java Virtual Machine."),
    ConfigDef::new("ssl.truststore.certificates", Password, Null, Medium)
        .dynamic(PerBroker).honoured()
        .doc("Trusted certificates in the format specified by 'ssl.truststore.type'. Default \
             SSL engine factory supports only PEM format with X.509 certificates."),
    ConfigDef::new("ssl.truststore.location", String, Null, Medium)
        .dynamic(PerBroker).honoured()
        .doc("The location of the trust store file."),
    ConfigDef::new("ssl.truststore.password", Password, Null, Medium)
        .dynamic(PerBroker).honoured()
        .doc("The password for the trust store file. If a password is not set, trust store file \
             configured will still be used, but integrity checking is disabled. Trust store \
             password is not supported for PEM format."),
    ConfigDef::new("ssl.truststore.type", String, Value("JKS"), Medium)
        .dynamic(PerBroker).honoured()
        .doc("The file format of the trust store file. The values currently supported by the \
             default <code>ssl.engine.factory.class</code> are [JKS, PKCS12, PEM]."),
];
