//! Prints replies, records and states for traces.

use bytes::Bytes;
use dohle_machine::DueReply;
use dohle_model::ErrorCode;
use dohle_protocol::messages::describe_groups_response::DescribedGroup;
use dohle_protocol::messages::leave_group_response::LeaveGroupResponseData;

use crate::classic::group::{ClassicGroup, State};
use crate::records::Record;
use crate::step::{JoinReply, SyncReply};
use crate::test_scripts;
use crate::timers::Timer;

/// Abbreviates a member id: `a-01`.
fn short(id: &str) -> String {
    id.replace("-00000000-0000-0000-0000-0000000000", "-")
}

/// Encodes the subscription to the topics in a word such as `t+u`.
pub(super) fn subscription(word: &str) -> Bytes {
    test_scripts::subscription(word.split('+').filter(|topic| !topic.is_empty()))
}

fn topics(subscription: &Bytes) -> String {
    let text = String::from_utf8_lossy(subscription);
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("+")
}

fn bytes(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn code(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| "ok".to_owned(), |code| code.to_string())
}

/// Returns the code that a word of a script names.
pub(super) fn code_of(name: &str) -> ErrorCode {
    (-1..=133)
        .filter_map(ErrorCode::from_code)
        .find(|code| code.to_string() == name)
        .expect("a code")
}

/// A reply, for traces.
pub(super) enum Reply {
    Join(JoinReply),
    Sync(SyncReply),
}

impl Reply {
    pub(super) fn of(reply: DueReply) -> Self {
        match reply.downcast() {
            Ok(join) => Self::Join(join),
            Err(reply) => Self::Sync(reply.downcast().expect("a reply to SyncGroup")),
        }
    }
}

pub(super) fn reply(reply: &Reply) -> String {
    let optional = |text: &Option<dohle_protocol::KafkaString>| {
        text.as_ref().map_or("none".to_owned(), ToString::to_string)
    };
    match reply {
        Reply::Join(JoinReply(response)) if response.error_code != 0 => {
            let id = short(response.member_id.as_str());
            format!("{} id={id}", code(response.error_code))
        }
        Reply::Join(JoinReply(response)) => {
            let mut text = format!(
                "joined gen={} id={} leader={} protocol={}/{}",
                response.generation_id,
                short(response.member_id.as_str()),
                short(response.leader.as_str()),
                optional(&response.protocol_type),
                optional(&response.protocol_name),
            );
            for member in &response.members {
                text += &format!(" {}", short(member.member_id.as_str()));
                if let Some(instance_id) = &member.group_instance_id {
                    text += &format!("({instance_id})");
                }
                text += &format!(":{}", topics(&member.metadata));
            }
            if response.skip_assignment {
                text += " skip";
            }
            text
        }
        Reply::Sync(SyncReply(response)) if response.error_code != 0 => code(response.error_code),
        Reply::Sync(SyncReply(response)) => format!(
            "synced {:?} protocol={}/{}",
            bytes(&response.assignment),
            optional(&response.protocol_type),
            optional(&response.protocol_name),
        ),
    }
}

pub(super) fn left(response: &LeaveGroupResponseData) -> String {
    let mut text = format!("left: {}", code(response.error_code));
    for member in &response.members {
        let instance_id = member.group_instance_id.as_ref();
        text += &format!(
            " [{}{} {}]",
            short(member.member_id.as_str()),
            instance_id.map_or(String::new(), |id| format!("({id})")),
            code(member.error_code)
        );
    }
    text
}

pub(super) fn record(record: &Record) -> String {
    let Record::Classic(group_id, value) = record else {
        panic!("a classic group writes {record:?}");
    };
    let Some(value) = value else {
        return format!("{group_id} tombstone");
    };
    let mut text = format!(
        "{group_id} gen={} {:?}/{} leader={}",
        value.generation,
        value.protocol_type,
        value.protocol.as_deref().unwrap_or("none"),
        value
            .leader
            .as_ref()
            .map_or("none".to_owned(), |id| short(id.as_str())),
    );
    for member in &value.members {
        text += &format!(" {}", short(member.member_id.as_str()));
        if let Some(instance_id) = &member.group_instance_id {
            text += &format!("({instance_id})");
        }
        text += &format!(
            ":{}:{:?}",
            topics(&member.subscription),
            bytes(&member.assignment)
        );
    }
    text
}

pub(super) fn timer(timer: &Timer) -> String {
    match timer {
        Timer::ClassicJoin(_) => "join timer".to_owned(),
        Timer::ClassicSync(_) => "sync timer".to_owned(),
        Timer::ClassicSession(_, member_id) => format!("session of {}", short(member_id.as_str())),
        other => format!("{other:?}"),
    }
}

pub(super) fn state(group: &ClassicGroup) -> String {
    let mut text = format!("{} gen={}", group.state().name(), group.generation());
    if let State::PreparingRebalance { initial: Some(_) } = group.state() {
        text += " initial";
    }
    if let Some(leader) = group.leader() {
        text += &format!(" leader={}", short(leader.as_str()));
    }
    for (member_id, member) in group.members() {
        text += &format!(" {}", short(member_id.as_str()));
        let waits = [
            (member.awaits_join(), "joins"),
            (member.awaits_sync(), "syncs"),
            (group.pending_syncs.contains(member_id.as_str()), "to sync"),
        ];
        let waits: Vec<&str> = waits.iter().filter(|w| w.0).map(|w| w.1).collect();
        if !waits.is_empty() {
            text += &format!("({})", waits.join(", "));
        }
    }
    for member_id in group.pending_members() {
        text += &format!(" {}(pending)", short(member_id.as_str()));
    }
    text
}

pub(super) fn described(group: &DescribedGroup) -> Vec<String> {
    let mut lines = vec![format!(
        "{} {:?}/{:?}",
        group.group_state,
        group.protocol_type.as_str(),
        group.protocol_data.as_str(),
    )];
    for member in &group.members {
        let instance_id = member.group_instance_id.as_ref();
        lines.push(format!(
            "{} instance={} client={} host={} metadata={} assignment={:?}",
            short(member.member_id.as_str()),
            instance_id.map_or("none", |id| id.as_str()),
            member.client_id,
            member.client_host,
            topics(&member.member_metadata),
            bytes(&member.member_assignment),
        ));
    }
    lines
}
