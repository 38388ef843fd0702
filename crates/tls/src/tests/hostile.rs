//! Bytes of hostile peers before and within the handshake, and damaged key stores: nothing panics,
//! nobody is accepted, and no more is read than a handshake needs.

use std::sync::LazyLock;

use dohle_auth::Secret;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, duplex};
use tokio::runtime::{Builder, Runtime};

use super::stores::{encrypted, jks, pkcs12, pkcs12_entries, pkcs12_trust, source};
use super::*;
use crate::{StoreType, store};

/// More than any handshake is: a larger amount means that a peer can fill memory.
const HANDSHAKE_BYTES_MAX: usize = 256 << 10;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());
static NODE: LazyLock<(Arc<ServerTls>, TestIdentity)> = LazyLock::new(|| {
    let authority = TestAuthority::new("CA");
    let node = authority.local("node");
    let required = [("ssl.client.auth", "required")];
    (server(own(&node, &authority.pem(), &required)), node)
});

/// Sends bytes to a server, and then closes the connection. Returns whether the server accepted the
/// client, and how many of the bytes it did not read.
fn throw(bytes: &[u8]) -> (bool, usize) {
    RUNTIME.block_on(async {
        let (mut near, far) = duplex(1 << 10);
        let sending = async {
            let mut sent = 0;
            for piece in bytes.chunks(1 << 10) {
                if near.write_all(piece).await.is_err() {
                    break;
                }
                sent += piece.len();
            }
            drop(near);
            bytes.len() - sent
        };
        let (accepted, unread) = tokio::join!(NODE.0.accept(far), sending);
        (accepted.is_ok(), unread)
    })
}

/// Returns the first bytes that a client sends.
fn hello() -> Vec<u8> {
    let client = ClientTls::new(
        ClientPurpose::Node,
        trusting(&NODE.1.certificate_pem(), &[]),
    );
    RUNTIME.block_on(async {
        let (near, mut far) = duplex(64 << 10);
        let connecting = tokio::spawn(async move {
            let _ = client.unwrap().connect("localhost", near).await;
        });
        let mut bytes = vec![0; 16 << 10];
        let read = far.read(&mut bytes).await.unwrap();
        connecting.abort();
        bytes.truncate(read);
        bytes
    })
}

static HELLO: LazyLock<Vec<u8>> = LazyLock::new(hello);

/// Replaces bytes, and cuts the end off.
fn damaged(bytes: &[u8], changes: &[(prop::sample::Index, u8)], cut: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    bytes.truncate(bytes.len().saturating_sub(cut));
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4)
}

/// How files of the formats begin.
const STARTS: &[&[u8]] = &[
    b"",
    b"\xfe\xed\xfe\xed\0\0\0\x02",
    b"\x30\x82\x01\x00\x02\x01\x03",
    b"-----BEGIN CERTIFICATE-----\n",
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
];

proptest! {
    #[test]
    fn hostile_bytes_before_a_handshake_end_it(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        prop_assert!(!throw(&bytes).0);
    }

    #[test]
    fn hostile_records_of_tls_end_the_handshake(
        kind in 20_u8..26,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut record = vec![kind, 3, 3];
        record.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        record.extend(&bytes);
        prop_assert!(!throw(&record.repeat(3)).0);
    }

    #[test]
    fn hostile_hellos_end_the_handshake(changes in changes(), cut in 0_usize..40, more: Vec<u8>) {
        let mut bytes = damaged(&HELLO, &changes, cut);
        bytes.extend(more);
        prop_assert!(!throw(&bytes).0);
    }

    #[test]
    fn hostile_pem_is_refused_without_a_panic(changes in changes(), cut in 0_usize..100) {
        let text = NODE.1.key_pem() + &NODE.1.certificate_pem();
        let bytes = damaged(text.as_bytes(), &changes, cut);
        let _ = store::key_material(&bytes, &source(StoreType::Pem, "", "changeit"), "/store");
        let _ = store::trusted(&bytes, &source(StoreType::Pem, "", ""), "/store");
    }

    /// Without a password the digest of the file is not checked, and its content is read.
    #[test]
    fn hostile_jks_is_refused_without_a_panic(changes in changes(), cut in 0_usize..100) {
        let bytes = damaged(&JKS, &changes, cut);
        let mut source = source(StoreType::Binary, "", "changeit");
        let _ = store::key_material(&bytes, &source, "/store");
        let _ = store::trusted(&bytes, &source, "/store");
        source.password = Some(Secret::new("changeit"));
        let _ = store::key_material(&bytes, &source, "/store");
    }

    #[test]
    fn hostile_pkcs12_is_refused_without_a_panic(
        changes in changes(),
        cut in 0_usize..100,
        has_mac: bool,
    ) {
        let store = if has_mac { &PKCS12.0 } else { &PKCS12.1 };
        let bytes = damaged(store, &changes, if has_mac { cut } else { 0 });
        let source = source(StoreType::Binary, "changeit", "");
        let _ = store::key_material(&bytes, &source, "/store");
        let _ = store::trusted(&bytes, &source, "/store");
    }

    #[test]
    fn hostile_stores_are_refused_without_a_panic(
        kind in prop::sample::select(&[StoreType::Pem, StoreType::Binary][..]),
        start in prop::sample::select(STARTS),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [start, &rest].concat();
        let source = source(kind, "", "");
        let _ = store::key_material(&bytes, &source, "/store");
        let _ = store::trusted(&bytes, &source, "/store");
    }
}

static JKS: LazyLock<Vec<u8>> = LazyLock::new(|| jks(&NODE.1, "changeit", "changeit"));

/// A PKCS#12 store with its MAC, which refuses most changes, and without, so that changes reach the
/// content; OpenSSL writes the latter with `-nomac`. Its keys are derived with few iterations.
static PKCS12: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let store = pkcs12_entries(&NODE.1);
    let writer = store.writer("changeit").encryption_iterations(2);
    let whole = writer.mac_iterations(2).write().unwrap();
    let mut bare = whole.clone();
    bare.truncate(content_end(&whole));
    let length = u16::try_from(bare.len() - 4).unwrap();
    bare[2..4].copy_from_slice(&length.to_be_bytes());
    (whole, bare)
});

/// Returns where the content of a PKCS#12 store ends, and its MAC begins. The store is a sequence
/// of a version, the content and the MAC; lengths of sequences take two bytes here.
fn content_end(store: &[u8]) -> usize {
    let (version, content) = (4, 7);
    assert_eq!(store[version..content], [2, 1, 3], "version 3");
    assert_eq!(store[content..content + 2], [0x30, 0x82], "a sequence");
    let length = u16::from_be_bytes([store[content + 2], store[content + 3]]);
    content + 4 + usize::from(length)
}

/// The tests of damaged stores begin with stores that can be read.
#[test]
fn pkcs12_stores_are_read_with_and_without_their_mac() {
    let source = source(StoreType::Binary, "changeit", "");
    for bytes in [&PKCS12.0, &PKCS12.1] {
        let material = store::key_material(bytes, &source, "/store").unwrap();
        assert_eq!(material.chain[0], NODE.1.certificate);
    }
}

/// A peer announces a message of 16 MB and goes on with records of it.
#[test]
fn hostile_lengths_of_a_handshake_take_little_memory() {
    let mut bytes = Vec::new();
    let mut body = vec![1, 0xff, 0xff, 0xff];
    body.resize(16 << 10, 0);
    for _ in 0..256 {
        bytes.extend([22, 3, 3, 0x40, 0]);
        bytes.extend(&body);
        body[..4].fill(0);
    }
    let (is_accepted, unread) = throw(&bytes);
    assert!(!is_accepted);
    let read = bytes.len() - unread;
    assert!(read <= HANDSHAKE_BYTES_MAX, "{read} bytes");
}

/// A store whose content was cut off is refused wherever that is.
#[test]
fn hostile_ends_of_pkcs12_stores_are_refused() {
    let stores = [
        pkcs12(&NODE.1, "changeit"),
        pkcs12_trust(&NODE.1.certificate, "changeit"),
        encrypted(&NODE.1, "changeit").into_bytes(),
    ];
    for bytes in stores {
        for end in (0..bytes.len()).step_by(7) {
            let source = source(StoreType::Binary, "changeit", "");
            assert!(store::key_material(&bytes[..end], &source, "/store").is_err());
            assert!(store::trusted(&bytes[..end], &source, "/store").is_err());
        }
    }
}
