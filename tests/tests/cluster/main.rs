//! The cluster tests: real nodes, real clients. One program, since linking each costs time.

mod bad_input;
mod compaction;
mod console_tools;
mod coordinator;
mod corpus;
mod corpus_with_kill;
mod descriptors;
mod failed_directory;
mod faults;
mod franz_go;
mod full_disk;
mod groups;
mod java_tools;
mod kafkajs;
mod kcat;
mod migration;
mod offsets;
mod page_cache;
mod quickstart;
mod quickstart_snippets;
mod quorum_disks;
mod reassignment;
mod start_and_stop;
mod strays;
mod tools;
