//! Schedules of clients, also against a server that stalls.

use std::collections::{BTreeSet, VecDeque};

use super::*;
use crate::latency::Latencies;
use crate::window::Window;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

fn open_loop(interval_ms: f64, end: PaceEnd) -> Pace {
    Pace {
        interval: Some(interval_ms * MS as f64),
        warm_up: 0,
        end,
    }
}

fn batches(total: u64) -> PaceEnd {
    PaceEnd::Batches {
        total,
        left: Arc::new(AtomicU64::new(total)),
    }
}

/// Takes all batches of a client at the times at which they are due.
fn all(schedule: &mut ClientSchedule, leaders: &[i32]) -> Vec<DueBatch> {
    let mut taken = Vec::new();
    let mut now = 0;
    loop {
        let mut next = None;
        for leader in leaders.iter().copied().collect::<BTreeSet<_>>() {
            match schedule.take(leader, now) {
                Ok(batch) => {
                    taken.push(batch);
                    next = Some(now);
                }
                Err(Next::At(time)) => {
                    next = Some(next.map_or(time, |next: u64| next.min(time)));
                }
                Err(_) => {}
            }
        }
        match next {
            Some(time) => now = time,
            None => return taken,
        }
    }
}

#[test]
fn the_clients_together_send_each_batch_once_at_its_time() {
    for (clients, leaders) in [
        (1, vec![1]),
        (3, vec![1, 2, 1, 2, 3]),
        (4, vec![1, 1, 1, 1]),
        (16, vec![1]),
    ] {
        let mut due = Vec::new();
        let mut partitions = vec![0; leaders.len()];
        for client in 0..clients {
            let pace = open_loop(2.0, PaceEnd::At(SECOND));
            let mut schedule = ClientSchedule::new(pace, client, clients, &leaders);
            for batch in all(&mut schedule, &leaders) {
                assert_eq!(batch.partition, schedule.partition(batch.index));
                due.push(batch.due);
                partitions[batch.partition] += 1;
            }
        }
        due.sort_unstable();
        let expected: Vec<u64> = (0..500).map(|number| number * 2 * MS).collect();
        assert_eq!(due, expected, "{clients} clients, {leaders:?}");
        let (most, least) = (partitions.iter().max(), partitions.iter().min());
        let spread = most.unwrap() - least.unwrap();
        assert!(spread <= clients, "{partitions:?}");
    }
}

#[test]
fn a_rate_in_records_gives_the_time_between_batches() {
    assert_eq!(interval(1000.0, 1), MS as f64);
    assert_eq!(interval(64_000.0, 64), MS as f64);
    // No rounding from batch to batch: after a million of them, the time is exact.
    let pace = open_loop(1.0, batches(1));
    let interval = interval(3.0, 1);
    assert_eq!(Pace::due(interval, 3_000_000), 1_000_000 * SECOND);
    assert_eq!(pace.batches(MS as f64), 1);
}

#[test]
fn a_number_of_records_is_measured_after_the_warm_up() {
    let pace = Pace {
        warm_up: 100 * MS,
        ..open_loop(10.0, batches(25))
    };
    let mut measured = 0;
    let mut warm_up = 0;
    let mut last = 0;
    for client in 0..3 {
        let mut schedule = ClientSchedule::new(pace.clone(), client, 3, &[1, 1]);
        for batch in all(&mut schedule, &[1, 1]) {
            assert_eq!(batch.measured, batch.due >= 100 * MS);
            measured += u64::from(batch.measured);
            warm_up += u64::from(!batch.measured);
            last += u64::from(batch.last);
        }
    }
    assert_eq!((warm_up, measured, last), (10, 25, 1));
}

#[test]
fn a_closed_loop_ends_after_its_batches_or_at_its_time() {
    let pace = Pace {
        interval: None,
        warm_up: 5,
        end: batches(7),
    };
    let mut one = ClientSchedule::new(pace.clone(), 0, 2, &[1]);
    let mut other = ClientSchedule::new(pace, 1, 2, &[1]);
    assert!(matches!(one.take(1, 4), Ok(batch) if !batch.measured && batch.due == 4));
    let mut taken = 0;
    while let Ok(batch) = one.take(1, 5 + taken) {
        assert!(batch.measured && batch.due == 5 + taken);
        taken += 1;
        assert_eq!(batch.last, taken == 7);
    }
    assert_eq!(taken, 7);
    assert_eq!(other.take(1, 20), Err(Next::Done));
    let pace = Pace {
        interval: None,
        warm_up: 0,
        end: PaceEnd::At(100),
    };
    let mut schedule = ClientSchedule::new(pace, 0, 1, &[1]);
    assert!(schedule.take(1, 99).is_ok());
    assert_eq!(schedule.take(1, 100), Err(Next::Done));
    assert!(schedule.is_done(100) && !schedule.is_done(99));
}

#[test]
fn batches_follow_their_partition_to_its_new_leader() {
    let pace = open_loop(1.0, PaceEnd::At(SECOND));
    let mut schedule = ClientSchedule::new(pace, 0, 1, &[1, 2]);
    let first = schedule.take(1, 10 * MS).unwrap();
    assert_eq!((first.index, first.partition), (0, 0));
    // Partition 1 has no leader for a while.
    schedule.set_leaders(&[1, -1]);
    assert_eq!(schedule.take(2, 10 * MS), Err(Next::Done));
    assert!(!schedule.has_partitions(2) && !schedule.is_done(10 * MS));
    assert_eq!(schedule.leaders().collect::<Vec<_>>(), [1]);
    schedule.set_leaders(&[3, 3]);
    let indexes: Vec<u64> = (0..4)
        .map(|_| schedule.take(3, 10 * MS).unwrap().index)
        .collect();
    assert_eq!(indexes, [1, 2, 3, 4]);
}

#[test]
fn a_transaction_keeps_later_batches_back() {
    let pace = open_loop(1.0, PaceEnd::At(SECOND));
    let mut schedule = ClientSchedule::new(pace, 0, 1, &[1, 1, 1]);
    schedule.set_limit(2);
    let now = 10 * MS;
    assert!(schedule.take(1, now).is_ok());
    assert!(schedule.take(1, now).is_ok());
    assert_eq!(schedule.first_unsent(), 2);
    assert_eq!(schedule.take(1, now), Err(Next::Blocked));
    // A batch that is not due does not wait for anything else.
    assert_eq!(schedule.peek(1, MS), Next::At(2 * MS));
    schedule.set_limit(3);
    assert!(matches!(schedule.take(1, now), Ok(batch) if batch.index == 2));
}

/// Runs one client against a server that answers after 1 ms, but not at all for a while. Returns
/// the latencies, and how late batches were sent through the client's own fault.
fn against_a_server_that_stalls(
    stall: std::ops::Range<u64>,
    end: u64,
) -> (Latencies, Latencies, Vec<u64>) {
    let pace = open_loop(1.0, PaceEnd::At(end));
    let mut schedule = ClientSchedule::new(pace, 0, 1, &[1]);
    let mut window = Window::new(5, 0);
    let mut in_flight: VecDeque<(u64, u64)> = VecDeque::new();
    let (mut latencies, mut lags) = (Latencies::default(), Latencies::default());
    let mut now = 0;
    loop {
        while let Some((due, _)) = in_flight.pop_front_if(|(_, answered)| *answered <= now) {
            window.on_complete(now);
            latencies.record(now - due, 1);
        }
        let mut next = in_flight.front().map(|(_, answered)| *answered);
        while window.is_open() {
            match schedule.take(1, now) {
                Ok(batch) => {
                    lags.record(window.on_send(batch.due, now), 1);
                    let answered = now + MS;
                    let answered = match stall.contains(&answered) {
                        true => stall.end,
                        false => answered,
                    };
                    in_flight.push_back((batch.due, answered));
                    next = next.or(Some(answered));
                }
                Err(Next::At(time)) => {
                    next = Some(next.map_or(time, |next| next.min(time)));
                    break;
                }
                Err(_) => break,
            }
        }
        match next {
            Some(time) => now = time,
            None => return (latencies, lags, schedule.unsent(now)),
        }
    }
}

#[test]
fn a_stall_counts_for_every_record_that_it_delays() {
    let (calm, _, unsent) = against_a_server_that_stalls(0..0, 10 * SECOND);
    assert_eq!((calm.count(), unsent.len()), (10_000, 0));
    assert!(calm.percentile_ms(100.0) < 1.1);

    let stall = 4 * SECOND..5 * SECOND;
    let (stalled, lags, unsent) = against_a_server_that_stalls(stall, 10 * SECOND);
    assert_eq!((stalled.count(), unsent.len()), (10_000, 0));
    // For a second a thousand records were due, and more while the delayed ones were sent: a tenth
    // of all. A client that waits for its server would have seen five slow ones.
    assert!(stalled.percentile_ms(50.0) < 1.1);
    assert!(stalled.percentile_ms(95.0) > 300.0, "{stalled:?}");
    assert!(stalled.percentile_ms(99.0) > 900.0, "{stalled:?}");
    // The server was slow, not the client.
    assert!(lags.percentile_ms(100.0) < 0.01, "{lags:?}");
}

#[test]
fn batches_that_were_never_sent_are_known() {
    // The server does not answer again.
    let (answered, _, unsent) = against_a_server_that_stalls(SECOND..60 * SECOND, 10 * SECOND);
    assert_eq!(answered.count() + unsent.len() as u64, 10_000);
    assert!(unsent.len() > 8_000, "{}", unsent.len());
}
