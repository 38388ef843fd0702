//! The handlers, against one broker with real logs in a temporary directory.

mod acls;
mod admin;
mod client_telemetry;
mod coordinator;
mod data;
mod failed_dir;
mod fetch;
pub(crate) mod harness;
mod hostile;
mod log_dirs;
mod loggers;
mod new_topics;
mod offsets;
mod permissions;
mod permissions_page;
mod quotas;
mod readers;
mod removed;
mod slow_readers;
mod transactions;
mod txn_offsets;
mod txn_partitions;
mod unpacking;
