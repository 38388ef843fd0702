//! Reads the primitive types of Kafka's flexible message versions.

use dohle_model::{NodeId, Uuid};

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end within a field.
    #[error("its bytes end within a field")]
    Truncated,
    /// A field has a value that its type does not allow.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// The record has another frame than those of Kafka 3.3 to 4.4.
    #[error("its frame has version {0}, and only version 1 is known")]
    Frame(u32),
    /// Kafka 4.4 has no record of this type in this version.
    #[error("it has type {kind} in version {version}, which Apache Kafka 4.4 does not have")]
    Unknown {
        /// The type's number.
        kind: u32,
        /// The version.
        version: u32,
    },
}

/// Reads fields from the front of a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }

    pub(crate) fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_be_bytes)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_be_bytes)
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.array().map(Uuid)
    }

    /// Reads an unsigned varint of at most 32 bits.
    pub(crate) fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u64;
        for at in 0..5 {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| DecodeError::Malformed("a varint"));
            }
        }
        Err(DecodeError::Malformed("a varint"))
    }

    /// Reads the length of a compact type: `None` for null.
    fn compact_len(&mut self) -> Result<Option<usize>, DecodeError> {
        let len = self.uvarint()?.checked_sub(1);
        Ok(len.map(|len| len as usize))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.compact_len()?;
        self.take(len.ok_or(DecodeError::Malformed("null bytes"))?)
    }

    pub(crate) fn nullable_string(&mut self) -> Result<Option<&'a str>, DecodeError> {
        let Some(len) = self.compact_len()? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(self.take(len)?);
        text.map(Some)
            .map_err(|_| DecodeError::Malformed("a text that is not UTF-8"))
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let text = self.nullable_string()?;
        text.ok_or(DecodeError::Malformed("a null text"))
    }

    /// Reads an array: `None` for null.
    pub(crate) fn nullable_array<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(len) = self.compact_len()? else {
            return Ok(None);
        };
        // No element has less than one byte, which bounds the memory for a damaged length.
        if len > self.bytes.len() {
            return Err(DecodeError::Truncated);
        }
        let elements = (0..len).map(|_| element(self));
        elements.collect::<Result<_, _>>().map(Some)
    }

    pub(crate) fn elements<T>(
        &mut self,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let elements = self.nullable_array(element)?;
        elements.ok_or(DecodeError::Malformed("a null array"))
    }

    pub(crate) fn node(&mut self) -> Result<NodeId, DecodeError> {
        NodeId::from_wire(self.i32()?).ok_or(DecodeError::Malformed("a negative node id"))
    }

    pub(crate) fn nodes(&mut self) -> Result<Vec<NodeId>, DecodeError> {
        self.elements(Self::node)
    }

    /// Reads the tagged fields at the end of a structure. Unknown ones are to be ignored.
    pub(crate) fn tags(
        &mut self,
        mut field: impl FnMut(u32, &mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let len = self.uvarint()? as usize;
            field(tag, &mut Self::new(self.take(len)?))?;
        }
        Ok(())
    }

    /// Skips the tagged fields at the end of a structure.
    pub(crate) fn skip_tags(&mut self) -> Result<(), DecodeError> {
        self.tags(|_, _| Ok(()))
    }
}
