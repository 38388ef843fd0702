//! Counts the bytes of a produce request that are not records, before anything is decoded.
//!
//! Decoding turns a topic or partition of a few bytes into a struct of a hundred, so a frame of
//! `socket.request.max.bytes` that consists of such elements would take gigabytes.

use bytes::Buf;

/// Returns the number of bytes of a produce request's body that are not records. A malformed body
/// is counted up to the malformed place, at which decoding fails too. Counting stops once the
/// number is above `enough`.
#[must_use]
pub fn structure_bytes(body: &[u8], version: i16, enough: usize) -> usize {
    if body.len() <= enough {
        return body.len();
    }
    let mut walk = Walk {
        rest: body,
        flexible: version >= 9,
        records: 0,
    };
    let _ = walk.request(version, body.len(), enough);
    (body.len() - walk.rest.len()).saturating_sub(walk.records)
}

struct Walk<'a> {
    rest: &'a [u8],
    flexible: bool,
    records: usize,
}

impl Walk<'_> {
    fn request(&mut self, version: i16, total: usize, enough: usize) -> Option<()> {
        self.string()?;
        self.skip(2 + 4)?;
        for _ in 0..self.count()? {
            if version >= 13 {
                self.skip(16)?;
            } else {
                self.string()?;
            }
            for _ in 0..self.count()? {
                self.skip(4)?;
                let records = if self.flexible {
                    self.varint()?.saturating_sub(1)
                } else {
                    self.i32()?
                };
                self.skip(records)?;
                self.records += records;
                self.tags()?;
                if total - self.rest.len() - self.records > enough {
                    return None;
                }
            }
            self.tags()?;
            if total - self.rest.len() - self.records > enough {
                return None;
            }
        }
        self.tags()
    }

    fn string(&mut self) -> Option<()> {
        let length = if self.flexible {
            self.varint()?.saturating_sub(1)
        } else if self.rest.len() >= 2 {
            usize::try_from(self.rest.get_i16()).unwrap_or(0)
        } else {
            return None;
        };
        self.skip(length)
    }

    fn count(&mut self) -> Option<usize> {
        if self.flexible {
            Some(self.varint()?.saturating_sub(1))
        } else {
            self.i32()
        }
    }

    fn tags(&mut self) -> Option<()> {
        if self.flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let length = self.varint()?;
                self.skip(length)?;
            }
        }
        Some(())
    }

    fn i32(&mut self) -> Option<usize> {
        if self.rest.len() < 4 {
            return None;
        }
        Some(usize::try_from(self.rest.get_i32()).unwrap_or(0))
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = *self.rest.first()?;
            self.rest.advance(1);
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).ok();
            }
        }
        None
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use kacrab_protocol::generated::{PartitionProduceData, ProduceRequestData, TopicProduceData};

    use super::*;

    fn request(records: usize, partitions: i32) -> ProduceRequestData {
        let partition = |index| {
            let records = Some(Bytes::from(vec![7; records]));
            PartitionProduceData {
                index,
                records,
                ..PartitionProduceData::default()
            }
        };
        let topic = TopicProduceData {
            partition_data: (0..partitions).map(partition).collect(),
            ..TopicProduceData::default()
        };
        ProduceRequestData {
            topic_data: vec![topic],
            ..ProduceRequestData::default()
        }
    }

    #[test]
    fn records_do_not_count() {
        for version in 3..=13 {
            let mut body = BytesMut::new();
            request(10_000, 3).write(&mut body, version).unwrap();
            let structure = structure_bytes(&body, version, 1000);
            assert_eq!(structure, body.len() - 30_000, "version {version}");
        }
    }

    #[test]
    fn a_flood_of_small_elements_counts() {
        for version in [3, 9, 13] {
            let mut body = BytesMut::new();
            request(0, 10_000).write(&mut body, version).unwrap();
            assert!(
                structure_bytes(&body, version, 1000) > 1000,
                "version {version}"
            );
        }
    }
}
