//! Prints records, members and assignments for traces.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dohle_model::{ErrorCode, TopicId};

use crate::modern::member::Assignment;
use crate::modern::member::MemberState;
use crate::records::{ConsumerCurrentValue, Record, TopicPartitions};

pub(super) fn code_name(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| "ok".to_owned(), |code| format!("{code:?}"))
}

pub(super) fn shown_assignment(
    assignment: &Assignment,
    names: &BTreeMap<TopicId, String>,
) -> String {
    let topics = assignment.iter().map(|(id, partitions)| {
        let name = names.get(id).map_or("?", String::as_str);
        let partitions: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        format!("{name}:{}", partitions.join(","))
    });
    let mut topics: Vec<String> = topics.collect();
    topics.sort();
    match topics.is_empty() {
        true => "-".to_owned(),
        false => topics.join(" "),
    }
}

fn shown_topics(topics: &[TopicPartitions], names: &BTreeMap<TopicId, String>) -> String {
    let topics = topics.iter();
    let assignment = topics
        .map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect()))
        .collect();
    shown_assignment(&assignment, names)
}

pub(super) fn shown_member(
    id: &str,
    current: &ConsumerCurrentValue,
    names: &BTreeMap<TopicId, String>,
) -> String {
    let state = MemberState::of(current.state);
    let has = shown_topics(&current.assigned_partitions, names);
    let mut line = format!(
        "{id} {state:?} {}<-{} has {has}",
        current.member_epoch, current.previous_member_epoch
    );
    if !current.partitions_pending_revocation.is_empty() {
        let revoked = shown_topics(&current.partitions_pending_revocation, names);
        let _ = write!(line, ", gives back {revoked}");
    }
    line
}

pub(super) fn shown(record: &Record, names: &BTreeMap<TopicId, String>) -> String {
    match record {
        Record::Offset(key, _) => format!("offset {}-{}", key.topic, key.partition),
        Record::Classic(_, Some(value)) => {
            let members: Vec<&str> = value.members.iter().map(|m| m.member_id.as_str()).collect();
            format!(
                "classic generation {} {}",
                value.generation,
                members.join(" ")
            )
        }
        Record::Classic(_, None) => "classic gone".to_owned(),
        Record::ConsumerGroup(_, Some(value)) => format!("epoch {}", value.epoch),
        Record::ConsumerGroup(_, None) => "group gone".to_owned(),
        Record::ConsumerPartitionMetadata(..) => "partition metadata gone".to_owned(),
        Record::ConsumerMember(_, id, Some(value)) => {
            let mut topics = value.subscribed_topic_names.join(",");
            if let Some(regex) = value
                .subscribed_topic_regex
                .as_ref()
                .filter(|r| !r.is_empty())
            {
                let _ = write!(topics, " /{regex}/");
            }
            let classic = if value.classic.is_some() {
                " classic"
            } else {
                ""
            };
            format!("member {id} {}{classic}", topics.trim())
        }
        Record::ConsumerMember(_, id, None) => format!("member {id} gone"),
        Record::ConsumerTarget(_, Some(value)) => format!("target {}", value.assignment_epoch),
        Record::ConsumerTarget(_, None) => "target gone".to_owned(),
        Record::ConsumerTargetMember(_, id, Some(topics)) => {
            format!("target {id} {}", shown_topics(topics, names))
        }
        Record::ConsumerTargetMember(_, id, None) => format!("target {id} gone"),
        Record::ConsumerCurrent(_, id, Some(value)) => shown_member(id.as_str(), value, names),
        Record::ConsumerCurrent(_, id, None) => format!("current {id} gone"),
        Record::ConsumerRegex(_, regex, Some(value)) => {
            format!("regex {regex} matches {}", value.topics.join(","))
        }
        Record::ConsumerRegex(_, regex, None) => format!("regex {regex} gone"),
    }
}
