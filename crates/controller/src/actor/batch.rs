//! Turns a plan's records into the batches that are proposed. Pure.
//!
//! Invariant: every proposed batch was decoded and replayed here in the way each voter replays it.
//! A committed batch that does not fit the image would stop every voter, and again at each start.

use std::collections::VecDeque;

use bytes::Bytes;
use dohle_model::MetadataOffset;
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use dohle_model::record::MetadataRecord;
use dohle_rpc::{convert, v1};
use prost::Message as _;

use crate::raft::PAYLOAD_LEN_MAX;

/// Bytes of overhead: of a record's tag and length, and of a batch's base.
const OVERHEAD: usize = 16;

/// The records of one batch.
type Records = Vec<v1::MetadataRecord>;

/// The records of a plan, in the batches in which they are proposed one after the other. Every
/// voter can replay them.
#[derive(Debug)]
pub(super) struct Batches(VecDeque<Records>);

impl Batches {
    /// Divides records that were planned on `image`, at `splits` only, into batches of at most
    /// about `bytes_max` encoded bytes.
    ///
    /// # Errors
    /// The record that cannot be decoded or does not fit the image: nothing may be proposed.
    pub(super) fn new(
        image: &MetadataImage,
        records: &[MetadataRecord],
        splits: &[usize],
        bytes_max: usize,
    ) -> Result<Self, String> {
        let batches = split(records, splits, bytes_max);
        check(image, &batches)?;
        Ok(Self(batches))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes the next batch and encodes it, for the image at offset `base`.
    pub(super) fn encode_next(&mut self, base: MetadataOffset) -> Bytes {
        let batch = v1::MetadataBatch {
            base: base.0,
            records: self.0.pop_front().unwrap_or_default(),
        };
        batch.encode_to_vec().into()
    }
}

/// Divides records, at `splits` only, into batches of at most about `bytes_max` encoded bytes.
fn split(records: &[MetadataRecord], splits: &[usize], bytes_max: usize) -> VecDeque<Records> {
    let mut batches = VecDeque::new();
    let mut batch = Records::new();
    let mut batch_len = 0;
    let mut from = 0;
    for to in splits.iter().copied().chain([records.len()]) {
        let chunk: Records = records[from..to]
            .iter()
            .map(convert::record_to_wire)
            .collect();
        let len: usize = chunk
            .iter()
            .map(|record| record.encoded_len() + OVERHEAD)
            .sum();
        if batch_len + len > bytes_max && !batch.is_empty() {
            batches.push_back(std::mem::take(&mut batch));
            batch_len = 0;
        }
        batch.extend(chunk);
        batch_len += len;
        from = to;
    }
    if !batch.is_empty() {
        batches.push_back(batch);
    }
    let inside: usize = batches.iter().map(Vec::len).sum();
    assert_eq!(inside, records.len(), "records that are in the batches");
    batches
}

/// Returns the encoded size of the first indivisible run of records that exceeds a batch's limit.
pub(super) fn too_large(
    records: &[MetadataRecord],
    first: usize,
    splits: &[usize],
) -> Option<usize> {
    let mut from = first;
    let inside = splits.iter().copied().filter(|at| *at > first);
    for to in inside.chain([records.len()]) {
        let len = |record| convert::record_to_wire(record).encoded_len() + OVERHEAD;
        let len: usize = records[from..to].iter().map(len).sum::<usize>() + OVERHEAD;
        if len > PAYLOAD_LEN_MAX {
            return Some(len);
        }
        from = to;
    }
    None
}

/// Decodes and replays batches that are about to be proposed, in the way each voter does.
///
/// # Errors
/// The record that cannot be decoded or does not fit the image.
fn check(image: &MetadataImage, batches: &VecDeque<Records>) -> Result<(), String> {
    let mut image = image.clone();
    let mut delta = MetadataDelta::default();
    for record in batches.iter().flatten() {
        let bytes = record.encode_to_vec();
        let record = v1::MetadataRecord::decode(bytes.as_slice()).map_err(|e| e.to_string())?;
        let record = convert::record_from_wire(&record).map_err(|error| error.to_string())?;
        image
            .replay(&record, &mut delta)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dohle_model::record::ConfigResource;
    use dohle_model::{BrokerEpoch, NodeId};

    use super::*;

    fn config(value_len: usize) -> MetadataRecord {
        MetadataRecord::Config {
            resource: ConfigResource::BrokerDefault,
            key: "key".to_owned(),
            value: Some("x".repeat(value_len)),
        }
    }

    #[test]
    fn records_are_divided_only_where_that_is_safe() {
        let records: Vec<_> = (0..6).map(|_| config(100)).collect();
        let sizes = |splits: &[usize], max| -> Vec<usize> {
            split(&records, splits, max).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(&[1, 2, 3, 4, 5], 300), [2, 2, 2]);
        assert_eq!(sizes(&[1, 2, 3, 4, 5, 6], 10_000), [6]);
        assert_eq!(sizes(&[4], 300), [4, 2]);
        assert_eq!(sizes(&[], 300), [6]);
        assert!(split(&[], &[], 300).is_empty());
    }

    #[test]
    fn only_records_that_cannot_be_divided_are_too_large() {
        let half = PAYLOAD_LEN_MAX / 2;
        let records = [config(half), config(half), config(half)];
        assert_eq!(too_large(&records, 0, &[1, 2]), None);
        assert!(too_large(&records, 0, &[1]).is_some());
        assert_eq!(too_large(&records, 2, &[2]), None);
    }

    #[test]
    fn a_batch_that_would_stop_the_voters_is_found_before_it_is_proposed() {
        let image = MetadataImage::default();
        let batches = |records: &[MetadataRecord]| Batches::new(&image, records, &[1], 1);
        let mut fits = batches(&[config(1), config(2)]).unwrap();
        assert_eq!(fits.0.len(), 2);
        assert!(!fits.encode_next(image.offset).is_empty());
        assert_eq!(fits.0.len(), 1);
        let unknown = MetadataRecord::UnregisterBroker {
            id: NodeId(7),
            epoch: BrokerEpoch(1),
        };
        let error = batches(&[config(1), unknown]).unwrap_err();
        assert!(error.contains("broker 7"), "{error}");
        let empty = VecDeque::from([vec![v1::MetadataRecord { record: None }]]);
        assert!(check(&image, &empty).is_err());
    }
}
