//! Tests of key stores, of handshakes in memory, and of reloads. Certificates are made by the
//! tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use dohle_config::{BrokerValues, Properties};
use rcgen::{DnType, ExtendedKeyUsagePurpose};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use crate::testing::{TestAuthority, TestIdentity, TestRequest, pem, self_signed};
use crate::{ClientPurpose, ClientTls, ServerTls, TlsError, TlsSettings};

mod hostile;
mod stores;
mod version_1;

/// Returns the settings of properties.
fn settings(properties: &[(&str, &str)]) -> Result<TlsSettings, TlsError> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let properties: Properties = properties.iter().map(owned).collect();
    TlsSettings::read(&BrokerValues::fixed(Arc::new(properties)).listener("L"))
}

/// Returns the properties of inline key material.
fn inline<'a>(chain: &'a str, key: &'a str, trusted: &'a str) -> BTreeMap<&'a str, &'a str> {
    let all = [
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.certificate.chain", chain),
        ("ssl.keystore.key", key),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.certificates", trusted),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// Returns the settings of an identity that trusts `trusted`, with further properties.
fn own(identity: &TestIdentity, trusted: &str, more: &[(&str, &str)]) -> TlsSettings {
    let (chain, key) = (identity.certificate_pem(), identity.key_pem());
    let mut properties = inline(&chain, &key, trusted);
    properties.extend(more.iter().copied());
    settings(&properties.into_iter().collect::<Vec<_>>()).unwrap()
}

fn trusting(trusted: &str, more: &[(&str, &str)]) -> TlsSettings {
    let mut properties = inline("", "", trusted);
    properties.extend(more.iter().copied());
    settings(&properties.into_iter().collect::<Vec<_>>()).unwrap()
}

/// Whom the server has identified; or why the server, and why the client failed.
type Outcome = Result<Option<String>, (Option<String>, Option<String>)>;

/// Carries out a handshake in memory, in which the client connects to `host`.
async fn handshake(server: &ServerTls, client: TlsSettings, host: &str) -> Outcome {
    let client = ClientTls::new(ClientPurpose::Node, client).unwrap();
    let (near, far) = duplex(64 << 10);
    let accepting = async {
        let mut accepted = server.accept(far).await?;
        assert!(accepted.is_http2);
        accepted.stream.write_all(b"!").await.unwrap();
        Ok(accepted
            .principal
            .map(|principal| principal.name().to_owned()))
    };
    let connecting = async {
        let mut stream = client.connect(host, near).await?;
        // With TLS 1.3 a client learns only now that the server refuses its certificate.
        let mut byte = [0];
        let read = stream.read_exact(&mut byte).await;
        read.map_err(|error| crate::HandshakeFailure::of(&error, crate::handshake::Side::Client))
    };
    let (accepted, connected) = tokio::join!(accepting, connecting);
    match (accepted, connected) {
        (Ok(principal), Ok(_)) => Ok(principal),
        (accepted, connected) => {
            let text = |error: crate::HandshakeFailure| error.to_string();
            Err((accepted.err().map(text), connected.err().map(text)))
        }
    }
}

fn server(settings: TlsSettings) -> Arc<ServerTls> {
    ServerTls::new("L", settings).unwrap()
}

#[track_caller]
fn check_failed(outcome: Outcome, server: &str, client: &str) {
    let (at_server, at_client) = outcome.unwrap_err();
    for (found, expected) in [(at_server, server), (at_client, client)] {
        let found = found.unwrap_or_default();
        assert!(found.contains(expected), "{expected:?} is not in {found:?}");
    }
}

#[tokio::test]
async fn a_client_is_identified_by_its_certificate() {
    let authority = TestAuthority::new("CA");
    let trusted = authority.pem();
    let mut request = TestRequest::new("client", &[]);
    request
        .subject
        .insert(0, (DnType::OrganizationName, "A, B".to_owned()));
    let client = authority.issue(&request);
    let node = authority.local("node");
    let required = server(own(&node, &trusted, &[("ssl.client.auth", "required")]));
    let outcome = handshake(&required, own(&client, &trusted, &[]), "localhost").await;
    assert_eq!(outcome, Ok(Some("CN=client,O=A\\, B".to_owned())));

    let rules = "RULE:^CN=(.*?),.*$/$1/U";
    let mapped = [
        ("ssl.client.auth", "requested"),
        ("ssl.principal.mapping.rules", rules),
    ];
    let requested = server(own(&node, &trusted, &mapped));
    let outcome = handshake(&requested, own(&client, &trusted, &[]), "127.0.0.1").await;
    assert_eq!(outcome, Ok(Some("CLIENT".to_owned())));
    let outcome = handshake(&requested, trusting(&trusted, &[]), "localhost").await;
    assert_eq!(outcome, Ok(None));
    let other = authority.local("other");
    let outcome = handshake(&requested, own(&other, &trusted, &[]), "localhost").await;
    check_failed(
        outcome,
        "no rule of ssl.principal.mapping.rules matches",
        "",
    );

    let none = server(own(&node, "", &[]));
    let outcome = handshake(&none, own(&client, &trusted, &[]), "localhost").await;
    assert_eq!(outcome, Ok(None));
}

/// The expected text is what `X500Principal.getName()` of JDK 17 returns for the same subject.
#[test]
fn a_subject_is_written_as_java_writes_it() {
    let custom = |oid: &[u64]| DnType::CustomDnType(oid.to_vec());
    let subject = [
        (DnType::CountryName, "DE"),
        (DnType::StateOrProvinceName, "Berlin"),
        (DnType::LocalityName, "Mitte"),
        (DnType::OrganizationName, "A, B+C=D"),
        (DnType::OrganizationalUnitName, "#x \"q\" <y>;z\\w"),
        (DnType::CommonName, " lead trail  "),
        (custom(&[1, 2, 840, 113_549, 1, 9, 1]), "a@b.c"),
        (custom(&[0, 9, 2342, 19_200_300, 100, 1, 1]), "u1"),
        (custom(&[0, 9, 2342, 19_200_300, 100, 1, 25]), "example"),
        (custom(&[2, 5, 4, 9]), "Weg 1 \u{e4}"),
    ];
    let mut request = TestRequest::new("", &[]);
    let owned = |(kind, value): (DnType, &str)| (kind, value.to_owned());
    request.subject = subject.into_iter().map(owned).collect();
    let identity = self_signed(&request, false);
    let name = crate::distinguished_name(&identity.certificate);
    let expected = "STREET=Weg 1 \u{e4},DC=example,UID=u1,1.2.840.113549.1.9.1=#0c056140622e63,\
                    CN=\\ lead trail\\ \\ ,OU=\\#x \\\"q\\\" \\<y\\>\\;z\\\\w,O=A\\, B\\+C\\=D,\
                    L=Mitte,ST=Berlin,C=DE";
    assert_eq!(name.as_deref(), Some(expected));
}

#[tokio::test]
async fn each_end_refuses_a_certificate_and_names_the_cause() {
    let (authority, stranger) = (TestAuthority::new("CA"), TestAuthority::new("Other CA"));
    let trusted = authority.pem();
    let node = authority.local("node");
    let required = server(own(&node, &trusted, &[("ssl.client.auth", "required")]));
    let client = |identity: &TestIdentity| own(identity, &trusted, &[]);

    let outcome = handshake(&required, trusting(&trusted, &[]), "localhost").await;
    check_failed(
        outcome,
        "the client has no certificate",
        "requires a certificate",
    );
    let outcome = handshake(&required, client(&stranger.local("client")), "localhost").await;
    check_failed(
        outcome,
        "not issued by an authority",
        "does not accept this client's",
    );
    let mut old = TestRequest::new("client", &[]);
    old.days = (-30, -2);
    let outcome = handshake(&required, client(&authority.issue(&old)), "localhost").await;
    check_failed(
        outcome,
        "has expired: it was valid until",
        "certificate has expired",
    );
    let mut early = TestRequest::new("client", &[]);
    early.days = (2, 30);
    let outcome = handshake(&required, client(&authority.issue(&early)), "localhost").await;
    check_failed(outcome, "not valid yet", "");
    let mut wrong = TestRequest::new("client", &[]);
    wrong.purposes = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let outcome = handshake(&required, client(&authority.issue(&wrong)), "localhost").await;
    check_failed(outcome, "extended key usage", "");

    let plain = server(own(&node, "", &[]));
    let outcome = handshake(&plain, trusting(&stranger.pem(), &[]), "localhost").await;
    check_failed(
        outcome,
        "does not accept this node's",
        "not issued by an authority",
    );
    let outcome = handshake(&plain, trusting(&trusted, &[]), "example.com").await;
    check_failed(
        outcome,
        "does not accept this node's",
        "not for the host example.com",
    );
    let any_host = [("ssl.endpoint.identification.algorithm", "")];
    let outcome = handshake(&plain, trusting(&trusted, &any_host), "example.com").await;
    assert_eq!(outcome, Ok(None));
    let mut old = TestRequest::new("node", &["localhost"]);
    old.days = (-30, -2);
    let expired = server(own(&authority.issue(&old), "", &[]));
    let outcome = handshake(&expired, trusting(&trusted, &[]), "localhost").await;
    check_failed(outcome, "has expired", "has expired: it was valid until");
}

#[tokio::test]
async fn a_certificate_in_the_trust_store_is_trusted_even_if_it_signed_itself() {
    for is_ca in [false, true] {
        let request = TestRequest::new("node", &["localhost"]);
        let node = self_signed(&request, is_ca);
        let trusted = node.certificate_pem();
        let auth = [("ssl.client.auth", "required")];
        let tls = server(own(&node, &trusted, &auth));
        let outcome = handshake(&tls, own(&node, &trusted, &[]), "localhost").await;
        assert_eq!(outcome, Ok(Some("CN=node".to_owned())), "{is_ca}");
        let mut old = request.clone();
        old.days = (-3, -2);
        let node = self_signed(&old, is_ca);
        let trusted = node.certificate_pem();
        let tls = server(own(&node, "", &[]));
        let outcome = handshake(&tls, trusting(&trusted, &[]), "localhost").await;
        check_failed(outcome, "has expired", "has expired");
    }
}

#[tokio::test]
async fn without_alternative_names_the_common_name_is_the_host() {
    let authority = TestAuthority::new("CA");
    let client = || trusting(&authority.pem(), &[]);
    let node = authority.issue(&TestRequest::new("one.example.com", &[]));
    let tls = server(own(&node, "", &[]));
    let outcome = handshake(&tls, client(), "one.example.com").await;
    assert_eq!(outcome, Ok(None));
    let outcome = handshake(&tls, client(), "two.example.com").await;
    check_failed(outcome, "", "not for the host two.example.com");
    let node = authority.issue(&TestRequest::new("one.example.com", &["other.example.com"]));
    let tls = server(own(&node, "", &[]));
    let outcome = handshake(&tls, client(), "one.example.com").await;
    check_failed(outcome, "", "not for the host one.example.com");
}

#[tokio::test]
async fn versions_and_cipher_suites_are_limited() {
    let authority = TestAuthority::new("CA");
    let node = authority.local("node");
    let only = |property, value| [(property, value)];
    let tls12 = only("ssl.enabled.protocols", "TLSv1.2");
    let tls13 = only("ssl.enabled.protocols", "TLSv1.3");
    let client = |more: &[(&str, &str)]| trusting(&authority.pem(), more);
    let tls = server(own(&node, "", &tls12));
    assert_eq!(handshake(&tls, client(&[]), "localhost").await, Ok(None));
    let outcome = handshake(&tls, client(&tls13), "localhost").await;
    check_failed(outcome, "no version of TLS is common", "");
    let aes = only("ssl.cipher.suites", "TLS_AES_256_GCM_SHA384");
    let chacha = only("ssl.cipher.suites", "TLS_CHACHA20_POLY1305_SHA256");
    let tls = server(own(&node, "", &aes));
    assert_eq!(handshake(&tls, client(&aes), "localhost").await, Ok(None));
    let outcome = handshake(&tls, client(&chacha), "localhost").await;
    check_failed(outcome, "no cipher suite is common", "");
}

/// Makes a handshake and returns both ends.
async fn connected(
    server: &ServerTls,
    trusted: &str,
) -> (
    impl tokio::io::AsyncRead + tokio::io::AsyncWrite + use<>,
    crate::ServerStream<DuplexStream>,
) {
    let client = ClientTls::new(ClientPurpose::Tool, trusting(trusted, &[])).unwrap();
    let (near, far) = duplex(64 << 10);
    let (accepted, connected) = tokio::join!(server.accept(far), client.connect("localhost", near));
    (connected.unwrap(), accepted.unwrap().stream)
}

fn files(directory: &Path, authority: &TestAuthority) -> TlsSettings {
    fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    let (key, ca) = (directory.join("node.pem"), directory.join("ca.pem"));
    settings(&[
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", key.to_str().unwrap()),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", ca.to_str().unwrap()),
    ])
    .unwrap()
}

#[tokio::test]
async fn changed_files_are_loaded_and_open_connections_go_on() {
    let directory = TempDir::new().unwrap();
    let (old, new) = (TestAuthority::new("Old CA"), TestAuthority::new("New CA"));
    let file = directory.path().join("node.pem");
    fs::write(&file, old.local("node").pem()).unwrap();
    let settings = files(directory.path(), &old);
    let tls = server(settings.clone());
    let (client, mut accepted) = connected(&tls, &old.pem()).await;
    assert!(!tls.reload(&settings).unwrap(), "nothing has changed");

    fs::write(&file, new.local("node").pem() + "\n").unwrap();
    assert!(tls.reload(&settings).unwrap());
    let outcome = handshake(&tls, trusting(&new.pem(), &[]), "localhost").await;
    assert_eq!(outcome, Ok(None));
    let outcome = handshake(&tls, trusting(&old.pem(), &[]), "localhost").await;
    check_failed(outcome, "", "not issued by an authority");
    accepted.write_all(b"still here").await.unwrap();
    accepted.flush().await.unwrap();
    let mut received = [0; 10];
    tokio::pin!(client);
    client.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"still here");
}

#[tokio::test]
async fn a_bad_new_file_leaves_the_present_material_in_use() {
    let directory = TempDir::new().unwrap();
    let authority = TestAuthority::new("CA");
    let file = directory.path().join("node.pem");
    let node = authority.local("node");
    fs::write(&file, node.pem()).unwrap();
    let settings = files(directory.path(), &authority);
    let tls = server(settings.clone());
    let other = authority.local("other");
    let fewer_names = authority.issue(&TestRequest::new("node", &["localhost"]));
    for (content, expected) in [
        ("garbage".to_owned(), "it is not PEM"),
        (node.certificate_pem(), "no block BEGIN PRIVATE KEY"),
        (
            node.certificate_pem() + &other.key_pem(),
            "does not belong to its first certificate",
        ),
        (other.pem(), "the subject CN=other, the present one CN=node"),
        (fewer_names.pem(), "lacks the alternative name"),
    ] {
        fs::write(&file, content).unwrap();
        let error = tls.reload(&settings).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        let outcome = handshake(&tls, trusting(&authority.pem(), &[]), "localhost").await;
        assert_eq!(outcome, Ok(None), "{expected}");
    }
    fs::remove_file(&file).unwrap();
    assert!(tls.reload(&settings).is_err());
    fs::write(&file, other.pem()).unwrap();
    let allowed = TlsSettings {
        allows_dn_changes: true,
        ..settings
    };
    assert!(tls.reload(&allowed).unwrap());
    assert_eq!(tls.facts().subject, "CN=other");
}

#[test]
fn a_certificate_is_reported_thirty_days_before_it_expires() {
    let authority = TestAuthority::new("CA");
    let facts = server(own(&authority.local("node"), "", &[])).facts();
    let before = |days: u64| facts.expiry_warning(facts.not_after - days * 86_400);
    assert_eq!(before(31), None);
    assert!(before(30).unwrap().contains("CN=node expires in 30 days"));
    assert!(before(1).unwrap().contains("expires in 1 days"));
    let expired = facts.expiry_warning(facts.not_after + 1).unwrap();
    assert!(expired.contains("has expired"), "{expired}");
}

#[test]
fn a_private_key_that_everybody_can_read_is_reported() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = TempDir::new().unwrap();
    let authority = TestAuthority::new("CA");
    let file = directory.path().join("node.pem");
    fs::write(&file, authority.local("node").pem()).unwrap();
    for (mode, is_reported) in [(0o644, true), (0o640, false), (0o600, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let tls = server(files(directory.path(), &authority));
        assert_eq!(tls.warning().is_some(), is_reported, "{mode:o}");
    }
}

#[test]
fn properties_that_cannot_be_used_are_named() {
    let authority = TestAuthority::new("CA");
    let node = authority.local("node");
    let (chain, key) = (node.certificate_pem(), node.key_pem());
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("ssl.engine.factory.class", "a.B")],
            "ssl.engine.factory.class is \"a.B\": Dohle loads no Java classes",
        ),
        (
            &[("listener.name.l.ssl.protocol", "SSLv3")],
            "listener.name.l.ssl.protocol is \"SSLv3\"; allowed is TLS, TLSv1.2, TLSv1.3",
        ),
        (
            &[("ssl.enabled.protocols", "TLSv1.3,TLSv1.1")],
            "ssl.enabled.protocols is \"TLSv1.1\"",
        ),
        (
            &[("ssl.cipher.suites", "TLS_RSA_WITH_RC4_128_MD5")],
            "allowed is a list of any of TLS_AES_256_GCM_SHA384, ",
        ),
        (
            &[("ssl.endpoint.identification.algorithm", "LDAPS")],
            "allowed is https, or nothing",
        ),
        (
            &[
                ("ssl.keystore.location", "/k"),
                ("ssl.keystore.type", "BCFKS"),
            ],
            "-srcstoretype BCFKS",
        ),
        (
            &[("ssl.keystore.location", "/k")],
            "ssl.keystore.password is not; set it to",
        ),
        (
            &[("ssl.keystore.location", "/k"), ("ssl.keystore.key", &key)],
            "set either the file or the certificates and the key",
        ),
        (
            &[("ssl.keystore.key", &key)],
            "ssl.keystore.certificate.chain is not",
        ),
        (
            &[
                ("ssl.keystore.key", &key),
                ("ssl.keystore.certificate.chain", &chain),
            ],
            "set ssl.keystore.type=PEM",
        ),
        (
            &[
                ("ssl.keystore.location", "/k"),
                ("ssl.keystore.type", "PEM"),
                ("ssl.keystore.password", "secret"),
            ],
            "set ssl.key.password for",
        ),
        (
            &[("ssl.truststore.certificates", &chain)],
            "set ssl.truststore.type=PEM",
        ),
    ];
    for (properties, expected) in cases {
        let error = settings(properties).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        assert!(
            !error.contains("secret") && !error.contains("BEGIN"),
            "{error}"
        );
    }
    let lacks = |settings| ServerTls::new("L", settings).unwrap_err().to_string();
    let error = lacks(trusting("", &[]));
    assert!(error.contains("set ssl.keystore.location"), "{error}");
    let error = lacks(own(&node, "", &[("ssl.client.auth", "required")]));
    assert!(error.contains("set ssl.truststore.location"), "{error}");
    let error = lacks(own(&node, "", &[("ssl.principal.mapping.rules", "x")]));
    assert!(
        error.contains("ssl.principal.mapping.rules is \"x\""),
        "{error}"
    );
    let mut old = node.clone();
    let version = [0xa0, 3, 2, 1, 2];
    let at = old.certificate.windows(5).position(|at| at == version);
    let mut bytes = old.certificate.to_vec();
    bytes[at.unwrap() + 4] = 0;
    old.certificate = bytes.into();
    let error = lacks(own(&old, "", &[]));
    assert!(
        error.contains("has version 1 of X.509; it can have version 3, or version 1 without"),
        "{error}"
    );
    let damaged = pem("CERTIFICATE", b"nothing");
    let error = lacks(own(&node, &damaged, &[("ssl.client.auth", "required")]));
    assert!(error.contains("ssl.truststore.certificates: "), "{error}");
}
