//! The settings of `console-consumer`, read from its command line. Pure except for the files that
//! it names.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use dohle_admin::client::{Properties, key_values};
use dohle_admin::load_properties;

use super::formatter::Formatter;
use crate::client::{CONSUMER_CONFIG, Source, merge};
use crate::options::{Parsed, UsageError, usage};
use crate::tool_run::Output;

const CONSUMER_PROPERTY: Source = Source {
    now: "command-property",
    before: "consumer-property",
};
const FORMATTER_PROPERTY: Source = Source {
    now: "formatter-property",
    before: "property",
};

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
pub(super) struct Settings {
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

impl Settings {
    /// Reads the command line; `number` makes the name of a group where none is given.
    pub(super) fn read(parsed: &Parsed, output: Output, number: &str) -> anyhow::Result<Self> {
        let what = what(parsed)?;
        let bootstrap = parsed.required("bootstrap-server")?.to_owned();
        let mut formatting = match parsed.value("formatter-config")? {
            Some(path) => Properties::from(load_properties(path)?),
            None => Properties::default(),
        };
        for option in ["key-deserializer", "value-deserializer"] {
            if let Some(class) = parsed.value(option)?.filter(|class| !class.is_empty()) {
                formatting.set(&option.replace('-', "."), class);
            }
        }
        formatting.extend(key_values(FORMATTER_PROPERTY.values(parsed)?));
        let class = parsed
            .value("formatter")?
            .unwrap_or("DefaultMessageFormatter");
        let formatter = match output {
            Output::Text => Formatter::of_class(class, &formatting)?,
            Output::Json => Formatter::Json,
        };
        let mut consumer = CONSUMER_CONFIG.file(parsed)?;
        let extra = key_values(CONSUMER_PROPERTY.values(parsed)?);
        let group = group(parsed, &consumer, &extra, &what)?;
        consumer.extend(extra);
        reset_policy(parsed, &mut consumer)?;
        consumer.set("bootstrap.servers", bootstrap);
        consumer.set_default("client.id", "console-consumer");
        merge(
            &mut consumer,
            "isolation.level",
            parsed,
            "isolation-level",
            "read_uncommitted",
        )?;
        match group {
            Some(group) => consumer.set("group.id", group),
            None => {
                consumer.set("group.id", format!("console-consumer-{number}"));
                // The group will not be used again, and its offsets need not be kept.
                consumer.set_default("enable.auto.commit", "false");
            }
        }
        let messages_max: Option<i64> = parsed.parsed("max-messages")?;
        let timeout: Option<i64> = parsed.parsed("timeout-ms")?;
        Ok(Self {
            what,
            consumer,
            formatter,
            messages_max: messages_max.and_then(|max| u64::try_from(max).ok()),
            timeout: timeout
                .and_then(|timeout| u64::try_from(timeout).ok())
                .map(Duration::from_millis),
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

/// The rules for which options go together.
fn what(parsed: &Parsed) -> anyhow::Result<What> {
    let topic = parsed.value("topic")?.map(str::to_owned);
    let include = parsed.value("include")?.map(str::to_owned);
    let partition: Option<i32> = parsed.parsed("partition")?;
    let (topic, include) = match (topic, include) {
        (None, None) | (Some(_), Some(_)) => {
            return Ok(usage(
                "Exactly one of the following arguments is required: [topic], [include]",
            )?);
        }
        either => either,
    };
    let Some(partition) = partition else {
        if parsed.has("offset") {
            usage("The partition is required when offset is specified.")?;
        }
        return Ok(match (topic, include) {
            (Some(topic), _) => What::Topic(topic),
            (None, include) => What::Include(include.unwrap_or_default()),
        });
    };
    let Some(topic) = topic else {
        return Ok(usage("The topic is required when partition is specified.")?);
    };
    if parsed.has("from-beginning") && parsed.has("offset") {
        usage("Options from-beginning and offset cannot be specified together.")?;
    }
    Ok(What::Partition(topic, partition, from(parsed)?))
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
) -> anyhow::Result<Option<String>> {
    let given = [
        parsed.value("group")?,
        file.get("group.id"),
        extra.get("group.id"),
    ];
    let groups: BTreeSet<&str> = given.into_iter().flatten().collect();
    if groups.len() > 1 {
        let groups: Vec<String> = groups.iter().map(|group| format!("'{group}'")).collect();
        usage(format!(
            "The group ids provided in different places (directly using '--group', via \
             '--consumer-property', or via '--consumer.config') do not match. Detected group ids: \
             {}",
            groups.join(", ")
        ))?;
    }
    let group = groups.into_iter().next().map(str::to_owned);
    if group.is_some() && matches!(what, What::Partition(..)) {
        usage("Options group and partition cannot be specified together.")?;
    }
    Ok(group)
}

fn reset_policy(parsed: &Parsed, consumer: &mut Properties) -> anyhow::Result<()> {
    let from_beginning = parsed.has("from-beginning");
    match consumer.get("auto.offset.reset") {
        Some(policy) if from_beginning && policy != "earliest" => bail!(
            "Can't simultaneously specify --from-beginning and 'auto.offset.reset={policy}', \
             please remove one option"
        ),
        Some(_) => {}
        None => {
            let policy = if from_beginning { "earliest" } else { "latest" };
            consumer.set("auto.offset.reset", policy);
        }
    }
    Ok(())
}
