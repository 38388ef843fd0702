//! Tests of the quotas. The figures are those of Apache Kafka's own unit tests, which the tests
//! name, unless a comment derives them.

mod connections;
mod mutations;
mod precedence;
mod rates;
mod replication;

use std::time::{Duration, Instant};

use dohle_model::client_quota::QuotaEntity;

/// A clock that a test moves.
struct Clock(Instant);

impl Clock {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn sleep(&mut self, milliseconds: u64) {
        self.0 += ms(milliseconds);
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn user(name: &str) -> QuotaEntity {
    QuotaEntity::User(Some(name.into()))
}

fn client_id(name: &str) -> QuotaEntity {
    QuotaEntity::ClientId(Some(name.into()))
}

fn both(user: &str, client_id: &str) -> QuotaEntity {
    QuotaEntity::UserAndClientId(Some(user.into()), Some(client_id.into()))
}
