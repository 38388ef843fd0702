//! A client that sends what no client should, and does not read what it asked for.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use bytes::BytesMut;

use super::client::Partitions;
use super::producer::Shared;
use crate::Cluster;
use crate::connection::{KafkaConnection, Request, request_frame};
use crate::random::Random;
use crate::records::{self, FETCH_VERSION, PRODUCE_VERSION, fetch_request, produce_request};
use crate::wait::let_pass;

/// The time between two attacks.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an answer is waited for that may never come.
const ANSWER: Duration = Duration::from_millis(200);
/// The most connections that are neither read nor closed.
const OPEN_MAX: usize = 16;
/// The fetches that a slow reader sends at once.
const FETCHES: i32 = 50;
/// The highest API key that is tried.
const KEY_MAX: usize = 95;
/// Requests that change the cluster even if nearly all of their fields are empty: ElectLeaders,
/// UpdateFeatures, UnregisterBroker, AddRaftVoter and RemoveRaftVoter.
const POWERFUL: [i16; 5] = [43, 57, 64, 80, 81];
/// The first byte of a batch that its checksum covers is behind this one.
const CHECKSUM_AT: usize = 17;
/// A value that no producer sends.
const VALUE: u64 = u64::MAX;

/// The client.
#[derive(Debug)]
pub struct Hostile {
    nodes: Vec<SocketAddr>,
    partitions: Partitions,
    random: Random,
    open: Vec<KafkaConnection>,
}

impl Hostile {
    /// Returns a client of a cluster, without connections.
    #[must_use]
    pub fn new(cluster: &Cluster, partitions: &Partitions, random: Random) -> Self {
        Self {
            nodes: cluster.nodes().iter().map(|node| node.address).collect(),
            partitions: partitions.clone(),
            random,
            open: Vec::new(),
        }
    }

    /// Attacks until the run is over. Returns the number of attacks that reached a node.
    pub fn run(mut self, shared: &Shared) -> usize {
        let mut count = 0;
        while !shared.is_over.load(Ordering::Relaxed) {
            count += usize::from(self.attack().is_ok());
            let_pass(PAUSE);
        }
        count
    }

    fn attack(&mut self) -> Result<()> {
        let node = self.nodes[self.random.below(self.nodes.len())];
        let mut connection = KafkaConnection::open(node)?;
        connection.limit(ANSWER)?;
        let stays_open = match self.random.below(6) {
            0 => {
                let bytes = self.bytes(4_096);
                connection.send(&bytes)?;
                false
            }
            1 => {
                let length = [i32::MIN, -1, 0, 1, i32::MAX][self.random.below(5)];
                connection.send(&length.to_be_bytes())?;
                false
            }
            2 => {
                let frame = self.request()?;
                connection.send(&frame)?;
                false
            }
            3 => {
                // The rest of the frame never comes.
                let frame = self.request()?;
                connection.send(&frame[..1 + self.random.below(frame.len() - 1)])?;
                true
            }
            4 => {
                self.read_slowly(&mut connection)?;
                true
            }
            _ => {
                self.produce_damaged(&mut connection)?;
                false
            }
        };
        if stays_open {
            self.open.push(connection);
            if self.open.len() > OPEN_MAX {
                self.open.remove(0);
            }
        } else {
            // Whether it answers or closes the connection does not matter here.
            let _ = connection.receive();
        }
        Ok(())
    }

    fn bytes(&mut self, limit: usize) -> Vec<u8> {
        let length = 1 + self.random.below(limit);
        let byte = |_| self.random.below(256).to_le_bytes()[0];
        (0..length).map(byte).collect()
    }

    /// Returns a request with a header that can be read and a random body.
    fn request(&mut self) -> Result<Vec<u8>> {
        let key = i16::try_from(self.random.below(KEY_MAX))?;
        let key = if POWERFUL.contains(&key) { 0 } else { key };
        let version = i16::try_from(self.random.below(14))?;
        let body = self.bytes(200);
        request_frame(key, version, 1, &body)
    }

    /// Asks for more than the sockets' buffers hold, and reads nothing.
    fn read_slowly(&mut self, connection: &mut KafkaConnection) -> Result<()> {
        let partition = self.random.below(self.partitions.0.len());
        let (topic, index) = self.partitions.name(partition);
        let mut body = BytesMut::new();
        fetch_request(topic, index, 0).encode(&mut body, FETCH_VERSION)?;
        for correlation_id in 0..FETCHES {
            let frame = request_frame(1, FETCH_VERSION, correlation_id, &body)?;
            connection.send(&frame)?;
        }
        Ok(())
    }

    /// Sends a batch with one wrong byte.
    fn produce_damaged(&mut self, connection: &mut KafkaConnection) -> Result<()> {
        let partition = self.random.below(self.partitions.0.len());
        let (topic, index) = self.partitions.name(partition);
        let mut batch = records::batch(&[&VALUE.to_be_bytes()])?;
        let at = CHECKSUM_AT + self.random.below(batch.len() - CHECKSUM_AT);
        batch[at] ^= 1 << self.random.below(8);
        let mut body = BytesMut::new();
        produce_request(topic, index, -1, batch.freeze()).encode(&mut body, PRODUCE_VERSION)?;
        connection.send(&request_frame(0, PRODUCE_VERSION, 1, &body)?)
    }
}
