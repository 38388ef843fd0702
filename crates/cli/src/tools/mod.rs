//! Kafka's command-line tools, one module each, and the table of them.

mod acls;
mod broker_api_versions;
mod cluster;
mod configs;
mod console_consumer;
mod console_producer;
mod consumer_groups;
mod consumer_perf;
mod delegation_tokens;
mod delete_records;
mod dump_log;
mod explain;
mod features;
mod get_offsets;
mod groups;
mod leader_election;
mod links;
mod log_dirs;
mod metadata_quorum;
mod perf;
mod producer_perf;
mod reassign;
mod server_start;
mod server_stop;
pub(crate) mod storage;
pub(crate) mod strays;
mod topics;
mod transactions;

use crate::tool_run::Tool;

/// All tools, in the order of the help.
pub const TOOLS: &[Tool] = &[
    topics::TOOL,
    consumer_groups::TOOL,
    configs::TOOL,
    acls::TOOL,
    delegation_tokens::TOOL,
    console_producer::TOOL,
    console_consumer::TOOL,
    producer_perf::TOOL,
    consumer_perf::TOOL,
    perf::TOOL,
    explain::TOOL,
    dump_log::TOOL,
    groups::TOOL,
    get_offsets::TOOL,
    delete_records::TOOL,
    reassign::TOOL,
    leader_election::TOOL,
    log_dirs::TOOL,
    metadata_quorum::TOOL,
    cluster::TOOL,
    broker_api_versions::TOOL,
    features::TOOL,
    transactions::TOOL,
    storage::TOOL,
    server_start::TOOL,
    server_stop::TOOL,
    links::TOOL,
];
