//! cargo add bytes; cargo add kacrab --features producer,consumer,admin
//! cargo add tokio --features macros,rt
use std::time::Duration;

use kacrab::admin::{AdminClient, NewTopic};
use kacrab::consumer::Consumer;
use kacrab::producer::{Producer, ProducerRecord};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let servers = std::env::var("BOOTSTRAP_SERVERS").unwrap_or("localhost:9092".into());

    let admin = AdminClient::from_map([("bootstrap.servers", servers.as_str())]).await?;
    let topic = NewTopic::new("greetings", 1, 1);
    if let Err(error) = admin.create_topics(vec![topic], Default::default()).await {
        println!("not created: {error}");
    }

    let producer = Producer::builder()
        .set("bootstrap.servers", servers.as_str())
        .build()
        .await?;
    let record = ProducerRecord::topic_key_value("greetings", "rust", "hello from Rust");
    producer.send(record)?.await?;
    producer.close().await?;

    let mut consumer = Consumer::from_map([
        ("bootstrap.servers", servers.as_str()),
        ("group.id", "greeters-rust"),
        ("auto.offset.reset", "earliest"),
    ])
    .await?;
    consumer.subscribe(["greetings"])?;
    let mut key = String::new();
    while key != "rust" {
        for record in &consumer.poll(Duration::from_secs(1)).await? {
            let text = |bytes: &Option<bytes::Bytes>| {
                String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
            };
            key = text(&record.key);
            println!("{key}: {}", text(&record.value));
        }
    }
    consumer.close().await;
    Ok(())
}
