//! Defines openraft's types for this quorum, and their conversions from and to `raft.proto`.
//!
//! Invariant: bytes from a peer or from the disk never cause a panic here; a value that is missing
//! or out of range becomes a [`Malformed`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use dohle_model::DirectoryId;
use dohle_rpc::v1;
use openraft::impls::leader_id_std;

use super::ApplyOutcome;

/// A proposal's bytes, opaque to Raft.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Payload(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A voter as recorded in the log and the snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VoterNode {
    /// host:port of its CONTROLLER listener.
    pub addr: String,
    /// The id of its directory; zero until the leader has committed it.
    pub directory: DirectoryId,
}

impl VoterNode {
    /// Returns a voter whose directory is not committed yet.
    pub(super) fn new(addr: String) -> Self {
        Self {
            addr,
            directory: DirectoryId::ZERO,
        }
    }
}

impl fmt::Display for VoterNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.addr)
    }
}

// Uses the leader ids of standard Raft: at most one leader in a term, as Kafka's controller epoch
// requires.
openraft::declare_raft_types!(
    /// The types of the metadata quorum.
    pub(super) Types:
        D = Payload,
        R = ApplyOutcome,
        NodeId = u64,
        Node = VoterNode,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
);

type CommittedLeaderId = openraft::type_config::alias::CommittedLeaderIdOf<Types>;
pub(super) type LogId = openraft::type_config::alias::LogIdOf<Types>;
pub(super) type Vote = openraft::type_config::alias::VoteOf<Types>;
pub(super) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(super) type EntryPayload = openraft::type_config::alias::EntryPayloadOf<Types>;
pub(super) type Membership = openraft::Membership<u64, VoterNode>;
pub(super) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
pub(super) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;

/// A message of a peer, or a record on disk, that is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub(super) struct Malformed(pub &'static str);

impl From<Malformed> for tonic::Status {
    fn from(error: Malformed) -> Self {
        tonic::Status::invalid_argument(error.to_string())
    }
}

pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId {
        leader_id: CommittedLeaderId::new(term),
        index,
    }
}

pub(super) fn log_id_to_proto(id: &LogId) -> v1::RaftLogId {
    v1::RaftLogId {
        term: id.leader_id.term,
        index: id.index,
    }
}

pub(super) fn log_id_from_proto(id: v1::RaftLogId) -> LogId {
    log_id(id.term, id.index)
}

pub(super) fn node_id_from_proto(id: i32) -> Result<u64, Malformed> {
    u64::try_from(id).map_err(|_| Malformed("node id"))
}

/// Converts a node id. Node ids come from `QuorumConfig` and from [`node_id_from_proto`], so they
/// are within `i32`.
pub(super) fn node_id_to_proto(id: u64) -> i32 {
    i32::try_from(id).unwrap_or(i32::MAX)
}

pub(super) fn directory_to_proto(directory: DirectoryId) -> Bytes {
    if directory.is_zero() {
        return Bytes::new();
    }
    Bytes::copy_from_slice(&directory.to_bytes())
}

/// Converts the bytes of a directory id; bytes of another length become the zero id.
pub(super) fn directory_from_proto(bytes: &[u8]) -> DirectoryId {
    <[u8; 16]>::try_from(bytes).map_or(DirectoryId::ZERO, DirectoryId::from_bytes)
}

pub(super) fn vote_to_proto(vote: &Vote) -> v1::RaftVote {
    v1::RaftVote {
        term: vote.leader_id.term,
        voted_for: node_id_to_proto(vote.leader_id.voted_for),
        committed: vote.committed,
    }
}

pub(super) fn vote_from_proto(vote: Option<v1::RaftVote>) -> Result<Vote, Malformed> {
    let vote = vote.ok_or(Malformed("vote"))?;
    let id = node_id_from_proto(vote.voted_for)?;
    Ok(if vote.committed {
        Vote::new_committed(vote.term, id)
    } else {
        Vote::new(vote.term, id)
    })
}

pub(super) fn membership_to_proto(membership: &Membership) -> v1::RaftMembership {
    let set = |ids: &BTreeSet<u64>| v1::RaftVoterSet {
        ids: ids.iter().map(|id| node_id_to_proto(*id)).collect(),
    };
    v1::RaftMembership {
        configs: membership.get_joint_config().iter().map(set).collect(),
        nodes: membership
            .nodes()
            .map(|(id, node)| v1::RaftNode {
                id: node_id_to_proto(*id),
                address: node.addr.clone(),
                directory_id: directory_to_proto(node.directory),
            })
            .collect(),
    }
}

pub(super) fn membership_from_proto(proto: v1::RaftMembership) -> Result<Membership, Malformed> {
    let mut configs = Vec::new();
    for set in proto.configs {
        let ids: Result<BTreeSet<u64>, _> = set.ids.into_iter().map(node_id_from_proto).collect();
        configs.push(ids?);
    }
    let mut nodes = BTreeMap::new();
    for node in proto.nodes {
        let voter = VoterNode {
            addr: node.address,
            directory: directory_from_proto(&node.directory_id),
        };
        nodes.insert(node_id_from_proto(node.id)?, voter);
    }
    Membership::new(configs, nodes).map_err(|_| Malformed("membership"))
}

pub(super) fn entry_to_proto(entry: &Entry) -> v1::RaftEntry {
    use v1::raft_entry::Payload as Proto;
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(payload) => Some(Proto::Normal(payload.0.clone())),
        EntryPayload::Membership(membership) => {
            Some(Proto::Membership(membership_to_proto(membership)))
        }
    };
    v1::RaftEntry {
        log_id: Some(log_id_to_proto(&entry.log_id)),
        payload,
    }
}

pub(super) fn entry_from_proto(proto: v1::RaftEntry) -> Result<Entry, Malformed> {
    use v1::raft_entry::Payload as Proto;
    let payload = match proto.payload {
        None => EntryPayload::Blank,
        Some(Proto::Normal(bytes)) => EntryPayload::Normal(Payload(bytes)),
        Some(Proto::Membership(membership)) => {
            EntryPayload::Membership(membership_from_proto(membership)?)
        }
    };
    let log_id = log_id_from_proto(proto.log_id.ok_or(Malformed("log id of an entry"))?);
    Ok(Entry { log_id, payload })
}

pub(super) fn snapshot_meta_to_proto(meta: &SnapshotMeta) -> v1::RaftSnapshotMeta {
    v1::RaftSnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id_to_proto),
        membership_log_id: meta.last_membership.log_id().as_ref().map(log_id_to_proto),
        membership: Some(membership_to_proto(meta.last_membership.membership())),
    }
}

pub(super) fn snapshot_meta_from_proto(
    proto: v1::RaftSnapshotMeta,
) -> Result<SnapshotMeta, Malformed> {
    let membership = membership_from_proto(proto.membership.unwrap_or_default())?;
    Ok(SnapshotMeta {
        last_log_id: proto.last_log_id.map(log_id_from_proto),
        last_membership: StoredMembership::new(
            proto.membership_log_id.map(log_id_from_proto),
            membership,
        ),
    })
}

/// Returns the length of an entry's payload in bytes; size limits count only payloads.
pub(super) fn payload_len(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(payload) => payload.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}
