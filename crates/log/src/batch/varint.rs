//! Zigzag variable-length integers, as protobuf and Kafka write them.

/// Reads a varint of at most 5 bytes. Returns `None` when it is truncated or too long.
pub(crate) fn read_i32(bytes: &[u8], at: &mut usize) -> Option<i32> {
    // Most varints have a single byte.
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(unzigzag32(u32::from(first)));
    }
    let mut value = 0u32;
    for (i, byte) in bytes.get(*at..)?.iter().take(5).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *at += i + 1;
            return Some(unzigzag32(value));
        }
    }
    None
}

/// Reads a varlong of at most 10 bytes. Returns `None` when it is truncated or too long.
pub(crate) fn read_i64(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut value = 0u64;
    for (i, byte) in bytes.get(*at..)?.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *at += i + 1;
            return Some(unzigzag64(value));
        }
    }
    None
}

pub(crate) fn unzigzag32(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

pub(crate) fn unzigzag64(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(crate) fn write_i32(out: &mut Vec<u8>, value: i32) {
    write_u64(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

pub(crate) fn write_i64(out: &mut Vec<u8>, value: i64) {
    write_u64(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn write_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_numbers_survive_the_round_trip() {
        for value in [
            0,
            1,
            -1,
            63,
            64,
            -64,
            -65,
            i64::from(i32::MAX),
            i64::MAX,
            i64::MIN,
        ] {
            let mut out = Vec::new();
            write_i64(&mut out, value);
            let mut at = 0;
            assert_eq!(read_i64(&out, &mut at), Some(value));
            assert_eq!(at, out.len());
            if let Ok(value) = i32::try_from(value) {
                let mut at = 0;
                assert_eq!(read_i32(&out, &mut at), Some(value));
            }
        }
    }

    #[test]
    fn endless_and_cut_numbers_are_refused() {
        let mut at = 0;
        assert_eq!(read_i32(&[0x80; 20], &mut at), None);
        assert_eq!(read_i64(&[0x80; 20], &mut at), None);
        assert_eq!(read_i32(&[0x80], &mut at), None);
        assert_eq!(read_i32(&[], &mut at), None);
        assert_eq!(at, 0);
    }
}
