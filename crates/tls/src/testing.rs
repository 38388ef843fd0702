//! Certificates for tests: authorities, and what they issue.

use rcgen::{DnType, ExtendedKeyUsagePurpose};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::asn1_rs::Any;
use x509_parser::prelude::FromDer as _;

use crate::authority::{Authority, CertificateRequest};

pub use crate::authority::Identity as TestIdentity;
pub use crate::pem::encode as pem;

const DAY_SECS: i64 = 86_400;

/// An authority that issues certificates.
#[derive(Debug)]
pub struct TestAuthority(Authority);

/// What a certificate is to contain.
#[derive(Debug, Clone)]
pub struct TestRequest {
    /// The subject: types and values, the least specific one first.
    pub subject: Vec<(DnType, String)>,
    /// The hosts: names and addresses.
    pub hosts: Vec<String>,
    /// The times from and until which it is valid, in days from now.
    pub days: (i64, i64),
    /// Its purposes.
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
}

impl TestRequest {
    /// Requests a certificate with a common name, for some hosts, that is valid for a year.
    #[must_use]
    pub fn new(common_name: &str, hosts: &[&str]) -> Self {
        Self {
            subject: vec![(DnType::CommonName, common_name.to_owned())],
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            days: (-1, 365),
            purposes: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        }
    }

    fn request(&self) -> CertificateRequest {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        CertificateRequest {
            subject: self.subject.clone(),
            hosts: self.hosts.clone(),
            not_before: now + self.days.0 * DAY_SECS,
            not_after: now + self.days.1 * DAY_SECS,
            purposes: self.purposes.clone(),
        }
    }
}

impl TestAuthority {
    /// Returns a new authority.
    ///
    /// # Panics
    /// When the certificate cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let request = TestRequest::new(name, &[]).request();
        Self(Authority::new(&request).expect("an authority"))
    }

    /// Returns the authority's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.0.identity.certificate
    }

    /// Returns the authority's own certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.identity.certificate_pem()
    }

    /// Issues a certificate.
    ///
    /// # Panics
    /// When the certificate cannot be made.
    #[must_use]
    pub fn issue(&self, request: &TestRequest) -> TestIdentity {
        self.0.issue(&request.request()).expect("a certificate")
    }

    /// Issues a certificate of version 1, which has no extensions, and so no hosts or purposes.
    ///
    /// # Panics
    /// When the certificate cannot be made.
    #[must_use]
    pub fn issue_version_1(&self, request: &TestRequest) -> TestIdentity {
        const BIT_STRING: u8 = 0x03;
        let mut identity = self.issue(request);
        let parts = elements(&identity.certificate);
        let fields = elements(&parts[0]);
        // Without the first field, which is the version, and the last one, the extensions.
        let signed = element(SEQUENCE, &fields[1..fields.len() - 1].concat());
        let random = SystemRandom::new();
        let key = &self.0.identity.key;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key, &random);
        let signature = key.expect("a key").sign(&random, &signed);
        let signature = [&[0], signature.expect("a signature").as_ref()].concat();
        let parts = [signed, parts[1].clone(), element(BIT_STRING, &signature)];
        identity.certificate = element(SEQUENCE, &parts.concat()).into();
        identity
    }

    /// Issues a certificate for a node or a client with this name on this machine.
    #[must_use]
    pub fn local(&self, common_name: &str) -> TestIdentity {
        let hosts = ["localhost", "127.0.0.1", "::1"];
        self.issue(&TestRequest::new(common_name, &hosts))
    }
}

const SEQUENCE: u8 = 0x30;

/// Returns the elements of a sequence in DER, each with its tag and length.
fn elements(sequence: &[u8]) -> Vec<Vec<u8>> {
    let (_, sequence) = Any::from_der(sequence).expect("a sequence");
    let mut rest = sequence.data;
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (after, _) = Any::from_der(rest).expect("an element");
        elements.push(rest[..rest.len() - after.len()].to_vec());
        rest = after;
    }
    elements
}

/// Encodes an element in DER. Its content has less than 64 KiB.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a short element");
    let [high, low] = length.to_be_bytes();
    let mut element = match length {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    element.extend(content);
    element
}

/// Returns a certificate that is signed with its own key.
///
/// # Panics
/// When the certificate cannot be made.
#[must_use]
pub fn self_signed(request: &TestRequest, is_ca: bool) -> TestIdentity {
    TestIdentity::self_signed(&request.request(), is_ca).expect("a certificate")
}
