//! Tests of the quorum: voters in one process, each on a runtime of its own, over real sockets and
//! real files.

mod cluster;
mod disk_full;
mod disks;
mod heartbeats;
mod quorum;
#[path = "../../../../log/tests/common/small_fs.rs"]
mod small_fs;

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use dohle_model::MetadataOffset;
use tokio::sync::watch;

use super::{ApplyOutcome, RestoreError, SnapshotWriter, StateMachine};

/// The content of a [`TestMachine`]; two voters agree if theirs is equal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub payloads: Vec<(MetadataOffset, Bytes)>,
    /// The number of restores from a snapshot.
    pub restores: usize,
}

/// A state machine that collects payloads. A payload that begins with `?` is stale unless the
/// number of earlier payloads is its second byte.
#[derive(Debug, Clone, Default)]
pub(super) struct TestMachine {
    pub state: Arc<watch::Sender<State>>,
}

impl StateMachine for TestMachine {
    fn apply(&mut self, offset: MetadataOffset, payload: &Bytes) -> ApplyOutcome {
        let count = self.state.borrow().payloads.len();
        if let [b'?', expected, ..] = payload.as_ref()
            && usize::from(*expected) != count
        {
            return ApplyOutcome::Stale;
        }
        self.state.send_modify(|state| {
            assert!(state.payloads.last().is_none_or(|(last, _)| *last < offset));
            state.payloads.push((offset, payload.clone()));
        });
        ApplyOutcome::Applied
    }

    fn snapshot(&self) -> SnapshotWriter {
        let state = self.state.borrow().clone();
        Box::new(move |writer: &mut dyn Write| {
            for (offset, payload) in &state.payloads {
                writer.write_all(&offset.0.to_be_bytes())?;
                writer.write_all(&(payload.len() as u64).to_be_bytes())?;
                writer.write_all(payload)?;
            }
            Ok(())
        })
    }

    fn restore(
        &mut self,
        offset: MetadataOffset,
        snapshot: &mut dyn Read,
    ) -> Result<(), RestoreError> {
        let mut payloads = Vec::new();
        let mut bytes = Vec::new();
        snapshot.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (head, tail) = rest
                .split_at_checked(16)
                .ok_or(io::ErrorKind::UnexpectedEof)
                .map_err(io::Error::from)?;
            let word = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().unwrap());
            let (payload, tail) = tail
                .split_at_checked(word(8) as usize)
                .ok_or_else(|| RestoreError::Malformed("payload is cut short".to_owned()))?;
            payloads.push((MetadataOffset(word(0)), Bytes::copy_from_slice(payload)));
            rest = tail;
        }
        assert!(payloads.iter().all(|(at, _)| *at <= offset));
        self.state.send_modify(|state| {
            state.payloads = payloads;
            state.restores += 1;
        });
        Ok(())
    }
}
