//! What brokers and controllers say to each other: code generated from `proto/dohle/v1`, and its
//! conversions to and from the types of `dohle-model`.

pub mod convert;
pub mod replication_transport;

/// Generated from `proto/dohle/v1`.
#[allow(missing_docs, clippy::all, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("dohle.v1");
}
