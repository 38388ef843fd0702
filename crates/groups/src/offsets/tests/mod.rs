//! Tests of offsets from commit to expiry: scripts, whose traces show responses and records.

mod commit;
mod delete;
mod driver;
mod expire;
mod fetch;
mod groups;
mod transactions;
