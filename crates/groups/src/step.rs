//! What surrounds one step of a shard: who asks, when, on what metadata, and what comes of it.

use std::time::Duration;

use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, Timestamp, Uuid};
use dohle_protocol::messages::join_group_response::JoinGroupResponseData;
use dohle_protocol::messages::sync_group_response::SyncGroupResponseData;

use crate::config::GroupConfig;
use crate::consumer::Matches;
use crate::ids::{GroupId, MemberId};
use crate::records::Record;

/// One step: a request, a timer, or the outcome of a write.
#[derive(Debug)]
pub struct Step<'a> {
    /// The monotonic time since an epoch of the node's own. Drives sessions and all other timers.
    pub now: Duration,
    /// The wall clock: for record timestamps and the expiry of offsets, never for sessions.
    pub wall: Timestamp,
    /// The topics there are.
    pub image: &'a MetadataImage,
    /// The broker's configuration of groups.
    pub config: &'a GroupConfig,
    /// An id nobody has, for one new member.
    pub fresh: Uuid,
    /// What regular expressions match, as far as it was looked up; `None` when the request is not
    /// planned again with more of it.
    pub matches: Option<&'a Matches>,
    /// Expressions that the request lacks the matches of. It changed nothing and is refused; with
    /// these in `matches` it is planned again.
    pub unresolved: Vec<String>,
    /// What the step asks for.
    pub effects: Effects,
}

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// `client.id`; empty when there is none.
    pub client_id: &'a str,
    /// The address in Kafka's spelling: `/127.0.0.1`.
    pub client_host: &'a str,
    /// The version of the request.
    pub version: i16,
}

/// What a step asks of its caller, who carries it out in this order: append and replay `records`;
/// send `replies` (at once when `records` is empty, else when they are committed).
#[derive(Debug, Default)]
pub struct Effects {
    /// Written as one batch to the shard's partition. When it cannot be appended nothing of it is
    /// replayed and the request fails with the error; see also `written`.
    pub records: Vec<Record>,
    /// Whether `records` are replayed after they were appended. Classic groups live in memory and
    /// write what they already are: theirs are not.
    pub skip_replay: bool,
    /// What [`Shard::on_written`](crate::Shard::on_written) is told once `records` are committed or
    /// have failed.
    pub written: Option<Written>,
    /// Answers to requests that were parked, this one's perhaps included. When `records` fail,
    /// those that refuse are sent as they are, and the others with the error's code instead.
    pub replies: Vec<(Token, Reply)>,
    /// The answer of this request shows state of that group which may be appended and not yet
    /// committed: it leaves when everything written for the group so far is committed.
    pub reads: Option<GroupId>,
}

/// Stands for a parked request, until it is replied to. The caller makes them; no two are equal in
/// the life of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// The answer to a parked request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To JoinGroup.
    Join(JoinGroupResponseData),
    /// To SyncGroup.
    Sync(SyncGroupResponseData),
}

/// A write whose outcome decides how a classic group goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The leader's assignment of a generation: its members wait for it in SyncGroup.
    Assignment {
        /// The group.
        group_id: GroupId,
        /// The generation it is for.
        generation: i32,
    },
    /// A static member was replaced without a rebalance: its JoinGroup waits for it.
    StaticMember {
        /// The group.
        group_id: GroupId,
        /// The id that it has now.
        member_id: MemberId,
        /// The id that it had.
        old_member_id: MemberId,
        /// Its JoinGroup.
        token: Token,
    },
    /// A consumer group became a classic one: its members' sessions begin.
    Downgraded {
        /// The group.
        group_id: GroupId,
        /// Whether its members have to rejoin.
        rebalance: bool,
    },
    /// The group has no members any more.
    Empty {
        /// The group.
        group_id: GroupId,
        /// The generation that ended so.
        generation: i32,
    },
}

/// Why a request fails as a whole: the code for it, and words where the response has room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failed {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What, where and what to do. Empty when the code says it all.
    pub message: String,
}

impl From<ErrorCode> for Failed {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: String::new(),
        }
    }
}

impl Failed {
    /// With words.
    pub fn because(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl Step<'_> {
    /// Asks for a record to be written.
    pub fn write(&mut self, record: Record) {
        self.effects.records.push(record);
    }

    /// Answers a parked request.
    pub fn reply(&mut self, token: Token, reply: Reply) {
        self.effects.replies.push((token, reply));
    }
}
