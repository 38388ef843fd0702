//! What a leader spends on a produced batch, with and without a look inside compressed ones:
//!
//!     cargo run --release -p dohle-log --example admission_cost [RECORD_BYTES] [BATCH_BYTES]
//!
//! Each line has nanoseconds of CPU for each KiB that the producer has written, before its
//! compression: for the check of header and checksum alone, and for the admission of the batch.
//! They alternate, so that a change of the machine's speed affects both; the median of 15 rounds is
//! shown. The time is what Linux has charged to the thread, so that others on the machine disturb
//! it little.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dohle_log::{
    AppendOrigin, BatchBuilder, BatchHeader, BatchOptions, CompressionType, DecompressionMemory,
    LogConfig, validate_fully,
};
use dohle_model::Timestamp;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const CODECS: [CompressionType; 5] = [
    CompressionType::None,
    CompressionType::Lz4,
    CompressionType::Snappy,
    CompressionType::Zstd,
    CompressionType::Gzip,
];
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(40);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |default: usize| {
        let given = arguments.next().map(|text| text.parse());
        given.transpose().expect("a number").unwrap_or(default)
    };
    let (record_bytes, batch_bytes) = (argument(200), argument(16 << 10));
    println!("records of {record_bytes} bytes, batches of {batch_bytes} bytes before compression");
    println!("codec    ratio   header+crc      admission");
    for codec in CODECS {
        let batch = batch(codec, record_bytes, batch_bytes);
        let memory = DecompressionMemory::default();
        let config = LogConfig {
            max_message_bytes: u32::MAX,
            ..LogConfig::default()
        };
        let header_and_checksum = || {
            let header = BatchHeader::parse(&batch).expect("a good header");
            header.check_crc(&batch).expect("a good checksum");
        };
        let admission = || {
            // The log patches a copy; the first variant has it too.
            let records = Bytes::copy_from_slice(&batch);
            validate_fully(records, &config, AppendOrigin::Client, NOW, &memory).expect("good");
        };
        let copied = || {
            std::hint::black_box(Bytes::copy_from_slice(&batch));
            header_and_checksum();
        };
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            before.push(nanos_per_kib(&copied, batch_bytes));
            after.push(nanos_per_kib(&admission, batch_bytes));
        }
        println!(
            "{:<8} {:>5.2} {:>9.0} ns/KiB {:>9.0} ns/KiB",
            codec.name(),
            batch_bytes as f64 / batch.len() as f64,
            median(before),
            median(after),
        );
    }
}

fn nanos_per_kib(work: &impl Fn(), bytes: usize) -> f64 {
    let (started, before) = (Instant::now(), thread_nanos());
    let mut count = 0u32;
    while started.elapsed() < ROUND {
        work();
        count += 1;
    }
    (thread_nanos() - before) / f64::from(count) / (bytes as f64 / 1024.0)
}

/// CPU time of this thread.
fn thread_nanos() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split_whitespace().next().map(str::parse);
    nanos.expect("a number").expect("a number")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Records of text that compresses about as logs do.
fn batch(codec: CompressionType, record_bytes: usize, batch_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: codec,
        ..BatchOptions::default()
    });
    let mut state = 12_345u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mut left = batch_bytes;
    while left > 0 {
        let mut value = String::new();
        while value.len() < record_bytes {
            let (user, took, status) = (next() % 5000, next() % 300, 200 + next() % 5);
            value += &format!("user={user} path=/api/v1/items/{} ", next() % 900);
            value += &format!("status={status} took_ms={took} ");
        }
        value.truncate(record_bytes);
        builder.append(Some(NOW), Some(b"key"), Some(value.as_bytes()), &[]);
        left = left.saturating_sub(record_bytes);
    }
    builder.build().expect("a batch in memory")
}
