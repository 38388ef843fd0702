//! What clients have used: one sensor for each set of clients that share a quota.
//!
//! A client chooses its client id, so the number of sensors is limited. When there are
//! [`SENSORS_MAX`], or their names have [`NAME_BYTES_MAX`] bytes, those that no longer count
//! anything are removed. Clients that still find no room share one sensor for each quota that is
//! set, and with it what the quota allows: whoever invents names gains nothing by that.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use dohle_model::client_quota::QuotaEntity;

use super::limits::{EntityRef, Scope};

/// The most sensors of one type of quota.
pub const SENSORS_MAX: usize = 10_000;
/// The most bytes that the names of these sensors have.
pub(super) const NAME_BYTES_MAX: usize = 4 << 20;
/// A sensor that was not used for this time is removed, as in Kafka
/// (`ClientQuotaManager.InactiveSensorExpirationTimeSeconds`).
const INACTIVE_MAX: Duration = Duration::from_hours(1);
/// The time between two searches for such sensors.
const EXPIRE_EVERY: Duration = Duration::from_secs(30);
/// The time between two searches for sensors that count nothing, when there is no room.
const MAKE_ROOM_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Entry<S> {
    sensor: S,
    last_used: Instant,
}

/// The sensors of one type of quota.
#[derive(Debug)]
pub(super) struct Sensors<S> {
    /// By user and client id. The part that the quota does not depend on is empty.
    by_client: HashMap<Box<str>, HashMap<Box<str>, Entry<S>>>,
    /// Those of clients without room.
    shared: HashMap<QuotaEntity, Entry<S>>,
    count: usize,
    name_bytes: usize,
    expire_at: Option<Instant>,
    make_room_at: Option<Instant>,
}

impl<S> Default for Sensors<S> {
    fn default() -> Self {
        Self {
            by_client: HashMap::new(),
            shared: HashMap::new(),
            count: 0,
            name_bytes: 0,
            expire_at: None,
            make_room_at: None,
        }
    }
}

impl<S: Default> Sensors<S> {
    /// Returns the sensor of the clients that share the quota of `entity` with this client.
    /// `is_forgotten` returns whether a sensor counts nothing any more.
    pub fn get(
        &mut self,
        entity: EntityRef<'_>,
        user: &str,
        client_id: &str,
        now: Instant,
        is_forgotten: impl Fn(&S) -> bool,
    ) -> &mut S {
        let (user, client_id) = match entity.scope() {
            Scope::User => (user, ""),
            Scope::ClientId => ("", client_id),
            Scope::UserAndClientId => (user, client_id),
        };
        if is_due(&mut self.expire_at, EXPIRE_EVERY, now) {
            let inactive =
                |entry: &Entry<S>| now.saturating_duration_since(entry.last_used) >= INACTIVE_MAX;
            self.remove(inactive);
        }
        let known = self.by_client.get(user);
        let entry = if known.is_some_and(|known| known.contains_key(client_id))
            || self.has_room(user, client_id)
            || (is_due(&mut self.make_room_at, MAKE_ROOM_EVERY, now) && {
                self.remove(|entry| is_forgotten(&entry.sensor));
                self.has_room(user, client_id)
            }) {
            self.entry(user, client_id, now)
        } else {
            let new = || Entry {
                sensor: S::default(),
                last_used: now,
            };
            self.shared.entry(entity.to_entity()).or_insert_with(new)
        };
        entry.last_used = entry.last_used.max(now);
        &mut entry.sensor
    }

    fn has_room(&self, user: &str, client_id: &str) -> bool {
        self.count < SENSORS_MAX && self.name_bytes + user.len() + client_id.len() <= NAME_BYTES_MAX
    }

    /// Returns the entry of a client, which it creates if there is none.
    fn entry(&mut self, user: &str, client_id: &str, now: Instant) -> &mut Entry<S> {
        if !self.by_client.contains_key(user) {
            self.by_client.insert(user.into(), HashMap::new());
        }
        let of_user = self.by_client.get_mut(user).expect("inserted above");
        if !of_user.contains_key(client_id) {
            self.count += 1;
            self.name_bytes += user.len() + client_id.len();
            let entry = Entry {
                sensor: S::default(),
                last_used: now,
            };
            of_user.insert(client_id.into(), entry);
        }
        of_user.get_mut(client_id).expect("inserted above")
    }

    fn remove(&mut self, obsolete: impl Fn(&Entry<S>) -> bool) {
        let (mut count, mut name_bytes) = (0, 0);
        self.by_client.retain(|user, of_user| {
            of_user.retain(|client_id, entry| {
                let kept = !obsolete(entry);
                if kept {
                    count += 1;
                    name_bytes += user.len() + client_id.len();
                }
                kept
            });
            !of_user.is_empty()
        });
        self.shared.retain(|_, entry| !obsolete(entry));
        (self.count, self.name_bytes) = (count, name_bytes);
    }

    /// Returns the number of sensors, and of those that clients without room share.
    #[cfg(test)]
    pub fn len(&self) -> (usize, usize) {
        (self.count, self.shared.len())
    }
}

/// Returns whether the time `at` has come, and then puts it off.
fn is_due(at: &mut Option<Instant>, every: Duration, now: Instant) -> bool {
    let due = at.is_none_or(|at| now >= at);
    if due {
        *at = Some(now + every);
    }
    due
}
