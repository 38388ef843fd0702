//! `dump-log`: shows the contents of the files of a log: segments, their indexes, producer
//! snapshots.
//!
//! Kafka's `DumpLogSegments`; it reads Kafka's files and Dohle's alike, and needs no broker. Files
//! that are incomplete or damaged are shown as far as they can be read, the damage is reported with
//! its position, and the exit code is 1.

mod batches;
mod control;
mod decoder;
mod findings;
mod indexes;
mod log;
mod snapshot;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dohle_admin::ItemCount;
use dohle_model::Offset;

use crate::options::{Parsed, all_of, none_of};
use crate::progress::{Count, Progress};
use crate::tool_run::{OUTPUT, Output, Tool, ToolRun, Work, fail_if};

use self::decoder::Decoder;
use self::findings::Findings;

const OPTIONS: &str = "
    --files <file1,file2,...>: REQUIRED: The comma separated list of data and index log files to be
        dumped.
    --print-data-log: If set, printing the messages content when dumping data logs. Automatically
        set if any decoder option is specified.
    --deep-iteration: If set, uses deep instead of shallow iteration. Automatically set if
        print-data-log is enabled.
    --verify-index-only: If set, just verify the index log without printing its content.
    --index-sanity-check: If set, just checks the index sanity without printing its content. This is
        the same check that is executed on broker startup to determine if an index needs rebuilding
        or not.
    --max-message-size <size>: Size of largest message. (default: 5242880)
    --max-bytes <size>: Limit the amount of total batches read in bytes avoiding reading the whole
        .log file(s). (default: 2147483647)
    --value-decoder-class [class]: How to decode values: org.apache.kafka.tools.api.StringDecoder
        (the default), LongDecoder, IntegerDecoder or DefaultDecoder.
    --key-decoder-class [class]: How to decode keys: org.apache.kafka.tools.api.StringDecoder (the
        default), LongDecoder, IntegerDecoder or DefaultDecoder.
    --offsets-decoder: If set, log data will be parsed as offset data from the __consumer_offsets
        topic.
    --transaction-log-decoder: If set, log data will be parsed as transaction metadata from the
        __transaction_state topic.
    --cluster-metadata-decoder: Not supported: Dohle keeps the cluster's metadata in a Raft log.
    --remote-log-metadata-decoder: Not supported: there is no tiered storage.
    --share-group-state-decoder: Not supported: there are no share groups.
    --skip-record-metadata: Skip metadata when printing records. This flag also skips control
        records.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-dump-log",
    "This tool helps to parse a log file and dump its contents to the console, useful for \
     debugging a seemingly corrupt log segment.",
    &[OPTIONS, OUTPUT],
    Work::Plain(work),
)
.rules(&[
    all_of("files"),
    none_of("cluster-metadata-decoder").message(
        "--cluster-metadata-decoder: the metadata of a Dohle cluster lie in the Raft log of its \
         controllers (the folder metadata in log.dirs or metadata.log.dir), not in files of this \
         kind; --deep-iteration shows Kafka's as far as batches and records go",
    ),
    none_of("remote-log-metadata-decoder").message(
        "--remote-log-metadata-decoder: there is no tiered storage whose records could be \
         decoded; --print-data-log shows them as text",
    ),
    none_of("share-group-state-decoder").message(
        "--share-group-state-decoder: there are no share groups whose records could be decoded; \
         --print-data-log shows them as text",
    ),
]);

/// The settings of the command line.
#[derive(Debug)]
struct DumpSettings {
    files: Vec<PathBuf>,
    deep: bool,
    contents: bool,
    skip_record_metadata: bool,
    verify_only: bool,
    sanity_only: bool,
    message_max: u64,
    /// `None` reads whole files.
    bytes_max: Option<u64>,
    decoder: Decoder,
    output: Output,
}

impl DumpSettings {
    fn read(parsed: &Parsed, output: Output) -> anyhow::Result<Self> {
        let files = parsed.required("files")?;
        let mut given = parsed.all().map(|(option, _)| option);
        let contents =
            given.any(|option| option == "print-data-log" || option.contains("-decoder"));
        Ok(Self {
            files: files
                .split(',')
                .map(|file| PathBuf::from(file.trim()))
                .collect(),
            deep: contents || parsed.has("deep-iteration"),
            contents,
            skip_record_metadata: parsed.has("skip-record-metadata"),
            verify_only: parsed.has("verify-index-only"),
            sanity_only: parsed.has("index-sanity-check"),
            message_max: parsed.parsed("max-message-size")?.unwrap_or(5 << 20),
            bytes_max: parsed
                .parsed("max-bytes")?
                .filter(|max| *max != 2_147_483_647),
            decoder: Decoder::from_options(parsed)?,
            output,
        })
    }

    /// How much of a file will be read; 0 where it does not exist.
    fn size(&self, path: &Path) -> u64 {
        let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        match (Kind::of(path), self.bytes_max) {
            (Kind::Log, Some(max)) => size.min(max),
            (Kind::Unknown, _) => 0,
            _ => size,
        }
    }
}

/// What a file is, by its name.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Log,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    ProducerSnapshot,
    Unknown,
}

impl Kind {
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("log" | "checkpoint") => Self::Log,
            Some("index") => Self::OffsetIndex,
            Some("timeindex") => Self::TimeIndex,
            Some("txnindex") => Self::TxnIndex,
            Some("snapshot") => Self::ProducerSnapshot,
            _ => Self::Unknown,
        }
    }
}

/// Where everything is shown, and what is reported at the end.
struct Dump<'a, W: Write> {
    settings: &'a DumpSettings,
    out: W,
    findings: Findings,
    progress: Progress,
    reading: Reading,
}

/// How much of all files has been read.
struct Reading {
    count: Count,
    /// The bytes of the files before the one that is shown.
    before: u64,
}

impl Reading {
    fn begin(progress: &Progress, settings: &DumpSettings) -> Self {
        let sizes = settings.files.iter().map(|file| settings.size(file));
        Self {
            count: progress.bytes(sizes.sum()),
            before: 0,
        }
    }

    /// The file has been read up to this position.
    fn up_to(&self, position: u64) {
        self.count.set(self.before + position);
    }
}

fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let settings = DumpSettings::read(&run.parsed, run.output()?)?;
    let out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut dump = Dump::new(&settings, out, run.progress.while_printing());
    for file in &settings.files {
        dump.file(file)?;
    }
    dump.out.flush()?;
    // Clears the progress line before the findings are printed.
    drop(dump.reading);
    let text = dump.findings.text();
    if !text.is_empty() {
        io::stderr().write_all(text.as_bytes())?;
    }
    fail_if(dump.findings.broken())
}

impl<'a, W: Write> Dump<'a, W> {
    fn new(settings: &'a DumpSettings, out: W, progress: Progress) -> Self {
        Self {
            settings,
            out,
            findings: Findings::default(),
            reading: Reading::begin(&progress, settings),
            progress,
        }
    }

    /// Shows one file, whatever it is.
    ///
    /// # Errors
    /// When the reader has closed standard output. Damage in the file is a finding, not an error.
    fn file(&mut self, path: &Path) -> io::Result<()> {
        let text = self.settings.output == Output::Text;
        if text {
            writeln!(self.out, "Dumping {}", path.display())?;
        }
        let shown = match Kind::of(path) {
            Kind::Log => self.log(path),
            Kind::OffsetIndex => self.offset_index(path),
            Kind::TimeIndex => self.time_index(path),
            Kind::TxnIndex => self.txn_index(path),
            Kind::ProducerSnapshot => self.producer_snapshot(path),
            Kind::Unknown => {
                self.tell(format!("Ignoring unknown file {}", path.display()))?;
                Ok(())
            }
        };
        self.reading.before += self.settings.size(path);
        self.reading.up_to(0);
        match shown {
            Ok(()) => Ok(()),
            Err(Stop::Output(error)) => Err(error),
            Err(Stop::File(why)) => {
                self.findings.break_off();
                self.tell(format!("{}: {why}", path.display()))
            }
        }
    }

    /// Prints a message on standard error, after what has been shown so far.
    fn tell(&mut self, text: String) -> io::Result<()> {
        self.out.flush()?;
        self.progress.before_note();
        eprintln!("{text}");
        Ok(())
    }
}

/// Why a file was not shown completely.
#[derive(Debug)]
enum Stop {
    /// The reader has closed standard output.
    Output(io::Error),
    /// The file cannot be read or is invalid.
    File(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Reads a small file whole.
fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    std::fs::read(path).map_err(|error| Stop::File(format!("it cannot be read: {error}")))
}

/// The offset that a file's name begins with.
fn base_offset(path: &Path) -> Result<Offset, Stop> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let digits = name.split('.').next().unwrap_or_default();
    match digits.parse::<i64>() {
        // So that no offset within the file leaves the range.
        Ok(offset) if (0..i64::MAX - (1 << 33)).contains(&offset) => Ok(Offset(offset)),
        _ => Err(Stop::File(
            "its name does not begin with the offset of its first record, as \
             00000000000000000000.log does"
                .to_owned(),
        )),
    }
}

/// The absolute path, where the system can find it.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.display().to_string()
}

#[cfg(test)]
mod tests;
