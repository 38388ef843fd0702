//! The requests to a shard, each with its reply.

use dohle_machine::{ParkedRequest, Request};
use dohle_protocol::messages::consumer_group_describe_response as consumer_group;
use dohle_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequestData;
use dohle_protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponseData;
use dohle_protocol::messages::describe_groups_response::DescribedGroup;
use dohle_protocol::messages::heartbeat_request::HeartbeatRequestData;
use dohle_protocol::messages::heartbeat_response::HeartbeatResponseData;
use dohle_protocol::messages::join_group_request::JoinGroupRequestData;
use dohle_protocol::messages::leave_group_request::LeaveGroupRequestData;
use dohle_protocol::messages::leave_group_response::LeaveGroupResponseData;
use dohle_protocol::messages::list_groups_response::ListedGroup;
use dohle_protocol::messages::offset_commit_request::OffsetCommitRequestData;
use dohle_protocol::messages::offset_commit_response::OffsetCommitResponseData;
use dohle_protocol::messages::offset_delete_request::OffsetDeleteRequestData;
use dohle_protocol::messages::offset_delete_response::OffsetDeleteResponseData;
use dohle_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use dohle_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use dohle_protocol::messages::sync_group_request::SyncGroupRequestData;

use crate::Step;
use crate::shard::{GroupFilter, GroupReport, GroupSummary, Shard};
use crate::step::{Caller, Failed, JoinReply, JoinToken, SyncReply, SyncToken};

/// JoinGroup: see [`Shard::join_group`].
#[derive(Debug, Clone, Copy)]
pub struct JoinGroup<'a> {
    /// The request.
    pub request: &'a JoinGroupRequestData,
    /// Who sent it.
    pub caller: Caller<'a>,
}

impl ParkedRequest for JoinGroup<'_> {
    type Machine = Shard;
    type Reply = JoinReply;

    fn plan(&self, token: JoinToken, shard: &mut Shard, step: &mut Step<'_>) {
        shard.join_group(self.request, self.caller, token, step);
    }
}

/// SyncGroup: see [`Shard::sync_group`].
#[derive(Debug, Clone, Copy)]
pub struct SyncGroup<'a> {
    /// The request.
    pub request: &'a SyncGroupRequestData,
    /// Who sent it.
    pub caller: Caller<'a>,
}

impl ParkedRequest for SyncGroup<'_> {
    type Machine = Shard;
    type Reply = SyncReply;

    fn plan(&self, token: SyncToken, shard: &mut Shard, step: &mut Step<'_>) {
        shard.sync_group(self.request, self.caller, token, step);
    }
}

/// Heartbeat: see [`Shard::heartbeat`].
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat<'a> {
    /// The request.
    pub request: &'a HeartbeatRequestData,
    /// Who sent it.
    pub caller: Caller<'a>,
}

impl Request for Heartbeat<'_> {
    type Machine = Shard;
    type Reply = HeartbeatResponseData;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.heartbeat(self.request, self.caller, step)
    }
}

/// LeaveGroup: see [`Shard::leave_group`].
#[derive(Debug, Clone, Copy)]
pub struct LeaveGroup<'a> {
    /// The request.
    pub request: &'a LeaveGroupRequestData,
    /// Who sent it.
    pub caller: Caller<'a>,
}

impl Request for LeaveGroup<'_> {
    type Machine = Shard;
    type Reply = LeaveGroupResponseData;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.leave_group(self.request, self.caller, step)
    }
}

/// ConsumerGroupHeartbeat: see [`Shard::consumer_group_heartbeat`].
#[derive(Debug, Clone, Copy)]
pub struct ConsumerGroupHeartbeat<'a> {
    /// The request.
    pub request: &'a ConsumerGroupHeartbeatRequestData,
    /// Who sent it.
    pub caller: Caller<'a>,
}

impl Request for ConsumerGroupHeartbeat<'_> {
    type Machine = Shard;
    type Reply = ConsumerGroupHeartbeatResponseData;

    const LOOKS_UP: bool = true;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.consumer_group_heartbeat(self.request, self.caller, step)
    }
}

/// One group of ConsumerGroupDescribe: see [`Shard::describe_consumer_group`].
#[derive(Debug, Clone, Copy)]
pub struct DescribeConsumerGroup<'a> {
    /// The group.
    pub group_id: &'a str,
}

impl Request for DescribeConsumerGroup<'_> {
    type Machine = Shard;
    type Reply = consumer_group::DescribedGroup;

    const AFTER_TIMERS: bool = true;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.describe_consumer_group(self.group_id, step)
    }
}

/// One group of DescribeGroups: see [`Shard::describe_group`].
#[derive(Debug, Clone, Copy)]
pub struct DescribeGroup<'a> {
    /// The group.
    pub group_id: &'a str,
    /// The version of the request.
    pub version: i16,
}

impl Request for DescribeGroup<'_> {
    type Machine = Shard;
    type Reply = DescribedGroup;

    const AFTER_TIMERS: bool = true;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.describe_group(self.group_id, self.version, step)
    }
}

/// ListGroups in one shard: see [`Shard::list_groups`].
#[derive(Debug, Clone, Copy)]
pub struct ListGroups<'a> {
    /// Which groups to list.
    pub filter: GroupFilter<'a>,
}

impl Request for ListGroups<'_> {
    type Machine = Shard;
    type Reply = Vec<ListedGroup>;

    const AFTER_TIMERS: bool = true;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.list_groups(self.filter, step)
    }
}

/// All groups of one shard, for metrics: see [`Shard::summarize`].
#[derive(Debug, Clone, Copy)]
pub struct SummarizeGroups;

impl Request for SummarizeGroups {
    type Machine = Shard;
    type Reply = Vec<GroupSummary>;

    fn plan(&self, shard: &mut Shard, _: &mut Step<'_>) -> Self::Reply {
        shard.summarize()
    }
}

/// Groups of one shard as a person looks at them: see [`Shard::report`].
#[derive(Debug, Clone, Copy)]
pub struct ReportGroups<'a> {
    /// The group with this id alone; `None` for all groups.
    pub only: Option<&'a str>,
}

impl Request for ReportGroups<'_> {
    type Machine = Shard;
    type Reply = Vec<GroupReport>;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.report(self.only, step)
    }
}

/// One group of DeleteGroups: see [`Shard::delete_group`].
#[derive(Debug, Clone, Copy)]
pub struct DeleteGroup<'a> {
    /// The group.
    pub group_id: &'a str,
}

impl Request for DeleteGroup<'_> {
    type Machine = Shard;
    type Reply = Result<(), Failed>;

    const AFTER_TIMERS: bool = true;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.delete_group(self.group_id, step)
    }
}

/// OffsetCommit: see [`Shard::offset_commit`].
#[derive(Debug, Clone, Copy)]
pub struct OffsetCommit<'a> {
    /// The request, whose topics exist.
    pub request: &'a OffsetCommitRequestData,
    /// Who sent it.
    pub caller: Caller<'a>,
}

impl Request for OffsetCommit<'_> {
    type Machine = Shard;
    type Reply = Result<OffsetCommitResponseData, Failed>;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.offset_commit(self.request, &self.caller, step)
    }
}

/// TxnOffsetCommit: see [`Shard::txn_offset_commit`].
#[derive(Debug, Clone, Copy)]
pub struct TxnOffsetCommit<'a> {
    /// The offsets, as a request to commit them outside of a transaction. Its topics exist.
    pub request: &'a OffsetCommitRequestData,
    /// The version of TxnOffsetCommit.
    pub version: i16,
}

impl Request for TxnOffsetCommit<'_> {
    type Machine = Shard;
    type Reply = Result<OffsetCommitResponseData, Failed>;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.txn_offset_commit(self.request, self.version, step)
    }
}

/// One group of OffsetFetch: see [`Shard::offset_fetch`].
#[derive(Debug, Clone, Copy)]
pub struct OffsetFetch<'a> {
    /// The group, and the topics whose offsets are fetched.
    pub request: &'a OffsetFetchRequestGroup,
    /// Whether the reply waits for offsets of open transactions.
    pub require_stable: bool,
}

impl Request for OffsetFetch<'_> {
    type Machine = Shard;
    type Reply = Result<OffsetFetchResponseGroup, Failed>;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.offset_fetch(self.request, self.require_stable, step)
    }
}

/// OffsetDelete: see [`Shard::offset_delete`].
#[derive(Debug, Clone, Copy)]
pub struct OffsetDelete<'a> {
    /// The request, whose topics exist.
    pub request: &'a OffsetDeleteRequestData,
}

impl Request for OffsetDelete<'_> {
    type Machine = Shard;
    type Reply = Result<OffsetDeleteResponseData, Failed>;

    const AFTER_TIMERS: bool = true;

    fn plan(&self, shard: &mut Shard, step: &mut Step<'_>) -> Self::Reply {
        shard.offset_delete(self.request, step)
    }
}
