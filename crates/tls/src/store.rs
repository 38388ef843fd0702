//! Key stores and trust stores: reads certificates and private keys from PEM, PKCS#12 and JKS.
//! Pure: works on bytes. Errors describe what is wrong and which command converts the file.

use dohle_auth::Secret;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

use crate::pem;
use crate::settings::{Source, StoreType};

mod jks;

/// A private key with its certificates, the key's own one first.
#[derive(Debug)]
pub(crate) struct KeyMaterial {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// The first bytes of a JCEKS file, a format of Java that is not supported.
const JCEKS: [u8; 4] = [0xce, 0xce, 0xce, 0xce];
/// The first byte of a PKCS#12 file.
const DER_SEQUENCE: u8 = 0x30;

/// The format of a file, by its content.
enum Content<'a> {
    Pem(&'a str),
    Pkcs12,
    Jks,
    Jceks,
    Unknown,
}

fn content(bytes: &[u8]) -> Content<'_> {
    if bytes.starts_with(&jks::MAGIC) {
        return Content::Jks;
    }
    if bytes.starts_with(&JCEKS) {
        return Content::Jceks;
    }
    if bytes.first() == Some(&DER_SEQUENCE) {
        return Content::Pkcs12;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN ") => Content::Pem(text),
        _ => Content::Unknown,
    }
}

/// Reads the private key and the certificates of a key store. `file` is its name, for commands.
///
/// # Errors
/// What is wrong, and what to do.
pub(crate) fn key_material(
    bytes: &[u8],
    source: &Source,
    file: &str,
) -> Result<KeyMaterial, String> {
    let password = source.password.as_ref();
    let key_password = source.key_password.as_ref();
    match (content(bytes), source.kind) {
        (Content::Pem(text), StoreType::Pem) => pem_material(text, key_password, file),
        (Content::Pkcs12, StoreType::Binary) => pkcs12_material(bytes, password),
        (Content::Jks, StoreType::Binary) => {
            let entries = jks::entries(bytes, password)?;
            jks_material(&entries, key_password.or(password))
        }
        (other, _) => Err(wrong_format(&other, source, file)),
    }
}

/// Reads the certificates of a trust store. `file` is its name, for commands.
///
/// # Errors
/// What is wrong, and what to do.
pub(crate) fn trusted(
    bytes: &[u8],
    source: &Source,
    file: &str,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let password = source.password.as_ref();
    let certificates = match (content(bytes), source.kind) {
        (Content::Pem(text), StoreType::Pem) => pem_certificates(text),
        (Content::Pkcs12, StoreType::Binary) => pkcs12_trusted(bytes, password)?,
        (Content::Jks, StoreType::Binary) => jks::entries(bytes, password)?
            .into_iter()
            .flat_map(|entry| entry.chain)
            .map(CertificateDer::from)
            .collect(),
        (other, _) => return Err(wrong_format(&other, source, file)),
    };
    if certificates.is_empty() {
        return Err("it has no certificate".to_owned());
    }
    Ok(certificates)
}

fn wrong_format(content: &Content<'_>, source: &Source, file: &str) -> String {
    let type_property = &source.type_property;
    match content {
        Content::Pem(_) => format!("it is PEM; set {type_property}=PEM"),
        Content::Pkcs12 => format!(
            "it is PKCS#12 or another binary format, not PEM; set {type_property}=PKCS12, or \
             convert it with: openssl pkcs12 -in {file} -nodes -out store.pem"
        ),
        Content::Jks => format!("it is JKS, not PEM; set {type_property}=JKS"),
        Content::Jceks => format!(
            "it is JCEKS, which is not supported; convert it with: keytool -importkeystore \
             -srckeystore {file} -srcstoretype JCEKS -destkeystore store.p12 -deststoretype PKCS12"
        ),
        Content::Unknown => {
            "it is not PEM, PKCS#12 or JKS, or it is damaged; write certificates and a key as PEM, \
             or make a store with: openssl pkcs12 -export -in cert.pem -inkey key.pem -out \
             store.p12"
                .to_owned()
        }
    }
}

fn pem_certificates(text: &str) -> Vec<CertificateDer<'static>> {
    let blocks = pem::blocks(text).into_iter();
    blocks
        .filter(|block| matches!(block.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE"))
        .filter_map(|block| Some(CertificateDer::from(block.der?)))
        .collect()
}

fn pem_material(
    text: &str,
    key_password: Option<&Secret>,
    file: &str,
) -> Result<KeyMaterial, String> {
    let chain = pem_certificates(text);
    if chain.is_empty() {
        return Err(
            "it has no block BEGIN CERTIFICATE; it must contain the certificate, those of its \
             issuers and the private key"
                .to_owned(),
        );
    }
    let key = pem::blocks(text)
        .into_iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"));
    let Some(key) = key else {
        return Err(format!(
            "it has no block BEGIN PRIVATE KEY; append the key with: cat key.pem >> {file}"
        ));
    };
    let convert = format!("openssl pkcs8 -topk8 -v2 aes-256-cbc -in {file} -out key.pem");
    let der = key.der.ok_or_else(|| {
        format!("its private key is encrypted in an old form; convert it with: {convert}")
    })?;
    let key = match key.label.as_str() {
        "PRIVATE KEY" => PrivatePkcs8KeyDer::from(der).into(),
        "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(der).into(),
        "EC PRIVATE KEY" => PrivateSec1KeyDer::from(der).into(),
        "ENCRYPTED PRIVATE KEY" => {
            let password = key_password.ok_or(
                "its private key is encrypted and ssl.key.password is not set; set it to the \
                 password of the key",
            )?;
            decrypt(&der, password, &convert)?
        }
        other => return Err(format!("its key is a {other}; convert it with: {convert}")),
    };
    Ok(KeyMaterial { chain, key })
}

fn decrypt(der: &[u8], password: &Secret, convert: &str) -> Result<PrivateKeyDer<'static>, String> {
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|_| format!("its encrypted private key is damaged; convert it with: {convert}"))?;
    let decrypted = encrypted
        .decrypt(password.expose())
        .map_err(|error| match error {
            pkcs8::Error::EncryptedPrivateKey(
                pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }
                | pkcs8::pkcs5::Error::NoPbes1CryptSupport
                | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. },
            ) => format!(
                "its private key is encrypted with an algorithm that is not supported; convert it \
                 with: {convert}"
            ),
            _ => "ssl.key.password does not decrypt its private key".to_owned(),
        })?;
    Ok(PrivatePkcs8KeyDer::from(decrypted.as_bytes().to_vec()).into())
}

fn pkcs12(
    bytes: &[u8],
    password: Option<&Secret>,
    policy: Pkcs12ImportPolicy,
) -> Result<KeyStore, String> {
    let password = password.map_or("", Secret::expose);
    KeyStore::from_pkcs12(bytes, password, policy).map_err(|error| match error {
        p12_keystore::error::Error::MacError(_) => {
            "the password of the store is wrong, or the file is damaged".to_owned()
        }
        error => format!(
            "it cannot be read as PKCS#12 ({error}); make it anew with: openssl pkcs12 -export -in \
             cert.pem -inkey key.pem -out store.p12"
        ),
    })
}

fn pkcs12_material(bytes: &[u8], password: Option<&Secret>) -> Result<KeyMaterial, String> {
    let store = pkcs12(bytes, password, Pkcs12ImportPolicy::Strict)?;
    let Some((_, chain)) = store.private_key_chain() else {
        return Err("it has no private key with a certificate".to_owned());
    };
    let certificates = chain.certs().iter();
    Ok(KeyMaterial {
        chain: certificates
            .map(|certificate| CertificateDer::from(certificate.as_der().to_vec()))
            .collect(),
        key: PrivatePkcs8KeyDer::from(chain.key().as_der().to_vec()).into(),
    })
}

/// Returns all certificates of a file. Java marks those that are trusted, and OpenSSL does not, so
/// the mark is not required.
fn pkcs12_trusted(
    bytes: &[u8],
    password: Option<&Secret>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let store = pkcs12(bytes, password, Pkcs12ImportPolicy::Raw)?;
    let mut certificates = Vec::new();
    for (_, entry) in store.entries() {
        match entry {
            KeyStoreEntry::Certificate(certificate) => certificates.push(certificate.as_der()),
            KeyStoreEntry::PrivateKeyChain(chain) => {
                let chain = chain.certs().iter();
                certificates.extend(chain.map(|certificate| certificate.as_der()));
            }
            KeyStoreEntry::Secret(_) => {}
        }
    }
    let owned = |der: &[u8]| CertificateDer::from(der.to_vec());
    Ok(certificates.into_iter().map(owned).collect())
}

fn jks_material(
    entries: &[jks::Entry],
    key_password: Option<&Secret>,
) -> Result<KeyMaterial, String> {
    let with_key = entries
        .iter()
        .find_map(|entry| Some((entry, entry.key.as_ref()?)));
    let Some((entry, encrypted)) = with_key else {
        return Err("it has no private key".to_owned());
    };
    let key = jks::decrypt(encrypted, key_password)?;
    let chain = entry.chain.iter();
    Ok(KeyMaterial {
        chain: chain.map(|der| CertificateDer::from(der.clone())).collect(),
        key: PrivatePkcs8KeyDer::from(key).into(),
    })
}
