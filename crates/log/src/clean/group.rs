//! Groups old segments that compaction merges into one new segment.
//!
//! Source: `groupSegmentsBySize` of Kafka's `LogCleaner.scala`.

use std::ops::Range;

use dohle_model::Offset;

/// The sizes of a segment that limit which group it fits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    pub(crate) base_offset: Offset,
    /// The base offset of the segment after it.
    pub(crate) end_offset: Offset,
    pub(crate) size: u64,
    pub(crate) index_size: u64,
    pub(crate) time_index_size: u64,
}

/// The limits of a new segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) segment_bytes: u64,
    pub(crate) index_bytes: u64,
}

/// The most segments in a group. The renames of one swap happen under the log's lock, so their
/// number is bounded.
const SEGMENTS_MAX: usize = 256;

/// Groups adjacent segments, as many as certainly fit into one segment.
pub(crate) fn group(segments: &[Measure], bounds: Bounds) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    while start < segments.len() {
        let first = segments[start];
        let mut total = first;
        let mut end = start + 1;
        while let Some(next) = segments.get(end)
            && end - start < SEGMENTS_MAX
            && total.size + next.size <= bounds.segment_bytes
            && total.index_size + next.index_size <= bounds.index_bytes
            && total.time_index_size + next.time_index_size <= bounds.index_bytes
            // An empty segment has no offsets that must fit.
            && (next.size == 0
                || next.end_offset.since(first.base_offset) - 1 <= i64::from(i32::MAX))
        {
            total.size += next.size;
            total.index_size += next.index_size;
            total.time_index_size += next.time_index_size;
            end += 1;
        }
        assert!(
            end - start == 1 || (end - start <= SEGMENTS_MAX && total.size <= bounds.segment_bytes),
            "{} segments with {} bytes are to be one of {} bytes",
            end - start,
            total.size,
            bounds.segment_bytes
        );
        groups.push(start..end);
        start = end;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments given as (base offset, bytes), the last of which ends 10 offsets on; groups as
    /// (first, end).
    #[track_caller]
    fn check(segments: &[(i64, u64)], expected: &[(usize, usize)]) {
        let measures: Vec<_> = segments
            .iter()
            .enumerate()
            .map(|(at, (base, size))| Measure {
                base_offset: Offset(*base),
                end_offset: Offset(segments.get(at + 1).map_or(base + 10, |next| next.0)),
                size: *size,
                index_size: size / 10,
                time_index_size: size / 20,
            })
            .collect();
        let bounds = Bounds {
            segment_bytes: 1000,
            index_bytes: 90,
        };
        let groups = group(&measures, bounds).into_iter();
        let found: Vec<_> = groups.map(|range| (range.start, range.end)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn neighbours_share_a_segment_as_long_as_it_holds_them() {
        check(&[], &[]);
        check(&[(0, 400), (10, 400), (20, 400)], &[(0, 2), (2, 3)]);
        check(&[(0, 2000), (10, 1), (20, 0), (30, 800)], &[(0, 1), (1, 4)]);
        check(&[(0, 500), (10, 450)], &[(0, 1), (1, 2)]);
    }

    #[test]
    fn offsets_of_a_group_fit_its_index() {
        let far = i64::from(i32::MAX);
        check(&[(0, 10), (far, 10)], &[(0, 1), (1, 2)]);
        check(&[(0, 10), (far - 9, 10)], &[(0, 2)]);
        check(&[(0, 10), (far, 0)], &[(0, 2)]);
    }
}
