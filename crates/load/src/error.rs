//! Why a run could not begin, or could not go on.

use std::io;

use kacrab_protocol::generated::ErrorCode;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The load contradicts itself.
    #[error("{0}")]
    Load(String),
    /// A property of the client cannot be used.
    #[error("{0}")]
    Property(String),
    /// No broker of the list answers.
    #[error("no broker answers: {0}")]
    Unreachable(String),
    /// The broker does not have what a run needs.
    #[error("{0}")]
    Unsupported(String),
    /// The topic does not exist.
    #[error(
        "the topic {0} does not exist; create it with the partitions that the load should have: \
         dohle topics --create --topic {0} --partitions 6"
    )]
    NoTopic(String),
    /// No partition has a leader.
    #[error("no partition of the topic {0} has a leader")]
    NoLeader(String),
    /// The cluster refuses a request.
    #[error("{what}: {error}")]
    Refused {
        /// What was requested.
        what: String,
        /// Kafka's error.
        error: ErrorCode,
    },
    /// The connection broke, or the response is malformed.
    #[error("{0}")]
    Connection(#[from] io::Error),
}

/// Fails when a response has an error.
pub(crate) fn check(what: &str, code: i16) -> Result<(), LoadError> {
    match ErrorCode::from(code) {
        ErrorCode::None => Ok(()),
        error => Err(LoadError::Refused {
            what: what.to_owned(),
            error,
        }),
    }
}

/// Returns the name of an error code, for counting.
pub(crate) fn name(code: i16) -> String {
    format!("{:?}", ErrorCode::from(code))
}

/// Returns whether a partition may have another leader.
pub(crate) fn is_stale(code: i16) -> bool {
    use ErrorCode as Code;
    matches!(
        ErrorCode::from(code),
        Code::NotLeaderOrFollower
            | Code::LeaderNotAvailable
            | Code::UnknownTopicOrPartition
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::KafkaStorageError
            | Code::ReplicaNotAvailable
    )
}

/// Returns whether the same request may succeed a moment later.
pub(crate) fn is_retriable(code: i16) -> bool {
    use ErrorCode as Code;
    matches!(
        ErrorCode::from(code),
        Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::ConcurrentTransactions
            | Code::RequestTimedOut
            | Code::NotEnoughReplicas
    ) || is_stale(code)
}
