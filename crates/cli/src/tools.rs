//! The table of all tools.

use crate::job::Tool;
use crate::{console_consumer, console_producer, links, server_start, server_stop, topics};

/// All tools, in the order of the help.
pub const TOOLS: &[Tool] = &[
    topics::TOOL,
    consumer_groups::TOOL,
    console_producer::TOOL,
    console_consumer::TOOL,
    server_start::TOOL,
    server_stop::TOOL,
    links::TOOL,
];
