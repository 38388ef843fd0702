//! What is on its way between clients and brokers.

use bytes::Bytes;
use dohle_model::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicPartition};
use dohle_transactions::{
    Marker, Outgoing, ProducerIdAndEpoch, TransactionVersion, TransactionalId,
};

/// Where the response to a client's request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplyTo {
    pub client: u64,
    pub number: u64,
}

/// A request of a client.
#[derive(Debug, Clone)]
pub enum Request {
    Init {
        id: TransactionalId,
        expected: Option<ProducerIdAndEpoch>,
    },
    Add {
        id: TransactionalId,
        producer: ProducerIdAndEpoch,
        partition: TopicPartition,
    },
    End {
        id: TransactionalId,
        producer: ProducerIdAndEpoch,
        commit: bool,
        version: TransactionVersion,
    },
    Produce(Produce),
}

/// One batch of a transaction.
#[derive(Debug, Clone)]
pub struct Produce {
    pub id: TransactionalId,
    pub producer: ProducerIdAndEpoch,
    pub partition: TopicPartition,
    pub sequence: i32,
    pub records: Bytes,
    /// In version 2 the leader adds the partition to the transaction.
    pub version: TransactionVersion,
}

/// The reply to a request: the producer of InitProducerId, or the next one of EndTxn in version 2.
pub type Reply = Result<Option<ProducerIdAndEpoch>, ErrorCode>;

/// Asks the coordinator about a partition of a transaction, for the leader of that partition.
#[derive(Debug, Clone)]
pub struct Question {
    pub from: NodeId,
    /// The run of the broker that asks.
    pub process: u64,
    pub number: u64,
    pub id: TransactionalId,
    pub producer: ProducerIdAndEpoch,
    pub partition: TopicPartition,
    pub add: bool,
}

/// A marker for one partition.
#[derive(Debug, Clone)]
pub struct MarkerTo {
    pub from: NodeId,
    /// The run of the broker that sent it.
    pub process: u64,
    pub shard: PartitionIndex,
    /// The leader epoch of the shard that it was taken from, which the marker has.
    pub epoch: LeaderEpoch,
    pub marker: Marker,
    pub partition: TopicPartition,
}

/// A message to a broker or a client.
#[derive(Debug, Clone)]
pub enum Message {
    Request(NodeId, ReplyTo, Request),
    Response(ReplyTo, Reply),
    Question(NodeId, Question),
    Answer(Question, Result<(), ErrorCode>),
    Marker(NodeId, MarkerTo),
    MarkerAnswer(MarkerTo, Result<(), ErrorCode>),
}

/// What follows a commit.
#[derive(Debug, Clone)]
pub enum Then {
    /// The message is sent; when the leadership ended before, one with an error.
    Send(Message),
    /// The shard of a partition of transactions is loaded.
    Loaded(PartitionIndex, LeaderEpoch),
    /// The markers of a shard are sent.
    Taken(PartitionIndex, LeaderEpoch, Outgoing),
}

impl Message {
    /// The same with an error in the place of the reply.
    pub fn failed(self, code: ErrorCode) -> Self {
        match self {
            Self::Response(to, _) => Self::Response(to, Err(code)),
            Self::Answer(question, _) => Self::Answer(question, Err(code)),
            Self::MarkerAnswer(marker, _) => Self::MarkerAnswer(marker, Err(code)),
            other => other,
        }
    }

    /// Whether the message decides about a transaction, and does harm when another transaction of
    /// the producer gets it: the client's end, a marker, or the coordinator's answer to a leader.
    pub fn is_decision(&self) -> bool {
        match self {
            Self::Request(_, _, request) => matches!(request, Request::End { .. }),
            Self::Marker(..) | Self::Answer(..) => true,
            Self::Response(..) | Self::Question(..) | Self::MarkerAnswer(..) => false,
        }
    }

    /// What the sender of a request finds when no reply arrives; clients try again.
    pub fn unanswered(&self) -> Option<Self> {
        let timeout = Err(ErrorCode::RequestTimedOut);
        match self {
            Self::Question(_, question) => Some(Self::Answer(question.clone(), timeout)),
            Self::Marker(_, marker) => Some(Self::MarkerAnswer(marker.clone(), timeout)),
            Self::Answer(question, _) => Some(Self::Answer(question.clone(), timeout)),
            Self::MarkerAnswer(marker, _) => Some(Self::MarkerAnswer(marker.clone(), timeout)),
            Self::Request(..) | Self::Response(..) => None,
        }
    }
}
