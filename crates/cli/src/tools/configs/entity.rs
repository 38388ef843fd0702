//! What a configuration belongs to, as the command line names it.

use dohle_admin::Resource;

use crate::options::{Parsed, UsageError, usage};

/// A type of entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    Topic,
    Client,
    User,
    Broker,
    BrokerLogger,
    Ip,
    ClientMetrics,
    Group,
}

impl Entity {
    /// All types, with the name of each and the option that gives type and name at once.
    const ALL: [(Entity, &'static str, &'static str); 8] = [
        (Entity::Topic, "topics", "topic"),
        (Entity::Client, "clients", "client"),
        (Entity::User, "users", "user"),
        (Entity::Broker, "brokers", "broker"),
        (Entity::BrokerLogger, "broker-loggers", "broker-logger"),
        (Entity::Ip, "ips", "ip"),
        (Entity::ClientMetrics, "client-metrics", "client-metrics"),
        (Entity::Group, "groups", "group"),
    ];

    /// Options that select the default of a type.
    const DEFAULTS: [(&'static str, Entity); 4] = [
        ("client-defaults", Entity::Client),
        ("user-defaults", Entity::User),
        ("broker-defaults", Entity::Broker),
        ("ip-defaults", Entity::Ip),
    ];

    /// Kafka's name for the type.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(entity, _, _)| *entity == self);
        found.map_or("", |(_, name, _)| name)
    }

    /// The name without its last letter, as Kafka's tool makes the singular (of `client-metrics`
    /// too).
    pub fn singular(self) -> &'static str {
        let name = self.name();
        &name[..name.len() - 1]
    }

    /// Whether its configuration is quotas.
    pub fn has_quotas(self) -> bool {
        matches!(self, Self::Client | Self::User | Self::Ip)
    }

    /// Whether all of the type have a default.
    pub fn has_default(self) -> bool {
        self.has_quotas() || self == Self::Broker
    }

    /// The resource of this name, for types whose configuration is properties.
    pub fn resource(self, name: &str) -> Resource {
        let kind = match self {
            Self::Broker => Resource::BROKER,
            Self::BrokerLogger => Resource::BROKER_LOGGER,
            Self::ClientMetrics => Resource::CLIENT_METRICS,
            Self::Group => Resource::GROUP,
            _ => Resource::TOPIC,
        };
        Resource {
            kind,
            name: name.to_owned(),
        }
    }
}

/// The entities of a command line: one, or a user together with a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entities {
    /// Their types; there is at least one.
    pub types: Vec<Entity>,
    /// Their names, empty for the default; fewer than types where all of a type are selected.
    pub names: Vec<String>,
}

impl Entities {
    /// Reads `--entity-type` and `--entity-name`, or the options that give both at once.
    pub fn new(parsed: &Parsed) -> Result<Self, UsageError> {
        let (mut types, mut names) = (Vec::new(), Vec::new());
        let mut general = false;
        for (option, value) in parsed.all() {
            match option {
                "entity-type" => {
                    general = true;
                    types.push(entity(value.unwrap_or_default())?);
                }
                "entity-name" => {
                    general = true;
                    names.push(value.unwrap_or_default().to_owned());
                }
                "entity-default" => {
                    general = true;
                    names.push(String::new());
                }
                _ => {}
            }
        }
        let mut specific = false;
        for (entity, _, option) in Entity::ALL {
            if let Some(name) = parsed.value(option)? {
                specific = true;
                types.push(entity);
                names.push(name.to_owned());
            }
        }
        for (option, entity) in Entity::DEFAULTS {
            if parsed.has(option) {
                specific = true;
                types.push(entity);
                names.push(String::new());
            }
        }
        if general && specific {
            return usage(
                "--entity-{type,name,default} should not be used in conjunction with specific \
                 entity flags",
            );
        }
        let entities = Self { types, names };
        entities.check()?;
        Ok(entities)
    }

    fn check(&self) -> Result<(), UsageError> {
        let mut distinct = self.types.clone();
        distinct.sort();
        distinct.dedup();
        if distinct.len() != self.types.len() {
            let names = self.type_names();
            return usage(format!(
                "Duplicate entity type(s) specified: {}",
                names.join(",")
            ));
        }
        if distinct.is_empty() {
            return usage("At least one entity type must be specified");
        }
        if distinct.len() > 1 && distinct != [Entity::Client, Entity::User] {
            return usage("Only 'users' and 'clients' entity types may be specified together");
        }
        if self.names.len() > self.types.len() {
            return usage("More entity names specified than entity types");
        }
        Ok(())
    }

    /// The names of the types.
    pub fn type_names(&self) -> Vec<&'static str> {
        self.types.iter().map(|entity| entity.name()).collect()
    }
}

fn entity(name: &str) -> Result<Entity, UsageError> {
    let found = Entity::ALL.iter().find(|(_, known, _)| *known == name);
    if let Some((entity, _, _)) = found {
        return Ok(*entity);
    }
    let names: Vec<&str> = Entity::ALL.iter().map(|(_, name, _)| *name).collect();
    usage(format!(
        "Invalid entity type {name}, the entity type must be one of {} with a --bootstrap-server \
         or --bootstrap-controller argument",
        names.join(", ")
    ))
}
