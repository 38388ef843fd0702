//! The file `quorum-state`: the epoch, the leader and the vote that a node of Kafka's metadata
//! quorum remembers.

use std::collections::BTreeSet;

use dohle_model::NodeId;
use serde_json::Value;

/// The name of the file, in the directory of the metadata log.
const NAME: &str = "quorum-state";

/// The content of the file. Kafka writes version 0 with `kraft.version` 0 and version 1 with
/// `kraft.version` 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumState {
    /// The newest epoch that the node has seen.
    pub epoch: u64,
    /// The leader of that epoch, if known.
    pub leader: Option<NodeId>,
    /// The candidate that the node has voted for in that epoch, if any.
    pub voted_for: Option<NodeId>,
    /// The voters of the configuration; `None` in version 1, whose voters are in the log.
    pub voters: Option<BTreeSet<NodeId>>,
}

/// Why a text is not such a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{NAME}: {0}")]
pub struct QuorumStateError(String);

impl QuorumState {
    /// The name of the file.
    pub const NAME: &str = NAME;

    /// Parses the text of the file.
    ///
    /// # Errors
    /// When the text is malformed, or of a version that Kafka 4.4 does not have.
    pub fn parse(text: &str) -> Result<Self, QuorumStateError> {
        let json: Value =
            serde_json::from_str(text).map_err(|error| QuorumStateError(error.to_string()))?;
        let number = |of: &Value, field: &str| {
            let missing = || QuorumStateError(format!("{field} is missing, or not a number"));
            of.get(field).and_then(Value::as_i64).ok_or_else(missing)
        };
        let node = |field: &str| match json.get(field) {
            None => Ok(None),
            Some(_) => Ok(i32::try_from(number(&json, field)?)
                .ok()
                .and_then(NodeId::from_wire)),
        };
        let version = number(&json, "data_version")?;
        if !(0..=1).contains(&version) {
            return Err(QuorumStateError(format!(
                "data_version is {version}; Apache Kafka 4.4 has 0 and 1"
            )));
        }
        let voters = match json.get("currentVoters").and_then(Value::as_array) {
            Some(voters) if version == 0 => Some(
                voters
                    .iter()
                    .map(|voter| {
                        let id = i32::try_from(number(voter, "voterId")?).ok();
                        let id = id.and_then(NodeId::from_wire);
                        id.ok_or_else(|| QuorumStateError("voterId is negative".to_owned()))
                    })
                    .collect::<Result<_, _>>()?,
            ),
            _ => None,
        };
        Ok(Self {
            epoch: u64::try_from(number(&json, "leaderEpoch")?).unwrap_or(0),
            leader: node("leaderId")?,
            voted_for: node("votedId")?,
            voters,
        })
    }
}
