//! Whether a consumer reads its partitions: a consumer that cannot reach the leader of a partition
//! gets no records from it, and no error.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::bail;
use dohle_admin::client::is_retriable;
use dohle_admin::{Cluster, PartitionId, readable};
use kacrab::common::TopicPartition;
use kacrab::consumer::Consumer;

/// How long records that exist may take to arrive when a consumer is checked.
const ARRIVAL: Duration = Duration::from_secs(5);
const BACKOFF: Duration = Duration::from_millis(100);

/// Checks that a consumer can read its partitions, and waits for records that should have arrived.
///
/// Returns the first offset of each partition whose records arrived meanwhile: they are not handed
/// to the caller, which is about to end.
///
/// # Errors
/// When a partition cannot be read. The message names each of them, with the reason.
pub async fn check_read(
    cluster: &Cluster,
    consumer: &mut Consumer,
    committed: bool,
) -> anyhow::Result<BTreeMap<TopicPartition, i64>> {
    let ids = assigned(consumer);
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut reasons = BTreeMap::new();
    let mut behind = BTreeMap::new();
    for (id, end) in readable(cluster, &ids, committed).await? {
        match end {
            Ok(end) => {
                behind.insert(id, end);
            }
            Err(reason) => {
                reasons.insert(id, reason);
            }
        }
    }
    let arrived = wait_for_arrivals(consumer, &mut behind).await;
    reasons.extend(behind.into_iter().map(|(id, end)| {
        let reason = format!("its records up to offset {end} did not arrive");
        (id, reason)
    }));
    if reasons.is_empty() {
        return Ok(arrived);
    }
    bail!(message(&reasons))
}

/// Returns what to print about the partitions of a consumer that cannot be read; `None` when all
/// can.
pub async fn unreadable(cluster: &Cluster, consumer: &Consumer) -> Option<String> {
    let ids = assigned(consumer);
    let found = match readable(cluster, &ids, false).await {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    let reasons: BTreeMap<PartitionId, String> = found
        .into_iter()
        .filter_map(|(id, end)| Some((id, end.err()?)))
        .collect();
    (!reasons.is_empty()).then(|| message(&reasons))
}

fn assigned(consumer: &Consumer) -> BTreeSet<PartitionId> {
    let assigned = consumer.assignment().into_iter();
    assigned
        .map(|one| PartitionId::new(one.topic, one.partition))
        .collect()
}

/// Polls until the position of each of these partitions has reached its end, or records arrive from
/// it; leaves in `behind` the partitions of which neither is true in time.
async fn wait_for_arrivals(
    consumer: &mut Consumer,
    behind: &mut BTreeMap<PartitionId, i64>,
) -> BTreeMap<TopicPartition, i64> {
    let until = Instant::now() + ARRIVAL;
    let mut arrived = BTreeMap::new();
    loop {
        let mut reached = Vec::new();
        for (id, end) in behind.iter() {
            let partition = TopicPartition::new(id.topic.clone(), id.partition);
            let revoked = !consumer.assignment().contains(&partition);
            let position = consumer.position(&partition).await;
            if revoked || arrived.contains_key(&partition) || position.is_ok_and(|at| at >= *end) {
                reached.push(id.clone());
            }
        }
        behind.retain(|id, _| !reached.contains(id));
        let left = until.saturating_duration_since(Instant::now());
        if behind.is_empty() || left.is_zero() {
            return arrived;
        }
        match consumer.poll(left.min(BACKOFF)).await {
            Ok(records) => {
                for record in &records {
                    let first = arrived.entry(record.topic_partition());
                    first.or_insert(record.offset);
                }
            }
            Err(error) if is_retriable(&error) => tokio::time::sleep(BACKOFF).await,
            Err(_) => return arrived,
        }
    }
}

/// One line for each reason, with the partitions that it concerns.
fn message(reasons: &BTreeMap<PartitionId, String>) -> String {
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (id, reason) in reasons {
        by_reason.entry(reason).or_default().push(id.to_string());
    }
    let lines = by_reason
        .into_iter()
        .map(|(reason, ids)| format!("Cannot read {}: {reason}", ids.join(", ")));
    lines.collect::<Vec<String>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_with_the_same_reason_share_a_line() {
        let reasons = BTreeMap::from([
            (PartitionId::new("t", 0), "it has no leader".to_owned()),
            (PartitionId::new("t", 1), "broker 2 refuses".to_owned()),
            (PartitionId::new("t", 2), "it has no leader".to_owned()),
        ]);
        expect_test::expect![[r#"
            Cannot read t-1: broker 2 refuses
            Cannot read t-0, t-2: it has no leader
        "#]]
        .assert_eq(&format!("{}\n", message(&reasons)));
    }
}
