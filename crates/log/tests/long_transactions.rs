//! A transaction that is open for hours while others begin and end beside it, and a reader of
//! committed records: the reader waits for it, and afterwards finds the aborted transactions at a
//! cost that does not grow with their number.

mod common;

use std::time::Duration;

use common::*;
use dohle_log::validate::AppendOrigin;
use dohle_log::{AbortedTxn, BatchOptions, LeaderAppend, Log, LogConfig, ReadLimits, validate};
use dohle_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// The producer of the transaction that is open for long.
const LONG: i64 = 1;
/// Those of the others.
const OTHERS: [i64; 3] = [2, 3, 4];
/// Transactions that begin and end meanwhile, one a second.
const COUNT: i64 = 12_000;

/// A record of a transaction, or the marker that ends it.
fn write(log: &mut Log, id: i64, sequence: Option<i32>, at: Timestamp, committed: bool) -> Offset {
    let (records, origin) = match sequence {
        Some(sequence) => {
            let producer = (ProducerId(id), ProducerEpoch(0), Some(Sequence(sequence)));
            let options = BatchOptions {
                producer: Some(producer),
                transactional: true,
                ..BatchOptions::default()
            };
            (build(options, 1, 10, at.0), AppendOrigin::Client)
        }
        None => (marker(id, 0, committed, 0), AppendOrigin::Coordinator),
    };
    let validated = validate(records, log.config(), origin, at).unwrap();
    let appended = log.append_as_leader(validated, LeaderEpoch(0), at);
    match appended.unwrap() {
        LeaderAppend::Appended(info) => {
            log.on_high_watermark(log.log_end_offset());
            info.first_offset
        }
        other => panic!("not appended: {other:?}"),
    }
}

/// Reads all of the log as a consumer does, and returns the largest number of entries that one read
/// looked at.
fn read_through(log: &Log, all: &[AbortedTxn]) -> usize {
    let (mut at, mut examined_max, mut reads) = (log.log_start_offset(), 0, 0);
    while at < log.log_end_offset() {
        let limits = ReadLimits {
            max_bytes: 4_096,
            upper_bound: log.log_end_offset(),
            min_one: true,
        };
        let next = log.read(at, limits).unwrap().next_offset;
        let search = log.search_aborted(at, next);
        let overlaps = |it: &&AbortedTxn| it.last_offset >= at && it.first_offset < next;
        let expected: Vec<_> = all.iter().filter(overlaps).copied().collect();
        assert_eq!(search.found, expected, "a read of [{at}, {next})");
        examined_max = examined_max.max(search.examined);
        (at, reads) = (next, reads + 1);
    }
    assert!(reads > 100, "{reads} reads");
    examined_max
}

#[test]
fn a_reader_beside_a_transaction_of_hours_waits_for_it_and_finds_what_was_aborted_at_small_cost() {
    for long_commits in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            segment_bytes: 256 << 10,
            producer_id_expiration_ms: Duration::from_secs(3600),
            ..LogConfig::default()
        };
        let mut log = open(dir.path(), config.clone());
        let first = write(&mut log, LONG, Some(0), NOW, false);
        let mut now = NOW;
        let mut sequences = [0; OTHERS.len()];
        let mut all = Vec::new();
        for number in 0..COUNT {
            now.0 += 1_000;
            let at = usize::try_from(number).unwrap() % OTHERS.len();
            let begun = write(&mut log, OTHERS[at], Some(sequences[at]), now, false);
            sequences[at] += 1;
            // Every fourth is committed.
            let committed = number % 4 == 0;
            let ended = write(&mut log, OTHERS[at], None, now, committed);
            if !committed {
                all.push(AbortedTxn {
                    producer_id: ProducerId(OTHERS[at]),
                    first_offset: begun,
                    last_offset: ended,
                    last_stable_offset: first,
                });
            }
            if number % 600 == 0 {
                assert_eq!(log.last_stable_offset(log.log_end_offset()), first);
                // More than three hours pass. A producer with an open transaction does not expire.
                log.remove_expired_producers(now);
            }
        }
        assert!(now.0 - NOW.0 > 3 * 3_600_000);
        assert!(log.producer_state().producer(ProducerId(LONG)).is_some());
        // What a reader sees meanwhile: nothing, at no cost.
        let stable = log.last_stable_offset(log.log_end_offset());
        assert_eq!(stable, first);
        let ended = write(&mut log, LONG, None, now, long_commits);
        let end = log.log_end_offset();
        assert_eq!(log.last_stable_offset(end), end);
        if !long_commits {
            all.push(AbortedTxn {
                producer_id: ProducerId(LONG),
                first_offset: first,
                last_offset: ended,
                last_stable_offset: end,
            });
        }
        let examined = read_through(&log, &all);
        println!(
            "{} aborted, {examined} entries at most for one read",
            all.len()
        );
        assert!(examined < 400, "{examined} of {} for one read", all.len());
        // The same from the files.
        drop(log);
        let mut log = open(dir.path(), config);
        log.on_high_watermark(end);
        assert_eq!(log.last_stable_offset(end), end);
        assert!(read_through(&log, &all) < 400);
    }
}
