//! A reader of Java's properties files that gives the same result as `java.util.Properties.load`.
//!
//! [`parse`] reads bytes as ISO-8859-1, where other characters are written `\uXXXX`;
//! [`parse_utf8`] reads UTF-8. A line that starts with `#` or `!`
//! is a comment, and a line that ends with a backslash is continued on the next line. The first
//! `=`, `:` or white space without a backslash before it ends the key.
//!
//! Differences from Java: a last line that is only a backslash is ignored and gives no empty key;
//! half of a surrogate pair, which UTF-8 cannot represent, is an error.
//!
//! Source: the documentation of `java.util.Properties.load(Reader)`.

use std::iter;

/// Text that is not a properties file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// `\u` is not followed by four hexadecimal digits.
    #[error("line {line}: \\u must be followed by four hexadecimal digits")]
    Escape {
        /// The natural line that the entry begins in, from 1.
        line: usize,
    },
    /// Half of a surrogate pair.
    #[error("line {line}: \\u{unit:04x} is half of a surrogate pair")]
    Surrogate {
        /// The natural line that the entry begins in, from 1.
        line: usize,
        /// The UTF-16 code unit without its other half.
        unit: u16,
    },
    /// Bytes that are not UTF-8, where the file is read as UTF-8.
    #[error("the file is not UTF-8")]
    NotUtf8,
}

/// How bytes above 127 are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Latin1,
    Utf8,
}

/// Reads keys and values in their order. A key that occurs twice is returned twice.
///
/// # Errors
/// When an escape makes no sense.
pub fn parse(text: &[u8]) -> Result<Vec<(String, String)>, PropertiesError> {
    parse_as(text, Encoding::Latin1)
}

/// Reads keys and values in their order, like `java.util.Properties.load` of a reader of UTF-8.
///
/// # Errors
/// When an escape makes no sense, or the text is not UTF-8.
pub fn parse_utf8(text: &[u8]) -> Result<Vec<(String, String)>, PropertiesError> {
    std::str::from_utf8(text).map_err(|_| PropertiesError::NotUtf8)?;
    parse_as(text, Encoding::Utf8)
}

fn parse_as(text: &[u8], encoding: Encoding) -> Result<Vec<(String, String)>, PropertiesError> {
    let mut lines = natural_lines(text).map(trim_start).zip(1..);
    let mut entries = Vec::new();
    while let Some((part, line)) = lines.next() {
        let logical = logical_line(part, &mut lines.by_ref().map(|(part, _)| part));
        if !logical.is_empty() {
            entries.push(entry(&logical, line, encoding)?);
        }
    }
    Ok(entries)
}

/// Splits a text at line feeds, carriage returns, and carriage returns followed by a line feed.
fn natural_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    iter::from_fn(move || {
        let text = rest?;
        let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let Some(end) = end else {
            rest = None;
            return Some(text);
        };
        let terminator = if text[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + terminator..]);
        Some(&text[..end])
    })
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c')
}

fn trim_start(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|byte| !is_white(*byte));
    &line[start.unwrap_or(line.len())..]
}

/// Returns the logical line that starts with `first`: continuation lines are joined without the
/// backslashes. Empty for a blank line or a comment.
fn logical_line<'a>(first: &'a [u8], following: &mut impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut logical = Vec::new();
    let mut next = Some(first);
    while let Some(part) = next {
        if logical.is_empty() && matches!(part.first(), Some(b'#' | b'!')) {
            break;
        }
        let backslashes = part.iter().rev().take_while(|byte| **byte == b'\\').count();
        let goes_on = backslashes % 2 == 1;
        logical.extend_from_slice(&part[..part.len() - usize::from(goes_on)]);
        next = if goes_on { following.next() } else { None };
    }
    logical
}

fn entry(
    logical: &[u8],
    line: usize,
    encoding: Encoding,
) -> Result<(String, String), PropertiesError> {
    let mut escaped = false;
    let key_end = logical.iter().position(|byte| {
        let ends = !escaped && (is_white(*byte) || matches!(byte, b'=' | b':'));
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let (key, rest) = logical.split_at(key_end.unwrap_or(logical.len()));
    let rest = trim_start(rest);
    let value = match rest.first() {
        Some(b'=' | b':') => trim_start(&rest[1..]),
        _ => rest,
    };
    let read = |text| unescape(text, line, encoding);
    Ok((read(key)?, read(value)?))
}

fn unescape(text: &[u8], line: usize, encoding: Encoding) -> Result<String, PropertiesError> {
    let mut units = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        let escape = if byte == b'\\' {
            bytes.next().copied()
        } else {
            None
        };
        let plain = escape.unwrap_or(byte);
        if encoding == Encoding::Utf8 && !plain.is_ascii() {
            push_character(&mut units, plain, &mut bytes);
            continue;
        }
        units.push(match escape {
            None => u16::from(byte),
            Some(b't') => u16::from(b'\t'),
            Some(b'r') => u16::from(b'\r'),
            Some(b'n') => u16::from(b'\n'),
            Some(b'f') => 0x0c,
            Some(b'u') => {
                let digits = bytes.as_slice().get(..4);
                bytes.nth(3);
                digits
                    .and_then(hexadecimal)
                    .ok_or(PropertiesError::Escape { line })?
            }
            Some(other) => u16::from(other),
        });
    }
    let characters = char::decode_utf16(units).map(|character| {
        character.map_err(|half| PropertiesError::Surrogate {
            line,
            unit: half.unpaired_surrogate(),
        })
    });
    characters.collect()
}

/// Adds the character of UTF-8 that begins with `first`.
fn push_character(units: &mut Vec<u16>, first: u8, bytes: &mut std::slice::Iter<'_, u8>) {
    let mut character = vec![first];
    while let Some(byte) = bytes
        .as_slice()
        .first()
        .filter(|byte| **byte & 0xc0 == 0x80)
    {
        character.push(*byte);
        bytes.next();
    }
    units.extend(String::from_utf8_lossy(&character).encode_utf16());
}

fn hexadecimal(digits: &[u8]) -> Option<u16> {
    let mut values = digits.iter().map(|digit| char::from(*digit).to_digit(16));
    values.try_fold(0, |sum, digit| Some(sum * 16 + digit? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    fn one(text: &str) -> (String, String) {
        let mut entries = parsed(text.as_bytes());
        assert_eq!(entries.len(), 1, "{text:?}: {entries:?}");
        entries.remove(0)
    }

    /// The result of `java.util.Properties` of Java 17 for each text.
    #[test]
    fn entries_are_read_as_java_reads_them() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("a:b", "a", "b"),
            ("a b", "a", "b"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("=b", "", "b"),
            (" \t\x0ca \t=\x0c b c ", "a", "b c "),
            ("a==b", "a", "=b"),
            ("a :=b", "a", "=b"),
            ("a=b=c:d", "a", "b=c:d"),
            ("a=#b", "a", "#b"),
            ("a\\=b\\:c\\ d=e", "a=b:c d", "e"),
            ("a\\\\=b", "a\\", "b"),
            ("a=b\\tc\\nd\\re\\x0cf\\qg", "a", "b\tc\nd\rex0cfqg"),
            (
                "a=\\u00e9\\u20AC\\ud83d\\ude00",
                "a",
                "\u{e9}\u{20ac}\u{1f600}",
            ),
            ("a=b\\\n   c", "a", "bc"),
            ("a=b\\\r\n\tc\\\rd", "a", "bcd"),
            ("a=b\\\\\n#c", "a", "b\\"),
            ("a=b\\\n#c", "a", "b#c"),
            ("a\\\n=b", "a", "b"),
            ("\\\n\\\na=b", "a", "b"),
            ("a=b\\\n\n#c", "a", "b"),
            ("a=b\\", "a", "b"),
        ] {
            assert_eq!(one(text), (key.to_owned(), value.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_file_of_utf8_is_read_by_its_characters() {
        let text = "k\u{e9}y=\u{20ac} \\\u{e9} \\u00e9 \u{1f600}\\n.".as_bytes();
        let key = "k\u{e9}y".to_owned();
        let value = "\u{20ac} \u{e9} \u{e9} \u{1f600}\n.".to_owned();
        assert_eq!(parse_utf8(text), Ok(vec![(key, value)]));
        assert_eq!(parse_utf8(b"a=\xff"), Err(PropertiesError::NotUtf8));
    }

    #[test]
    fn comments_and_blank_lines_are_nothing() {
        for text in [
            "",
            "\n\r\n\r",
            "# a=b\\",
            "  ! a=b",
            " \t\x0c\n",
            "\\\n# a",
            "\\\n\n",
            "\\",
        ] {
            assert_eq!(parsed(text.as_bytes()), [], "{text:?}");
        }
    }

    #[test]
    fn bytes_are_latin_1() {
        let expected = ("\u{e9}".to_owned(), "\u{c3}\u{bc}\u{80}".to_owned());
        assert_eq!(parsed(b"\xe9=\xc3\xbc\x80"), [expected]);
    }

    #[test]
    fn keys_come_in_their_order_and_as_often_as_they_are_there() {
        let keys: Vec<_> = parsed(b"b=1\na=2\rb=3").into_iter().collect();
        let expected = [("b", "1"), ("a", "2"), ("b", "3")];
        assert_eq!(keys, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn escapes_that_make_no_sense_are_named_with_their_line() {
        let escape = |line| Err(PropertiesError::Escape { line });
        assert_eq!(parse(b"a=b\n\nc=\\\n\\u00g0"), escape(3));
        assert_eq!(parse(b"a=\\u+123"), escape(1));
        assert_eq!(parse(b"a=\\u00e"), escape(1));
        assert_eq!(parse(b"\\u"), escape(1));
        let half = PropertiesError::Surrogate {
            line: 2,
            unit: 0xd83d,
        };
        assert_eq!(parse(b"#\na=\\ud83d!"), Err(half));
        assert_eq!(
            half.to_string(),
            "line 2: \\ud83d is half of a surrogate pair"
        );
    }
}
