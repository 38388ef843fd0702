//! The JKS format: reads its entries, and decrypts private keys as Sun's `KeyProtector` does. Pure.
//!
//! Own code, because the `jks` crate allocates by the lengths in a file and panics on damaged keys;
//! the tests use it to write files.

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Decode as _, Reader as _, SliceReader};
use pkcs8::spki::AlgorithmIdentifierRef;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};

use dohle_auth::Secret;

/// The first bytes of a JKS file.
pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// Mixed into the digest of a file.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const VERSION_2: u32 = 2;
const PRIVATE_KEY: u32 = 1;
const TRUSTED_CERTIFICATE: u32 = 2;

/// One entry of a file.
pub(super) struct Entry {
    /// The encrypted private key; `None` for a trusted certificate.
    pub key: Option<Vec<u8>>,
    /// The certificates, that of the key first.
    pub chain: Vec<Vec<u8>>,
}

/// Reads the entries of a file. Without a password its digest is not checked, as in Java.
pub(super) fn entries(bytes: &[u8], password: Option<&Secret>) -> Result<Vec<Entry>, String> {
    let damaged = || "it is a damaged JKS file".to_owned();
    let content = bytes
        .len()
        .checked_sub(SHA1_OUTPUT_LEN)
        .ok_or_else(damaged)?;
    let (content, stored) = bytes.split_at(content);
    if let Some(password) = password
        && digest(password, &[WHITENER, content]) != stored
    {
        return Err("the password of the store is wrong, or the file is damaged".to_owned());
    }
    let mut reader = Reader(content.get(MAGIC.len()..).ok_or_else(damaged)?);
    reader.entries().ok_or_else(damaged)
}

/// Returns the digest of a password, in UTF-16, and then of other bytes.
fn digest(password: &Secret, parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for unit in password.expose().encode_utf16() {
        context.update(&unit.to_be_bytes());
    }
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// Decrypts the private key of an entry. Returns it in PKCS#8.
pub(super) fn decrypt(encrypted: &[u8], password: Option<&Secret>) -> Result<Vec<u8>, String> {
    let password = password.ok_or("its private key needs a password; set ssl.key.password")?;
    let protected = protected_key(encrypted).ok_or("its private key is damaged")?;
    let (salt, rest) = protected.split_at(SHA1_OUTPUT_LEN);
    let (hidden, check) = rest.split_at(rest.len() - SHA1_OUTPUT_LEN);
    let mut key = hidden.to_vec();
    let mut block = salt.to_vec();
    for part in key.chunks_mut(SHA1_OUTPUT_LEN) {
        block = digest(password, &[&block]);
        for (byte, mask) in part.iter_mut().zip(&block) {
            *byte ^= mask;
        }
    }
    if digest(password, &[&key]) != check {
        return Err("ssl.key.password does not decrypt its private key".to_owned());
    }
    Ok(key)
}

/// Returns the salt, the hidden key and the digest from an EncryptedPrivateKeyInfo.
fn protected_key(encrypted: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(encrypted).ok()?;
    let content = reader.sequence(|inner| {
        let _algorithm = AlgorithmIdentifierRef::decode(inner)?;
        <&OctetStringRef>::decode(inner).map(OctetStringRef::as_bytes)
    });
    content.ok().filter(|it| it.len() >= 2 * SHA1_OUTPUT_LEN)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<usize> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?).into())
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.u32()?).ok()?;
        Some(self.take(length)?.to_vec())
    }

    fn entries(&mut self) -> Option<Vec<Entry>> {
        let version = self.u32()?;
        let count = self.u32()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let tag = self.u32()?;
            let alias = self.u16()?;
            self.take(alias)?;
            let _created = self.take(8)?;
            let (key, certificates) = match tag {
                PRIVATE_KEY => (Some(self.bytes()?), self.u32()?),
                TRUSTED_CERTIFICATE => (None, 1),
                _ => return None,
            };
            let mut chain = Vec::new();
            for _ in 0..certificates {
                if version == VERSION_2 {
                    let kind = self.u16()?;
                    self.take(kind)?;
                }
                chain.push(self.bytes()?);
            }
            entries.push(Entry { key, chain });
        }
        Some(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_refused_and_allocates_nothing_by_its_lengths() {
        let mut file = MAGIC.to_vec();
        file.extend([0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1]);
        for length in 0..file.len() {
            let mut cut = file[..length].to_vec();
            cut.extend([0; SHA1_OUTPUT_LEN]);
            assert!(entries(&cut, None).is_err(), "{length}");
        }
        assert!(entries(&MAGIC, None).is_err());
    }
}
