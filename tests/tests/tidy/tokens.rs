//! The tokens of a Rust file, as far as paths and blocks need them: without comments, texts and
//! code that only tests have.

/// A name, or one character of punctuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    Name(&'a str),
    Mark(char),
}

use Token::{Mark, Name};

/// Returns the tokens of a file, without items marked `#[cfg(test)]`.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    without_tests(&all(text))
}

fn all(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &text[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
        } else if let Some(length) = raw_string(rest) {
            at += length;
        } else if byte == b'"' {
            at += quoted(rest, b'"');
        } else if byte == b'\'' && is_character(rest) {
            at += quoted(rest, b'\'');
        } else if byte == b'_' || byte.is_ascii_alphanumeric() {
            let is_part = |c: char| c == '_' || c.is_alphanumeric();
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            found.push(Name(&rest[..length]));
            at += length;
        } else {
            let mark = rest.chars().next().expect("there is a byte");
            if !mark.is_whitespace() {
                found.push(Mark(mark));
            }
            at += mark.len_utf8();
        }
    }
    found
}

/// Returns the length of a raw string that begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let opened = inner.trim_start_matches('#');
    let hashes = inner.len() - opened.len();
    let text = opened.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - text.len();
    Some(
        text.find(&end)
            .map_or(rest.len(), |at| start + at + end.len()),
    )
}

/// Returns whether a quote begins a character rather than a lifetime.
fn is_character(rest: &str) -> bool {
    let mut characters = rest.chars().skip(1);
    let first = characters.next();
    first == Some('\\') || characters.next() == Some('\'')
}

/// Returns the length of a quoted text with escapes that begins here.
fn quoted(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        at += if byte == b'\\' { 2 } else { 1 };
        if byte == quote {
            return at;
        }
    }
    rest.len()
}

fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    const CFG_TEST: [Token<'static>; 7] = [
        Mark('#'),
        Mark('['),
        Name("cfg"),
        Mark('('),
        Name("test"),
        Mark(')'),
        Mark(']'),
    ];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&CFG_TEST) {
            at += CFG_TEST.len();
            at += item(&tokens[at..]);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Returns the length of the item, field or statement that begins here.
fn item(tokens: &[Token<'_>]) -> usize {
    let before_block = tokens.iter().take_while(|it| **it != Mark('{'));
    let is_use = before_block.take(6).any(|it| *it == Name("use"));
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Mark('{' | '(' | '[') => depth += 1,
            Mark('}' | ')' | ']') if depth == 0 => return at,
            Mark('}') if depth == 1 && !is_use => return at + 1,
            Mark('}' | ')' | ']') => depth -= 1,
            Mark(';' | ',') if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}
