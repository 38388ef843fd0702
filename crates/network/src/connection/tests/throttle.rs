//! Clients that exceed a quota (KIP-219).

use std::time::Instant;

use super::*;

#[tokio::test]
async fn a_throttled_client_is_answered_at_once_and_its_next_request_waits() {
    let mut fixture = Fixture::new();
    let began = Instant::now();
    fixture.send(THROTTLED, "first").await;
    fixture.send(AT_ONCE, "second").await;
    fixture.receive(THROTTLED, "first").await;
    fixture.receive(AT_ONCE, "second").await;
    assert!(began.elapsed() >= Duration::from_millis(THROTTLE_MS));
    // The connection is as before.
    fixture.send(GATED, "third").await;
    fixture.send(AT_ONCE, "fourth").await;
    fixture.settle().await;
    assert_eq!(fixture.begun(), 4);
}

#[tokio::test]
async fn requests_that_began_before_the_client_was_throttled_are_answered() {
    let mut fixture = Fixture::new();
    fixture.send(GATED, "first").await;
    fixture.send(THROTTLED_LONG, "second").await;
    fixture.send(AT_ONCE, "third").await;
    fixture.settle().await;
    assert_eq!(fixture.begun(), 2);
    fixture.open(0);
    fixture.receive(GATED, "first").await;
    fixture.receive(THROTTLED_LONG, "second").await;
    fixture.settle().await;
    assert_eq!(fixture.begun(), 2);
}

#[tokio::test]
async fn a_throttled_connection_is_not_idle() {
    let mut fixture = Fixture::with(1 << 20, Duration::from_millis(THROTTLE_MS / 4));
    fixture.send(THROTTLED, "first").await;
    fixture.send(AT_ONCE, "second").await;
    fixture.receive(THROTTLED, "first").await;
    fixture.receive(AT_ONCE, "second").await;
    // Without requests it is.
    assert_eq!(fixture.client.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_throttled_client_that_goes_away_is_noticed() {
    let mut fixture = Fixture::new();
    fixture.send(THROTTLED_LONG, "first").await;
    fixture.receive(THROTTLED_LONG, "first").await;
    drop(fixture.client);
    fixture.task.await.unwrap();
}
