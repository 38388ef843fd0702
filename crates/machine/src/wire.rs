//! Kafka's primitive types in both encodings: with lengths of fixed width, and with the compact
//! lengths of flexible versions (KIP-482).
//!
//! Machines encode their records with these.
//!
//! Invariant: reading allocates at most memory in proportion to the bytes, and never panics.

use bytes::{BufMut, Bytes, BytesMut};
use dohle_model::TopicId;

/// The reason why a record could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFormatError {
    /// The bytes end before the last field.
    #[error("ends before its last field")]
    Truncated,
    /// A variable-length number has more than five bytes.
    #[error("a variable-length number is longer than five bytes")]
    Varint,
    /// A length below -1.
    #[error("{0} is not a valid length")]
    Length(i64),
    /// Null where the schema requires a value.
    #[error("null where a value is required")]
    Null,
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// The version of a value is unknown: newer than the known ones, or negative.
    #[error("version {version} of the value is unknown; versions 0 to {last} are supported")]
    Version {
        /// The version of the value.
        version: i16,
        /// The newest known version.
        last: i16,
    },
    /// A field has an invalid value.
    #[error("{0}")]
    Invalid(String),
    /// A text or an array is too long for its length field.
    #[error("a field of {length} bytes is too long for a record")]
    TooLong {
        /// Its length in bytes or items.
        length: usize,
    },
}

/// Reads the fields of one version of a record, in their order.
#[derive(Debug)]
pub struct FieldReader<'a> {
    rest: &'a [u8],
    /// Whether lengths are compact and tagged fields follow each struct.
    flexible: bool,
}

impl<'a> FieldReader<'a> {
    /// Creates a reader of a key or a value that begins with its type or version. The encoding is
    /// not flexible at first.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            flexible: false,
        }
    }

    /// Sets whether the encoding is that of flexible versions.
    pub fn flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], RecordFormatError> {
        let split = self.rest.split_at_checked(length);
        let (taken, rest) = split.ok_or(RecordFormatError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordFormatError> {
        let split = self.rest.split_first_chunk::<N>();
        let (taken, rest) = split.ok_or(RecordFormatError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn i8(&mut self) -> Result<i8, RecordFormatError> {
        self.array().map(i8::from_be_bytes)
    }

    /// Reads two bytes.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn i16(&mut self) -> Result<i16, RecordFormatError> {
        self.array().map(i16::from_be_bytes)
    }

    /// Reads four bytes.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn i32(&mut self) -> Result<i32, RecordFormatError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Reads eight bytes.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn i64(&mut self) -> Result<i64, RecordFormatError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Reads the id of a topic.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn topic_id(&mut self) -> Result<TopicId, RecordFormatError> {
        self.array().map(TopicId::from_bytes)
    }

    fn unsigned_varint(&mut self) -> Result<u32, RecordFormatError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordFormatError::Varint)
    }

    /// Reads a length or count; `None` is null. `wide` selects the width outside flexible versions:
    /// 4 bytes, or 2.
    fn length(&mut self, wide: bool) -> Result<Option<usize>, RecordFormatError> {
        let length = if self.flexible {
            i64::from(self.unsigned_varint()?) - 1
        } else if wide {
            i64::from(self.i32()?)
        } else {
            i64::from(self.i16()?)
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| RecordFormatError::Length(length)),
        }
    }

    /// Reads a text, or null.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn nullable_text(&mut self) -> Result<Option<&'a str>, RecordFormatError> {
        let Some(length) = self.length(false)? else {
            return Ok(None);
        };
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| RecordFormatError::Utf8)?;
        Ok(Some(text))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn text(&mut self) -> Result<&'a str, RecordFormatError> {
        self.nullable_text()?.ok_or(RecordFormatError::Null)
    }

    /// Reads bytes with their length.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn bytes(&mut self) -> Result<Bytes, RecordFormatError> {
        let length = self.length(true)?.ok_or(RecordFormatError::Null)?;
        self.take(length).map(Bytes::copy_from_slice)
    }

    /// Reads an array whose items take at least `item_min` bytes; `None` is null.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn nullable_items<T>(
        &mut self,
        item_min: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, RecordFormatError>,
    ) -> Result<Option<Vec<T>>, RecordFormatError> {
        let Some(count) = self.length(true)? else {
            return Ok(None);
        };
        if count > self.rest.len() / item_min {
            return Err(RecordFormatError::Truncated);
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(Some(items))
    }

    /// Reads an array whose items take at least `item_min` bytes.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn items<T>(
        &mut self,
        item_min: usize,
        item: impl FnMut(&mut Self) -> Result<T, RecordFormatError>,
    ) -> Result<Vec<T>, RecordFormatError> {
        self.nullable_items(item_min, item)?
            .ok_or(RecordFormatError::Null)
    }

    /// Reads the tagged fields at the end of a struct. Skips those for which `field` returns
    /// `false`.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn tagged(
        &mut self,
        mut field: impl FnMut(u32, &mut Self) -> Result<(), RecordFormatError>,
    ) -> Result<(), RecordFormatError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()?;
            let size = usize::try_from(size).map_err(|_| RecordFormatError::Truncated)?;
            let mut value = Self {
                rest: self.take(size)?,
                flexible: true,
            };
            field(tag, &mut value)?;
        }
        Ok(())
    }

    /// Skips tagged fields.
    ///
    /// # Errors
    /// When the bytes are not such a field.
    pub fn no_tagged(&mut self) -> Result<(), RecordFormatError> {
        self.tagged(|_, _| Ok(()))
    }
}

/// Writes the fields of one version of a record, in their order.
#[derive(Debug)]
pub struct Writer {
    buffer: BytesMut,
    flexible: bool,
}

impl Writer {
    /// Starts a key of this type.
    #[must_use]
    pub fn key(key_type: i16) -> Self {
        Self::new(key_type, false)
    }

    /// Starts a value of this version.
    #[must_use]
    pub fn value(version: i16, flexible: bool) -> Self {
        Self::new(version, flexible)
    }

    fn new(first: i16, flexible: bool) -> Self {
        let mut buffer = BytesMut::with_capacity(64);
        buffer.put_i16(first);
        Self { buffer, flexible }
    }

    /// Returns the encoded bytes.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Writes one byte.
    pub fn i8(&mut self, value: i8) {
        self.buffer.put_i8(value);
    }

    /// Writes two bytes.
    pub fn i16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    /// Writes four bytes.
    pub fn i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    /// Writes eight bytes.
    pub fn i64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    /// Writes the id of a topic.
    pub fn topic_id(&mut self, id: TopicId) {
        self.buffer.put_slice(&id.to_bytes());
    }

    fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }

    fn length(&mut self, length: usize, wide: bool) -> Result<(), RecordFormatError> {
        let too_long = |_| RecordFormatError::TooLong { length };
        if self.flexible {
            let length = i32::try_from(length).map_err(too_long)?;
            self.unsigned_varint(length.unsigned_abs() + 1);
        } else if wide {
            self.buffer
                .put_i32(i32::try_from(length).map_err(too_long)?);
        } else {
            self.buffer
                .put_i16(i16::try_from(length).map_err(too_long)?);
        }
        Ok(())
    }

    /// Writes a text.
    ///
    /// # Errors
    /// [`RecordFormatError::TooLong`].
    pub fn text(&mut self, text: &str) -> Result<(), RecordFormatError> {
        self.length(text.len(), false)?;
        self.buffer.put_slice(text.as_bytes());
        Ok(())
    }

    /// Writes a text, or null.
    ///
    /// # Errors
    /// [`RecordFormatError::TooLong`].
    pub fn nullable_text(&mut self, text: Option<&str>) -> Result<(), RecordFormatError> {
        match text {
            Some(text) => self.text(text)?,
            None if self.flexible => self.unsigned_varint(0),
            None => self.buffer.put_i16(-1),
        }
        Ok(())
    }

    /// Writes bytes with their length.
    ///
    /// # Errors
    /// [`RecordFormatError::TooLong`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), RecordFormatError> {
        self.length(bytes.len(), true)?;
        self.buffer.put_slice(bytes);
        Ok(())
    }

    /// Writes an array.
    ///
    /// # Errors
    /// When the array is too long, or an item cannot be written.
    pub fn items<T>(
        &mut self,
        items: &[T],
        mut item: impl FnMut(&mut Self, &T) -> Result<(), RecordFormatError>,
    ) -> Result<(), RecordFormatError> {
        self.length(items.len(), true)?;
        items.iter().try_for_each(|each| item(self, each))
    }

    /// Writes null in place of an array.
    pub fn null_items(&mut self) {
        if self.flexible {
            self.unsigned_varint(0);
        } else {
            self.buffer.put_i32(-1);
        }
    }

    /// Ends a struct that may have one tagged field, tag 0, which `field` writes; with `None` it
    /// has none.
    ///
    /// # Errors
    /// When the field cannot be written.
    pub fn tagged(
        &mut self,
        field: Option<impl FnOnce(&mut Self) -> Result<(), RecordFormatError>>,
    ) -> Result<(), RecordFormatError> {
        let Some(field) = field else {
            self.no_tagged();
            return Ok(());
        };
        self.tagged_count(1);
        self.tagged_field(0, field)
    }

    /// Begins the `count` tagged fields of a struct.
    pub fn tagged_count(&mut self, count: u32) {
        self.unsigned_varint(count);
    }

    /// Writes a tagged field. Fields are written in the order of their tags.
    ///
    /// # Errors
    /// When the field cannot be written.
    pub fn tagged_field(
        &mut self,
        tag: u32,
        field: impl FnOnce(&mut Self) -> Result<(), RecordFormatError>,
    ) -> Result<(), RecordFormatError> {
        let mut value = Self {
            buffer: BytesMut::new(),
            flexible: true,
        };
        field(&mut value)?;
        self.unsigned_varint(tag);
        let size = value.buffer.len();
        let size = u32::try_from(size).map_err(|_| RecordFormatError::TooLong { length: size })?;
        self.unsigned_varint(size);
        self.buffer.put_slice(&value.buffer);
        Ok(())
    }

    /// Ends a struct without tagged fields.
    pub fn no_tagged(&mut self) {
        if self.flexible {
            self.unsigned_varint(0);
        }
    }
}
