//! Numbers that messages use for types and operations, where the schemas have plain integers.

/// Types of resources in requests about configurations.
pub mod resource_type {
    /// A topic.
    pub const TOPIC: i8 = 2;
    /// A broker; with an empty name the default of all brokers.
    pub const BROKER: i8 = 4;
    /// The loggers of a broker.
    pub const BROKER_LOGGER: i8 = 8;
    /// Metrics of clients (KIP-714).
    pub const CLIENT_METRICS: i8 = 16;
    /// A group.
    pub const GROUP: i8 = 32;
}

/// Operations on a property in IncrementalAlterConfigs: Kafka's `AlterConfigOp.OpType`.
pub mod config_operation {
    /// Sets a value.
    pub const SET: i8 = 0;
    /// Returns to the default.
    pub const DELETE: i8 = 1;
    /// Adds to a list.
    pub const APPEND: i8 = 2;
    /// Removes from a list.
    pub const SUBTRACT: i8 = 3;
}
