//! The transactions of a partition as a machine for the runtime of coordinators.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::ControlFlow;

use bytes::Bytes;
use dohle_machine::{LogRecord, Machine, Request, Timers};
use dohle_model::{ErrorCode, Offset};

use crate::config::TransactionConfig;
use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::records::{self, RecordFormatError, TransactionRecord};
use crate::requests::{
    AbortTimedOut, AddPartitions, CompleteEnded, Describe, DescribedTransaction, EndTxn,
    InitProducerId, List, ListedTransaction, MarkersAnswered, MarkersToSend, Outgoing,
    PlannedReply, VerifyPartitions,
};
use crate::shard::{Step, TransactionMachine};
use crate::timer::Timer;

impl Machine for TransactionMachine {
    type Record = TransactionRecord;
    type Config = TransactionConfig;
    type Timer = Timer;
    type OnCommit = ();
    type Lookups = ();
    type Event = Infallible;

    const NAME: &'static str = "transactions";

    fn replay(&mut self, record: TransactionRecord) {
        self.replay_record(record);
    }

    fn on_appended(&mut self, ids: BTreeSet<TransactionalId>, end: Offset) {
        self.set_written(&ids, end);
    }

    fn on_loaded(&mut self, step: &mut Step<'_>) {
        self.start_timers(step);
    }

    fn timers(&mut self) -> &mut Timers<Timer> {
        &mut self.timers
    }

    fn on_timer(&mut self, timer: &Timer, step: &mut Step<'_>) {
        match timer {
            Timer::Timeout(transactional_id) => {
                self.abort_timed_out(transactional_id, None, step);
            }
            Timer::Markers => self.retry_markers(step),
        }
    }

    fn on_commit(&mut self, (): (), _: Result<(), ErrorCode>, _: &mut Step<'_>) {}

    fn on_interval(&mut self, step: &mut Step<'_>) -> ControlFlow<()> {
        self.expire_ids(step)
    }
}

impl LogRecord for TransactionRecord {
    type Subject = TransactionalId;
    type Error = RecordFormatError;

    fn subject(&self) -> &TransactionalId {
        &self.transactional_id
    }

    fn encode(&self) -> Result<(Bytes, Option<Bytes>), RecordFormatError> {
        records::encode(self)
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, RecordFormatError> {
        records::decode(key, value)
    }
}

impl Request for InitProducerId<'_> {
    type Machine = TransactionMachine;
    type Reply = PlannedReply<ProducerIdAndEpoch>;

    fn plan(&self, machine: &mut TransactionMachine, step: &mut Step<'_>) -> Self::Reply {
        machine.init_producer_id(self, step)
    }
}

impl Request for AddPartitions<'_> {
    type Machine = TransactionMachine;
    type Reply = Result<(), ErrorCode>;

    fn plan(&self, machine: &mut TransactionMachine, step: &mut Step<'_>) -> Self::Reply {
        machine.add_partitions(self, step)
    }
}

impl Request for VerifyPartitions<'_> {
    type Machine = TransactionMachine;
    /// The outcome for each partition, in the order of the request.
    type Reply = Result<Vec<Result<(), ErrorCode>>, ErrorCode>;

    fn plan(&self, machine: &mut TransactionMachine, step: &mut Step<'_>) -> Self::Reply {
        machine.verify_partitions(self, step)
    }
}

impl Request for EndTxn<'_> {
    type Machine = TransactionMachine;
    /// The id and epoch for the next transaction; `None` before version 2 of the protocol, where
    /// they do not change.
    type Reply = PlannedReply<Option<ProducerIdAndEpoch>>;

    fn plan(&self, machine: &mut TransactionMachine, step: &mut Step<'_>) -> Self::Reply {
        machine.end_txn(self, step)
    }
}

impl Request for AbortTimedOut {
    type Machine = TransactionMachine;
    type Reply = ();

    fn plan(&self, machine: &mut TransactionMachine, step: &mut Step<'_>) {
        machine.abort_timed_out(&self.transactional_id, Some(self.fresh), step);
    }
}

impl Request for Describe<'_> {
    type Machine = TransactionMachine;
    type Reply = Result<DescribedTransaction, ErrorCode>;

    fn plan(&self, machine: &mut TransactionMachine, step: &mut Step<'_>) -> Self::Reply {
        machine.describe(self.transactional_id, step)
    }
}

impl Request for List<'_> {
    type Machine = TransactionMachine;
    type Reply = Vec<ListedTransaction>;

    fn plan(&self, machine: &mut TransactionMachine, step: &mut Step<'_>) -> Self::Reply {
        machine.list(self.filter, step)
    }
}

impl Request for MarkersToSend {
    type Machine = TransactionMachine;
    type Reply = Outgoing;

    fn plan(&self, machine: &mut TransactionMachine, step: &mut Step<'_>) -> Self::Reply {
        machine.take_outgoing(step)
    }
}

impl Request for CompleteEnded {
    type Machine = TransactionMachine;
    type Reply = ();

    fn plan(&self, machine: &mut TransactionMachine, step: &mut Step<'_>) {
        machine.complete_ended(step);
    }
}

impl Request for MarkersAnswered<'_> {
    type Machine = TransactionMachine;
    type Reply = ();

    fn plan(&self, machine: &mut TransactionMachine, step: &mut Step<'_>) -> Self::Reply {
        machine.markers_answered(self.outcomes, step);
    }
}
