//! Verifies peers' certificates: by the authorities of a trust store, and by the certificates in it
//! themselves.
//!
//! This differs from rustls's own verifiers where Java does: a certificate that is itself in the
//! trust store is trusted, even if it is self-signed, a certificate without alternative names of
//! hosts is for the host in its common name, and certificates can have version 1 of X.509.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use crate::subject::Summary;
use crate::version_1::Version1;

/// The certificates that a node or a client trusts.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    certificates: Arc<[CertificateDer<'static>]>,
}

impl Trust {
    /// Returns the trust in these certificates.
    ///
    /// # Errors
    /// When one of them is not a valid certificate.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| {
                let subject = Summary::of(certificate).map(|summary| summary.subject);
                let subject = subject.unwrap_or_else(|| "that is damaged".to_owned());
                format!("it has a certificate {subject} that cannot be used: {error}")
            })?;
        }
        Ok(Self {
            roots: Arc::new(roots),
            certificates: certificates.into(),
        })
    }

    /// Returns the trust in the authorities of the operating system.
    ///
    /// # Errors
    /// When the system has none.
    pub fn of_the_system() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(
                "ssl.truststore.location is not set, and this machine has no certificates of \
                 authorities; set it to a PEM file with the certificate of the servers' authority, \
                 and ssl.truststore.type=PEM"
                    .to_owned(),
            );
        }
        Ok(Self {
            roots: Arc::new(roots),
            certificates: Arc::from([]),
        })
    }

    /// Returns the trust in nobody.
    pub fn none() -> Self {
        Self {
            roots: Arc::new(RootCertStore::empty()),
            certificates: Arc::from([]),
        }
    }

    /// Returns whether the certificate is itself in the trust store, and checks its times then.
    fn is_listed(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<bool, Error> {
        if !self.certificates.contains(certificate) {
            return Ok(false);
        }
        verify_times(certificate, now)?;
        Ok(true)
    }

    /// Verifies a certificate of version 1: it is in the trust store, or an authority there has
    /// signed it.
    fn verify_version_1(
        &self,
        der: &CertificateDer<'_>,
        certificate: &Version1<'_>,
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Error> {
        if self.is_listed(der, now)? {
            return Ok(());
        }
        verify_times(der, now)?;
        certificate.verify_issuer(&self.certificates, algorithms.all)
    }

    /// Returns the verifier of servers' certificates.
    pub fn server_verifier(
        &self,
        provider: &CryptoProvider,
        verifies_host_name: bool,
    ) -> Arc<dyn ServerCertVerifier> {
        Arc::new(ServerVerifier {
            trust: self.clone(),
            algorithms: provider.signature_verification_algorithms,
            verifies_host_name,
        })
    }

    /// Returns the verifier of clients' certificates. Without `is_required` clients may have none.
    ///
    /// # Errors
    /// When there is no certificate to trust.
    pub fn client_verifier(
        &self,
        provider: &Arc<CryptoProvider>,
        is_required: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let builder = WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&self.roots),
            Arc::clone(provider),
        );
        let builder = if is_required {
            builder
        } else {
            builder.allow_unauthenticated()
        };
        let authorities = builder.build().map_err(|error| error.to_string())?;
        Ok(Arc::new(ClientVerifier {
            trust: self.clone(),
            algorithms: provider.signature_verification_algorithms,
            authorities,
        }))
    }
}

/// Verifies that a certificate is valid at a time.
fn verify_times(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let summary = Summary::of(certificate).ok_or(CertificateError::BadEncoding)?;
    if now > summary.not_after {
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after: summary.not_after,
        }
        .into());
    }
    if now < summary.not_before {
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before: summary.not_before,
        }
        .into());
    }
    Ok(())
}

/// The methods of both verifiers for the signatures of handshakes.
macro_rules! verify_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            if let Some(old) = Version1::read(certificate) {
                return old.verify_tls12(message, signed, &self.algorithms);
            }
            rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            if let Some(old) = Version1::read(certificate) {
                return old.verify_tls13(message, signed, &self.algorithms);
            }
            rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

#[derive(Debug)]
struct ServerVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    verifies_host_name: bool,
}

impl ServerVerifier {
    fn verify_name(
        certificate: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        host: &ServerName<'_>,
    ) -> Result<(), Error> {
        match verify_server_name(parsed, host) {
            Err(error) if !has_common_name(certificate, host)? => Err(error),
            _ => Ok(()),
        }
    }
}

/// Returns whether a certificate without alternative names of hosts has this host as common name.
fn has_common_name(certificate: &CertificateDer<'_>, host: &ServerName<'_>) -> Result<bool, Error> {
    let summary = Summary::of(certificate).ok_or(CertificateError::BadEncoding)?;
    let ServerName::DnsName(name) = host else {
        return Ok(false);
    };
    Ok(!summary.has_dns_names && summary.common_name_matches(name.as_ref()))
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(old) = Version1::read(end_entity) {
            self.trust
                .verify_version_1(end_entity, &old, now, &self.algorithms)?;
            if self.verifies_host_name && !has_common_name(end_entity, server_name)? {
                return Err(CertificateError::NotValidForName.into());
            }
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if !self.trust.is_listed(end_entity, now)? {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.trust.roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if self.verifies_host_name {
            Self::verify_name(end_entity, &parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!();
}

#[derive(Debug)]
struct ClientVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    authorities: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.authorities.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(old) = Version1::read(end_entity) {
            self.trust
                .verify_version_1(end_entity, &old, now, &self.algorithms)?;
            return Ok(ClientCertVerified::assertion());
        }
        if self.trust.is_listed(end_entity, now)? {
            return Ok(ClientCertVerified::assertion());
        }
        self.authorities
            .verify_client_cert(end_entity, intermediates, now)
    }

    verify_signatures!();
}
