//! The call over which a leader sends its heartbeats to one voter.
//!
//! openraft sends each heartbeat as a stream of one request. A call of HTTP/2 for each of them
//! would take headers, trailers and three wake-ups on either side, so one call stays open and
//! carries all heartbeats of a leader: a message there, and a message back.
//!
//! Invariant: a call has no request without an answer when it is used again. A heartbeat that is
//! given up ends its call, so that a late answer is never taken for that of another request.

use dohle_rpc::v1;
use dohle_rpc::v1::raft_client::RaftClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// An open call whose requests have all been answered.
pub(super) struct HeartbeatCall {
    requests: mpsc::Sender<v1::RaftAppendRequest>,
    responses: Streaming<v1::RaftAppendResponse>,
}

impl HeartbeatCall {
    /// Begins a call with its first request. Returns the answer to it, too.
    pub(super) async fn begin(
        client: &mut RaftClient<Channel>,
        first: v1::RaftAppendRequest,
    ) -> Result<(Self, v1::RaftAppendResponse), Status> {
        let (requests, stream) = mpsc::channel(1);
        requests.try_send(first).map_err(|_| ended())?;
        let responses = client.append(ReceiverStream::new(stream)).await?;
        let mut call = Self {
            requests,
            responses: responses.into_inner(),
        };
        let response = call.response().await?;
        Ok((call, response))
    }

    /// Sends another request, and returns the answer.
    pub(super) async fn send(
        &mut self,
        request: v1::RaftAppendRequest,
    ) -> Result<v1::RaftAppendResponse, Status> {
        let sent = self.requests.send(request).await;
        sent.map_err(|_| ended())?;
        self.response().await
    }

    async fn response(&mut self) -> Result<v1::RaftAppendResponse, Status> {
        self.responses.message().await?.ok_or_else(ended)
    }
}

fn ended() -> Status {
    Status::unavailable("the call ended without a response")
}
