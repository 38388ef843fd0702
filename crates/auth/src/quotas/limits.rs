//! Which quota applies to a client.

use std::collections::HashMap;
use std::sync::Arc;

use dohle_model::client_quota::QuotaEntity;

/// A [`QuotaEntity`] whose names are borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityRef<'a> {
    /// The clients of a user, or of all users without a quota of their own.
    User(Option<&'a str>),
    /// The clients with a client id, or with any that has no quota of its own.
    ClientId(Option<&'a str>),
    /// The clients of a user with a client id.
    UserAndClientId(Option<&'a str>, Option<&'a str>),
}

impl EntityRef<'_> {
    /// Returns the entity with names of its own.
    #[must_use]
    pub fn to_entity(self) -> QuotaEntity {
        let own = |name: Option<&str>| name.map(Arc::from);
        match self {
            Self::User(user) => QuotaEntity::User(own(user)),
            Self::ClientId(client_id) => QuotaEntity::ClientId(own(client_id)),
            Self::UserAndClientId(user, client_id) => {
                QuotaEntity::UserAndClientId(own(user), own(client_id))
            }
        }
    }

    /// Returns which clients share what the entity's quota allows.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::User(_) => Scope::User,
            Self::ClientId(_) => Scope::ClientId,
            Self::UserAndClientId(..) => Scope::UserAndClientId,
        }
    }
}

/// Which clients share what a quota allows. A default applies to each name separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All clients of one user.
    User,
    /// All clients with one client id.
    ClientId,
    /// The clients of one user with one client id.
    UserAndClientId,
}

/// The quota that applies to a client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Applicable<'a> {
    /// The entity that it is set for.
    pub entity: EntityRef<'a>,
    /// The most that may be used in a second.
    pub limit: f64,
}

/// Returns the quota that applies to a client: the first of those that `find` returns in the order
/// of precedence.
///
/// Quotas of client ids do not apply to clients without one. Source: KIP-55, and
/// `ClientQuotaManager.DefaultQuotaCallback`.
pub fn applicable<'a>(
    user: &'a str,
    client_id: &'a str,
    find: impl Fn(EntityRef<'a>) -> Option<f64>,
) -> Option<Applicable<'a>> {
    use EntityRef::{ClientId, User, UserAndClientId};
    let (user, client) = (Some(user), Some(client_id));
    let precedence = [
        UserAndClientId(user, client),
        UserAndClientId(user, None),
        User(user),
        UserAndClientId(None, client),
        UserAndClientId(None, None),
        User(None),
        ClientId(client),
        ClientId(None),
    ];
    let named = |entity: &EntityRef<'_>| !client_id.is_empty() || matches!(entity, User(_));
    let mut entities = precedence.into_iter().filter(named);
    entities.find_map(|entity| find(entity).map(|limit| Applicable { entity, limit }))
}

/// Values by name, and the default for other names.
#[derive(Debug, Clone)]
struct ByName<T> {
    named: HashMap<Arc<str>, T>,
    default: Option<T>,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self {
            named: HashMap::new(),
            default: None,
        }
    }
}

impl<T> ByName<T> {
    fn get(&self, name: Option<&str>) -> Option<&T> {
        match name {
            Some(name) => self.named.get(name),
            None => self.default.as_ref(),
        }
    }

    fn set(&mut self, name: Option<&Arc<str>>, value: Option<T>) {
        match (name, value) {
            (None, value) => self.default = value,
            (Some(name), Some(value)) => drop(self.named.insert(Arc::clone(name), value)),
            (Some(name), None) => drop(self.named.remove(name)),
        }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.default.is_none()
    }
}

/// The quotas of one type that are set.
#[derive(Debug, Clone, Default)]
pub struct QuotaLimits {
    users: ByName<f64>,
    client_ids: ByName<f64>,
    user_client_ids: ByName<ByName<f64>>,
}

impl QuotaLimits {
    /// Sets the quota of an entity, or removes it with `None`. Addresses have none of these types.
    pub fn set(&mut self, entity: &QuotaEntity, limit: Option<f64>) {
        match entity {
            QuotaEntity::User(user) => self.users.set(user.as_ref(), limit),
            QuotaEntity::ClientId(client_id) => self.client_ids.set(client_id.as_ref(), limit),
            QuotaEntity::UserAndClientId(user, client_id) => {
                let of_user = self.user_client_ids.get(user.as_deref());
                let mut of_user = of_user.cloned().unwrap_or_default();
                of_user.set(client_id.as_ref(), limit);
                let of_user = (!of_user.is_empty()).then_some(of_user);
                self.user_client_ids.set(user.as_ref(), of_user);
            }
            QuotaEntity::Ip(_) => {}
        }
    }

    /// Returns whether no quota is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.client_ids.is_empty() && self.user_client_ids.is_empty()
    }

    /// Returns the quota of an entity.
    #[must_use]
    pub fn get(&self, entity: EntityRef<'_>) -> Option<f64> {
        match entity {
            EntityRef::User(user) => self.users.get(user),
            EntityRef::ClientId(client_id) => self.client_ids.get(client_id),
            EntityRef::UserAndClientId(user, client_id) => {
                self.user_client_ids.get(user)?.get(client_id)
            }
        }
        .copied()
    }

    /// Returns the quota that applies to a client, if any does.
    #[must_use]
    pub fn applicable<'a>(&self, user: &'a str, client_id: &'a str) -> Option<Applicable<'a>> {
        applicable(user, client_id, |entity| self.get(entity))
    }
}
