//! The description of a Kafka Streams topology (KIP-1331), which two messages have in common:
//! StreamsGroupTopologyDescriptionUpdate 0 and the response of StreamsGroupDescribe 1.
//!
//! ```json
//! { "name": "TopologyDescription", "fields": [
//!   { "name": "Subtopologies", "type": "[]TopologyDescriptionSubtopology" },
//!   { "name": "GlobalStores", "type": "[]TopologyDescriptionGlobalStore" } ]},
//! { "name": "TopologyDescriptionSubtopology", "fields": [
//!   { "name": "SubtopologyId", "type": "string" },
//!   { "name": "Nodes", "type": "[]TopologyDescriptionNode" } ]},
//! { "name": "TopologyDescriptionNode", "fields": [
//!   { "name": "Name", "type": "string" },
//!   { "name": "NodeType", "type": "int8" },
//!   { "name": "SourceTopics", "type": "[]string" },
//!   { "name": "SinkTopic", "type": "string", "nullable": true },
//!   { "name": "Stores", "type": "[]string" },
//!   { "name": "Successors", "type": "[]string" } ]},
//! { "name": "TopologyDescriptionGlobalStore", "fields": [
//!   { "name": "Source", "type": "TopologyDescriptionNode" },
//!   { "name": "Processor", "type": "TopologyDescriptionNode" } ]}
//! ```

use bytes::{Bytes, BytesMut};
use kacrab_protocol::primitives::{read_i8, write_i8};
use kacrab_protocol::string::{
    read_compact_nullable_string, read_compact_string, write_compact_nullable_string,
    write_compact_string,
};
use kacrab_protocol::{KafkaString, ProtocolError};

use super::{read_array, skip_tagged_fields, write_array, write_no_tagged_fields};

/// A topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopologyDescription {
    /// Its parts.
    pub subtopologies: Vec<TopologyDescriptionSubtopology>,
    /// Its global stores.
    pub global_stores: Vec<TopologyDescriptionGlobalStore>,
}

/// A part of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopologyDescriptionSubtopology {
    /// Its name in the topology.
    pub subtopology_id: KafkaString,
    /// Its nodes.
    pub nodes: Vec<TopologyDescriptionNode>,
}

/// A node of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopologyDescriptionNode {
    /// Its name.
    pub name: KafkaString,
    /// Its type: 1 for a source, 2 for a processor, 3 for a sink.
    pub node_type: i8,
    /// The topics that a source reads.
    pub source_topics: Vec<KafkaString>,
    /// The topic that a sink writes to; `None` when it depends on the record.
    pub sink_topic: Option<KafkaString>,
    /// The stores that a processor uses.
    pub stores: Vec<KafkaString>,
    /// The nodes that follow.
    pub successors: Vec<KafkaString>,
}

/// A global store of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopologyDescriptionGlobalStore {
    /// Where its records come from.
    pub source: TopologyDescriptionNode,
    /// What writes them to the store.
    pub processor: TopologyDescriptionNode,
}

impl TopologyDescription {
    /// Decodes a description.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes) -> Result<Self, ProtocolError> {
        let topology = Self {
            subtopologies: read_array(body, |body| {
                let subtopology = TopologyDescriptionSubtopology {
                    subtopology_id: read_compact_string(body)?,
                    nodes: read_array(body, TopologyDescriptionNode::read)?,
                };
                skip_tagged_fields(body)?;
                Ok(subtopology)
            })?,
            global_stores: read_array(body, |body| {
                let store = TopologyDescriptionGlobalStore {
                    source: TopologyDescriptionNode::read(body)?,
                    processor: TopologyDescriptionNode::read(body)?,
                };
                skip_tagged_fields(body)?;
                Ok(store)
            })?,
        };
        skip_tagged_fields(body)?;
        Ok(topology)
    }

    /// Encodes the description.
    ///
    /// # Errors
    /// When a field does not fit.
    pub fn write(&self, out: &mut BytesMut) -> Result<(), ProtocolError> {
        write_array(out, &self.subtopologies, |out, subtopology| {
            write_compact_string(out, &subtopology.subtopology_id)?;
            write_array(out, &subtopology.nodes, |out, node| node.write(out))?;
            write_no_tagged_fields(out)
        })?;
        write_array(out, &self.global_stores, |out, store| {
            store.source.write(out)?;
            store.processor.write(out)?;
            write_no_tagged_fields(out)
        })?;
        write_no_tagged_fields(out)
    }
}

impl TopologyDescriptionNode {
    fn read(body: &mut Bytes) -> Result<Self, ProtocolError> {
        let texts = |body: &mut Bytes| read_array(body, |body| Ok(read_compact_string(body)?));
        let node = Self {
            name: read_compact_string(body)?,
            node_type: read_i8(body)?,
            source_topics: texts(body)?,
            sink_topic: read_compact_nullable_string(body)?,
            stores: texts(body)?,
            successors: texts(body)?,
        };
        skip_tagged_fields(body)?;
        Ok(node)
    }

    fn write(&self, out: &mut BytesMut) -> Result<(), ProtocolError> {
        let texts = |out: &mut BytesMut, texts: &[KafkaString]| {
            write_array(out, texts, |out, text| Ok(write_compact_string(out, text)?))
        };
        write_compact_string(out, &self.name)?;
        write_i8(out, self.node_type);
        texts(out, &self.source_topics)?;
        write_compact_nullable_string(out, self.sink_topic.as_ref())?;
        texts(out, &self.stores)?;
        texts(out, &self.successors)?;
        write_no_tagged_fields(out)
    }
}
