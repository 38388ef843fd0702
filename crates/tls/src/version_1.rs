//! Certificates of version 1 of X.509, which have no extensions. `openssl x509 -req` of OpenSSL 1
//! makes them, and Java accepts them; rustls reads version 3 only.
//!
//! Such a certificate has to come from an authority in the trust store itself, and never is an
//! authority, unless it is in the trust store: intermediate authorities have version 3.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, InconsistentKeys};
use x509_parser::asn1_rs::Any;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

/// A certificate of version 1.
pub(crate) struct Version1<'a> {
    certificate: X509Certificate<'a>,
    /// The contents of the identifier of the algorithm that it is signed with.
    algorithm: &'a [u8],
}

impl<'a> Version1<'a> {
    /// Reads a certificate; `None` when it has another version, has extensions, which version 1
    /// cannot have, or is damaged.
    pub fn read(der: &'a [u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        let is_version_1 = certificate.version() == X509Version::V1;
        if !rest.is_empty() || !is_version_1 || !certificate.extensions().is_empty() {
            return None;
        }
        if certificate.tbs_certificate.signature != certificate.signature_algorithm {
            return None;
        }
        let (_, whole) = Any::from_der(der).ok()?;
        let (rest, _) = Any::from_der(whole.data).ok()?;
        let (_, algorithm) = Any::from_der(rest).ok()?;
        Some(Self {
            certificate,
            algorithm: algorithm.data,
        })
    }

    /// Verifies that one of these authorities has signed the certificate.
    ///
    /// # Errors
    /// When none has.
    pub fn verify_issuer(
        &self,
        authorities: &[CertificateDer<'_>],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<(), Error> {
        let issuer = self.certificate.issuer().as_raw();
        for authority in authorities {
            let Ok((_, authority)) = X509Certificate::from_der(authority) else {
                continue;
            };
            // Whether names are within constraints is for rustls to verify, with version 3.
            let is_constrained = !matches!(authority.name_constraints(), Ok(None));
            if authority.subject().as_raw() == issuer
                && !is_constrained
                && self.is_signed_by(&authority, algorithms)
            {
                return Ok(());
            }
        }
        Err(CertificateError::UnknownIssuer.into())
    }

    fn is_signed_by(
        &self,
        authority: &X509Certificate<'_>,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> bool {
        let key = authority.public_key();
        let Some(key_algorithm) = key_algorithm(key.raw) else {
            return false;
        };
        let signed = self.certificate.tbs_certificate.as_ref();
        let signature = &self.certificate.signature_value.data;
        let mut fitting = algorithms.iter().filter(|it| {
            it.signature_alg_id().as_ref() == self.algorithm
                && it.public_key_alg_id().as_ref() == key_algorithm
        });
        let key = &key.subject_public_key.data;
        fitting.any(|it| it.verify_signature(key, signed, signature).is_ok())
    }

    /// Verifies a signature in a handshake of TLS 1.2.
    ///
    /// # Errors
    /// When the certificate's key has not made it.
    pub fn verify_tls12(
        &self,
        message: &[u8],
        signed: &DigitallySignedStruct,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = self.certificate.public_key();
        let key_algorithm = key_algorithm(key.raw).ok_or(CertificateError::BadEncoding)?;
        let mapping = algorithms.mapping.iter();
        let mut fitting = mapping
            .filter(|(scheme, _)| *scheme == signed.scheme)
            .flat_map(|(_, algorithms)| algorithms.iter())
            .filter(|it| it.public_key_alg_id().as_ref() == key_algorithm);
        let key = &key.subject_public_key.data;
        if fitting.any(|it| {
            it.verify_signature(key, message, signed.signature())
                .is_ok()
        }) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        Err(CertificateError::BadSignature.into())
    }

    /// Verifies a signature in a handshake of TLS 1.3.
    ///
    /// # Errors
    /// When the certificate's key has not made it.
    pub fn verify_tls13(
        &self,
        message: &[u8],
        signed: &DigitallySignedStruct,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(self.certificate.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
    }
}

/// Returns the contents of the identifier of a public key's algorithm.
fn key_algorithm(key: &[u8]) -> Option<&[u8]> {
    let (_, key) = Any::from_der(key).ok()?;
    let (_, algorithm) = Any::from_der(key.data).ok()?;
    Some(algorithm.data)
}

/// Returns a private key with its certificates, the first of which has version 1.
///
/// # Errors
/// When the key cannot be used, or belongs to another certificate.
pub(crate) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Error> {
    let key = provider.key_provider.load_private_key(key)?;
    let first = chain.first().and_then(|first| Version1::read(first));
    let own = key.public_key();
    let belongs = first
        .zip(own)
        .is_some_and(|(first, own)| first.certificate.public_key().raw == own.as_ref());
    if !belongs {
        return Err(InconsistentKeys::KeyMismatch.into());
    }
    Ok(CertifiedKey::new(chain, key))
}
