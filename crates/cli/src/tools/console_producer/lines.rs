//! Lines of standard input, and the records that are made of them.
//!
//! Kafka's `LineMessageReader`. [`LineParser`] is pure; [`read_stdin`] runs it on a thread of its
//! own, because reading from a terminal blocks.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;

use anyhow::bail;
use bytes::Bytes;
use dohle_admin::client::Properties;
use kacrab::producer::ProducerRecord;
use regex::bytes::Regex;
use tokio::sync::mpsc;

/// How many bytes of lines go to the sender at once.
const CHUNK_BYTES: usize = 64 << 10;
/// How many such chunks may wait for it.
const CHUNKS: usize = 8;

/// Some records, or what is wrong with a line.
pub(super) type Chunk = anyhow::Result<Vec<ProducerRecord>>;

/// Makes records of lines.
#[derive(Debug, Clone)]
pub(super) struct LineParser {
    topic: Arc<str>,
    key_separator: Option<String>,
    headers: Option<HeaderParser>,
    ignore_error: bool,
    null_marker: Option<String>,
}

#[derive(Debug, Clone)]
struct HeaderParser {
    delimiter: String,
    separator: Regex,
    key_separator: String,
}

impl LineParser {
    /// Reads the line reader's properties.
    ///
    /// # Errors
    /// When two separators are the same, or one is no regular expression where it should be.
    pub(super) fn new(topic: &str, properties: &Properties) -> anyhow::Result<Self> {
        let text = |name: &str, default: &str| properties.get(name).unwrap_or(default).to_owned();
        let key_separator = text("key.separator", "\t");
        let delimiter = text("headers.delimiter", "\t");
        let separator = text("headers.separator", ",");
        let header_key_separator = text("headers.key.separator", ":");
        let named = [
            ("headers.delimiter", &delimiter),
            ("headers.separator", &separator),
            ("headers.key.separator", &header_key_separator),
        ];
        for (number, (first, value)) in named.iter().enumerate() {
            for (second, other) in &named[number + 1..] {
                if value == other {
                    bail!("{first} and {second} may not be equal");
                }
            }
        }
        let null_marker = properties.get("null.marker").map(str::to_owned);
        for (name, value) in [("key.separator", &key_separator)].iter().chain(&named) {
            if null_marker.as_ref() == Some(value) {
                bail!("null.marker and {name} may not be equal");
            }
        }
        let Ok(separator) = Regex::new(&separator) else {
            bail!("{separator:?}, the value of headers.separator, is not a regular expression");
        };
        Ok(Self {
            topic: Arc::from(topic),
            key_separator: properties.is_true("parse.key").then_some(key_separator),
            headers: properties.is_true("parse.headers").then_some(HeaderParser {
                delimiter,
                separator,
                key_separator: header_key_separator,
            }),
            ignore_error: properties.is_true("ignore.error"),
            null_marker,
        })
    }

    /// The record of a line; lines are counted from 1.
    pub(super) fn parse(&self, line: &[u8], number: u64) -> anyhow::Result<ProducerRecord> {
        let mut rest = line;
        let mut part = |separator: Option<&str>, name: &str| -> anyhow::Result<Option<&[u8]>> {
            let Some(separator) = separator else {
                return Ok(None);
            };
            match find(rest, separator.as_bytes()) {
                Some(at) => {
                    let part = &rest[..at];
                    rest = &rest[at + separator.len()..];
                    Ok(Some(part))
                }
                None if self.ignore_error => Ok(None),
                None => bail!(
                    "No {name} found on line number {number}: '{}'",
                    String::from_utf8_lossy(line)
                ),
            }
        };
        let delimiter = self
            .headers
            .as_ref()
            .map(|headers| headers.delimiter.as_str());
        let headers = part(delimiter, "headers delimiter")?;
        let key = part(self.key_separator.as_deref(), "key separator")?;
        let mut record = ProducerRecord::unassigned(Arc::clone(&self.topic));
        record.key = key.and_then(|key| self.unless_null(key));
        record.value = self.unless_null(rest);
        if let (Some(text), Some(parser)) = (headers, &self.headers)
            && !self.is_null(text)
        {
            record = self.with_headers(record, parser, text, number)?;
        }
        Ok(record)
    }

    fn with_headers(
        &self,
        mut record: ProducerRecord,
        parser: &HeaderParser,
        text: &[u8],
        number: u64,
    ) -> anyhow::Result<ProducerRecord> {
        let mut pairs: Vec<&[u8]> = parser.separator.split(text).collect();
        while pairs.len() > 1 && pairs.last().is_some_and(|pair| pair.is_empty()) {
            pairs.pop();
        }
        for pair in pairs {
            let separator = parser.key_separator.as_bytes();
            let Some(at) = find(pair, separator) else {
                if self.ignore_error {
                    record = record.header_null(Bytes::copy_from_slice(pair));
                    continue;
                }
                bail!(
                    "No header key separator found in pair '{}' on line number {number}",
                    String::from_utf8_lossy(pair)
                );
            };
            let key = &pair[..at];
            if self.is_null(key) {
                bail!(
                    "Header keys should not be equal to the null marker '{}' as they can't be null",
                    String::from_utf8_lossy(key)
                );
            }
            let key = Bytes::copy_from_slice(key);
            record = match self.unless_null(&pair[at + separator.len()..]) {
                Some(value) => record.header(key, value),
                None => record.header_null(key),
            };
        }
        Ok(record)
    }

    fn is_null(&self, text: &[u8]) -> bool {
        self.null_marker
            .as_ref()
            .is_some_and(|marker| marker.as_bytes() == text)
    }

    fn unless_null(&self, text: &[u8]) -> Option<Bytes> {
        (!self.is_null(text)).then(|| Bytes::copy_from_slice(text))
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    text.windows(part.len()).position(|window| window == part)
}

/// Reads lines as Java does: they end with `\n`, `\r\n` or `\r`.
#[derive(Debug, Default)]
pub(super) struct Lines {
    after_return: bool,
}

impl Lines {
    /// Reads one line into `line`; `false` at the end.
    pub(super) fn next(
        &mut self,
        input: &mut impl BufRead,
        line: &mut Vec<u8>,
    ) -> io::Result<bool> {
        line.clear();
        let mut some = false;
        loop {
            let ready = match input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                ready => ready?,
            };
            if ready.is_empty() {
                return Ok(some);
            }
            let skipped = usize::from(self.after_return && ready[0] == b'\n');
            self.after_return = false;
            let ready = &ready[skipped..];
            match ready.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                Some(end) => {
                    line.extend_from_slice(&ready[..end]);
                    self.after_return = ready[end] == b'\r';
                    input.consume(skipped + end + 1);
                    return Ok(true);
                }
                None => {
                    some |= !ready.is_empty();
                    line.extend_from_slice(ready);
                    let count = skipped + ready.len();
                    input.consume(count);
                }
            }
        }
    }
}

/// Reads standard input to its end, on a thread of its own.
pub(super) fn read_stdin(parser: LineParser) -> io::Result<mpsc::Receiver<Chunk>> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let thread = std::thread::Builder::new().name("stdin".to_owned());
    thread.spawn(move || {
        let prompt = io::stdin().is_terminal() && io::stdout().is_terminal();
        let mut input = io::BufReader::with_capacity(CHUNK_BYTES, io::stdin().lock());
        // The receiver is gone when the tool ends early.
        let _ = read(&parser, &mut input, prompt, |chunk| {
            sender.blocking_send(chunk).is_ok()
        });
    })?;
    Ok(receiver)
}

/// Reads all lines; records are sent on when no further input is ready. `send` returns whether it
/// accepts more.
fn read<R: io::Read>(
    parser: &LineParser,
    input: &mut io::BufReader<R>,
    prompt: bool,
    mut send: impl FnMut(Chunk) -> bool,
) -> io::Result<()> {
    let mut lines = Lines::default();
    let mut line = Vec::new();
    let mut records = Vec::new();
    let (mut number, mut bytes) = (0, 0);
    loop {
        let idle = input.buffer().is_empty();
        if !records.is_empty() && (idle || bytes >= CHUNK_BYTES) {
            bytes = 0;
            if !send(Ok(std::mem::take(&mut records))) {
                return Ok(());
            }
        }
        if prompt {
            let mut stdout = io::stdout().lock();
            stdout.write_all(b">")?;
            stdout.flush()?;
        }
        number += 1;
        let record = match lines.next(input, &mut line) {
            Ok(false) => break,
            Ok(true) => parser.parse(&line, number),
            Err(error) => Err(anyhow::Error::new(error).context("read standard input")),
        };
        match record {
            Ok(record) => {
                bytes += line.len() + 1;
                records.push(record);
            }
            Err(error) => {
                let _ = records.is_empty() || send(Ok(records));
                send(Err(error));
                return Ok(());
            }
        }
    }
    let _ = records.is_empty() || send(Ok(records));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All records of this input, in chunks.
    fn chunks(input: &[u8]) -> Vec<Chunk> {
        let properties = Properties::default();
        let parser = LineParser::new("t", &properties).unwrap();
        let mut chunks = Vec::new();
        let mut input = io::BufReader::with_capacity(4, input);
        read(&parser, &mut input, false, |chunk| {
            chunks.push(chunk);
            true
        })
        .unwrap();
        chunks
    }

    #[test]
    fn lines_end_as_they_do_in_java_and_the_last_one_may_be_open() {
        let records: Vec<String> = chunks(b"one\ntwo\r\nthree\rfour\n\n\r\nfive")
            .into_iter()
            .flat_map(|chunk| chunk.unwrap())
            .map(|record| String::from_utf8_lossy(&record.value.unwrap()).into_owned())
            .collect();
        assert_eq!(records, ["one", "two", "three", "four", "", "", "five"]);
        assert!(chunks(b"").is_empty());
    }

    #[test]
    fn what_has_been_read_does_not_wait_for_what_has_not() {
        assert!(chunks(b"one\ntwo\nthree\n").len() > 1);
    }
}
