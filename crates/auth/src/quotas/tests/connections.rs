//! Limits of new connections per second.

use std::net::{IpAddr, Ipv4Addr};

use super::super::{
    ConnectionLimits, ConnectionRates, ConnectionThrottle, QuotaWindows, SENSORS_MAX,
};
use super::*;

const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn rates() -> ConnectionRates {
    ConnectionRates::new(QuotaWindows::default())
}

fn other(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(n))
}

/// Connects `n` times at once and returns the last outcome.
fn connect(
    rates: &mut ConnectionRates,
    limits: &ConnectionLimits,
    is_protected: bool,
    n: usize,
    now: Instant,
) -> ConnectionThrottle {
    let outcomes = (0..n).map(|_| rates.on_connection(limits, "CLIENT", is_protected, IP, now));
    outcomes.last().expect("at least one connection")
}

#[test]
fn connections_above_the_rate_of_the_node_wait() {
    let limits = ConnectionLimits {
        node: Some(5.0),
        ..ConnectionLimits::default()
    };
    let (mut rates, now) = (rates(), Instant::now());
    let none = ConnectionThrottle::Delay(ms(0));
    assert_eq!(connect(&mut rates, &limits, false, 50, now), none);
    // 51 in ten seconds: 5.1 a second are 2 % too many, so 2 % of ten seconds.
    let delayed = ConnectionThrottle::Delay(ms(200));
    assert_eq!(connect(&mut rates, &limits, false, 1, now), delayed);
    // No delay is longer than a window.
    let delayed = ConnectionThrottle::Delay(ms(1_000));
    assert_eq!(connect(&mut rates, &limits, false, 50, now), delayed);
}

#[test]
fn the_rate_of_the_node_does_not_hold_up_the_listener_between_brokers() {
    let mut limits = ConnectionLimits {
        node: Some(1.0),
        ..ConnectionLimits::default()
    };
    let (mut rates, now) = (rates(), Instant::now());
    let none = ConnectionThrottle::Delay(ms(0));
    assert_eq!(connect(&mut rates, &limits, true, 100, now), none);
    limits.listeners.insert("CLIENT".into(), 1.0);
    assert_eq!(connect(&mut rates, &limits, true, 10, now), none);
    let delayed = ConnectionThrottle::Delay(ms(1_000));
    assert_eq!(connect(&mut rates, &limits, true, 1, now), delayed);
}

#[test]
fn an_address_above_its_rate_is_closed_and_costs_others_nothing() {
    let mut limits = ConnectionLimits {
        node: Some(10.0),
        default_ip: Some(1.0),
        ..ConnectionLimits::default()
    };
    let (mut rates, now) = (rates(), Instant::now());
    let none = ConnectionThrottle::Delay(ms(0));
    assert_eq!(connect(&mut rates, &limits, false, 10, now), none);
    for _ in 0..100 {
        let closed = rates.on_connection(&limits, "CLIENT", false, IP, now);
        assert_eq!(closed, ConnectionThrottle::Close(ms(1_000)));
    }
    // The connections that were closed do not count for the node, nor for their address.
    for n in 0..90 {
        let outcome = rates.on_connection(&limits, "CLIENT", false, other(n), now);
        assert_eq!(outcome, none, "{n}");
    }
    limits.ips.insert(IP, 100.0);
    limits.node = None;
    assert_eq!(connect(&mut rates, &limits, false, 900, now), none);
}

#[test]
fn the_number_of_addresses_that_are_counted_is_limited() {
    let limits = ConnectionLimits {
        default_ip: Some(1.0),
        ..ConnectionLimits::default()
    };
    let (mut rates, now) = (rates(), Instant::now());
    let closed = (0..SENSORS_MAX as u32 + 100)
        .filter(|n| {
            let outcome = rates.on_connection(&limits, "CLIENT", false, other(*n), now);
            matches!(outcome, ConnectionThrottle::Close(_))
        })
        .count();
    // The hundred addresses without room share what one may do: ten at once.
    assert_eq!(closed, 90);
}
