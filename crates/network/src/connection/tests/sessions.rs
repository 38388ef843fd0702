//! Tests of what a session decides about its connection: its end, and the sizes of its frames.

use super::*;

#[tokio::test]
async fn a_session_may_answer_and_end_the_connection() {
    let mut fixture = Fixture::new();
    fixture.send(ENDING, "last").await;
    fixture.send(AT_ONCE, "not read").await;
    fixture.receive(ENDING, "last").await;
    assert_eq!(fixture.client.read(&mut [0; 16]).await.unwrap(), 0);
    fixture.task.await.unwrap();
    assert_eq!(fixture.echo.begun.lock().len(), 1);

    let mut fixture = Fixture::new();
    fixture.send(ENDING_SILENTLY, "last").await;
    assert_eq!(fixture.client.read(&mut [0; 16]).await.unwrap(), 0);
    fixture.task.await.unwrap();
}

#[tokio::test]
async fn a_session_limits_the_frames_that_follow_a_call() {
    let mut fixture = Fixture::new();
    fixture.settle().await;
    fixture.echo.frame_bytes_max.store(20, Ordering::Relaxed);
    // The limit applies after the next call.
    fixture.send(AT_ONCE, &"x".repeat(30)).await;
    fixture.receive(AT_ONCE, &"x".repeat(30)).await;
    fixture.send(AT_ONCE, "xy").await;
    fixture.receive(AT_ONCE, "xy").await;
    fixture.send(AT_ONCE, &"x".repeat(30)).await;
    assert_eq!(fixture.client.read(&mut [0; 16]).await.unwrap(), 0);
    fixture.task.await.unwrap();
    assert_eq!(fixture.echo.begun.lock().len(), 2);
}
