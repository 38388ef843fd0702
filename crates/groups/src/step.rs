//! The parts of a step: the sender of a request, the replies to parked requests, what continues
//! after a commit, and why a request fails.

use dohle_machine::{Reply, ReplyToken};
use dohle_model::ErrorCode;
use dohle_protocol::messages::join_group_response::JoinGroupResponseData;
use dohle_protocol::messages::sync_group_response::SyncGroupResponseData;

use crate::ids::{GroupId, MemberId};

/// The token of a parked JoinGroup.
pub type JoinToken = ReplyToken<JoinReply>;
/// The token of a parked SyncGroup.
pub type SyncToken = ReplyToken<SyncReply>;

/// The sender of a request.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// `client.id`; empty when there is none.
    pub client_id: &'a str,
    /// The address in Kafka's spelling: `/127.0.0.1`.
    pub client_host: &'a str,
    /// The version of the request.
    pub version: i16,
}

/// The reply to JoinGroup.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinReply(pub JoinGroupResponseData);

impl Reply for JoinReply {
    fn failed(self, code: ErrorCode) -> Self {
        if self.0.error_code != 0 {
            return self;
        }
        Self(JoinGroupResponseData {
            error_code: code.code(),
            member_id: self.0.member_id,
            ..JoinGroupResponseData::default()
        })
    }
}

/// The reply to SyncGroup.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncReply(pub SyncGroupResponseData);

impl Reply for SyncReply {
    fn failed(self, code: ErrorCode) -> Self {
        if self.0.error_code != 0 {
            return self;
        }
        Self(SyncGroupResponseData {
            error_code: code.code(),
            ..SyncGroupResponseData::default()
        })
    }
}

/// How a group continues once the records of a step are committed or have failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnCommit {
    /// The leader's assignment of a generation was written: its members wait for it in SyncGroup.
    Assignment {
        /// The group.
        group_id: GroupId,
        /// The generation of the assignment.
        generation: i32,
    },
    /// A static member was replaced without a rebalance: its JoinGroup waits for the commit.
    StaticMember {
        /// The group.
        group_id: GroupId,
        /// The member's new id.
        member_id: MemberId,
        /// Its old id.
        old_member_id: MemberId,
        /// The token of its JoinGroup request.
        token: JoinToken,
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
        /// The generation that ended.
        generation: i32,
    },
}

/// The reason for which a request fails as a whole: an error code, and a message for responses that
/// have a field for one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failed {
    /// Kafka's code.
    pub code: ErrorCode,
    /// The message; empty when the code is enough.
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
    /// Creates a failure with a message.
    pub fn because(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
