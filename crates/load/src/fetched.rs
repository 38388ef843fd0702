//! What a response to a fetch contains: batches, of which only headers are read unless more is
//! asked for.
//!
//! Pure.

use dohle_log::Batches;

use crate::template::DueMark;

/// Uncompressed bytes of a batch, at most.
const UNCOMPRESSED_MAX: usize = 256 << 20;

/// How much of the batches is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Whether checksums are verified, and records are decompressed and counted.
    pub verify: bool,
    /// The run whose [`DueMark`]s are read.
    pub run: Option<u64>,
}

/// The content of a partition's part of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// The offset of the next record to fetch; `None` without a whole batch.
    pub next_offset: Option<i64>,
    /// Records from the fetched offset on, control records left out.
    pub records: u64,
    /// Bytes of whole batches.
    pub bytes: u64,
    /// When the batches of the run were due, with the number of their records.
    pub due: Vec<(u64, u64)>,
    /// Batches that are damaged.
    pub invalid: u64,
}

/// Reads the batches that follow the one that contains `offset`. An incomplete one at the end is
/// left out.
pub(crate) fn read(bytes: &[u8], offset: i64, reading: Reading) -> Fetched {
    let mut fetched = Fetched::default();
    let mut batches = Batches::new(bytes);
    for batch in &mut batches {
        let Ok(batch) = batch else {
            break;
        };
        let header = &batch.header;
        fetched.next_offset = Some(header.next_offset().0);
        fetched.bytes += batch.bytes.len() as u64;
        if header.attributes.is_control() {
            continue;
        }
        // The first batch may begin before the offset.
        let before = (offset - header.base_offset.0).clamp(0, i64::from(header.record_count));
        let records = header.record_count as u64 - before as u64;
        fetched.records += records;
        if reading.verify {
            let counted = header.check_crc(batch.bytes).and_then(|()| {
                let plain = batch.uncompressed(UNCOMPRESSED_MAX)?;
                let mut records = batch.records(&plain);
                records.try_fold(0, |sum, record| record.map(|_| sum + 1))
            });
            let is_valid = counted.is_ok_and(|count| count == header.record_count);
            fetched.invalid += u64::from(!is_valid);
        }
        if let Some(run) = reading.run {
            let plain = batch.uncompressed(UNCOMPRESSED_MAX);
            let mark = plain.ok().and_then(|plain| {
                let first = batch.records(&plain).next()?.ok()?;
                DueMark::read(first.value?)
            });
            if let Some(mark) = mark.filter(|mark| mark.run == run) {
                fetched.due.push((mark.due, records));
            }
        }
    }
    fetched
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Compression;
    use crate::template::{BatchContent, BatchTemplate, Stamp, join};

    const COUNT: Reading = Reading {
        verify: false,
        run: None,
    };
    const ALL: Reading = Reading {
        verify: true,
        run: Some(7),
    };

    /// Batches of 5 records each, with these base offsets.
    fn batches(offsets: &[i64], compression: Compression, run: u64) -> Vec<u8> {
        let content = BatchContent {
            records: 5,
            record_size: 50,
            random_bytes: 10,
            keys: &[],
            compression,
            transactional: false,
            marked: true,
            seed: 1,
        };
        let template = BatchTemplate::new(&content).unwrap();
        let mut bytes = Vec::new();
        for offset in offsets {
            let due = *offset as u64 * 10;
            let batch = template.stamp(&Stamp {
                timestamp_ms: 1,
                producer: None,
                mark: Some(DueMark { run, due }),
            });
            let at = bytes.len();
            bytes.extend(join(&batch));
            bytes[at..at + 8].copy_from_slice(&offset.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn records_are_counted_from_the_fetched_offset_on() {
        let mut bytes = batches(&[100, 105, 110], Compression::Lz4, 7);
        let whole = bytes.len() as u64;
        bytes.extend(&batches(&[115], Compression::Lz4, 7)[..40]);
        let fetched = read(&bytes, 103, COUNT);
        assert_eq!((fetched.records, fetched.next_offset), (12, Some(115)));
        assert_eq!((fetched.bytes, fetched.invalid), (whole, 0));
        assert_eq!(read(&bytes[..30], 100, COUNT), Fetched::default());
        assert_eq!(read(&[], 100, COUNT), Fetched::default());
    }

    #[test]
    fn the_batches_of_a_run_have_the_time_at_which_they_were_due() {
        for compression in [Compression::None, Compression::Gzip] {
            let mut bytes = batches(&[0, 5], compression, 7);
            bytes.extend(batches(&[10], compression, 8));
            let fetched = read(&bytes, 0, ALL);
            assert_eq!(fetched.due, [(0, 5), (50, 5)]);
            assert_eq!((fetched.records, fetched.invalid), (15, 0));
        }
    }

    #[test]
    fn a_damaged_batch_is_counted_where_batches_are_verified() {
        let mut bytes = batches(&[0, 5], Compression::None, 7);
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(read(&bytes, 0, COUNT).invalid, 0);
        let fetched = read(&bytes, 0, ALL);
        assert_eq!((fetched.invalid, fetched.records), (1, 10));
    }
}
