//! One connection: frames go out in their order, and responses come in.
//!
//! A connection is driven by the task that owns it, which polls it together with others.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future as _, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use dohle_protocol::messages::{ApiVersionsRequestData, ApiVersionsResponseData};
use dohle_protocol::{ApiKey, KafkaString, Request, decode_response, encode_request};
use dohle_tls::{Connector, NodeStream};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use crate::error::{LoadError, check};

/// The client's name in requests.
pub(crate) const CLIENT_ID: &str = "dohle-perf";
/// The largest response, in bytes.
const FRAME_BYTES_MAX: usize = 1 << 30;
/// What is read at once where no length is known.
const READ_BYTES: usize = 16 << 10;
/// Parts of frames that are written in one call.
const PARTS_MAX: usize = 64;
const LENGTH_BYTES: usize = 4;
const UNSUPPORTED_VERSION: i16 = 35;

/// A connection to a broker.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: NodeStream,
    peer: String,
    inbox: BytesMut,
    /// What is not written yet; of the first part, what is left. The flag marks the end of a frame.
    outbox: VecDeque<(Bytes, bool)>,
    unflushed: bool,
    correlation_id: i32,
    versions: BTreeMap<i16, (i16, i16)>,
}

impl Connection {
    /// Connects, authenticates, and asks for the versions that the broker supports.
    ///
    /// # Errors
    /// When the broker cannot be reached, or does not let the client in.
    pub(crate) async fn open(
        connector: &Connector,
        host: &str,
        port: u16,
    ) -> Result<Self, LoadError> {
        let peer = format!("{host}:{port}");
        let opened = connector.connect(host, port).await;
        let stream = opened.map_err(|error| LoadError::Unreachable(format!("{peer}: {error}")))?;
        let mut connection = Self {
            stream,
            peer,
            inbox: BytesMut::new(),
            outbox: VecDeque::new(),
            unflushed: false,
            correlation_id: 0,
            versions: BTreeMap::new(),
        };
        let lost = |connection: &Self, error: LoadError| match error {
            LoadError::Connection(error) => LoadError::Unreachable(format!(
                "{}: {error}; its port may belong to a listener with TLS or SASL \
                 (security.protocol)",
                connection.peer
            )),
            error => error,
        };
        let versions = connection.api_versions().await;
        connection.versions = versions.map_err(|error| lost(&connection, error))?;
        Ok(connection)
    }

    async fn api_versions(&mut self) -> Result<BTreeMap<i16, (i16, i16)>, LoadError> {
        let text = |text: &str| KafkaString::from(text.to_owned());
        let request = ApiVersionsRequestData {
            client_software_name: text(CLIENT_ID),
            client_software_version: text(env!("CARGO_PKG_VERSION")),
            ..ApiVersionsRequestData::default()
        };
        let frame = self.exchange(&request, 3).await?;
        // A broker that does not support the version answers in version 0.
        let code = frame.get(4..6).map_or(0, |mut code| code.get_i16());
        let response: ApiVersionsResponseData = if code == UNSUPPORTED_VERSION {
            let frame = self.exchange(&request, 0).await?;
            self.decode(frame, 0)?
        } else {
            self.decode(frame, 3)?
        };
        check("ApiVersions", response.error_code)?;
        let keys = response.api_keys.iter();
        Ok(keys
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect())
    }

    /// Returns the newest version of an API that both sides support; `versions` are the oldest and
    /// the newest of this client.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn version(&self, api: ApiKey, versions: (i16, i16)) -> Result<i16, LoadError> {
        let (min, max) = versions;
        let found = self.versions.get(&(api as i16)).and_then(|(first, last)| {
            let newest = max.min(*last);
            (newest >= min && newest >= *first).then_some(newest)
        });
        found.ok_or_else(|| {
            LoadError::Unsupported(format!(
                "the broker at {} supports no version of {api:?} from {min} to {max}",
                self.peer
            ))
        })
    }

    /// Sends a request and waits for its response, while no other one is in flight.
    ///
    /// # Errors
    /// When the connection breaks, the broker does not support the request, or the response is
    /// malformed.
    pub(crate) async fn call<R: Request>(
        &mut self,
        request: &R,
        versions: (i16, i16),
    ) -> Result<R::Response, LoadError> {
        let version = self.version(R::KEY, versions)?;
        let frame = self.exchange(request, version).await?;
        self.decode(frame, version)
    }

    async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<Bytes, LoadError> {
        let id = self.next_correlation_id();
        let frame = encode_request(request, version, id, CLIENT_ID);
        let frame = frame.map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        self.send([frame]);
        let frame = poll_fn(|cx| {
            self.poll_write(cx)?;
            self.poll_frame(cx)
        });
        Ok(frame.await?)
    }

    fn decode<R: dohle_protocol::Response>(
        &self,
        frame: Bytes,
        version: i16,
    ) -> Result<R, LoadError> {
        let response = decode_response(frame, version, self.correlation_id);
        Ok(response.map_err(|error| malformed(&error))?)
    }

    /// Returns the id of the next request.
    pub(crate) fn next_correlation_id(&mut self) -> i32 {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        self.correlation_id
    }

    /// Puts the parts of a frame behind those that are not written yet.
    pub(crate) fn send(&mut self, parts: impl IntoIterator<Item = Bytes>) {
        self.outbox.extend(
            parts
                .into_iter()
                .filter(|part| !part.is_empty())
                .map(|part| (part, false)),
        );
        if let Some((_, is_end)) = self.outbox.back_mut() {
            *is_end = true;
        }
    }

    /// Writes what the socket accepts. Returns the number of frames that were completed.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        let mut completed = 0;
        while !self.outbox.is_empty() {
            let parts = self.outbox.iter().take(PARTS_MAX);
            let slices: Vec<IoSlice<'_>> = parts.map(|(part, _)| IoSlice::new(part)).collect();
            let stream = Pin::new(&mut self.stream);
            let mut written = match stream.poll_write_vectored(cx, &slices) {
                Poll::Pending => return Ok(completed),
                Poll::Ready(Ok(0)) => return Err(ErrorKind::WriteZero.into()),
                Poll::Ready(written) => written?,
            };
            self.unflushed = true;
            while let Some((part, is_end)) = self.outbox.front_mut() {
                if part.len() > written {
                    part.advance(written);
                    break;
                }
                written -= part.len();
                completed += usize::from(*is_end);
                self.outbox.pop_front();
            }
        }
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(completed)
    }

    /// Returns the next response without its length.
    ///
    /// # Errors
    /// When the connection is broken, or its peer does not speak Kafka's protocol.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            let mut missing = READ_BYTES;
            if let Some(length) = self.inbox.first_chunk() {
                let length = u32::from_be_bytes(*length) as usize;
                if length > FRAME_BYTES_MAX {
                    return Poll::Ready(Err(malformed("it does not speak Kafka's protocol")));
                }
                if self.inbox.len() >= LENGTH_BYTES + length {
                    self.inbox.advance(LENGTH_BYTES);
                    return Poll::Ready(Ok(self.inbox.split_to(length).freeze()));
                }
                missing = LENGTH_BYTES + length - self.inbox.len();
            }
            // Memory is taken as bytes arrive, up to a limit.
            self.inbox.reserve(missing.min(4 << 20));
            let read = pin!(self.stream.read_buf(&mut self.inbox)).poll(cx);
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    let closed = io::Error::new(
                        ErrorKind::UnexpectedEof,
                        "the broker closed the connection",
                    );
                    return Poll::Ready(Err(closed));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}

pub(crate) fn malformed(reason: &str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("the broker's response is malformed: {reason}"),
    )
}
