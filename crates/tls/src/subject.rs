//! What certificates contain: the subject as Java prints it, names and times. Pure.

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The attributes that RFC 2253 has names for. Java writes all others as numbers.
const KEYWORDS: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// Returns the subject of a certificate as Java's `X500Principal.getName()` does: in the form of
/// RFC 2253, the most specific attribute first. `None` when the certificate is damaged.
#[must_use]
pub fn distinguished_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(name_text(parsed.subject()))
}

fn name_text(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| {
            let attributes: Vec<String> = rdn.iter().map(attribute_text).collect();
            attributes.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute_text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let value = attribute.attr_value();
    let keyword = KEYWORDS.iter().find(|(known, _)| *known == oid);
    match (keyword, text_of(value)) {
        (Some((_, keyword)), Some(text)) => format!("{keyword}={}", escaped(&text)),
        (keyword, _) => {
            let name = keyword.map_or(oid.as_str(), |(_, keyword)| keyword);
            format!("{name}=#{}", hex_der(value))
        }
    }
}

/// Returns the text of a value; `None` for types that Java writes in hexadecimal.
fn text_of(value: &Any<'_>) -> Option<String> {
    let tag = value.header.tag();
    let is_text = [
        Tag::PrintableString,
        Tag::T61String,
        Tag::Ia5String,
        Tag::GeneralString,
        Tag::BmpString,
        Tag::UniversalString,
        Tag::Utf8String,
    ]
    .contains(&tag);
    // Java reads the bytes as UTF-8, whatever their type is.
    is_text.then(|| String::from_utf8_lossy(value.data).into_owned())
}

/// Returns a value with its tag and length, in hexadecimal.
fn hex_der(value: &Any<'_>) -> String {
    let mut der = vec![u8::try_from(value.header.tag().0).unwrap_or_default()];
    if value.header.is_constructed() {
        der[0] |= 0x20;
    }
    let length = value.data.len();
    if length < 0x80 {
        der.push(u8::try_from(length).unwrap_or_default());
    } else {
        let bytes = length.to_be_bytes();
        let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
        der.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
        der.extend(significant);
    }
    der.extend(value.data);
    der.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Escapes a value as Java does: special characters everywhere, and spaces at both ends.
fn escaped(text: &str) -> String {
    let is_space = |c: &char| matches!(c, ' ' | '\r');
    let chars: Vec<char> = text.chars().collect();
    let lead = chars.iter().take_while(|c| is_space(c)).count();
    let trail = chars.iter().rev().take_while(|c| is_space(c)).count();
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in chars.iter().enumerate() {
        let at_an_end = at < lead || at + trail >= chars.len();
        match c {
            '\0' => escaped.push_str("\\00"),
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => escaped.extend(['\\', *c]),
            c if at_an_end => escaped.extend(['\\', *c]),
            c => escaped.push(*c),
        }
    }
    escaped
}

/// Returns a time as text, in UTC.
pub(crate) fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    ASN1Time::from_timestamp(seconds).map_or_else(|_| "?".to_owned(), |time| time.to_string())
}

/// The host name and times of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The version of X.509, from 1 on.
    pub version: u32,
    /// The subject.
    pub subject: String,
    /// The most specific common name.
    pub common_name: Option<String>,
    /// Whether there is an alternative name of a DNS host.
    pub has_dns_names: bool,
    /// The alternative names, with their types.
    pub alternative_names: Vec<String>,
    /// The first second at which it is valid, since 1970.
    pub not_before: UnixTime,
    /// The last second at which it is valid, since 1970.
    pub not_after: UnixTime,
}

impl Summary {
    /// Reads a certificate; `None` when it is damaged.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let extension = parsed.subject_alternative_name().ok().flatten();
        let names = extension.map_or(&[][..], |found| &found.value.general_names);
        let common_name = parsed.subject().iter_rdn().flat_map(|rdn| rdn.iter());
        let common_name = common_name
            .filter(|attribute| attribute.attr_type().to_id_string() == "2.5.4.3")
            .filter_map(|attribute| text_of(attribute.attr_value()))
            .last();
        let time = |seconds: i64| {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
        };
        let validity = parsed.validity();
        Some(Self {
            // Encoded from 0 on.
            version: parsed.version().0.saturating_add(1),
            subject: name_text(parsed.subject()),
            common_name,
            has_dns_names: names
                .iter()
                .any(|name| matches!(name, GeneralName::DNSName(_))),
            alternative_names: names.iter().map(ToString::to_string).collect(),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }

    /// Returns whether the common name is for this host: the same name, or `*.` in the place of its
    /// first label.
    pub fn common_name_matches(&self, host: &str) -> bool {
        let Some(pattern) = &self.common_name else {
            return false;
        };
        if let Some(domain) = pattern.strip_prefix("*.") {
            let rest = host.split_once('.').map(|(_, rest)| rest);
            return domain.contains('.') && rest.is_some_and(|it| it.eq_ignore_ascii_case(domain));
        }
        pattern.eq_ignore_ascii_case(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_as_in_java() {
        for (text, expected) in [
            ("plain text", "plain text"),
            ("a,b+c=d", "a\\,b\\+c\\=d"),
            ("#1 \"<x>\\;", "\\#1 \\\"\\<x\\>\\\\\\;"),
            ("  two ", "\\ \\ two\\ "),
            (" ", "\\ "),
            ("", ""),
        ] {
            assert_eq!(escaped(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_common_name_is_for_its_host_and_a_wildcard_for_one_label() {
        let summary = |common_name: &str| Summary {
            version: 3,
            subject: String::new(),
            common_name: Some(common_name.to_owned()),
            has_dns_names: false,
            alternative_names: Vec::new(),
            not_before: UnixTime::now(),
            not_after: UnixTime::now(),
        };
        assert!(summary("one.example.com").common_name_matches("ONE.example.com"));
        assert!(summary("*.example.com").common_name_matches("one.example.com"));
        assert!(!summary("*.example.com").common_name_matches("a.one.example.com"));
        assert!(!summary("*.example.com").common_name_matches("example.com"));
        assert!(!summary("*.com").common_name_matches("example.com"));
        assert!(!summary("one").common_name_matches("two"));
    }
}
