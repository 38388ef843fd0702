//! The table of all tools.

use crate::job::Tool;
use crate::{
    broker_api_versions, cluster_tool, configs, console_consumer, console_producer,
    consumer_groups, consumer_perf, delete_records, dump_log, features, get_offsets, groups,
    leader_election, links, log_dirs, metadata_quorum, producer_perf, reassign, server_start,
    server_stop, storage, topics,
};

/// All tools, in the order of the help.
pub const TOOLS: &[Tool] = &[
    topics::TOOL,
    consumer_groups::TOOL,
    configs::TOOL,
    console_producer::TOOL,
    console_consumer::TOOL,
    producer_perf::TOOL,
    consumer_perf::TOOL,
    dump_log::TOOL,
    groups::TOOL,
    get_offsets::TOOL,
    delete_records::TOOL,
    reassign::TOOL,
    leader_election::TOOL,
    log_dirs::TOOL,
    metadata_quorum::TOOL,
    cluster_tool::TOOL,
    broker_api_versions::TOOL,
    features::TOOL,
    storage::TOOL,
    server_start::TOOL,
    server_stop::TOOL,
    links::TOOL,
];
