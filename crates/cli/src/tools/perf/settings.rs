//! Reads the command line of a load. Pure, but for the file of the client's properties.

use std::str::FromStr;
use std::time::Duration;

use dohle_load::{Compression, ConsumeLoad, End, Load, ProduceLoad, Start};

use crate::connect::connection;
use crate::options::{Parsed, UsageError, usage};

/// The load of `end-to-end` where nothing else is asked for.
const END_TO_END_RATE: f64 = 1000.0;
/// Kafka's `batch.size`.
const BATCH_BYTES: usize = 16_384;

/// Reads the load.
///
/// # Errors
/// Names the option that cannot be used.
pub(super) fn read(parsed: &Parsed) -> anyhow::Result<Load> {
    let connection = connection(parsed, None)?;
    let command = parsed.command.unwrap_or_default();
    let (produces, reads) = match command {
        "produce" => (true, false),
        "consume" => (false, true),
        _ => (true, true),
    };
    let end_to_end = command == "end-to-end";
    let records = number(parsed, "num-records")?;
    let end = match (time(parsed, "duration")?, records) {
        (_, Some(records)) => End::Records(records),
        (Some(duration), None) => End::After(duration),
        (None, None) if produces => End::After(Duration::from_secs(10)),
        (None, None) => End::EndOfLog,
    };
    let warm_up = match (time(parsed, "warm-up")?, end) {
        (Some(warm_up), _) => warm_up,
        (None, End::After(_)) => Duration::from_secs(1),
        (None, End::Records(_) | End::EndOfLog) => Duration::ZERO,
    };
    let load = Load {
        bootstrap: connection.bootstrap,
        properties: connection.properties.into_iter().collect(),
        topic: parsed.required("topic")?.to_owned(),
        threads: number(parsed, "threads")?.unwrap_or(1),
        warm_up,
        end,
        produce: produces.then(|| produce(parsed, end_to_end)).transpose()?,
        consume: reads.then(|| consume(parsed, command)).transpose()?,
    };
    if let Err(reason) = load.check() {
        usage(reason)?;
    }
    Ok(load)
}

fn produce(parsed: &Parsed, end_to_end: bool) -> Result<ProduceLoad, UsageError> {
    let default = ProduceLoad::default();
    let record_size = number(parsed, "record-size")?.unwrap_or(default.record_size);
    let batch_bytes: Option<usize> = number(parsed, "batch-bytes")?;
    let batch_records = match (number(parsed, "batch-records")?, batch_bytes) {
        (Some(records), _) => records,
        (None, Some(bytes)) => (bytes / record_size.max(1)).max(1),
        (None, None) if end_to_end => 1,
        (None, None) => (BATCH_BYTES / record_size.max(1)).max(1),
    };
    let rate = match parsed.value("rate")? {
        Some(text) => rate(text, record_size)?,
        None => end_to_end.then_some(END_TO_END_RATE),
    };
    let acks = match parsed.value("acks")? {
        None | Some("all" | "-1") => -1,
        Some("0") => 0,
        Some("1") => 1,
        Some(other) => usage(format!("--acks is 0, 1 or all, not {other}"))?,
    };
    Ok(ProduceLoad {
        connections: number(parsed, "connections")?.unwrap_or(default.connections),
        in_flight: number(parsed, "in-flight")?.unwrap_or(default.in_flight),
        rate,
        record_size,
        random_percent: number(parsed, "random-percent")?.unwrap_or(default.random_percent),
        batch_records,
        acks,
        compression: compression(parsed)?,
        keys: number(parsed, "keys")?.unwrap_or(default.keys),
        idempotent: parsed.has("idempotent"),
        transaction_records: number(parsed, "transaction-size")?,
        timeout: time(parsed, "timeout")?.unwrap_or(default.timeout),
    })
}

fn consume(parsed: &Parsed, command: &str) -> Result<ConsumeLoad, UsageError> {
    let default = ConsumeLoad::default();
    let end_to_end = command == "end-to-end";
    let connections = match command {
        "consume" => "connections",
        _ => "consumers",
    };
    let start = match parsed.value("from")? {
        _ if end_to_end => Start::End,
        None | Some("beginning") => Start::Beginning,
        Some("end") => Start::End,
        Some(other) => usage(format!("--from is beginning or end, not {other}"))?,
    };
    Ok(ConsumeLoad {
        connections: number(parsed, connections)?.unwrap_or(default.connections),
        min_bytes: number(parsed, "fetch-min-bytes")?.unwrap_or(default.min_bytes),
        max_bytes: number(parsed, "fetch-max-bytes")?.unwrap_or(default.max_bytes),
        partition_max_bytes: number(parsed, "fetch-partition-bytes")?
            .unwrap_or(default.partition_max_bytes),
        max_wait: time(parsed, "fetch-max-wait")?.unwrap_or(default.max_wait),
        start,
        verify: parsed.has("verify"),
        read_committed: parsed.has("read-committed"),
        end_to_end,
    })
}

fn number<T: FromStr>(parsed: &Parsed, option: &str) -> Result<Option<T>, UsageError> {
    let Some(text) = parsed.value(option)? else {
        return Ok(None);
    };
    match text.trim().parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => usage(format!("--{option} is a number, not {text}")),
    }
}

fn compression(parsed: &Parsed) -> Result<Compression, UsageError> {
    match parsed.value("compression")? {
        None | Some("none") => Ok(Compression::None),
        Some("gzip") => Ok(Compression::Gzip),
        Some("snappy") => Ok(Compression::Snappy),
        Some("lz4") => Ok(Compression::Lz4),
        Some("zstd") => Ok(Compression::Zstd),
        Some(other) => usage(format!(
            "--compression is none, gzip, snappy, lz4 or zstd, not {other}"
        )),
    }
}

/// Reads a time: a number of seconds, or one with `ms`, `s`, `m` or `h`.
fn time(parsed: &Parsed, option: &str) -> Result<Option<Duration>, UsageError> {
    let Some(text) = parsed.value(option)? else {
        return Ok(None);
    };
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = text.split_at(unit.unwrap_or(text.len()));
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let time = number.trim().parse::<f64>().ok().and_then(|number| {
        // Negative and absurd ones are refused.
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    match time {
        Some(time) => Ok(Some(time)),
        None => usage(format!(
            "--{option} is a time, as in 500ms, 30s, 5m or 1h, not {text}"
        )),
    }
}

/// Reads a rate. Returns records a second; `None` for as many as possible.
pub(super) fn rate(text: &str, record_size: usize) -> Result<Option<f64>, UsageError> {
    let megabytes = text.trim().strip_suffix("/s").unwrap_or(text.trim());
    let (number, factor) = match megabytes.strip_suffix("MB") {
        Some(number) => (number, 1e6 / record_size.max(1) as f64),
        None => (megabytes, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => {
            Ok((number > 0.0).then_some(number * factor))
        }
        _ => usage(format!(
            "--rate is records a second or megabytes a second, as in 50000 or 100MB, not {text}"
        )),
    }
}
