//! What a configuration belongs to, as the command line names it.

use dohle_admin::Resource;

use crate::options::{Parsed, UsageError, usage};
use crate::text::{join, join_with};

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
        for (option, value) in parsed.all() {
            let value = value.unwrap_or_default();
            match option {
                "entity-type" => types.push(entity(value)?),
                "entity-name" => names.push(value.to_owned()),
                "entity-default" => names.push(String::new()),
                _ => {}
            }
        }
        let mut found = Vec::new();
        for (entity, _, option) in Entity::ALL {
            found.extend(parsed.value(option)?.map(|name| (entity, name)));
        }
        let default = |option: &str| parsed.has(&format!("{option}-defaults"));
        let defaults = Entity::ALL.iter().filter(|(_, _, option)| default(option));
        for (entity, name) in found
            .into_iter()
            .chain(defaults.map(|(entity, ..)| (*entity, "")))
        {
            types.push(entity);
            names.push(name.to_owned());
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
            let types = self.type_names();
            return usage(format!("Duplicate entity type(s) specified: {types}"));
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
    pub fn type_names(&self) -> String {
        join(self.types.iter().map(|entity| entity.name()))
    }
}

fn entity(name: &str) -> Result<Entity, UsageError> {
    let found = Entity::ALL.iter().find(|(_, known, _)| *known == name);
    if let Some((entity, _, _)) = found {
        return Ok(*entity);
    }
    let names = join_with(", ", Entity::ALL.map(|(_, name, _)| name));
    usage(format!(
        "Invalid entity type {name}, the entity type must be one of {names} with a \
         --bootstrap-server or --bootstrap-controller argument"
    ))
}
