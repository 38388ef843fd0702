//! Conversions of texts and UUIDs for messages.

use kacrab_protocol::{KafkaString, KafkaUuid};

/// The longest text in a message, in bytes.
pub const TEXT_BYTES_MAX: usize = 32_000;

/// Converts a text, truncated to the longest text that a message can contain.
#[must_use]
pub fn text(value: &str) -> KafkaString {
    let mut end = value.len().min(TEXT_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    KafkaString::from(value[..end].to_owned())
}

/// Returns a uuid from its bytes.
#[must_use]
pub fn uuid(bytes: [u8; 16]) -> KafkaUuid {
    let bits = u128::from_be_bytes(bytes);
    KafkaUuid::from_parts((bits >> 64) as u64, bits as u64)
}

/// Returns the bytes of a uuid.
#[must_use]
pub fn uuid_bytes(id: KafkaUuid) -> [u8; 16] {
    *id.inner().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ä".repeat(TEXT_BYTES_MAX);
        assert_eq!(text(&long).len(), TEXT_BYTES_MAX);
        let odd = format!("x{long}");
        assert_eq!(text(&odd).len(), TEXT_BYTES_MAX - 1);
    }

    #[test]
    fn bytes_of_a_uuid_survive_the_edge() {
        assert_eq!(uuid_bytes(uuid(*b"0123456789abcdef")), *b"0123456789abcdef");
        assert_eq!(uuid([0; 16]), KafkaUuid::ZERO);
    }
}
