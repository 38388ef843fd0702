//! PEM blocks. Like Kafka's parser, this one accepts a block in one line, with spaces where line
//! ends were: so it arrives from a properties file. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The content of one block.
pub(crate) struct Block {
    /// What the block is, such as `CERTIFICATE`.
    pub label: String,
    /// The decoded content; `None` when it is not base64, such as when it has headers.
    pub der: Option<Vec<u8>>,
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// Returns the blocks of a text, in their order. Text between them is ignored.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        rest = &rest[at + BEGIN.len()..];
        let Some((label, after)) = rest.split_once(DASHES) else {
            break;
        };
        let end = format!("-----END {label}{DASHES}");
        let Some((content, after)) = after.split_once(end.as_str()) else {
            continue;
        };
        let compact: String = content.split_whitespace().collect();
        blocks.push(Block {
            label: label.to_owned(),
            der: STANDARD.decode(compact).ok(),
        });
        rest = after;
    }
    blocks
}

/// Returns a block with lines of 64 characters.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64.as_bytes().chunks(64) {
        text += &String::from_utf8_lossy(line);
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, Option<Vec<u8>>)> {
        let blocks = blocks(text).into_iter();
        blocks.map(|block| (block.label, block.der)).collect()
    }

    #[test]
    fn blocks_may_have_lines_or_spaces_and_text_around_them() {
        let block = |label: &str| (label.to_owned(), Some(b"hello".to_vec()));
        let text = "subject\n-----BEGIN A-----\naGVs\nbG8=\n-----END A-----\n\
                    -----BEGIN B C----- aGVs bG8= -----END B C-----";
        assert_eq!(found(text), [block("A"), block("B C")]);
    }

    #[test]
    fn a_block_that_does_not_end_is_skipped_and_headers_are_no_content() {
        assert_eq!(found("-----BEGIN A-----\naGVs"), []);
        assert_eq!(found("-----BEGIN A"), []);
        let text = "-----BEGIN K-----\nProc-Type: 4,ENCRYPTED\n\naGVs\n-----END K-----";
        assert_eq!(found(text), [("K".to_owned(), None)]);
    }
}
