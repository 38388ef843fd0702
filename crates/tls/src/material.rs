//! Reads key stores and trust stores from their files, and notices when the files change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use crate::error::TlsError;
use crate::settings::{Place, Source, TlsSettings};
use crate::store;
use crate::subject::{Summary, date};
use crate::trust::Trust;
use crate::version_1::{self, Version1};

/// Permissions of a file that make it readable to everybody on the machine.
const READABLE_BY_OTHERS: u32 = 0o004;
/// A certificate that expires within this time is reported.
const EXPIRES_SOON_SECS: u64 = 30 * DAY_SECS;
const DAY_SECS: u64 = 86_400;
/// The version of X.509 that has extensions.
const VERSION: u32 = 3;

/// What identifies the content of a file, without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: PathBuf,
    /// Modification time, length and inode; `None` while the file cannot be examined.
    state: Option<(SystemTime, u64, u64)>,
}

impl Stamp {
    fn of(file: &PathBuf) -> Self {
        let state = fs::metadata(file).ok().and_then(|found| {
            let modified = found.modified().ok()?;
            Some((modified, found.len(), found.ino()))
        });
        Self {
            file: file.clone(),
            state,
        }
    }
}

/// Returns the stamps of all files that the settings name.
pub(crate) fn stamps(settings: &TlsSettings) -> Vec<Stamp> {
    let sources = settings.keystore.iter().chain(&settings.truststore);
    sources
        .filter_map(|source| match &source.place {
            Place::File(file) => Some(Stamp::of(file)),
            Place::Inline(_) => None,
        })
        .collect()
}

/// The certificate of a listener or of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject, in the form of RFC 2253.
    pub subject: String,
    /// The alternative names, with their types.
    pub alternative_names: Vec<String>,
    /// When the first certificate of the chain expires, in seconds since 1970.
    pub not_after: u64,
}

impl CertificateFacts {
    /// Returns a sentence when the certificate has expired, or expires within thirty days. `now` is
    /// in seconds since 1970.
    #[must_use]
    pub fn expiry_warning(&self, now: u64) -> Option<String> {
        let left = self.not_after.saturating_sub(now);
        if left > EXPIRES_SOON_SECS {
            return None;
        }
        let until = UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.not_after));
        let (subject, until) = (&self.subject, date(until));
        Some(if left == 0 {
            format!(
                "the certificate {subject} has expired: it was valid until {until}; replace it, \
                 and the node loads the new one"
            )
        } else {
            format!(
                "the certificate {subject} expires in {} days, at {until}; replace it, and the \
                 node loads the new one",
                left / DAY_SECS
            )
        })
    }
}

/// A private key with its certificates, ready for use.
pub(crate) struct LoadedKey {
    pub certified: Arc<CertifiedKey>,
    pub facts: CertificateFacts,
    /// A problem that does not prevent the use.
    pub warning: Option<String>,
}

fn read(source: &Source) -> Result<Vec<u8>, TlsError> {
    match &source.place {
        Place::Inline(text) => Ok(text.expose().as_bytes().to_vec()),
        Place::File(file) => fs::read(file).map_err(|error| TlsError::File {
            property: source.property.clone(),
            file: file.clone(),
            source: error,
        }),
    }
}

fn file_of(source: &Source) -> Option<PathBuf> {
    match &source.place {
        Place::Inline(_) => None,
        Place::File(file) => Some(file.clone()),
    }
}

/// Adds property and file to the reason why a content cannot be used.
fn explain(source: &Source) -> impl Fn(String) -> TlsError + '_ {
    |reason| TlsError::Content {
        property: source.property.clone(),
        file: file_of(source),
        reason,
    }
}

fn file_name(source: &Source) -> String {
    file_of(source).map_or_else(|| "FILE".to_owned(), |file| file.display().to_string())
}

/// Loads a private key with its certificates.
///
/// # Errors
/// When they cannot be read, or do not belong together.
pub(crate) fn load_key(source: &Source, provider: &CryptoProvider) -> Result<LoadedKey, TlsError> {
    let explain = explain(source);
    let bytes = read(source)?;
    let material = store::key_material(&bytes, source, &file_name(source)).map_err(&explain)?;
    let mut summaries = Vec::new();
    for certificate in &material.chain {
        let summary = Summary::of(certificate);
        summaries.push(summary.ok_or_else(|| explain("it has a damaged certificate".to_owned()))?);
    }
    let version = summaries.first().map_or(VERSION, |first| first.version);
    let is_version_1 = material
        .chain
        .first()
        .is_some_and(|it| Version1::read(it).is_some());
    if version != VERSION && !is_version_1 {
        return Err(explain(format!(
            "its first certificate has version {version} of X.509; it can have version {VERSION}, \
             or version 1 without extensions"
        )));
    }
    let certified = if is_version_1 {
        version_1::certified(material.chain, material.key, provider)
    } else {
        CertifiedKey::from_der(material.chain, material.key, provider)
    };
    let certified = certified.map_err(|error| {
        explain(match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                "its private key does not belong to its first certificate".to_owned()
            }
            error => format!(
                "its private key cannot be used ({error}); supported are RSA with 2048 to 8192 \
                 bits, ECDSA with P-256 and P-384, and Ed25519"
            ),
        })
    })?;
    let leaf = summaries.first();
    let facts = CertificateFacts {
        subject: leaf.map(|it| it.subject.clone()).unwrap_or_default(),
        alternative_names: leaf
            .map(|it| it.alternative_names.clone())
            .unwrap_or_default(),
        not_after: summaries
            .iter()
            .map(|summary| summary.not_after.as_secs())
            .min()
            .unwrap_or_default(),
    };
    Ok(LoadedKey {
        certified: Arc::new(certified),
        facts,
        warning: file_of(source)
            .and_then(|file| readable_by_others(&source.property, "the private key", &file)),
    })
}

/// Returns a sentence when everybody on the machine can read a file with a secret. `setting` is the
/// property or variable that names it, and `content` what it has.
#[must_use]
pub fn readable_by_others(setting: &str, content: &str, file: &Path) -> Option<String> {
    let mode = fs::metadata(file).ok()?.mode();
    (mode & READABLE_BY_OTHERS != 0).then(|| {
        let file = file.display();
        format!(
            "{setting}: everybody on this machine can read {content} in {file}; run: chmod o-r \
             {file}"
        )
    })
}

/// Loads the certificates that are trusted.
///
/// # Errors
/// When they cannot be read or used.
pub(crate) fn load_trust(source: &Source) -> Result<Trust, TlsError> {
    let explain = explain(source);
    let bytes = read(source)?;
    let trusted = store::trusted(&bytes, source, &file_name(source)).map_err(&explain)?;
    Trust::new(trusted).map_err(&explain)
}
