//! Authorities, and the certificates that they issue: X.509 v3 with ECDSA keys on P-256.
//!
//! Certificates name the key of their issuer and have a random-looking serial number that follows
//! from their own key (RFC 5280, section 4.2.1.2).

use std::fmt;
use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::pem::encode;

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A name that is neither an IP address nor a host name.
    #[error("{0:?} is neither an IP address nor a host name of ASCII letters, digits, - and .")]
    Host(String),
    /// A time outside of the years that certificates can have.
    #[error("the certificate would be valid until a time after the year 9999")]
    Time,
    /// The cryptography failed.
    #[error("the certificate cannot be made: {0}")]
    Cryptography(#[from] rcgen::Error),
}

/// What a certificate is to contain.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    /// The subject: types and values, the least specific one first.
    pub subject: Vec<(DnType, String)>,
    /// The hosts: names and addresses.
    pub hosts: Vec<String>,
    /// The time from which it is valid, in seconds since 1970.
    pub not_before: i64,
    /// The time until which it is valid, in seconds since 1970.
    pub not_after: i64,
    /// Its purposes.
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
}

impl CertificateRequest {
    /// Requests a certificate with a common name, for nothing and no host, that is valid between
    /// two times in seconds since 1970.
    #[must_use]
    pub fn new(common_name: &str, not_before: i64, not_after: i64) -> Self {
        Self {
            subject: vec![(DnType::CommonName, common_name.to_owned())],
            hosts: Vec::new(),
            not_before,
            not_after,
            purposes: Vec::new(),
        }
    }

    /// Adds hosts and the purpose of a server.
    #[must_use]
    pub fn for_server(mut self, hosts: &[String]) -> Self {
        self.hosts.extend_from_slice(hosts);
        self.purposes.push(ExtendedKeyUsagePurpose::ServerAuth);
        self
    }

    /// Adds the purpose of a client.
    #[must_use]
    pub fn for_client(mut self) -> Self {
        self.purposes.push(ExtendedKeyUsagePurpose::ClientAuth);
        self
    }

    fn params(&self) -> Result<CertificateParams, IssueError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in &self.subject {
            params.distinguished_name.push(kind.clone(), value.as_str());
        }
        let names = self.hosts.iter().map(|host| alternative_name(host));
        params.subject_alt_names = names.collect::<Result<_, _>>()?;
        let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds);
        params.not_before = time(self.not_before).map_err(|_| IssueError::Time)?;
        params.not_after = time(self.not_after).map_err(|_| IssueError::Time)?;
        params.extended_key_usages.clone_from(&self.purposes);
        Ok(params)
    }
}

fn alternative_name(host: &str) -> Result<SanType, IssueError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(ip));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let labels = host.strip_prefix("*.").unwrap_or(host);
    let is_host = !labels.is_empty() && labels.chars().all(legal) && !labels.starts_with('.');
    let name = is_host.then(|| host.try_into().ok()).flatten();
    name.map(SanType::DnsName)
        .ok_or_else(|| IssueError::Host(host.to_owned()))
}

/// A certificate and its private key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The private key, in PKCS#8.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes a certificate that is signed with its own key.
    ///
    /// # Errors
    /// When the request cannot be fulfilled.
    pub fn self_signed(request: &CertificateRequest, is_ca: bool) -> Result<Self, IssueError> {
        let mut params = request.params()?;
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self::new(certificate.der(), &key))
    }

    fn new(certificate: &CertificateDer<'static>, key: &KeyPair) -> Self {
        Self {
            certificate: certificate.clone(),
            key: Zeroizing::new(key.serialize_der()),
        }
    }

    /// Returns the certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        encode("CERTIFICATE", &self.certificate)
    }

    /// Returns the private key as PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        encode("PRIVATE KEY", &self.key)
    }

    /// Returns certificate and key as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate_pem() + &self.key_pem()
    }
}

/// An authority that issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's own certificate and key.
    pub identity: Identity,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority that issues the certificates of servers and clients, and of no other
    /// authority. Of the request, it uses subject and times.
    ///
    /// # Errors
    /// When the request cannot be fulfilled.
    pub fn new(request: &CertificateRequest) -> Result<Self, IssueError> {
        let mut params = request.params()?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            identity: Identity::new(certificate.der(), &key),
            issuer: Issuer::new(params, key),
        })
    }

    /// Issues a certificate with a new key.
    ///
    /// # Errors
    /// When the request cannot be fulfilled.
    pub fn issue(&self, request: &CertificateRequest) -> Result<Identity, IssueError> {
        let mut params = request.params()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity::new(certificate.der(), &key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(hosts: &[&str]) -> CertificateRequest {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        CertificateRequest::new("a", 0, 86_400).for_server(&hosts)
    }

    #[test]
    fn a_name_that_is_no_host_is_refused() {
        let authority = Authority::new(&CertificateRequest::new("CA", 0, 86_400)).unwrap();
        for good in [
            "broker-1.example.com",
            "*.example.com",
            "10.0.0.1",
            "::1",
            "my_host",
        ] {
            authority.issue(&request(&[good])).unwrap();
        }
        for bad in [
            "",
            "a b",
            "broker/1",
            "kafka:9092",
            "*",
            "b\u{fc}cher.example",
        ] {
            let refused = authority.issue(&request(&[bad])).unwrap_err();
            assert!(
                matches!(&refused, IssueError::Host(host) if host == bad),
                "{refused}"
            );
        }
        let late = CertificateRequest::new("a", 0, i64::MAX);
        assert!(matches!(authority.issue(&late), Err(IssueError::Time)));
    }

    #[test]
    fn a_private_key_is_not_in_debug_output() {
        let authority = Authority::new(&CertificateRequest::new("CA", 0, 86_400)).unwrap();
        let identity = authority.issue(&request(&["localhost"])).unwrap();
        for text in [format!("{authority:?}"), format!("{identity:?}")] {
            assert!(!text.contains("key"), "{text}");
        }
    }
}
