//! The table of all tools.

use crate::job::Tool;
use crate::{links, server_start, server_stop, topics};

/// All tools, in the order of the help.
pub const TOOLS: &[Tool] = &[
    topics::TOOL,
    server_start::TOOL,
    server_stop::TOOL,
    links::TOOL,
];
