//! Certificates for tests: authorities, and what they issue.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

/// An authority that issues certificates.
#[derive(Debug)]
pub struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate and its private key.
#[derive(Debug, Clone)]
pub struct TestIdentity {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The private key, in PKCS#8.
    pub key: Vec<u8>,
}

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

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in &self.subject {
            params.distinguished_name.push(kind.clone(), value.as_str());
        }
        params.subject_alt_names = self
            .hosts
            .iter()
            .map(|host| match host.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(host.as_str().try_into().expect("a host name")),
            })
            .collect();
        let now = OffsetDateTime::now_utc();
        params.not_before = now + Duration::days(self.days.0);
        params.not_after = now + Duration::days(self.days.1);
        params.extended_key_usages.clone_from(&self.purposes);
        params
    }
}

impl TestAuthority {
    /// Returns a new authority.
    ///
    /// # Panics
    /// When the certificate cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut request = TestRequest::new(name, &[]);
        request.purposes.clear();
        let mut params = request.params();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Returns the authority's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the authority's own certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// Issues a certificate.
    ///
    /// # Panics
    /// When the certificate cannot be made.
    #[must_use]
    pub fn issue(&self, request: &TestRequest) -> TestIdentity {
        let key = KeyPair::generate().expect("a key");
        let certificate = request.params().signed_by(&key, &self.issuer);
        TestIdentity {
            certificate: certificate.expect("a certificate").der().clone(),
            key: key.serialize_der(),
        }
    }

    /// Issues a certificate for a node or a client with this name on this machine.
    #[must_use]
    pub fn local(&self, common_name: &str) -> TestIdentity {
        let hosts = ["localhost", "127.0.0.1", "::1"];
        self.issue(&TestRequest::new(common_name, &hosts))
    }
}

impl TestIdentity {
    /// Returns a certificate that is signed with its own key.
    ///
    /// # Panics
    /// When the certificate cannot be made.
    #[must_use]
    pub fn self_signed(request: &TestRequest, is_ca: bool) -> Self {
        let mut params = request.params();
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }

    /// Returns the certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// Returns the private key as PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }

    /// Returns certificate and key as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate_pem() + &self.key_pem()
    }
}

/// Returns a PEM block.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64.as_bytes().chunks(64) {
        text += &String::from_utf8_lossy(line);
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
