//! Sends and receives gRPC messages as HTTP bodies, without copying records.
//!
//! A message is a five-byte prefix and a protobuf message. [`LeaderMessage`]'s payload is its last
//! field, so the prefix, the parts and the payload's tag and length are sent as one small buffer,
//! followed by the same [`Bytes`] that were read from the log or the producer's socket. A received
//! message keeps the buffers that the connection read, and slices them. Stock prost and tonic read
//! and write the same bytes.
//!
//! Does not interpret the messages; the broker implements replication.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tokio_stream::Stream;

use crate::v1::PartitionData;

/// The path of `Replication.Replicate`.
pub const REPLICATE_PATH: &str = "/dohle.v1.Replication/Replicate";
/// The path of `Replication.CatchUp`.
pub const CATCH_UP_PATH: &str = "/dohle.v1.Replication/CatchUp";
/// The path of `Replication.ReadRecords`.
pub const READ_RECORDS_PATH: &str = "/dohle.v1.Replication/ReadRecords";
/// The path of `Replication.Call`.
pub const CALL_PATH: &str = "/dohle.v1.Replication/Call";

const PREFIX_BYTES: usize = 5;
const PARTS_FIELD: u32 = 1;
const PAYLOAD_FIELD: u32 = 15;
/// Payload pieces smaller than this are copied into one buffer, which is cheaper than a frame for
/// each.
const COPY_BELOW: usize = 8 << 10;

/// Why a stream of messages ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The connection, or the stream on it, broke.
    #[error("stream broke: {0}")]
    Broken(String),
    /// The other side ended the call with this gRPC status.
    #[error("call ended with gRPC status {code}: {message}")]
    Status {
        /// The gRPC status code.
        code: u16,
        /// The other side's message.
        message: String,
    },
    /// The bytes are not a valid message.
    #[error("not a message: {0}")]
    Malformed(String),
}

/// The status with which a server ends a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndStatus {
    /// The gRPC status code; 0 is success.
    pub code: u16,
    /// The message.
    pub message: String,
}

impl EndStatus {
    /// Encodes this status as gRPC trailers. Characters that a header cannot contain become `?`.
    #[must_use]
    pub fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from(self.code));
        let visible = |c: char| {
            if (' '..='~').contains(&c) && c != '%' {
                c
            } else {
                '?'
            }
        };
        let message: String = self.message.chars().map(visible).collect();
        if let Ok(message) = http::HeaderValue::from_str(&message) {
            trailers.insert("grpc-message", message);
        }
        trailers
    }

    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let code = text("grpc-status")?.parse().unwrap_or(2);
        Some(Self {
            code,
            message: text("grpc-message").unwrap_or_default().to_owned(),
        })
    }
}

/// A message ready to be sent.
#[derive(Debug, Default)]
pub struct Framed {
    pieces: VecDeque<Bytes>,
}

impl Framed {
    /// Encodes a message without a payload of its own.
    ///
    /// # Panics
    /// When the message is 4 GiB or larger.
    #[must_use]
    pub fn message(message: &impl Message) -> Self {
        let length = message.encoded_len();
        let mut head = BytesMut::with_capacity(PREFIX_BYTES + length);
        put_prefix(&mut head, length);
        message.encode(&mut head).expect("a BytesMut grows");
        Self {
            pieces: VecDeque::from([head.freeze()]),
        }
    }

    /// Encodes a `LeaderMessage` of these parts and the pieces of its payload, in order.
    ///
    /// # Panics
    /// When the message is 4 GiB or larger.
    #[must_use]
    pub fn leader_message(parts: &[PartitionData], payload: Vec<Bytes>) -> Self {
        let payload_len: usize = payload.iter().map(Bytes::len).sum();
        let mut length = 0;
        for part in parts {
            length += prost::encoding::message::encoded_len(PARTS_FIELD, part);
        }
        let mut tag = BytesMut::new();
        if payload_len > 0 {
            prost::encoding::encode_key(PAYLOAD_FIELD, WireType::LengthDelimited, &mut tag);
            prost::encoding::encode_varint(payload_len as u64, &mut tag);
        }
        length += tag.len() + payload_len;
        let small: usize = payload
            .iter()
            .map(Bytes::len)
            .filter(|len| *len < COPY_BELOW)
            .sum();
        let mut buffer = BytesMut::with_capacity(PREFIX_BYTES + length - payload_len + small);
        put_prefix(&mut buffer, length);
        for part in parts {
            prost::encoding::message::encode(PARTS_FIELD, part, &mut buffer);
        }
        buffer.put_slice(&tag);
        let mut pieces = VecDeque::with_capacity(2 + payload.len());
        for piece in payload {
            if piece.len() < COPY_BELOW {
                buffer.put_slice(&piece);
            } else {
                if !buffer.is_empty() {
                    pieces.push_back(buffer.split().freeze());
                }
                pieces.push_back(piece);
            }
        }
        if !buffer.is_empty() {
            pieces.push_back(buffer.freeze());
        }
        Self { pieces }
    }

    /// Returns the pieces in order.
    #[must_use]
    pub fn into_pieces(self) -> VecDeque<Bytes> {
        self.pieces
    }
}

fn put_prefix(buffer: &mut BytesMut, length: usize) {
    buffer.put_u8(0);
    buffer.put_u32(u32::try_from(length).expect("a message is smaller than 4 GiB"));
}

/// Sends a stream of messages as an HTTP body. The stream is polled for the next message only after
/// the previous one was sent, so the connection's flow control applies to it.
#[derive(Debug)]
pub struct MessageBody<S> {
    source: Option<S>,
    pieces: VecDeque<Bytes>,
    /// Whether the body ends with trailers: a server's does, a client's does not.
    trailers: bool,
}

impl<S> MessageBody<S> {
    /// Creates a response body: a server's side of a call.
    pub fn response(source: S) -> Self {
        Self {
            source: Some(source),
            pieces: VecDeque::new(),
            trailers: true,
        }
    }

    /// Creates an empty body.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            source: None,
            pieces: VecDeque::new(),
            trailers: false,
        }
    }

    /// Creates a request body: a client's side of a call.
    pub fn request(source: S) -> Self {
        Self {
            source: Some(source),
            pieces: VecDeque::new(),
            trailers: false,
        }
    }
}

impl<S> Body for MessageBody<S>
where
    S: Stream<Item = Result<Framed, EndStatus>> + Unpin,
{
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        let this = &mut *self;
        loop {
            if let Some(piece) = this.pieces.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let Some(source) = &mut this.source else {
                return Poll::Ready(None);
            };
            let status = match ready!(Pin::new(source).poll_next(cx)) {
                Some(Ok(framed)) => {
                    this.pieces = framed.into_pieces();
                    continue;
                }
                Some(Err(status)) => status,
                None => EndStatus {
                    code: 0,
                    message: String::new(),
                },
            };
            this.source = None;
            if this.trailers {
                return Poll::Ready(Some(Ok(Frame::trailers(status.trailers()))));
            }
        }
    }
}

/// Received bytes: a queue of buffers that is read like one buffer.
#[derive(Debug, Default, Clone)]
pub struct Rope {
    buffers: VecDeque<Bytes>,
    length: usize,
}

impl Rope {
    /// Adds a buffer at the end.
    pub fn push(&mut self, buffer: Bytes) {
        if !buffer.is_empty() {
            self.length += buffer.len();
            self.buffers.push_back(buffer);
        }
    }

    /// Returns the number of remaining bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no bytes remain.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes `count` bytes as one buffer, copied only when they span several buffers; `None` when
    /// fewer remain.
    pub fn take_bytes(&mut self, count: usize) -> Option<Bytes> {
        if count > self.length {
            return None;
        }
        let fits = self
            .buffers
            .front()
            .is_some_and(|front| front.len() >= count);
        if fits || count == 0 {
            let taken = self.buffers.front_mut().map(|front| front.split_to(count));
            self.length -= count;
            self.drop_empty();
            return Some(taken.unwrap_or_default());
        }
        Some(self.copy_to_bytes(count))
    }

    fn take_rope(&mut self, mut count: usize) -> Self {
        let mut taken = Self::default();
        while count > 0 {
            let Some(front) = self.buffers.front_mut() else {
                break;
            };
            let piece = front.split_to(front.len().min(count));
            count -= piece.len();
            self.length -= piece.len();
            taken.push(piece);
            self.drop_empty();
        }
        taken
    }

    fn drop_empty(&mut self) {
        while self.buffers.front().is_some_and(Bytes::is_empty) {
            self.buffers.pop_front();
        }
    }
}

impl Buf for Rope {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.buffers.front().map_or(&[], |front| front)
    }

    fn advance(&mut self, mut count: usize) {
        assert!(
            count <= self.length,
            "advance by {count} of {}",
            self.length
        );
        self.length -= count;
        while count > 0 {
            let Some(front) = self.buffers.front_mut() else {
                break;
            };
            let step = front.len().min(count);
            front.advance(step);
            count -= step;
            self.drop_empty();
        }
    }
}

/// A received `LeaderMessage`.
#[derive(Debug, Default)]
pub struct ReceivedLeaderMessage {
    /// The parts.
    pub parts: Vec<PartitionData>,
    /// The payload, from which the reader takes the bytes of each part in order.
    pub payload: Rope,
}

impl ReceivedLeaderMessage {
    /// Decodes the protobuf message, without copying the payload.
    ///
    /// # Errors
    /// When the bytes are not such a message.
    pub fn decode(mut message: Rope) -> Result<Self, TransportError> {
        let malformed = |error: prost::DecodeError| TransportError::Malformed(error.to_string());
        let truncated = || TransportError::Malformed("field is longer than the message".to_owned());
        let mut received = Self::default();
        while !message.is_empty() {
            let (field, wire_type) = decode_key(&mut message).map_err(malformed)?;
            if wire_type != WireType::LengthDelimited
                || !matches!(field, PARTS_FIELD | PAYLOAD_FIELD)
            {
                let context = DecodeContext::default();
                skip_field(wire_type, field, &mut message, context).map_err(malformed)?;
                continue;
            }
            let length = decode_varint(&mut message).map_err(malformed)?;
            let length = usize::try_from(length).map_err(|_| truncated())?;
            if length > message.len() {
                return Err(truncated());
            }
            if field == PARTS_FIELD {
                let part = message.take_bytes(length).ok_or_else(truncated)?;
                received
                    .parts
                    .push(PartitionData::decode(part).map_err(malformed)?);
            } else {
                received.payload = message.take_rope(length);
            }
        }
        Ok(received)
    }
}

/// Reads messages from an HTTP body.
#[derive(Debug)]
pub struct Messages<B> {
    body: B,
    arrived: Rope,
    message_max: usize,
}

impl<B> Messages<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    /// Reads messages of at most `message_max` bytes.
    pub fn new(body: B, message_max: usize) -> Self {
        Self {
            body,
            arrived: Rope::default(),
            message_max,
        }
    }

    /// Returns the next message's bytes; `None` at the end of a successful call. The future may be
    /// dropped and the method called again without losing bytes.
    ///
    /// # Errors
    /// When the stream broke, ended with an error status, or contains an invalid message.
    pub fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Rope>, TransportError>> {
        loop {
            if let Some(message) = self.split()? {
                return Poll::Ready(Ok(Some(message)));
            }
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                if self.arrived.is_empty() {
                    return Poll::Ready(Ok(None));
                }
                let error = "stream ended inside a message".to_owned();
                return Poll::Ready(Err(TransportError::Broken(error)));
            };
            let frame = frame.map_err(|error| TransportError::Broken(error.to_string()))?;
            match frame.into_data() {
                Ok(data) => self.arrived.push(data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    if let Some(EndStatus { code: 1.., message }) =
                        EndStatus::from_headers(&trailers)
                    {
                        let code = EndStatus::from_headers(&trailers).map_or(2, |it| it.code);
                        return Poll::Ready(Err(TransportError::Status { code, message }));
                    }
                }
            }
        }
    }

    /// Returns the next message's bytes; see [`Messages::poll_message`].
    ///
    /// # Errors
    /// Those of [`Messages::poll_message`].
    pub async fn message(&mut self) -> Result<Option<Rope>, TransportError> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await
    }

    fn split(&mut self) -> Result<Option<Rope>, TransportError> {
        if self.arrived.len() < PREFIX_BYTES {
            return Ok(None);
        }
        let mut prefix = [0; PREFIX_BYTES];
        let mut at = 0;
        for buffer in &self.arrived.buffers {
            let step = buffer.len().min(PREFIX_BYTES - at);
            prefix[at..at + step].copy_from_slice(&buffer[..step]);
            at += step;
        }
        if prefix[0] != 0 {
            return Err(TransportError::Malformed(
                "compressed messages are not supported".to_owned(),
            ));
        }
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if length > self.message_max {
            let text = format!("{length} bytes, more than {} allowed", self.message_max);
            return Err(TransportError::Malformed(text));
        }
        if self.arrived.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.arrived.advance(PREFIX_BYTES);
        Ok(Some(self.arrived.take_rope(length)))
    }
}

/// Returns the status of a response that has it in its headers, because the call was refused before
/// it began.
#[must_use]
pub fn refusal(headers: &HeaderMap) -> Option<EndStatus> {
    EndStatus::from_headers(headers).filter(|status| status.code != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::LeaderMessage;

    fn part(partition: i32, length: u64) -> PartitionData {
        PartitionData {
            partition,
            length,
            topic_id: Bytes::from(vec![7; 16]),
            ..Default::default()
        }
    }

    fn joined(framed: Framed) -> Bytes {
        let pieces = framed.into_pieces();
        pieces
            .iter()
            .flat_map(|piece| piece.iter().copied())
            .collect::<Vec<u8>>()
            .into()
    }

    #[test]
    fn a_framed_leader_message_is_what_stock_prost_writes() {
        let payload = vec![Bytes::from(vec![1; 20_000]), Bytes::from(vec![2; 10])];
        let parts = vec![part(0, 20_000), part(3, 10)];
        let mut all = payload[0].to_vec();
        all.extend_from_slice(&payload[1]);
        let stock = LeaderMessage {
            parts: parts.clone(),
            payload: all.into(),
        };
        let bytes = joined(Framed::leader_message(&parts, payload));
        assert_eq!(bytes[5..], stock.encode_to_vec());
        assert_eq!(
            u32::from_be_bytes(bytes[1..5].try_into().unwrap()),
            bytes.len() as u32 - 5
        );
    }

    #[test]
    fn large_pieces_are_sent_as_they_are() {
        let large = Bytes::from(vec![1; 20_000]);
        let framed = Framed::leader_message(&[part(0, 20_000)], vec![large.clone()]);
        let pieces = framed.into_pieces();
        assert_eq!(pieces[1].as_ptr(), large.as_ptr());
    }

    #[test]
    fn a_message_is_read_from_buffers_cut_anywhere() {
        let payload = vec![Bytes::from(vec![1; 9_000]), Bytes::from(vec![2; 10])];
        let bytes = joined(Framed::leader_message(
            &[part(0, 9_000), part(3, 10)],
            payload,
        ));
        for cut in [1, 4, 5, 6, 40, 5_000, bytes.len() - 1] {
            let mut rope = Rope::default();
            rope.push(bytes.slice(5.min(cut)..cut));
            rope.push(bytes.slice(cut.max(5)..));
            let mut received = ReceivedLeaderMessage::decode(rope).unwrap();
            assert_eq!(received.parts.len(), 2);
            assert_eq!(received.payload.take_bytes(9_000).unwrap(), vec![1; 9_000]);
            assert_eq!(received.payload.take_bytes(10).unwrap(), vec![2; 10]);
            assert_eq!(received.payload.take_bytes(1), None);
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        for bytes in [
            &[0x0a, 0x7f][..],
            &[0x7a, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0xff; 12],
        ] {
            let mut rope = Rope::default();
            rope.push(Bytes::copy_from_slice(bytes));
            assert!(ReceivedLeaderMessage::decode(rope).is_err());
        }
    }
}
