//! Tests of transactions at one leader: verification before their first batch, markers that are
//! late or repeated, and the last stable offset.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    BatchOptions, LeaderAppend, Log, LogConfig, TxnAppend, TxnBegin, VerificationGuard, validate,
};
use dohle_model::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use expect_test::{Expect, expect};

const ID: i64 = 7;

/// A log, and a trace of its operations.
struct Trace {
    _dir: tempfile::TempDir,
    log: Log,
    text: String,
}

impl Trace {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            transaction_verification: true,
            ..LogConfig::default()
        };
        Self {
            log: open(dir.path(), config),
            _dir: dir,
            text: String::new(),
        }
    }

    fn line(&mut self, what: &str, outcome: Result<String, ErrorCode>) {
        let outcome = outcome.unwrap_or_else(|code| code.to_string());
        self.text += &format!("{what}: {outcome}\n");
    }

    fn begin(&mut self, epoch: i16, sequence: i32, bumps_epoch: bool) -> Option<VerificationGuard> {
        let begin = TxnBegin {
            producer_id: ProducerId(ID),
            epoch: ProducerEpoch(epoch),
            sequence: Sequence(sequence),
            bumps_epoch,
        };
        let guard = self.log.begin_verification(&begin, NOW);
        let outcome = match &guard {
            Ok(Some(_)) => Ok("to be verified".to_owned()),
            Ok(None) => Ok("is open".to_owned()),
            Err(error) => Err(error.code()),
        };
        self.line(&format!("begin epoch {epoch} sequence {sequence}"), outcome);
        guard.ok().flatten()
    }

    fn append(
        &mut self,
        records: Bytes,
        origin: AppendOrigin,
        txn: &TxnAppend,
    ) -> Result<String, ErrorCode> {
        let validated = validate(records, self.log.config(), origin, NOW).unwrap();
        match self.log.append_in_txn(validated, txn, LeaderEpoch(0), NOW) {
            Ok(LeaderAppend::Appended(info)) => Ok(format!("at {}", info.first_offset)),
            Ok(LeaderAppend::Duplicate(batch)) => Ok(format!("duplicate of {}", batch.last_offset)),
            Ok(LeaderAppend::AlreadyEnded) => Ok("already ended".to_owned()),
            Err(error) => Err(error.code()),
        }
    }

    fn data(&mut self, epoch: i16, sequence: i32, guard: Option<&VerificationGuard>) {
        let records = transactional(epoch, Some(sequence));
        let txn = guard.map_or(TxnAppend::Plain, |guard| TxnAppend::Verified(guard.clone()));
        let outcome = self.append(records, AppendOrigin::Client, &txn);
        self.line(&format!("data epoch {epoch} sequence {sequence}"), outcome);
    }

    fn marker(&mut self, version: i8, epoch: i16, coordinator_epoch: i32) {
        let records = marker(ID, epoch, true, coordinator_epoch);
        let txn = TxnAppend::marker(version);
        let outcome = self.append(records, AppendOrigin::Coordinator, &txn);
        let what = format!("marker v{version} epoch {epoch} of coordinator {coordinator_epoch}");
        self.line(&what, outcome);
    }

    #[track_caller]
    fn check(self, expected: Expect) {
        expected.assert_eq(&self.text);
    }
}

fn transactional(epoch: i16, sequence: Option<i32>) -> Bytes {
    let producer = Some((ProducerId(ID), ProducerEpoch(epoch), sequence.map(Sequence)));
    let options = BatchOptions {
        producer,
        transactional: true,
        ..BatchOptions::default()
    };
    build(options, 1, 10, NOW.0)
}

#[test]
fn the_first_batch_of_a_transaction_needs_the_guard_of_its_verification() {
    let mut trace = Trace::new();
    trace.data(0, 0, None);
    let guard = trace.begin(0, 0, false);
    trace.data(0, 0, None);
    trace.data(0, 0, guard.as_ref());
    trace.begin(0, 1, false);
    trace.data(0, 1, None);
    trace.data(0, 0, None);
    trace.marker(1, 0, 3);
    trace.data(0, 2, None);
    trace.data(0, 2, guard.as_ref());
    trace.check(expect![[r#"
        data epoch 0 sequence 0: INVALID_TXN_STATE
        begin epoch 0 sequence 0: to be verified
        data epoch 0 sequence 0: INVALID_TXN_STATE
        data epoch 0 sequence 0: at 0
        begin epoch 0 sequence 1: is open
        data epoch 0 sequence 1: at 1
        data epoch 0 sequence 0: duplicate of 0
        marker v1 epoch 0 of coordinator 3: at 2
        data epoch 0 sequence 2: INVALID_TXN_STATE
        data epoch 0 sequence 2: INVALID_TXN_STATE
    "#]]);
}

#[test]
fn a_marker_that_overtakes_the_response_of_the_coordinator_takes_the_guard_away() {
    let mut trace = Trace::new();
    let guard = trace.begin(0, 0, false);
    trace.marker(1, 0, 3);
    trace.data(0, 0, guard.as_ref());
    // The same with a marker that changes nothing, because the partition had no record.
    let guard = trace.begin(0, 0, false);
    trace.marker(1, 0, 3);
    trace.data(0, 0, guard.as_ref());
    // A guard of an earlier transaction is not valid for a later one.
    let later = trace.begin(0, 0, false);
    trace.data(0, 0, guard.as_ref());
    trace.data(0, 0, later.as_ref());
    trace.check(expect![[r#"
        begin epoch 0 sequence 0: to be verified
        marker v1 epoch 0 of coordinator 3: at 0
        data epoch 0 sequence 0: INVALID_TXN_STATE
        begin epoch 0 sequence 0: to be verified
        marker v1 epoch 0 of coordinator 3: already ended
        data epoch 0 sequence 0: INVALID_TXN_STATE
        begin epoch 0 sequence 0: to be verified
        data epoch 0 sequence 0: INVALID_TXN_STATE
        data epoch 0 sequence 0: at 1
    "#]]);
}

#[test]
fn a_larger_sequence_waits_for_the_smallest_that_is_verified() {
    let mut trace = Trace::new();
    // The batch with sequence 1 is verified first; the batch with sequence 0 is retried.
    trace.begin(0, 1, false);
    let guard = trace.begin(0, 0, false);
    trace.data(0, 1, guard.as_ref());
    trace.data(0, 0, guard.as_ref());
    trace.data(0, 1, None);
    trace.marker(2, 1, 3);
    // A newer epoch begins with a new sequence.
    trace.begin(1, 5, true);
    let guard = trace.begin(2, 1, true);
    trace.data(2, 1, guard.as_ref());
    let guard = trace.begin(2, 0, true);
    trace.data(2, 0, guard.as_ref());
    trace.check(expect![[r#"
        begin epoch 0 sequence 1: to be verified
        begin epoch 0 sequence 0: to be verified
        data epoch 0 sequence 1: OUT_OF_ORDER_SEQUENCE_NUMBER
        data epoch 0 sequence 0: at 0
        data epoch 0 sequence 1: at 1
        marker v2 epoch 1 of coordinator 3: at 2
        begin epoch 1 sequence 5: to be verified
        begin epoch 2 sequence 1: to be verified
        data epoch 2 sequence 1: OUT_OF_ORDER_SEQUENCE_NUMBER
        begin epoch 2 sequence 0: to be verified
        data epoch 2 sequence 0: at 3
    "#]]);
}

#[test]
fn the_smallest_sequence_counts_for_the_newest_epoch_that_is_verified() {
    let mut trace = Trace::new();
    trace.begin(0, 3, false);
    let guard = trace.begin(1, 5, false);
    trace.data(1, 5, guard.as_ref());
    let mut late = Trace::new();
    let guard = late.begin(1, 5, false);
    late.begin(0, 3, false);
    late.data(1, 5, guard.as_ref());
    trace.text += &late.text;
    trace.check(expect![[r#"
        begin epoch 0 sequence 3: to be verified
        begin epoch 1 sequence 5: to be verified
        data epoch 1 sequence 5: at 0
        begin epoch 1 sequence 5: to be verified
        begin epoch 0 sequence 3: to be verified
        data epoch 1 sequence 5: at 0
    "#]]);
}

#[test]
fn a_producer_that_bumps_its_epoch_begins_at_sequence_zero_even_if_it_is_unknown() {
    let mut trace = Trace::new();
    let guard = trace.begin(4, 9, true);
    trace.data(4, 9, guard.as_ref());
    let mut old = Trace::new();
    let guard = old.begin(4, 9, false);
    old.data(4, 9, guard.as_ref());
    trace.text += &old.text;
    trace.check(expect![[r#"
        begin epoch 4 sequence 9: to be verified
        data epoch 4 sequence 9: OUT_OF_ORDER_SEQUENCE_NUMBER
        begin epoch 4 sequence 9: to be verified
        data epoch 4 sequence 9: at 0
    "#]]);
}

#[test]
fn with_version_two_markers_have_a_larger_epoch_and_fence_what_is_late() {
    let mut trace = Trace::new();
    let guard = trace.begin(4, 0, true);
    trace.data(4, 0, guard.as_ref());
    // An epoch that is not above that of the records belongs to an earlier transaction.
    trace.marker(2, 4, 3);
    trace.marker(2, 5, 3);
    // Repeated markers change nothing, even of a newer coordinator; an older coordinator is
    // refused.
    trace.marker(2, 5, 3);
    trace.marker(2, 5, 4);
    trace.marker(2, 5, 2);
    // A batch below the epoch of the last marker is refused, verified or not.
    trace.begin(4, 1, true);
    trace.data(4, 1, None);
    trace.data(4, 1, guard.as_ref());
    let guard = trace.begin(5, 0, true);
    trace.data(5, 0, guard.as_ref());
    // The marker of the previous transaction arrives again.
    trace.marker(2, 5, 3);
    trace.marker(2, 6, 3);
    trace.check(expect![[r#"
        begin epoch 4 sequence 0: to be verified
        data epoch 4 sequence 0: at 0
        marker v2 epoch 4 of coordinator 3: INVALID_PRODUCER_EPOCH
        marker v2 epoch 5 of coordinator 3: at 1
        marker v2 epoch 5 of coordinator 3: already ended
        marker v2 epoch 5 of coordinator 4: already ended
        marker v2 epoch 5 of coordinator 2: TRANSACTION_COORDINATOR_FENCED
        begin epoch 4 sequence 1: INVALID_PRODUCER_EPOCH
        data epoch 4 sequence 1: INVALID_PRODUCER_EPOCH
        data epoch 4 sequence 1: INVALID_PRODUCER_EPOCH
        begin epoch 5 sequence 0: to be verified
        data epoch 5 sequence 0: at 2
        marker v2 epoch 5 of coordinator 3: INVALID_PRODUCER_EPOCH
        marker v2 epoch 6 of coordinator 3: at 3
    "#]]);
}

#[test]
fn without_the_bump_a_marker_is_written_again_only_for_a_newer_coordinator() {
    let mut trace = Trace::new();
    trace.marker(1, 0, 3);
    let guard = trace.begin(0, 0, false);
    trace.data(0, 0, guard.as_ref());
    trace.marker(1, 0, 2);
    trace.marker(1, 0, 3);
    trace.marker(1, 0, 3);
    trace.marker(1, 0, 4);
    trace.marker(1, 0, 3);
    trace.marker(1, 1, 4);
    trace.check(expect![[r#"
        marker v1 epoch 0 of coordinator 3: at 0
        begin epoch 0 sequence 0: to be verified
        data epoch 0 sequence 0: at 1
        marker v1 epoch 0 of coordinator 2: TRANSACTION_COORDINATOR_FENCED
        marker v1 epoch 0 of coordinator 3: at 2
        marker v1 epoch 0 of coordinator 3: already ended
        marker v1 epoch 0 of coordinator 4: at 3
        marker v1 epoch 0 of coordinator 3: TRANSACTION_COORDINATOR_FENCED
        marker v1 epoch 1 of coordinator 4: at 4
    "#]]);
}

#[test]
fn coordinators_verify_too_and_their_batches_have_no_sequence() {
    let mut trace = Trace::new();
    let append = |trace: &mut Trace, guard: Option<&VerificationGuard>| {
        let txn = guard.map_or(TxnAppend::Plain, |guard| TxnAppend::Verified(guard.clone()));
        let outcome = trace.append(transactional(0, None), AppendOrigin::Coordinator, &txn);
        trace.line("offsets", outcome);
    };
    append(&mut trace, None);
    let guard = trace.begin(0, 0, false);
    append(&mut trace, guard.as_ref());
    append(&mut trace, None);
    let entry = trace.log.producer_state().producer(ProducerId(ID));
    let last = entry.unwrap().batches.back().copied().unwrap();
    assert_eq!((last.last_offset, last.last_sequence), (Offset(1), None));
    trace.check(expect![[r#"
        offsets: INVALID_TXN_STATE
        begin epoch 0 sequence 0: to be verified
        offsets: at 0
        offsets: at 1
    "#]]);
}

#[test]
fn replicated_batches_end_a_verification_and_so_does_time() {
    let mut trace = Trace::new();
    let guard = trace.begin(0, 0, false);
    let mut other = Trace::new();
    let mine = other.begin(0, 0, false);
    other.data(0, 0, mine.as_ref());
    other.marker(1, 0, 3);
    let records = Bytes::from(read_all(&other.log, Offset(0)));
    trace.log.append_as_follower(records, NOW).unwrap();
    trace.data(0, 1, guard.as_ref());

    let guard = trace.begin(0, 1, false);
    let expiration = trace.log.config().producer_id_expiration_ms;
    assert_eq!(expiration, Duration::from_hours(24));
    let then = Timestamp(NOW.0 + i64::try_from(expiration.as_millis()).unwrap());
    trace.log.remove_expired_producers(Timestamp(then.0 - 1));
    trace.data(0, 1, guard.as_ref());
    trace.marker(1, 0, 3);
    let guard = trace.begin(0, 2, false);
    trace.log.remove_expired_producers(then);
    trace.data(0, 2, guard.as_ref());
    trace.check(expect![[r#"
        begin epoch 0 sequence 0: to be verified
        data epoch 0 sequence 1: INVALID_TXN_STATE
        begin epoch 0 sequence 1: to be verified
        data epoch 0 sequence 1: at 2
        marker v1 epoch 0 of coordinator 3: at 3
        begin epoch 0 sequence 2: to be verified
        data epoch 0 sequence 2: INVALID_TXN_STATE
    "#]]);
}

#[test]
fn a_producer_with_an_open_transaction_never_expires() {
    let mut trace = Trace::new();
    let guard = trace.begin(0, 0, false);
    trace.data(0, 0, guard.as_ref());
    let much_later = Timestamp(NOW.0 + (1 << 40));
    assert_eq!(trace.log.remove_expired_producers(much_later), 0);
    assert_eq!(trace.log.last_stable_offset(Offset(1)), Offset(0));
    trace.marker(1, 0, 3);
    assert_eq!(trace.log.remove_expired_producers(much_later), 1);
}

#[test]
fn the_last_stable_offset_is_never_below_the_log_start() {
    let mut trace = Trace::new();
    let guard = trace.begin(0, 0, false);
    trace.data(0, 0, guard.as_ref());
    trace.data(0, 1, None);
    trace.data(0, 2, None);
    assert_eq!(trace.log.last_stable_offset(Offset(3)), Offset(0));
    trace.log.maybe_advance_log_start_offset(Offset(2));
    assert_eq!(trace.log.last_stable_offset(Offset(3)), Offset(2));
}

#[test]
fn a_truncation_keeps_transactions_stable_whose_markers_are_committed() {
    let mut trace = Trace::new();
    let guard = trace.begin(0, 0, false);
    trace.data(0, 0, guard.as_ref());
    trace.marker(1, 0, 3);
    append(&mut trace.log, batch(1, 10, NOW.0), 0);
    append(&mut trace.log, batch(1, 10, NOW.0), 0);
    trace.log.on_high_watermark(Offset(3));
    assert_eq!(trace.log.last_stable_offset(Offset(3)), Offset(3));
    trace.log.truncate_to(Offset(3), NOW).unwrap();
    assert_eq!(trace.log.last_stable_offset(Offset(3)), Offset(3));
    // A truncated marker leaves its transaction open.
    trace.log.truncate_to(Offset(1), NOW).unwrap();
    assert_eq!(trace.log.last_stable_offset(Offset(1)), Offset(0));
}

#[test]
fn a_verification_ends_with_the_leadership_that_it_began_in() {
    let mut trace = Trace::new();
    let guard = trace.begin(0, 0, false);
    trace.data(0, 0, guard.as_ref());
    trace.marker(1, 0, 3);
    let guard = trace.begin(0, 1, false).unwrap();
    // Another replica leads for a while. It has no need to write the marker that ends the second
    // transaction, so this log does not get it.
    let epoch = LeaderEpoch(2);
    trace.log.assign_epoch_start(epoch);
    let records = transactional(0, Some(1));
    let validated = validate(records, trace.log.config(), AppendOrigin::Client, NOW).unwrap();
    let txn = TxnAppend::Verified(guard);
    let outcome = trace.log.append_in_txn(validated, &txn, epoch, NOW);
    assert_eq!(outcome.unwrap_err().code(), ErrorCode::InvalidTxnState);
}
