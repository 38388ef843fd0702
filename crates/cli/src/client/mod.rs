//! What the tools that move records have in common: where a client's properties come from, waiting
//! for the topic that is named, interrupts, and the table of metrics.

mod delivery;
mod interrupts;
mod unread;

use std::time::{Duration, Instant};

use anyhow::bail;
use dohle_admin::client::{Existing, Properties, find, key_values};
use dohle_admin::{Cluster, ClusterError, list_topics, load_client_properties};
use dohle_model::suggest::nearest_few;
use kacrab_protocol::generated::ErrorCode;

pub use self::delivery::{Failures, OVERHEAD, Room};
pub use self::interrupts::Interrupts;
pub use self::unread::{check_read, unreadable};
use crate::options::{Parsed, Rule, UsageError, at_most_one_of};
use crate::tool_run::ErrorWithHint;

/// Rejects an option together with its old name.
pub const fn renamed(both: &'static str) -> Rule {
    at_most_one_of(both).message("Options --{first} and --{second} cannot be specified together.")
}

/// Reads the file of properties that one of these options names.
///
/// # Errors
/// When an option was given twice, or the file cannot be read.
pub fn config_file(parsed: &Parsed, options: &[&str]) -> anyhow::Result<Properties> {
    for option in options {
        if let Some(path) = parsed.value(option)? {
            return Ok(Properties::from(load_client_properties(path)?));
        }
    }
    Ok(Properties::default())
}

/// Reads the properties that these options give as `key=value`.
pub fn given_properties(parsed: &Parsed, options: &[&str]) -> Properties {
    key_values(options.iter().flat_map(|option| parsed.values(option)))
}

/// Kafka's rule for an option that sets a property: the option takes precedence; its default
/// applies where neither is given.
///
/// # Errors
/// When the option was given more than once.
pub fn merge(
    properties: &mut Properties,
    parsed: &Parsed,
    (name, option, default): (&str, &str, &str),
) -> Result<(), UsageError> {
    match parsed.value(option)? {
        Some(value) => properties.set(name, value),
        None => properties.set_default(name, default),
    }
    Ok(())
}

/// What a request takes beside its batch: its header, names, lengths.
const REQUEST_OVERHEAD: usize = 64 << 10;
/// The limits of a producer that depend on the size of a record, and their defaults in bytes.
const SIZE_LIMITS: [(&str, usize); 2] =
    [("max.request.size", 1 << 20), ("buffer.memory", 32 << 20)];

/// Raises the limits of a producer that are not set, so that it can send the largest batch that the
/// topic accepts. Kafka's producers keep the defaults of these limits.
pub fn follow_message_bytes_max(producer: &mut Properties, message_bytes_max: usize) {
    let needed = message_bytes_max.saturating_add(REQUEST_OVERHEAD);
    // The properties are numbers of 32 bits.
    let needed = needed.min(i32::MAX as usize);
    for (name, default) in SIZE_LIMITS {
        if needed > default {
            producer.set_default(name, needed.to_string());
        }
    }
}

/// How long to wait for a topic that the cluster was asked to create.
const CREATION: Duration = Duration::from_secs(5);
const BACKOFF: Duration = Duration::from_millis(50);

/// Waits for the topic that records are sent to, and lets the cluster create it.
///
/// # Errors
/// When it is not created in time; the error names the nearest topics.
pub async fn wait_for(cluster: &Cluster, name: &str) -> anyhow::Result<Existing> {
    let until = Instant::now() + CREATION;
    let mut meant = None;
    if let Ok(None) = find(cluster, name, false).await {
        meant = near(cluster, name).await;
    }
    loop {
        let found = match find(cluster, name, true).await {
            Err(ClusterError::Refused(refusal))
                if refusal.code == ErrorCode::InvalidTopicException =>
            {
                bail!(
                    "{name:?} is not a topic name: letters, digits, '.', '_' and '-' are allowed"
                );
            }
            found => found?,
        };
        if let Some(topic) = found {
            if let Some(meant) = meant {
                eprintln!(
                    "Topic '{name}' did not exist and has been created. Did you mean {meant}?"
                );
            }
            return Ok(topic);
        }
        if Instant::now() >= until {
            let message = format!(
                "Topic '{name}' does not exist, and the cluster does not create it on its own"
            );
            let hint = match meant {
                Some(near) => format!("Did you mean {near}?"),
                None => format!(
                    "Create it: kafka-topics --bootstrap-server {} --create --topic {name}",
                    cluster.bootstrap()
                ),
            };
            return Err(ErrorWithHint { message, hint }.into());
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

/// The names that are near to this one, where there are some.
pub(crate) async fn near(cluster: &Cluster, name: &str) -> Option<String> {
    let all = list_topics(cluster).await.ok()?;
    let near = nearest_few(name, all.iter().map(|topic| topic.name.as_str()));
    let near: Vec<&str> = near.into_iter().filter(|other| *other != name).collect();
    (!near.is_empty()).then(|| near.join(" or "))
}

/// Metrics in the columns of Kafka's tools.
#[must_use]
pub fn metrics_table<'a>(metrics: impl Iterator<Item = (&'a str, f64)>) -> String {
    let metrics: Vec<(&str, f64)> = metrics.collect();
    let width = metrics.iter().map(|(name, _)| name.len()).max();
    let width = width.unwrap_or(0);
    let rows = metrics.iter().map(|(name, value)| {
        let value = crate::numbers::fixed(*value, 3);
        format!("{name:<width$} : {value}\n")
    });
    format!("\n{:<width$}   Value\n", "Metric Name") + &rows.collect::<String>()
}
