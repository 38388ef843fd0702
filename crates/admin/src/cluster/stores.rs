//! The types of a client's key store and trust store.
//!
//! Kafka's default is JKS, and Java distinguishes JKS and PKCS#12 by the content of the file,
//! whichever of both is named. The library takes the type literally, and PEM without one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

/// The first bytes of a JKS store.
const JKS: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// The first byte of a PKCS#12 store: the tag of a sequence in DER.
const SEQUENCE: u8 = 0x30;

/// Sets the types of stores that are JKS or PKCS#12, unless they are named as PEM. `first_bytes`
/// reads the beginning of a file.
pub(super) fn set_types(
    properties: &mut BTreeMap<String, String>,
    first_bytes: impl Fn(&str) -> Option<[u8; 4]>,
) {
    for store in ["keystore", "truststore"] {
        let name = format!("ssl.{store}.type");
        let named = properties.get(&name).map_or("", |named| named.trim());
        let binary = ["", "JKS", "PKCS12"];
        if !binary.iter().any(|one| one.eq_ignore_ascii_case(named)) {
            continue;
        }
        let location = properties.get(&format!("ssl.{store}.location"));
        let found = match location.and_then(|path| first_bytes(path.trim())) {
            Some(JKS) => "JKS",
            Some([SEQUENCE, ..]) => "PKCS12",
            _ => continue,
        };
        properties.insert(name, found.to_owned());
    }
}

/// Returns the first bytes of a file; `None` when it is shorter or cannot be read, which the
/// library reports.
pub(super) fn first_bytes(path: &str) -> Option<[u8; 4]> {
    let mut first = [0; 4];
    File::open(path).ok()?.read_exact(&mut first).ok()?;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_of_a_store_decides_unless_it_is_named_as_pem() {
        for (content, named, expected) in [
            (Some(JKS), None, Some("JKS")),
            (Some(*b"\x30\x82\x01\x02"), None, Some("PKCS12")),
            (Some(*b"\x30\x82\x01\x02"), Some("JKS"), Some("PKCS12")),
            (Some(JKS), Some("pkcs12"), Some("JKS")),
            (Some(JKS), Some("PEM"), Some("PEM")),
            (Some(*b"----"), None, None),
            (Some(*b"----"), Some("JKS"), Some("JKS")),
            (None, Some("JKS"), Some("JKS")),
        ] {
            for store in ["keystore", "truststore"] {
                let name = format!("ssl.{store}.type");
                let location = (format!("ssl.{store}.location"), "/a/file".to_owned());
                let mut properties = BTreeMap::from([location]);
                properties.extend(named.map(|named| (name.clone(), named.to_owned())));
                set_types(&mut properties, |path| {
                    content.filter(|_| path == "/a/file")
                });
                let found = properties.get(&name).map(String::as_str);
                assert_eq!(found, expected, "{content:?} {named:?}");
            }
        }
    }
}
