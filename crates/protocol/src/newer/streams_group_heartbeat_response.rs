//! StreamsGroupHeartbeat, response. Version 1 has another width of the acceptable lag in another
//! place, and a flag (KIP-1331):
//!
//! ```json
//! { "name": "AcceptableRecoveryLagLegacy", "type": "int32", "versions": "0" },
//! { "name": "TaskOffsetIntervalMs", "type": "int32", "versions": "0+" },
//! { "name": "AcceptableRecoveryLag", "type": "int64", "versions": "1+", "default": "-1",
//!   "ignorable": true },
//! …
//! { "name": "WarmupTasks", "type": "[]TaskIds", "versions": "0+", "nullableVersions": "0+" },
//! { "name": "TopologyDescriptionRequired", "type": "bool", "versions": "1+" },
//! ```

use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated::streams_group_heartbeat_response as codec;
use kacrab_protocol::primitives::{
    read_bool, read_i16, read_i32, read_i64, write_bool, write_i16, write_i32, write_i64,
};
use kacrab_protocol::string::{
    read_compact_nullable_string, read_compact_string, write_compact_nullable_string,
    write_compact_string,
};
use kacrab_protocol::{KafkaString, ProtocolError};

use super::{
    read_nullable_array, skip_tagged_fields, write_no_tagged_fields, write_nullable_array,
};

pub use codec::{EndpointToPartitions, Status, TaskIds};

const WIDE_LAG: i16 = 1;

/// The version in which the codec has the structures, whose bytes are the same in all versions.
const STRUCTURES: i16 = 0;

/// The response.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamsGroupHeartbeatResponseData {
    /// How long the request was throttled, in milliseconds.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<KafkaString>,
    /// The member.
    pub member_id: KafkaString,
    /// Its epoch.
    pub member_epoch: i32,
    /// How often it is to send heartbeats, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// The lag of an instance that has caught up, in records; version 0 writes 32 bits of it.
    pub acceptable_recovery_lag: i64,
    /// How often it is to report the offsets of its tasks, in milliseconds.
    pub task_offset_interval_ms: i32,
    /// What keeps the group from working.
    pub status: Option<Vec<Status>>,
    /// Its active tasks; `None` when they did not change.
    pub active_tasks: Option<Vec<TaskIds>>,
    /// Its standby tasks; `None` when they did not change.
    pub standby_tasks: Option<Vec<TaskIds>>,
    /// Its tasks that catch up; `None` when they did not change.
    pub warmup_tasks: Option<Vec<TaskIds>>,
    /// Whether it is to describe its topology. Version 0 does not have it.
    pub topology_description_required: bool,
    /// The epoch of the endpoints.
    pub endpoint_information_epoch: i32,
    /// The partitions of each endpoint; `None` when they did not change.
    pub partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>>,
}

impl Default for StreamsGroupHeartbeatResponseData {
    fn default() -> Self {
        Self {
            acceptable_recovery_lag: -1,
            ..Self::from(codec::StreamsGroupHeartbeatResponseData::default())
        }
    }
}

impl From<codec::StreamsGroupHeartbeatResponseData> for StreamsGroupHeartbeatResponseData {
    fn from(older: codec::StreamsGroupHeartbeatResponseData) -> Self {
        Self {
            throttle_time_ms: older.throttle_time_ms,
            error_code: older.error_code,
            error_message: older.error_message,
            member_id: older.member_id,
            member_epoch: older.member_epoch,
            heartbeat_interval_ms: older.heartbeat_interval_ms,
            acceptable_recovery_lag: i64::from(older.acceptable_recovery_lag),
            task_offset_interval_ms: older.task_offset_interval_ms,
            status: older.status,
            active_tasks: older.active_tasks,
            standby_tasks: older.standby_tasks,
            warmup_tasks: older.warmup_tasks,
            topology_description_required: false,
            endpoint_information_epoch: older.endpoint_information_epoch,
            partitions_by_user_endpoint: older.partitions_by_user_endpoint,
        }
    }
}

impl StreamsGroupHeartbeatResponseData {
    /// Decodes a body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        if version != WIDE_LAG {
            let older = codec::StreamsGroupHeartbeatResponseData::read(body, version)?;
            return Ok(Self::from(older));
        }
        let tasks =
            |body: &mut Bytes| read_nullable_array(body, |body| TaskIds::read(body, STRUCTURES));
        let response = Self {
            throttle_time_ms: read_i32(body)?,
            error_code: read_i16(body)?,
            error_message: read_compact_nullable_string(body)?,
            member_id: read_compact_string(body)?,
            member_epoch: read_i32(body)?,
            heartbeat_interval_ms: read_i32(body)?,
            task_offset_interval_ms: read_i32(body)?,
            acceptable_recovery_lag: read_i64(body)?,
            status: read_nullable_array(body, |body| Status::read(body, STRUCTURES))?,
            active_tasks: tasks(body)?,
            standby_tasks: tasks(body)?,
            warmup_tasks: tasks(body)?,
            topology_description_required: read_bool(body)?,
            endpoint_information_epoch: read_i32(body)?,
            partitions_by_user_endpoint: read_nullable_array(body, |body| {
                EndpointToPartitions::read(body, STRUCTURES)
            })?,
        };
        skip_tagged_fields(body)?;
        Ok(response)
    }

    /// Encodes the body.
    ///
    /// # Errors
    /// When a field does not fit.
    pub fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        if version != WIDE_LAG {
            return self.older().write(out, version);
        }
        let tasks = |out: &mut BytesMut, tasks: Option<&Vec<TaskIds>>| {
            write_nullable_array(out, tasks, |out, task| task.write(out, STRUCTURES))
        };
        write_i32(out, self.throttle_time_ms);
        write_i16(out, self.error_code);
        write_compact_nullable_string(out, self.error_message.as_ref())?;
        write_compact_string(out, &self.member_id)?;
        write_i32(out, self.member_epoch);
        write_i32(out, self.heartbeat_interval_ms);
        write_i32(out, self.task_offset_interval_ms);
        write_i64(out, self.acceptable_recovery_lag);
        write_nullable_array(out, self.status.as_ref(), |out, status| {
            status.write(out, STRUCTURES)
        })?;
        tasks(out, self.active_tasks.as_ref())?;
        tasks(out, self.standby_tasks.as_ref())?;
        tasks(out, self.warmup_tasks.as_ref())?;
        write_bool(out, self.topology_description_required);
        write_i32(out, self.endpoint_information_epoch);
        let endpoints = self.partitions_by_user_endpoint.as_ref();
        write_nullable_array(out, endpoints, |out, endpoint| {
            endpoint.write(out, STRUCTURES)
        })?;
        write_no_tagged_fields(out)
    }

    fn older(&self) -> codec::StreamsGroupHeartbeatResponseData {
        // Kafka does not set the older field: -1 in the newer one is 0 in the older one.
        let lag = self.acceptable_recovery_lag.max(0);
        codec::StreamsGroupHeartbeatResponseData {
            throttle_time_ms: self.throttle_time_ms,
            error_code: self.error_code,
            error_message: self.error_message.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.member_epoch,
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            acceptable_recovery_lag: i32::try_from(lag).unwrap_or(i32::MAX),
            task_offset_interval_ms: self.task_offset_interval_ms,
            status: self.status.clone(),
            active_tasks: self.active_tasks.clone(),
            standby_tasks: self.standby_tasks.clone(),
            warmup_tasks: self.warmup_tasks.clone(),
            endpoint_information_epoch: self.endpoint_information_epoch,
            partitions_by_user_endpoint: self.partitions_by_user_endpoint.clone(),
            ..codec::StreamsGroupHeartbeatResponseData::default()
        }
    }
}
