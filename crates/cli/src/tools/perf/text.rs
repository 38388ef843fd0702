//! What a load measured, as text. Pure.

use std::collections::BTreeMap;

use dohle_load::{GeneratorReport, LatencySummary, Report};

use crate::table::{Table, cells};

/// A line of the table.
struct Line<'a> {
    name: &'static str,
    /// Records, bytes, records a second, megabytes a second.
    rates: Option<(u64, u64, f64, f64)>,
    latency: &'a LatencySummary,
}

/// Returns the tables of a report, and a line about the generator.
pub(super) fn report(report: &Report) -> String {
    let mut lines = Vec::new();
    if let Some(produce) = &report.produce {
        lines.push(Line {
            name: "produce",
            rates: Some((
                produce.records,
                produce.bytes,
                produce.records_per_second,
                produce.mb_per_second,
            )),
            latency: &produce.latency,
        });
        lines.extend(produce.transactions.as_ref().map(|transactions| Line {
            name: "commit",
            rates: None,
            latency: &transactions.commit_latency,
        }));
    }
    if let Some(consume) = &report.consume {
        lines.push(Line {
            name: "fetch",
            rates: Some((
                consume.records,
                consume.bytes,
                consume.records_per_second,
                consume.mb_per_second,
            )),
            latency: &consume.fetch_latency,
        });
        lines.extend(consume.end_to_end_latency.as_ref().map(|latency| Line {
            name: "end-to-end",
            rates: None,
            latency,
        }));
    }
    let table = Table::new(
        "LOAD>=10 | RECORDS>=10 | MB>=9 | RECORDS/S>=10 | MB/S>=8 | P50-MS>=8 | P90-MS>=8 | \
         P99-MS>=8 | P99.9-MS>=8 | MAX-MS",
    );
    let mut text = table.text(lines, |line| {
        let latency = line.latency;
        let ms = |value: f64| format!("{value:.3}");
        let (records, bytes, record_rate, byte_rate) = match line.rates {
            Some((records, bytes, record_rate, byte_rate)) => (
                records.to_string(),
                format!("{:.1}", bytes as f64 / 1e6),
                format!("{record_rate:.0}"),
                format!("{byte_rate:.2}"),
            ),
            None => (
                latency.count.to_string(),
                "-".to_owned(),
                "-".to_owned(),
                "-".to_owned(),
            ),
        };
        cells![
            line.name,
            records,
            bytes,
            record_rate,
            byte_rate,
            ms(latency.p50_ms),
            ms(latency.p90_ms),
            ms(latency.p99_ms),
            ms(latency.p999_ms),
            ms(latency.max_ms)
        ]
    });
    text += &losses(report);
    text + &generator(&report.generator)
}

/// Returns a line for each kind of loss that there was.
fn losses(report: &Report) -> String {
    let mut text = String::new();
    let mut count = |what: &str, count: u64| {
        if count > 0 {
            text += &format!("{what}: {count}\n");
        }
    };
    if let Some(produce) = &report.produce {
        count("records that failed", produce.failed_records);
        count(
            "records that were due and not sent at the end",
            produce.unsent_records,
        );
        count(
            "records that were sent and not answered at the end",
            produce.unanswered_records,
        );
        if let Some(transactions) = &produce.transactions {
            count("transactions that were committed", transactions.committed);
            count("transactions that were given up", transactions.aborted);
        }
        count("connections that were opened again", produce.reconnects);
        text += &errors("produce", &produce.errors);
    }
    let mut count = |what: &str, count: u64| {
        if count > 0 {
            text += &format!("{what}: {count}\n");
        }
    };
    if let Some(consume) = &report.consume {
        let missing = consume.missing_records.unwrap_or(0);
        count("records that were acknowledged and did not arrive", missing);
        count("batches that are damaged", consume.invalid_batches);
        count("connections that were opened again", consume.reconnects);
        text += &errors("fetch", &consume.errors);
    }
    text
}

fn errors(api: &str, errors: &BTreeMap<String, u64>) -> String {
    let line = |(reason, count): (&String, &u64)| format!("{api} errors: {count} {reason}\n");
    errors.iter().map(line).collect()
}

fn generator(generator: &GeneratorReport) -> String {
    let threads = match generator.threads {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    };
    let mut text = format!("generator: {threads}");
    if let (Some(busy), Some(seconds)) = (generator.busiest_thread_percent, generator.cpu_seconds) {
        text += &format!(", {seconds:.1} s of CPU time, at most {busy:.0} % of a CPU a thread");
    }
    if generator.send_delay.count > 0 {
        let delay = &generator.send_delay;
        text += &format!(
            ", behind its schedule by {:.3} ms (p50), {:.3} ms (p99), {:.3} ms at most",
            delay.p50_ms, delay.p99_ms, delay.max_ms
        );
    }
    text + "\n"
}
