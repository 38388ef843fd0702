//! Damaged records of a partition: checks of segments, and the repair of damaged ones.
//!
//! A read that finds damage adds its segment to `Suspects`. So does a replica that becomes leader
//! or follower, for the damage that was found when its log was opened. The repair task of the node
//! checks these segments and fetches missing records from another replica.

use std::collections::BTreeSet;

use bytes::Bytes;
use dohle_log::damage::{Damage, Repair, RepairError};
use dohle_log::log::RepairStart;
use dohle_log::{Batches, CleanedSegment, ReadLimits, Replaced, StorageError};
use dohle_model::{NodeId, Offset, Timestamp};

use super::Partition;
use super::errors::ReadError;
use super::state::{Role, State};
use super::upkeep::Deleted;

/// Called with the bytes of each batch that was read or written. Returning `false` ends the work.
type Throttle<'a> = &'a mut dyn FnMut(u64) -> bool;

impl Partition {
    /// Requests a check of the segment whose content made a read fail.
    pub(super) fn suspect(&self, error: &StorageError) {
        let segment = dohle_log::damage::segment_of(&error.path);
        self.shared
            .suspects
            .add(self.id, segment.unwrap_or(Offset::ZERO));
    }

    /// Checks the segment that holds `offset` and logs damage that was not known before. Returns
    /// whether the segment is damaged. Blocks on the disk.
    pub(crate) fn check_segment(
        &self,
        offset: Offset,
        throttle: Throttle<'_>,
    ) -> Result<bool, ReadError> {
        let plan = self.state.lock().log()?.plan_check(offset);
        let Some(check) = plan.map_err(|error| self.read_failed(&error))? else {
            return Ok(false);
        };
        let found = check
            .run(throttle)
            .map_err(|error| self.read_failed(&error))?;
        let Some(found) = found else {
            return Ok(false);
        };
        let new = {
            let mut state = self.state.lock();
            // The tail's records are intact, but followers and other readers must get the same
            // answer.
            let log = state.log_mut()?;
            log.note_damage(&check, found)
        };
        let new = new.unwrap_or_else(|error| {
            self.write_failed("list of damaged records cannot be written", &error);
            Vec::new()
        });
        for damage in &new {
            self.log_damage(damage);
        }
        let segment = check.segment();
        Ok(self.damaged_segments()?.contains(&segment))
    }

    fn log_damage(&self, damage: &Damage) {
        tracing::error!(
            partition = %self.name,
            segment = %damage.segment,
            position = damage.position,
            bytes = damage.length,
            first_offset = %damage.start,
            end_offset = %damage.end,
            reason = damage.reason,
            "found damaged records; reads of them fail until another replica supplies them"
        );
    }

    /// Passes all known damaged segments to the repair task: those found when the log was opened,
    /// and those left from an earlier role.
    pub(super) fn ask_for_repairs(&self, state: &State) {
        let Ok(log) = state.log() else { return };
        for damage in log.damage() {
            self.shared.suspects.add(self.id, damage.segment);
        }
    }

    /// Passes a damaged segment to the repair task.
    pub(crate) fn ask_for_repair(&self, segment: Offset) {
        self.shared.suspects.add(self.id, segment);
    }

    /// The base offsets of the closed segments, for scrubbing.
    pub(crate) fn closed_segments(&self) -> Result<Vec<Offset>, ReadError> {
        let state = self.state.lock();
        let mut segments: Vec<Offset> = state.log()?.segment_base_offsets().collect();
        segments.pop();
        Ok(segments)
    }

    /// The base offsets of the segments that are known to be damaged.
    pub(crate) fn damaged_segments(&self) -> Result<BTreeSet<Offset>, ReadError> {
        let state = self.state.lock();
        let damage = state.log()?.damage();
        Ok(damage.iter().map(|damage| damage.segment).collect())
    }

    /// The brokers that may supply committed records: the leader for a follower, the in-sync
    /// replicas for a leader.
    pub(crate) fn repair_sources(&self) -> Vec<NodeId> {
        let own = self.shared.node;
        let state = self.state.lock();
        match &state.role {
            Role::Follower(follower) => follower.leader().into_iter().collect(),
            Role::Leader(_) => {
                let image = self.shared.image();
                let registration = image.partition(&self.id);
                let isr = registration.map(|it| it.isr.clone()).unwrap_or_default();
                isr.into_iter().filter(|id| *id != own).collect()
            }
        }
    }

    /// Begins the repair of a damaged segment; `None` when it is no longer damaged. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// The reason why the repair cannot begin yet.
    pub(crate) fn begin_repair(
        &self,
        segment: Offset,
        now: Timestamp,
    ) -> Result<Option<Repair>, String> {
        // The second attempt follows the flush of a segment that was still open.
        for _ in 0..2 {
            let started = {
                let mut state = self.state.lock();
                let high_watermark = state.high_watermark;
                let log = state.log_mut().map_err(|error| error.to_string())?;
                log.begin_repair(segment, high_watermark, now)
            };
            match started {
                Ok(RepairStart::Started(repair)) => return Ok(Some(*repair)),
                Ok(RepairStart::NotDamaged) => return Ok(None),
                Ok(RepairStart::NotCommitted) => {
                    return Err("the damage reaches above the high watermark".to_owned());
                }
                Ok(RepairStart::Busy) => {
                    return Err("the log is being compacted or flushed".to_owned());
                }
                Ok(RepairStart::NeedsFlush) => {
                    self.flush(now).map_err(|error| error.to_string())?;
                }
                Err(error) => {
                    let text = error.to_string();
                    self.repair_not_written(&error);
                    return Err(text);
                }
            }
        }
        Err("the segment is still being written".to_owned())
    }

    /// Replaces the damaged segment by the repaired one. Returns the old files, or `None` when the
    /// segment was removed. Blocks on the disk.
    ///
    /// # Errors
    /// The reason why the segment is still damaged.
    pub(crate) fn complete_repair(
        &self,
        cleaned: CleanedSegment,
    ) -> Result<Option<Deleted>, String> {
        let (replaced, delay) = {
            let mut state = self.state.lock();
            let delay = state.config.log.file_delete_delay_ms;
            let log = state.log_mut().map_err(|error| error.to_string())?;
            let segment = cleaned.base_offset();
            let replaced = log.replace_segments(cleaned);
            let is_damaged = log.damage().iter().any(|damage| damage.segment == segment);
            if matches!(replaced, Ok(Replaced::Stale)) && is_damaged {
                return Err("the log changed while the segment was repaired".to_owned());
            }
            (replaced, delay)
        };
        let failed = |error: StorageError| {
            let text = error.to_string();
            self.fail_storage(&error);
            text
        };
        match replaced.map_err(failed)? {
            Replaced::Stale => Ok(None),
            Replaced::Done(swapped) => {
                swapped.sync().map_err(failed)?;
                // Compaction leaves damaged segments alone.
                self.ask_for_cleaning();
                let segments = swapped.deleted;
                Ok(Some(Deleted { segments, delay }))
            }
        }
    }

    /// Handles a failed repair. New damage has the segment checked again; an I/O error takes the
    /// log directory offline.
    pub(crate) fn repair_failed(&self, segment: Offset, error: &RepairError) {
        match error {
            RepairError::Storage(error) => self.repair_not_written(error),
            RepairError::FurtherDamage { .. } => self.shared.suspects.add(self.id, segment),
            RepairError::Stopped | RepairError::DoesNotFit(_) => {}
        }
    }

    fn repair_not_written(&self, error: &StorageError) {
        self.write_failed("repair of a damaged segment failed", error);
    }

    /// Handles the failed write of a new file beside the log. Only a device error affects the log
    /// itself.
    fn write_failed(&self, text: &'static str, error: &StorageError) {
        if error.kind() == dohle_log::StorageErrorKind::Device {
            self.fail_storage(error);
        } else {
            tracing::warn!(partition = %self.name, %error, "{text}");
        }
    }

    /// Reads whole batches of `[start, end)` for another replica's repair, about `max_bytes` of
    /// them, and the offset of the next read. Only batches whose checksum is good are returned.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// When the range is not in this replica's log, or is damaged there.
    pub(crate) fn read_for_repair(
        &self,
        start: Offset,
        end: Offset,
        max_bytes: usize,
    ) -> Result<(Bytes, Offset), ReadError> {
        let limits = ReadLimits {
            max_bytes,
            upper_bound: end,
            min_one: true,
        };
        let (plan, positions) = {
            let state = self.state.lock();
            (state.log()?.plan_read(start, limits), state.positions())
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(dohle_log::ReadError::OffsetOutOfRange { offset, .. }) => {
                return Err(ReadError::OffsetOutOfRange { offset, positions });
            }
            Err(dohle_log::ReadError::Damaged(damage)) => {
                return Err(ReadError::Corrupt(damage.reason));
            }
            Err(dohle_log::ReadError::Storage(error)) => return Err(self.read_failed(&error)),
        };
        let read = plan.read().map_err(|error| self.read_failed(&error))?;
        for batch in Batches::new(&read.records) {
            let checked = batch.and_then(|batch| batch.header.check_crc(batch.bytes));
            if let Err(error) = checked {
                self.shared.suspects.add(self.id, start);
                return Err(ReadError::Corrupt(error.to_string()));
            }
        }
        Ok((read.records, read.next_offset))
    }
}
