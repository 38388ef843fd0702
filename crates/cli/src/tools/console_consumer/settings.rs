//! The settings of `console-consumer`, read from its command line. Pure except for the files that
//! it names.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use dohle_admin::client::Properties;

use super::formatter::Formatter;
use crate::client::{config_file, given_properties, merge};
use crate::options::{Parsed, UsageError, usage};
use crate::text::join_with;
use crate::tool_run::Output;

/// Which records are read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A topic, as member of the group.
    Topic(String),
    /// All topics whose whole names match, as member of the group.
    Include(String),
    /// One partition, from this offset, without a group.
    Partition(String, i32, From),
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Earliest,
    Latest,
    Offset(i64),
    /// So many offsets before the end.
    BeforeEnd(i64),
}

/// All settings of the command line.
#[derive(Debug)]
pub(super) struct ConsumerSettings {
    pub(super) what: What,
    pub(super) consumer: Properties,
    pub(super) formatter: Formatter,
    /// `None` reads without end.
    pub(super) messages_max: Option<u64>,
    /// `None` waits without end.
    pub(super) timeout: Option<Duration>,
    pub(super) skip_message_on_error: bool,
    pub(super) systest_events: bool,
}

impl ConsumerSettings {
    /// Reads the command line; `number` makes the name of a group where none is given.
    pub(super) fn read(parsed: &Parsed, output: Output, number: &str) -> anyhow::Result<Self> {
        let what = what(parsed)?;
        let mut formatting = config_file(parsed, &["formatter-config"])?;
        for option in ["key-deserializer", "value-deserializer"] {
            if let Some(class) = parsed.value(option)?.filter(|class| !class.is_empty()) {
                formatting.set(&option.replace('-', "."), class);
            }
        }
        let options = ["formatter-property", "property"];
        formatting.extend(given_properties(parsed, &options));
        let class = parsed.value("formatter")?;
        let formatter = match output {
            Output::Text => {
                Formatter::of_class(class.unwrap_or("DefaultMessageFormatter"), &formatting)?
            }
            Output::Json => Formatter::Json,
        };
        let mut consumer = config_file(parsed, &["command-config", "consumer.config"])?;
        let extra = given_properties(parsed, &["command-property", "consumer-property"]);
        let group = group(parsed, &consumer, &extra, &what)?;
        consumer.extend(extra);
        reset_policy(parsed, &mut consumer)?;
        consumer.set("bootstrap.servers", parsed.required("bootstrap-server")?);
        consumer.set_default("client.id", "console-consumer");
        let level = ("isolation.level", "isolation-level", "read_uncommitted");
        merge(&mut consumer, parsed, level)?;
        match group {
            Some(group) => consumer.set("group.id", group),
            None => {
                consumer.set("group.id", format!("console-consumer-{number}"));
                // The group will not be used again, and its offsets need not be kept.
                consumer.set_default("enable.auto.commit", "false");
            }
        }
        // A number below zero is no limit.
        let limit = |option: &str| -> Result<Option<u64>, UsageError> {
            let number: Option<i64> = parsed.parsed(option)?;
            Ok(number.and_then(|number| u64::try_from(number).ok()))
        };
        Ok(Self {
            what,
            consumer,
            formatter,
            messages_max: limit("max-messages")?,
            timeout: limit("timeout-ms")?.map(Duration::from_millis),
            skip_message_on_error: parsed.has("skip-message-on-error"),
            systest_events: parsed.has("enable-systest-events"),
        })
    }

    /// Whether offsets are committed by the way.
    pub(super) fn auto_commit(&self) -> bool {
        let set = self.consumer.has("enable.auto.commit");
        !set || self.consumer.is_true("enable.auto.commit")
    }
}

/// Which records the command line names.
fn what(parsed: &Parsed) -> Result<What, UsageError> {
    let topic = parsed.value("topic")?.unwrap_or_default().to_owned();
    Ok(
        match (parsed.parsed("partition")?, parsed.value("include")?) {
            (Some(partition), _) => What::Partition(topic, partition, from(parsed)?),
            (None, Some(include)) => What::Include(include.to_owned()),
            (None, None) => What::Topic(topic),
        },
    )
}

fn from(parsed: &Parsed) -> Result<From, UsageError> {
    let Some(text) = parsed.value("offset")? else {
        return Ok(match parsed.has("from-beginning") {
            true => From::Earliest,
            false => From::Latest,
        });
    };
    match text.to_lowercase().as_str() {
        "earliest" => Ok(From::Earliest),
        "latest" => Ok(From::Latest),
        number => match number.parse::<i64>() {
            Ok(offset) if offset >= 0 => Ok(From::Offset(offset)),
            Ok(offset) => Ok(From::BeforeEnd(offset.saturating_neg())),
            Err(_) => usage(format!(
                "The provided offset value '{text}' is incorrect. Valid values are 'earliest', \
                 'latest', or a non-negative long."
            )),
        },
    }
}

/// The group, which may be named in several places, but not differently.
fn group(
    parsed: &Parsed,
    file: &Properties,
    extra: &Properties,
    what: &What,
) -> Result<Option<String>, UsageError> {
    let given = [
        parsed.value("group")?,
        file.get("group.id"),
        extra.get("group.id"),
    ];
    let groups: BTreeSet<&str> = given.into_iter().flatten().collect();
    if groups.len() > 1 {
        return usage(format!(
            "The group ids provided in different places (directly using '--group', via \
             '--consumer-property', or via '--consumer.config') do not match. Detected group ids: \
             '{}'",
            join_with("', '", groups)
        ));
    }
    let group = groups.into_iter().next().map(str::to_owned);
    if group.is_some() && matches!(what, What::Partition(..)) {
        return usage("Options group and partition cannot be specified together.");
    }
    Ok(group)
}

fn reset_policy(parsed: &Parsed, consumer: &mut Properties) -> anyhow::Result<()> {
    let from_beginning = parsed.has("from-beginning");
    let policy = if from_beginning { "earliest" } else { "latest" };
    consumer.set_default("auto.offset.reset", policy);
    match consumer.get("auto.offset.reset") {
        Some(policy) if from_beginning && policy != "earliest" => bail!(
            "Can't simultaneously specify --from-beginning and 'auto.offset.reset={policy}', \
             please remove one option"
        ),
        _ => Ok(()),
    }
}
