//! A small blocking Kafka connection: one request, one answer.
//!
//! For requests that real clients do not make: single requests at a certain moment, and invalid
//! ones. It does not handle leaders, retries or batching.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use kacrab_protocol::KafkaString;
use kacrab_protocol::generated as kafka;
use kacrab_protocol::version::{request_header_version, response_header_version};

/// How long a response may take to arrive.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The largest response, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A request, with its key and the type of its response.
pub trait Request {
    /// The API's key.
    const KEY: i16;
    /// The type of the response.
    type Response;
    /// Encodes the request's body.
    fn encode(&self, buffer: &mut BytesMut, version: i16) -> Result<()>;
    /// Decodes the response's body, to its last byte.
    fn decode(body: Bytes, version: i16) -> Result<Self::Response>;
}

macro_rules! requests {
    ($($key:literal $request:ident $response:ident;)*) => {$(
        impl Request for kafka::$request {
            const KEY: i16 = $key;
            type Response = kafka::$response;
            fn encode(&self, buffer: &mut BytesMut, version: i16) -> Result<()> {
                Ok(self.write(buffer, version)?)
            }
            fn decode(mut body: Bytes, version: i16) -> Result<kafka::$response> {
                let response = kafka::$response::read(&mut body, version)?;
                ensure!(body.is_empty(), "{} bytes after the response", body.len());
                Ok(response)
            }
        }
    )*};
}

requests! {
    0 ProduceRequestData ProduceResponseData;
    1 FetchRequestData FetchResponseData;
    2 ListOffsetsRequestData ListOffsetsResponseData;
    3 MetadataRequestData MetadataResponseData;
    8 OffsetCommitRequestData OffsetCommitResponseData;
    9 OffsetFetchRequestData OffsetFetchResponseData;
    10 FindCoordinatorRequestData FindCoordinatorResponseData;
    11 JoinGroupRequestData JoinGroupResponseData;
    12 HeartbeatRequestData HeartbeatResponseData;
    13 LeaveGroupRequestData LeaveGroupResponseData;
    14 SyncGroupRequestData SyncGroupResponseData;
    16 ListGroupsRequestData ListGroupsResponseData;
    17 SaslHandshakeRequestData SaslHandshakeResponseData;
    18 ApiVersionsRequestData ApiVersionsResponseData;
    19 CreateTopicsRequestData CreateTopicsResponseData;
    20 DeleteTopicsRequestData DeleteTopicsResponseData;
    21 DeleteRecordsRequestData DeleteRecordsResponseData;
    22 InitProducerIdRequestData InitProducerIdResponseData;
    23 OffsetForLeaderEpochRequestData OffsetForLeaderEpochResponseData;
    24 AddPartitionsToTxnRequestData AddPartitionsToTxnResponseData;
    26 EndTxnRequestData EndTxnResponseData;
    32 DescribeConfigsRequestData DescribeConfigsResponseData;
    36 SaslAuthenticateRequestData SaslAuthenticateResponseData;
    37 CreatePartitionsRequestData CreatePartitionsResponseData;
    43 ElectLeadersRequestData ElectLeadersResponseData;
    44 IncrementalAlterConfigsRequestData IncrementalAlterConfigsResponseData;
    45 AlterPartitionReassignmentsRequestData AlterPartitionReassignmentsResponseData;
    55 DescribeQuorumRequestData DescribeQuorumResponseData;
    60 DescribeClusterRequestData DescribeClusterResponseData;
    65 DescribeTransactionsRequestData DescribeTransactionsResponseData;
    68 ConsumerGroupHeartbeatRequestData ConsumerGroupHeartbeatResponseData;
}

/// A connection to one node.
#[derive(Debug)]
pub struct KafkaConnection {
    stream: TcpStream,
    correlation_id: i32,
}

impl KafkaConnection {
    /// Connects to a node.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
            .with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self {
            stream,
            correlation_id: 0,
        })
    }

    /// Returns the socket, for bytes that are not a request.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Changes how long a response may take to arrive.
    pub fn limit(&mut self, limit: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(limit))?)
    }

    /// Sends a request and waits for its response.
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response> {
        let mut body = BytesMut::new();
        request.encode(&mut body, version)?;
        let answer = self.call_raw(R::KEY, version, &body)?;
        R::decode(answer, version).with_context(|| format!("decode API {} v{version}", R::KEY))
    }

    /// Sends a request with an arbitrary body, and waits for the body of its response.
    pub fn call_raw(&mut self, key: i16, version: i16, body: &[u8]) -> Result<Bytes> {
        self.correlation_id += 1;
        let frame = request_frame(key, version, self.correlation_id, body)?;
        self.send(&frame)?;
        let mut answer = self.receive()?.context("the connection was closed")?;
        let header_version = response_header_version(key, version);
        let header = kafka::ResponseHeaderData::read(&mut answer, header_version)?;
        ensure!(
            header.correlation_id == self.correlation_id,
            "another request's answer"
        );
        Ok(answer)
    }

    /// Sends a request that has no response: produce with acks=0.
    pub fn send_unanswered<R: Request>(&mut self, request: &R, version: i16) -> Result<()> {
        let mut body = BytesMut::new();
        request.encode(&mut body, version)?;
        self.correlation_id += 1;
        let frame = request_frame(R::KEY, version, self.correlation_id, &body)?;
        self.send(&frame)
    }

    /// Sends bytes unchanged.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("send")
    }

    /// Closes the sending side of the connection.
    pub fn finish_sending(&mut self) -> Result<()> {
        Ok(self.stream.shutdown(std::net::Shutdown::Write)?)
    }

    /// Receives a frame; `None` when the other side has closed the connection.
    pub fn receive(&mut self) -> Result<Option<Bytes>> {
        let mut length = [0; 4];
        if !self.fill(&mut length)? {
            return Ok(None);
        }
        let length = usize::try_from(i32::from_be_bytes(length))?;
        if length > ANSWER_BYTES_MAX {
            bail!("an answer of {length} bytes");
        }
        let mut frame = vec![0; length];
        ensure!(self.fill(&mut frame)?, "closed within a frame");
        Ok(Some(frame.into()))
    }

    /// Requests the versions of all APIs.
    pub fn api_versions(&mut self) -> Result<kafka::ApiVersionsResponseData> {
        let request = kafka::ApiVersionsRequestData {
            client_software_name: KafkaString::from("dohle-tests".to_owned()),
            client_software_version: KafkaString::from("1".to_owned()),
            ..Default::default()
        };
        let response = self.call(&request, 3)?;
        ensure!(
            response.error_code == 0,
            "ApiVersions: error {}",
            response.error_code
        );
        Ok(response)
    }

    /// Requests the list of live brokers.
    pub fn live_brokers(&mut self) -> Result<Vec<i32>> {
        let request = kafka::MetadataRequestData::default().with_topics(Some(Vec::new()));
        let metadata = self.call(&request, 12)?;
        Ok(metadata
            .brokers
            .iter()
            .map(|broker| broker.node_id)
            .collect())
    }

    /// Reads until `buffer` is full. Returns false when the other side closed the connection before
    /// the first byte.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => {
                    ensure!(
                        filled == 0,
                        "closed after {filled} of {} bytes",
                        buffer.len()
                    );
                    return Ok(false);
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("receive"),
            }
        }
        Ok(true)
    }
}

/// Returns a whole frame: length, header, body.
pub fn request_frame(key: i16, version: i16, correlation_id: i32, body: &[u8]) -> Result<Vec<u8>> {
    let header = kafka::RequestHeaderData {
        request_api_key: key,
        request_api_version: version,
        correlation_id,
        client_id: Some(KafkaString::from("dohle-tests".to_owned())),
        ..Default::default()
    };
    let mut bytes = BytesMut::new();
    header.write(&mut bytes, request_header_version(key, version))?;
    let length = i32::try_from(bytes.remaining() + body.len())?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&bytes);
    frame.extend_from_slice(body);
    Ok(frame)
}
