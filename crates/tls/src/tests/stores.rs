//! Tests of the formats of key stores and trust stores.

use std::time::SystemTime;

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use pkcs8::PrivateKeyInfoRef;

use super::*;
use crate::store;
use crate::{Place, Source, StoreType};
use dohle_auth::Secret;

/// Returns a source of a type with a password of the store and of the key.
pub(super) fn source(kind: StoreType, password: &str, key_password: &str) -> Source {
    let secret = |text: &str| (!text.is_empty()).then(|| Secret::new(text));
    Source {
        property: "ssl.keystore.location".to_owned(),
        type_property: "ssl.keystore.type".to_owned(),
        kind,
        place: Place::File("/store".into()),
        password: secret(password),
        key_password: secret(key_password),
    }
}

pub(super) fn pkcs12(node: &TestIdentity, password: &str) -> Vec<u8> {
    pkcs12_entries(node).writer(password).write().unwrap()
}

/// Returns a store with the key and the certificate of a node.
pub(super) fn pkcs12_entries(node: &TestIdentity) -> KeyStore {
    let certificate = Certificate::from_der(&node.certificate).unwrap();
    let key = PrivateKey::from_der(&node.key).unwrap();
    let chain = PrivateKeyChain::new("id", key, [certificate]);
    let mut store = KeyStore::new();
    store.add_entry("node", KeyStoreEntry::PrivateKeyChain(chain));
    store
}

pub(super) fn pkcs12_trust(certificate: &[u8], password: &str) -> Vec<u8> {
    let certificate = Certificate::from_der(certificate).unwrap();
    let mut store = KeyStore::new();
    store.add_entry("ca", KeyStoreEntry::Certificate(certificate));
    store.writer(password).write().unwrap()
}

pub(super) fn jks(node: &TestIdentity, password: &str, key_password: &str) -> Vec<u8> {
    let certificate = |der: &[u8]| jks::Certificate {
        cert_type: "X509".to_owned(),
        content: der.to_vec(),
    };
    let mut store = jks::KeyStore::new();
    let entry = jks::PrivateKeyEntry {
        creation_time: SystemTime::UNIX_EPOCH,
        private_key: node.key.to_vec(),
        certificate_chain: vec![certificate(&node.certificate)],
    };
    store
        .set_private_key_entry("node", entry, key_password.as_bytes())
        .unwrap();
    let mut bytes = Vec::new();
    store.store(&mut bytes, password.as_bytes()).unwrap();
    bytes
}

pub(super) fn encrypted(node: &TestIdentity, password: &str) -> String {
    let info = PrivateKeyInfoRef::try_from(&node.key[..]).unwrap();
    let document = info.encrypt(password).unwrap();
    pem("ENCRYPTED PRIVATE KEY", document.as_bytes())
}

#[track_caller]
fn check_loads(bytes: &[u8], source: &Source, node: &TestIdentity) {
    let material = store::key_material(bytes, source, "/store").unwrap();
    assert_eq!(material.chain[0], node.certificate);
    assert_eq!(material.key.secret_der(), &node.key[..]);
}

#[track_caller]
fn check_refused(bytes: &[u8], source: &Source, expected: &str) {
    let reason = store::key_material(bytes, source, "/store").unwrap_err();
    assert!(
        reason.contains(expected),
        "{expected:?} is not in {reason:?}"
    );
    assert!(!reason.contains("changeit"), "{reason}");
}

#[test]
fn every_format_of_a_key_store_is_read() {
    let node = TestAuthority::new("CA").local("node");
    let binary = |key_password| source(StoreType::Binary, "changeit", key_password);
    let text = node.key_pem() + &node.certificate_pem();
    check_loads(text.as_bytes(), &source(StoreType::Pem, "", ""), &node);
    let one_line = text.replace('\n', " ");
    check_loads(one_line.as_bytes(), &source(StoreType::Pem, "", ""), &node);
    let text = encrypted(&node, "changeit") + &node.certificate_pem();
    check_loads(
        text.as_bytes(),
        &source(StoreType::Pem, "", "changeit"),
        &node,
    );
    check_loads(&pkcs12(&node, "changeit"), &binary(""), &node);
    check_loads(&jks(&node, "changeit", "changeit"), &binary(""), &node);
    check_loads(
        &jks(&node, "changeit", "other-one"),
        &binary("other-one"),
        &node,
    );
}

#[test]
fn a_key_store_that_cannot_be_read_is_refused_with_what_to_do() {
    let node = TestAuthority::new("CA").local("node");
    let text = source(StoreType::Pem, "", "");
    let binary = source(StoreType::Binary, "changeit", "");
    let wrong = source(StoreType::Binary, "changeit2", "");
    check_refused(node.pem().as_bytes(), &binary, "set ssl.keystore.type=PEM");
    check_refused(
        &pkcs12(&node, "changeit"),
        &text,
        "openssl pkcs12 -in /store",
    );
    check_refused(
        &pkcs12(&node, "changeit"),
        &wrong,
        "password of the store is wrong",
    );
    check_refused(
        &jks(&node, "changeit", "changeit"),
        &text,
        "set ssl.keystore.type=JKS",
    );
    check_refused(
        &jks(&node, "changeit", "changeit"),
        &wrong,
        "password of the store is wrong",
    );
    let other_key = jks(&node, "changeit", "other-one");
    check_refused(&other_key, &binary, "ssl.key.password does not decrypt");
    check_refused(&[0xce; 9], &binary, "-srcstoretype JCEKS");
    check_refused(b"", &binary, "openssl pkcs12 -export");
    check_refused(
        &pkcs12(&node, "changeit")[..200],
        &binary,
        "cannot be read as PKCS#12",
    );
    let certificate = node.certificate_pem();
    check_refused(certificate.as_bytes(), &text, "cat key.pem >> /store");
    check_refused(
        node.key_pem().as_bytes(),
        &text,
        "no block BEGIN CERTIFICATE",
    );
    let key = encrypted(&node, "changeit");
    let both = certificate.clone() + &key;
    check_refused(both.as_bytes(), &text, "ssl.key.password is not set");
    let wrong = source(StoreType::Pem, "", "changeit2");
    check_refused(both.as_bytes(), &wrong, "ssl.key.password does not decrypt");
    let old = certificate
        + "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE \
           KEY-----\n";
    check_refused(old.as_bytes(), &text, "openssl pkcs8 -topk8");
}

#[test]
fn every_format_of_a_trust_store_is_read() {
    let authority = TestAuthority::new("CA");
    let node = authority.local("node");
    let check = |bytes: &[u8], kind, password, expected: &[u8]| {
        let found = store::trusted(bytes, &source(kind, password, ""), "/store").unwrap();
        assert_eq!(
            found.iter().map(|it| &it[..]).collect::<Vec<_>>(),
            [expected]
        );
    };
    let ca = authority.certificate();
    check(authority.pem().as_bytes(), StoreType::Pem, "", ca);
    check(
        &pkcs12_trust(ca, "changeit"),
        StoreType::Binary,
        "changeit",
        ca,
    );
    let store = jks(&node, "changeit", "changeit");
    check(&store, StoreType::Binary, "changeit", &node.certificate);
    // Java reads a JKS trust store without a password, too.
    check(&store, StoreType::Binary, "", &node.certificate);
    let empty = source(StoreType::Pem, "", "");
    let text = pem("CERTIFICATE REQUEST", b"x");
    assert!(store::trusted(text.as_bytes(), &empty, "/store").is_err());
}
