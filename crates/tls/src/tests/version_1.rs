//! Certificates of version 1 of X.509, at nodes and clients.

use super::*;

/// Returns the settings of an identity that trusts `trusted`, with one version of TLS.
fn with(identity: &TestIdentity, trusted: &str, protocol: &str) -> TlsSettings {
    let more = [
        ("ssl.client.auth", "required"),
        ("ssl.enabled.protocols", protocol),
    ];
    own(identity, trusted, &more)
}

#[tokio::test]
async fn nodes_and_clients_have_certificates_of_version_1() {
    let authority = TestAuthority::new("CA");
    let trusted = authority.pem();
    let node = authority.issue_version_1(&TestRequest::new("localhost", &[]));
    let client = authority.issue_version_1(&TestRequest::new("client", &[]));
    let newer = authority.local("newer");
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let node = server(with(&node, &trusted, protocol));
        for (client, name) in [(&client, "CN=client"), (&newer, "CN=newer")] {
            let outcome = handshake(&node, with(client, &trusted, protocol), "localhost").await;
            assert_eq!(outcome, Ok(Some(name.to_owned())), "{protocol}");
        }
        let newer = server(with(&newer, &trusted, protocol));
        let outcome = handshake(&newer, with(&client, &trusted, protocol), "localhost").await;
        assert_eq!(outcome, Ok(Some("CN=client".to_owned())), "{protocol}");
    }
    // Without names of hosts, it is for the host in its common name.
    let node = server(with(&node, &trusted, "TLSv1.3"));
    for host in ["127.0.0.1", "another.host"] {
        let outcome = handshake(&node, with(&client, &trusted, "TLSv1.3"), host).await;
        check_failed(outcome, "", "is not for the host that was connected to");
    }
}

#[tokio::test]
async fn a_certificate_of_version_1_in_the_trust_store_is_trusted() {
    let authority = TestAuthority::new("CA");
    let trusted = authority.pem();
    let node = authority.local("node");
    let client = authority.issue_version_1(&TestRequest::new("client", &[]));
    let node = server(with(&node, &client.certificate_pem(), "TLSv1.3"));
    let outcome = handshake(&node, with(&client, &trusted, "TLSv1.3"), "localhost").await;
    assert_eq!(outcome, Ok(Some("CN=client".to_owned())));
}

#[tokio::test]
async fn certificates_of_version_1_are_verified() {
    let authority = TestAuthority::new("CA");
    // It has the same name, and another key.
    let impostor = TestAuthority::new("CA");
    let trusted = authority.pem();
    let mut old = TestRequest::new("client", &[]);
    old.days = (-2, -1);
    let mut later = TestRequest::new("client", &[]);
    later.days = (1, 2);
    let mut damaged = authority.issue_version_1(&TestRequest::new("client", &[]));
    let mut bytes = damaged.certificate.to_vec();
    let name = bytes.windows(6).position(|at| at == b"client").unwrap();
    bytes[name] = b'C';
    damaged.certificate = bytes.into();
    let mut stolen = authority.issue_version_1(&TestRequest::new("client", &[]));
    let (node, key) = (authority.local("node"), authority.local("another").key);
    let node = server(with(&node, &trusted, "TLSv1.3"));
    for (client, cause) in [
        (
            impostor.issue_version_1(&TestRequest::new("client", &[])),
            "was not issued by an authority",
        ),
        (authority.issue_version_1(&old), "expired"),
        (authority.issue_version_1(&later), "not valid yet"),
        (damaged, "was not issued by an authority"),
    ] {
        let outcome = handshake(&node, with(&client, &trusted, "TLSv1.3"), "localhost").await;
        let (at_server, _) = outcome.unwrap_err();
        let at_server = at_server.unwrap_or_default();
        assert!(
            at_server.contains(cause),
            "{cause:?} is not in {at_server:?}"
        );
    }
    stolen.key = key;
    let error = ServerTls::new("L", own(&stolen, "", &[]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("its private key does not belong to its first certificate"),
        "{error}"
    );
}
