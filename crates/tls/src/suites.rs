//! Protocol versions and cipher suites under the names that Java and IANA use.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// The versions of TLS that are supported, by their names in Java.
const VERSIONS: &[(&str, &SupportedProtocolVersion)] = &[
    ("TLSv1.2", &rustls::version::TLS12),
    ("TLSv1.3", &rustls::version::TLS13),
];

/// Returns the version with this name in Java.
pub(crate) fn version(name: &str) -> Option<&'static SupportedProtocolVersion> {
    let found = VERSIONS.iter().find(|(known, _)| *known == name);
    found.map(|(_, version)| *version)
}

/// Returns the names of all versions.
pub(crate) fn version_names() -> String {
    let names: Vec<&str> = VERSIONS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// Returns the name that Java and IANA use for a cipher suite.
fn suite_name(suite: SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    // rustls marks the suites of TLS 1.3, which have no key exchange in their name.
    name.replacen("TLS13_", "TLS_", 1)
}

/// Returns whether there is a cipher suite with this name.
pub(crate) fn is_suite(name: &str) -> bool {
    let suites = rustls::crypto::ring::ALL_CIPHER_SUITES.iter();
    suites.copied().any(|suite| suite_name(suite) == name)
}

/// Returns the names of all cipher suites.
pub(crate) fn suite_names() -> String {
    let suites = rustls::crypto::ring::ALL_CIPHER_SUITES.iter();
    let names: Vec<String> = suites.copied().map(suite_name).collect();
    names.join(", ")
}

/// Returns the cryptography with these cipher suites, in their order; with all when there is none.
pub(crate) fn provider(suites: &[String]) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    if !suites.is_empty() {
        let all = std::mem::take(&mut provider.cipher_suites);
        provider.cipher_suites = suites
            .iter()
            .filter_map(|name| {
                all.iter()
                    .copied()
                    .find(|suite| suite_name(*suite) == *name)
            })
            .collect();
    }
    Arc::new(provider)
}
