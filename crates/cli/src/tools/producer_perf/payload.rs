//! What is sent.

use anyhow::{Context as _, bail};
use bytes::Bytes;

/// The source of values.
#[derive(Debug)]
pub(super) enum Payloads {
    /// So many random capital letters.
    Random(usize, Random),
    /// One of these, at random.
    File(Vec<Bytes>, Random),
    /// The record's number.
    Monotonic,
}

impl Payloads {
    /// Reads a file of payloads, and passes Kafka's messages about it to `tell`.
    ///
    /// # Errors
    /// When it cannot be read, is empty or is no UTF-8.
    pub(super) fn from_file(
        path: &str,
        delimiter: &str,
        mut tell: impl FnMut(String) -> std::io::Result<()>,
    ) -> anyhow::Result<Self> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
        tell(format!("Reading payloads from: {}\n", absolute.display()))?;
        let bytes = std::fs::read(path).with_context(|| format!("read payloads from {path}"))?;
        if bytes.is_empty() {
            bail!("File does not exist or empty file provided.");
        }
        let text = String::from_utf8(bytes);
        let text = text.with_context(|| format!("payloads are UTF-8 text, and {path} is not"))?;
        let Ok(regex) = regex::Regex::new(delimiter) else {
            bail!("--payload-delimiter: {delimiter:?} is not a regular expression");
        };
        let mut payloads: Vec<Bytes> = regex
            .split(&text)
            .map(|part| Bytes::copy_from_slice(part.as_bytes()))
            .collect();
        while payloads.len() > 1 && payloads.last().is_some_and(Bytes::is_empty) {
            payloads.pop();
        }
        tell(format!("Number of records read: {}\n", payloads.len()))?;
        Ok(Self::File(payloads, Random::new()))
    }

    /// The value of a record, counted from 0.
    pub(super) fn next(&mut self, number: u64) -> Bytes {
        match self {
            Self::Random(size, random) => {
                let mut value = Vec::with_capacity(*size);
                while value.len() < *size {
                    let mut bits = random.next();
                    for _ in 0..(*size - value.len()).min(8) {
                        // The high byte of a product is even enough.
                        value.push(b'A' + (((bits & 0xff) * 26) >> 8) as u8);
                        bits >>= 8;
                    }
                }
                Bytes::from(value)
            }
            Self::File(payloads, random) => {
                let index = random.next() % payloads.len().max(1) as u64;
                payloads.get(index as usize).cloned().unwrap_or_default()
            }
            Self::Monotonic => Bytes::from(number.to_string()),
        }
    }
}

/// SplitMix64, begun with 0 as Kafka's: two runs send the same.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        Self(0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_letters_lines_or_numbers() {
        let letters = Payloads::Random(11, Random::new()).next(0);
        assert_eq!(letters.len(), 11);
        assert!(letters.iter().all(u8::is_ascii_uppercase), "{letters:?}");
        assert_eq!(Payloads::Monotonic.next(12), "12");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("payloads");
        std::fs::write(&file, "one\ntwo\n\n").unwrap();
        let mut told = String::new();
        let path = file.display().to_string();
        let read = Payloads::from_file(&path, "\n", |text| {
            told += &text;
            Ok(())
        });
        let Payloads::File(payloads, _) = read.unwrap() else {
            panic!("no file");
        };
        assert_eq!(payloads, ["one", "two"]);
        assert!(told.ends_with("Number of records read: 2\n"), "{told}");
    }
}
