//! The contents of control records.
//!
//! Pure.

/// What follows a control record's metadata, as Kafka prints it.
pub(super) fn text(key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    let kind = key.and_then(|key| i16_at(key, 2)).unwrap_or(-1);
    let value = value.unwrap_or_default();
    let version = i16_at(value, 0).unwrap_or_default();
    match kind {
        0 | 1 => {
            let name = if kind == 1 { "COMMIT" } else { "ABORT" };
            let bytes = value.get(2..6).and_then(|bytes| bytes.try_into().ok());
            let epoch = bytes.map_or(-1, i32::from_be_bytes);
            format!(" endTxnMarker: {name} coordinatorEpoch: {epoch}")
        }
        3 => {
            let bytes = value.get(2..10).and_then(|bytes| bytes.try_into().ok());
            let timestamp = bytes.map_or(0, i64::from_be_bytes);
            let field = "lastContainedLogTimestamp";
            format!(" SnapshotHeader {{\"version\":{version},\"{field}\":{timestamp}}}")
        }
        4 => format!(" SnapshotFooter {{\"version\":{version}}}"),
        5 => {
            let kraft = i16_at(value, 2).unwrap_or_default();
            format!(" KRaftVersion {{\"version\":{version},\"kRaftVersion\":{kraft}}}")
        }
        other => {
            let name = match other {
                2 => "LEADER_CHANGE",
                6 => "KRAFT_VOTERS",
                _ => "UNKNOWN",
            };
            format!(" controlType: {name}({other})")
        }
    }
}

fn i16_at(bytes: &[u8], at: usize) -> Option<i16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(i16::from_be_bytes(*bytes))
}
