//! The requests, one file for each part of the protocol. Pure.

use serde_json::{Value, json};

use super::script::{Script, Step, Until, call};

mod acls;
mod automatic_topics;
mod classic_groups;
mod client_quotas;
mod cluster;
mod configs;
mod consumer_groups;
mod coordinators;
mod cordoned;
mod delegation_tokens;
mod features;
mod inspect;
mod metadata;
mod offsets;
mod partitions;
mod producers;
mod reads;
mod sasl;
mod scram;
mod switched_off;
mod telemetry;
pub mod three_nodes;
mod topics;
mod transactions;
mod writes;

/// Returns all scripts. Those that list what a server holds come first, and those of client
/// telemetry before those that leave subscriptions for all clients.
pub fn all() -> Vec<Script> {
    let mut scripts = vec![
        inspect::list_transactions(),
        inspect::describe_transactions(),
        inspect::describe_producers(),
        coordinators::find_coordinator(),
        producers::init_producer_id(),
        partitions::add_partitions_to_txn(),
        partitions::add_offsets_to_txn(),
        offsets::txn_offset_commit(),
        offsets::offset_fetch(),
        transactions::end_txn(),
        transactions::write_txn_markers(),
        writes::produce(),
        reads::fetch(),
        reads::list_offsets(),
        features::update_features(),
        acls::describe_acls(),
        acls::create_acls(),
        acls::delete_acls(),
        client_quotas::describe_client_quotas(),
        client_quotas::alter_client_quotas(),
        scram::describe_user_scram_credentials(),
        scram::alter_user_scram_credentials(),
        delegation_tokens::create(),
        delegation_tokens::renew(),
        delegation_tokens::expire(),
        delegation_tokens::describe(),
        sasl::sasl_handshake(),
        sasl::sasl_authenticate(),
        topics::create_topics(),
        topics::delete_topics(),
        topics::create_partitions(),
        metadata::metadata(),
        metadata::describe_topic_partitions(),
        metadata::delete_records(),
        metadata::offset_for_leader_epoch(),
        telemetry::get_subscriptions(),
        telemetry::push(),
        configs::describe_configs(),
        configs::alter_configs(),
        configs::incremental_alter_configs(),
        configs::list_config_resources(),
        cluster::api_versions(),
        cluster::describe_cluster(),
        cluster::describe_quorum(),
        cluster::describe_log_dirs(),
        cluster::alter_replica_log_dirs(),
        cluster::unregister_broker(),
        cluster::unregister_controller(),
        cluster::elect_leaders(),
        cluster::alter_partition_reassignments(),
        cluster::list_partition_reassignments(),
        classic_groups::join_group(),
        classic_groups::sync_group(),
        classic_groups::heartbeat(),
        classic_groups::leave_group(),
        classic_groups::describe_groups(),
        classic_groups::list_groups(),
        classic_groups::delete_groups(),
        classic_groups::offset_commit(),
        classic_groups::offset_delete(),
        consumer_groups::heartbeat(),
        consumer_groups::describe(),
    ];
    scripts.extend(switched_off::scripts());
    for script in &mut scripts {
        script.sequences.extend(three_nodes::sequences(script.api));
        script.sequences.extend(cordoned::sequences(script.api));
    }
    scripts
}

/// A subscription to the topic `t`.
const SUBSCRIPTION: &str = "000000000001000174ffffffff";

/// Returns a request of a new member of `g%`.
fn joining(changes: &Value) -> Value {
    let protocols = json!([{"Name": "range", "Metadata": SUBSCRIPTION}]);
    let request = json!({"GroupId": "g%", "SessionTimeoutMs": 30000, "RebalanceTimeoutMs": 30000,
        "MemberId": "", "ProtocolType": "consumer", "Protocols": protocols});
    with(&request, changes)
}

/// The transactional id of a sequence.
const ID: &str = "tx%";

/// Gets a producer id for [`ID`]: `$pid` and `$epoch`. The second time, the epoch is 1.
fn init() -> Step {
    let request = json!({"TransactionalId": ID, "TransactionTimeoutMs": 60000});
    let captures = [("pid", "ProducerId"), ("epoch", "ProducerEpoch")];
    call("InitProducerId", 5, request).capture(&captures)
}

/// Adds partitions of `t%` to the transaction of [`ID`].
fn add(partitions: &[i32]) -> Step {
    let topics = json!([{"Name": "t%", "Partitions": partitions}]);
    let request = json!({"V3AndBelowTransactionalId": ID, "V3AndBelowProducerId": "$pid",
        "V3AndBelowProducerEpoch": "$epoch", "V3AndBelowTopics": topics});
    call("AddPartitionsToTxn", 3, request)
}

/// Adds the group `g%` to the transaction of [`ID`].
fn add_group() -> Step {
    let request = json!({"TransactionalId": ID, "ProducerId": "$pid", "ProducerEpoch": "$epoch",
        "GroupId": "g%"});
    call("AddOffsetsToTxn", 4, request)
}

/// Returns a batch of the transaction of [`ID`].
fn batch(sequence: i32, values: &[&str]) -> Value {
    json!({"producer": "$pid", "epoch": "$epoch", "sequence": sequence, "transactional": true,
        "records": values})
}

/// Returns a request that produces batches to a partition of `t%`.
fn produced(transactional_id: Value, partition: i32, batches: Value) -> Value {
    let partition = json!([{"Index": partition, "Records": batches}]);
    json!({"TransactionalId": transactional_id, "Acks": -1, "TimeoutMs": 2000,
        "TopicData": [{"Name": "t%", "TopicId": "$id of t", "PartitionData": partition}]})
}

/// Produces in the transaction of [`ID`], to partition 0 of `t%`.
fn write(sequence: i32, values: &[&str]) -> Step {
    call(
        "Produce",
        11,
        produced(json!(ID), 0, json!([batch(sequence, values)])),
    )
}

/// Produces without a transaction, to partition 0 of `t%`.
fn write_plain(values: &[&str]) -> Step {
    let batch = json!([{"records": values}]);
    call("Produce", 11, produced(Value::Null, 0, batch))
}

/// Returns a request that ends the transaction of [`ID`].
fn ended(commit: bool) -> Value {
    json!({"TransactionalId": ID, "ProducerId": "$pid", "ProducerEpoch": "$epoch",
        "Committed": commit})
}

/// Commits or aborts the transaction of [`ID`] with a version of EndTxn that keeps the epoch, and
/// waits until that is done.
fn end(commit: bool) -> [Step; 2] {
    [call("EndTxn", 4, ended(commit)), complete(commit)]
}

/// Waits until the transaction of [`ID`] has ended everywhere.
fn complete(commit: bool) -> Step {
    let state = if commit {
        "CompleteCommit"
    } else {
        "CompleteAbort"
    };
    wait_for(state)
}

/// Waits for a state of the transaction of [`ID`].
fn wait_for(state: &'static str) -> Step {
    let path = "TransactionStates.0.TransactionState";
    Step::Call {
        api: "DescribeTransactions",
        version: 0,
        request: json!({"TransactionalIds": [ID]}),
        until: Until::Field(path, json!(state)),
        captures: Vec::new(),
    }
}

/// Returns a request with some of its fields changed.
pub(super) fn with(request: &Value, changes: &Value) -> Value {
    let mut request = request.clone();
    for (name, value) in changes.as_object().into_iter().flatten() {
        request[name.as_str()] = value.clone();
    }
    request
}
