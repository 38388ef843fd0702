//! `explain topic`: which records are kept, for how long, and which rule deletes them.

use std::collections::{BTreeMap, BTreeSet};

use dohle_admin::{
    ByPartition, Cluster, ConfigEntry, Partition, PartitionId, ProgressReporter as _, Resource,
    ask_leaders, by_topic, describe_configs, describe_log_dirs, list_offsets, partitions_of,
};
use dohle_admin::{EARLIEST, LATEST};
use kacrab_protocol::generated::{
    ErrorCode, ListOffsetsPartition, ListOffsetsRequestData, ListOffsetsTopic,
};
use serde::Serialize;

use super::require_topic;
use super::words::{brokers, count, size, span, time};
use crate::tool_run::ToolRun;

/// The properties that decide how long records are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rules {
    compacts: bool,
    deletes: bool,
    /// -1 without a limit.
    retention_ms: i64,
    /// -1 without a limit.
    retention_bytes: i64,
    segment_ms: i64,
    segment_bytes: i64,
    delete_retention_ms: i64,
    min_compaction_lag_ms: i64,
    /// The properties that are set on the topic itself.
    own: BTreeSet<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    partition: i32,
    leader: Option<i32>,
    /// The bytes on the leader's disk; `None` when the leader did not answer.
    bytes: Option<i64>,
    /// The number of offsets between the log's start and its end.
    records: Option<i64>,
    /// The timestamp of the first record.
    oldest_ms: Option<i64>,
}

pub(super) async fn explain(run: &ToolRun<'_>, name: &str) -> anyhow::Result<()> {
    let cluster = run.connect().await?;
    require_topic(&cluster, name).await?;
    let partitions = partitions_of(&cluster, &[name.to_owned()], &run.progress).await?;
    let configs = describe_configs(&cluster, &[Resource::topic(name)], false).await?;
    let mut entries = Vec::new();
    for described in configs.into_values() {
        entries.extend(described?);
    }
    let rules = Rules::of(&entries);
    let (sizes, silent) = sizes(&cluster, name, &partitions).await?;
    let rows = rows(run, &cluster, &partitions, &sizes).await?;
    let now = crate::clock::now_ms();
    let shown = serde_json::json!({
        "topic": name, "rules": rules, "partitions": rows, "brokersThatDidNotAnswer": silent,
    });
    run.show(&shown, |_| text(name, &rules, &rows, &silent, now))
}

impl Rules {
    fn of(entries: &[ConfigEntry]) -> Self {
        let value = |name: &str| {
            let entry = entries.iter().find(|entry| entry.name == name);
            entry
                .and_then(|entry| entry.value.as_deref())
                .unwrap_or_default()
        };
        let number = |name: &str| value(name).parse().unwrap_or(-1);
        let policy: BTreeSet<&str> = value("cleanup.policy").split(',').map(str::trim).collect();
        let own = entries
            .iter()
            .filter(|entry| entry.source == dohle_admin::ConfigSource::DynamicTopicConfig);
        Self {
            compacts: policy.contains("compact"),
            deletes: policy.contains("delete"),
            retention_ms: number("retention.ms"),
            retention_bytes: number("retention.bytes"),
            segment_ms: number("segment.ms"),
            segment_bytes: number("segment.bytes"),
            delete_retention_ms: number("delete.retention.ms"),
            min_compaction_lag_ms: number("min.compaction.lag.ms"),
            own: own.map(|entry| entry.name.clone()).collect(),
        }
    }

    /// Where a property is set.
    fn from(&self, name: &str) -> &'static str {
        match self.own.contains(name) {
            true => "set on the topic",
            false => "the broker's default",
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if self.deletes {
            text += &match self.retention_ms {
                ..0 => format!(
                    "No record is deleted because of its age (retention.ms=-1, {}).\n",
                    self.from("retention.ms")
                ),
                age => format!(
                    "A record is deleted when the newest record of its segment is older than {} \
                     (retention.ms={age}, {}). A segment is closed after {} (segment.ms) or {} \
                     (segment.bytes), and the one that is being written to is never deleted by \
                     size, so records stay a while longer.\n",
                    span(age),
                    self.from("retention.ms"),
                    span(self.segment_ms),
                    size(self.segment_bytes),
                ),
            };
            text += &match self.retention_bytes {
                ..0 => format!(
                    "No record is deleted because of the size (retention.bytes=-1, {}).\n",
                    self.from("retention.bytes")
                ),
                bytes => format!(
                    "The oldest segments of a partition are deleted while the partition has more \
                     than {} without them (retention.bytes={bytes}, {}).\n",
                    size(bytes),
                    self.from("retention.bytes")
                ),
            };
        }
        if self.compacts {
            let recent = match self.min_compaction_lag_ms {
                ..=0 => String::new(),
                lag => format!(
                    ", and all records of the last {} (min.compaction.lag.ms)",
                    span(lag)
                ),
            };
            text += &format!(
                "Compaction keeps the last record of each key{recent}. A record without a value \
                 deletes its key, and is itself kept for {} (delete.retention.ms). The segment \
                 that is being written to is not compacted.\n",
                span(self.delete_retention_ms),
            );
        }
        if !self.deletes && !self.compacts {
            text += "No rule deletes its records: cleanup.policy is empty.\n";
        } else if self.compacts && !self.deletes {
            text += "No record is deleted because of its age or the size: cleanup.policy is \
                     compact, so retention.ms and retention.bytes have no effect.\n";
        }
        text +=
            "DeleteRecords (dohle delete-records) deletes records at once, whatever the rules.\n";
        text
    }

    /// Which rule deletes the oldest records of a partition next, and when.
    fn next(&self, row: &Row, now: i64) -> String {
        let (Some(bytes), Some(records)) = (row.bytes, row.records) else {
            return "its leader did not answer".to_owned();
        };
        if records == 0 {
            return "it has no records".to_owned();
        }
        if !self.deletes {
            return match self.compacts {
                true => "kept until a newer record has the same key".to_owned(),
                false => "kept".to_owned(),
            };
        }
        if self.retention_bytes >= 0 && bytes > self.retention_bytes {
            let above = bytes - self.retention_bytes;
            if above > self.segment_bytes {
                return format!(
                    "{} above retention.bytes: the oldest segments are deleted at the next check",
                    size(above)
                );
            }
        }
        match (self.retention_ms, row.oldest_ms) {
            (..0, _) if self.retention_bytes < 0 => "kept without a limit".to_owned(),
            (..0, _) => format!(
                "kept until it has more than {}, and its oldest segment is above that",
                size(self.retention_bytes)
            ),
            (_, None) => "its records have no timestamps".to_owned(),
            (age, Some(oldest)) => {
                let from = oldest.saturating_add(age);
                let until = from.saturating_add(self.segment_ms);
                match from > now {
                    true => format!(
                        "oldest record of {}: retention.ms deletes it between {} and {}",
                        time(oldest),
                        time(from),
                        time(until)
                    ),
                    false => format!(
                        "oldest record of {}: older than retention.ms, deleted when the newest \
                         record of its segment is, by {} at the latest",
                        time(oldest),
                        time(until)
                    ),
                }
            }
        }
    }
}

fn offsets(number: i64) -> String {
    count(usize::try_from(number).unwrap_or(0), "offset")
}

/// Bytes by partition, of their leaders, and the brokers that did not answer.
async fn sizes(
    cluster: &Cluster,
    topic: &str,
    partitions: &[(PartitionId, Partition)],
) -> anyhow::Result<(BTreeMap<i32, i64>, Vec<i32>)> {
    let leaders: BTreeSet<i32> = partitions
        .iter()
        .filter_map(|(_, one)| one.leader)
        .collect();
    let (mut sizes, mut silent) = (BTreeMap::new(), Vec::new());
    for leader in leaders {
        let Ok(answer) = describe_log_dirs(cluster, leader).await else {
            silent.push(leader);
            continue;
        };
        let of_topic = answer.results.iter().flat_map(|dir| &dir.topics);
        for found in of_topic.filter(|found| found.name.as_str() == topic) {
            for one in found.partitions.iter().filter(|one| !one.is_future_key) {
                let mut led = partitions
                    .iter()
                    .filter(|(_, known)| known.leader == Some(leader));
                if led.any(|(id, _)| id.partition == one.partition_index) {
                    sizes.insert(one.partition_index, one.partition_size);
                }
            }
        }
    }
    Ok((sizes, silent))
}

async fn rows(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    partitions: &[(PartitionId, Partition)],
    sizes: &BTreeMap<i32, i64>,
) -> anyhow::Result<Vec<Row>> {
    let led = partitions.iter().filter(|(_, one)| one.leader.is_some());
    let led: Vec<PartitionId> = led.map(|(id, _)| id.clone()).collect();
    let all_at = |timestamp| led.iter().map(|id| (id.clone(), timestamp)).collect();
    let starts = list_offsets(cluster, &all_at(EARLIEST), &run.progress).await?;
    let ends = list_offsets(cluster, &all_at(LATEST), &run.progress).await?;
    let oldest = oldest(run, cluster, &led).await?;
    let offset = |of: &ByPartition<Option<i64>>, id: &PartitionId| {
        of.get(id)
            .and_then(|found| found.as_ref().ok().copied().flatten())
    };
    let rows = partitions.iter().map(|(id, one)| Row {
        partition: id.partition,
        leader: one.leader,
        bytes: sizes.get(&id.partition).copied(),
        records: offset(&ends, id)
            .zip(offset(&starts, id))
            .map(|(end, start)| end - start),
        oldest_ms: offset(&oldest, id),
    });
    Ok(rows.collect())
}

/// The timestamps of the first records that have one.
async fn oldest(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    partitions: &[PartitionId],
) -> anyhow::Result<ByPartition<Option<i64>>> {
    let progress = run
        .progress
        .begin("oldest records found", Some(partitions.len()));
    let request = |ids: &[PartitionId]| {
        let partitions = ids.iter().map(|id| {
            let partition = ListOffsetsPartition {
                partition_index: id.partition,
                current_leader_epoch: -1,
                timestamp: 0,
                ..ListOffsetsPartition::default()
            };
            (id.topic.as_str(), partition)
        });
        ListOffsetsRequestData {
            replica_id: -1,
            topics: by_topic(partitions, |name, partitions| ListOffsetsTopic {
                name,
                partitions,
                ..ListOffsetsTopic::default()
            }),
            timeout_ms: cluster.request_timeout_ms(),
            ..ListOffsetsRequestData::default()
        }
    };
    let found = ask_leaders(cluster, partitions.iter(), &*progress, request, |answer| {
        let results = answer.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|one| {
                let id = PartitionId::new(topic.name.as_str(), one.partition_index);
                let timestamp = Some(one.timestamp).filter(|timestamp| *timestamp >= 0);
                let result = match ErrorCode::from(one.error_code) {
                    ErrorCode::None => Ok(timestamp),
                    code => Err(code),
                };
                (id, result)
            })
        });
        results.collect()
    });
    Ok(found.await?)
}

fn text(name: &str, rules: &Rules, rows: &[Row], silent: &[i32], now: i64) -> String {
    let bytes: i64 = rows.iter().filter_map(|row| row.bytes).sum();
    let mut text = format!(
        "Topic {name} has {} of record batches in {} partitions, on the disks of the leaders; each \
         other replica has about as much.\n\n",
        size(bytes),
        rows.len()
    );
    text += &rules.text();
    text.push('\n');
    for row in rows {
        let leader = match row.leader {
            Some(leader) => format!("led by broker {leader}"),
            None => "no leader".to_owned(),
        };
        let kept = match (row.bytes, row.records) {
            (Some(bytes), Some(records)) => format!(", {}, {}", size(bytes), offsets(records)),
            _ => String::new(),
        };
        let next = rules.next(row, now);
        text += &format!("  Partition {}, {leader}{kept}: {next}.\n", row.partition);
    }
    if !silent.is_empty() {
        text += &format!(
            "\nNot complete: {} did not return the sizes of their logs. Are they in service, \
             and may this user describe the cluster?\n",
            brokers(silent)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn rules() -> Rules {
        Rules {
            deletes: true,
            retention_ms: 604_800_000,
            retention_bytes: -1,
            segment_ms: 604_800_000,
            segment_bytes: 1 << 30,
            delete_retention_ms: 86_400_000,
            own: BTreeSet::from(["retention.bytes".to_owned()]),
            ..Rules::default()
        }
    }

    fn row(bytes: i64, records: i64, oldest_ms: Option<i64>) -> Row {
        Row {
            partition: 0,
            leader: Some(1),
            bytes: Some(bytes),
            records: Some(records),
            oldest_ms,
        }
    }

    #[test]
    fn the_rules_are_explained_with_where_they_are_set() {
        expect![[r#"
            A record is deleted when the newest record of its segment is older than 7 d (retention.ms=604800000, the broker's default). A segment is closed after 7 d (segment.ms) or 1.0 GiB (segment.bytes), and the one that is being written to is never deleted by size, so records stay a while longer.
            No record is deleted because of the size (retention.bytes=-1, set on the topic).
            DeleteRecords (dohle delete-records) deletes records at once, whatever the rules.
        "#]].assert_eq(&rules().text());
        let compacts = Rules {
            compacts: true,
            deletes: false,
            ..rules()
        };
        expect![[r#"
            Compaction keeps the last record of each key. A record without a value deletes its key, and is itself kept for 1 d (delete.retention.ms). The segment that is being written to is not compacted.
            No record is deleted because of its age or the size: cleanup.policy is compact, so retention.ms and retention.bytes have no effect.
            DeleteRecords (dohle delete-records) deletes records at once, whatever the rules.
        "#]].assert_eq(&compacts.text());
    }

    #[test]
    fn the_rule_that_deletes_next_is_named() {
        let day = 86_400_000;
        let kept = |rules: &Rules, row: &Row| rules.next(row, 20 * day);
        let young = row(100, 5, Some(19 * day));
        let old = row(100, 5, Some(day));
        let unlimited = Rules {
            retention_ms: -1,
            ..rules()
        };
        let small = Rules {
            retention_bytes: 1000,
            segment_bytes: 500,
            ..rules()
        };
        let compacts = Rules {
            compacts: true,
            deletes: false,
            ..rules()
        };
        let texts = [
            kept(&rules(), &young),
            kept(&rules(), &old),
            kept(&rules(), &row(0, 0, None)),
            kept(&unlimited, &young),
            kept(&small, &row(5000, 5, Some(19 * day))),
            kept(&compacts, &young),
        ];
        expect![[r#"
            oldest record of 1970-01-20 00:00:00 UTC: retention.ms deletes it between 1970-01-27 00:00:00 UTC and 1970-02-03 00:00:00 UTC
            oldest record of 1970-01-02 00:00:00 UTC: older than retention.ms, deleted when the newest record of its segment is, by 1970-01-16 00:00:00 UTC at the latest
            it has no records
            kept without a limit
            4000 B above retention.bytes: the oldest segments are deleted at the next check
            kept until a newer record has the same key
        "#]].assert_eq(&(texts.join("\n") + "\n"));
    }
}
