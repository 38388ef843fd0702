//! `explain partition`: why it has this leader, why replicas are not in sync, and since when.

use std::collections::BTreeSet;

use dohle_admin::{
    Cluster, ConfigEntry, Node, Partition, PartitionId, Resource, describe_configs, describe_topics,
};
use serde_json::{Value, json};

use super::debug_pages::{DebugPages, encode};
use super::require_topic;
use super::words::{brokers, sentence, span, time};
use crate::options::{UsageError, usage};
use crate::tool_run::ToolRun;

pub(super) async fn explain(run: &ToolRun<'_>, name: &str) -> anyhow::Result<()> {
    let id = parse(name)?;
    let cluster = run.connect().await?;
    let partition = described(run, &cluster, &id).await?;
    let all: Vec<Node> = cluster
        .describe(true)
        .await?
        .brokers
        .iter()
        .map(Node::from)
        .collect();
    let min_isr = min_isr(&cluster, &id.topic).await;
    let pages = DebugPages::find(run, &all).await?;
    let path = format!(
        "/debug/partitions?topic={}&partition={}",
        encode(&id.topic),
        id.partition
    );
    let mut reports = Vec::new();
    let mut missing = Vec::new();
    let alive = |broker: &i32| all.iter().any(|node| node.id == *broker && !node.fenced);
    for broker in partition.replicas.iter().filter(|broker| alive(broker)) {
        match pages.page(*broker, &path).await {
            Ok(page) => reports.extend(page["partitions"].get(0).cloned()),
            Err(reason) => missing.push(reason),
        }
    }
    let explained = Explained {
        id: &id,
        partition: &partition,
        brokers: &all,
        min_isr,
        changes: merged(&reports),
        reports,
        missing,
    };
    let shown = json!({
        "topic": id.topic,
        "partition": partition,
        "minInsyncReplicas": min_isr,
        "changes": explained.changes,
        "reports": explained.reports,
        "notAnswered": explained.missing,
    });
    run.show(&shown, |_| explained.text())
}

/// Reads `orders-0`.
fn parse(name: &str) -> Result<PartitionId, UsageError> {
    let (topic, index) = name.rsplit_once('-').unwrap_or((name, ""));
    match index.parse::<i32>() {
        Ok(index) if index >= 0 && !topic.is_empty() => Ok(PartitionId::new(topic, index)),
        _ => usage(format!(
            "{name} is not a partition: write the topic, a dash and a number, as in orders-0"
        )),
    }
}

async fn described(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    id: &PartitionId,
) -> anyhow::Result<Partition> {
    require_topic(cluster, &id.topic).await?;
    let topics = describe_topics(
        cluster,
        std::slice::from_ref(&id.topic),
        None,
        &run.progress,
    )
    .await?;
    let partitions: Vec<Partition> = topics
        .into_iter()
        .flat_map(|topic| topic.partitions)
        .collect();
    let last = partitions.len().saturating_sub(1);
    let found = partitions
        .into_iter()
        .find(|one| one.partition == id.partition);
    found.ok_or_else(|| {
        anyhow::anyhow!("There is no partition {id}: the topic has the partitions 0 to {last}.")
    })
}

/// `min.insync.replicas`; `None` when the brokers do not return it.
async fn min_isr(cluster: &Cluster, topic: &str) -> Option<usize> {
    let configs = describe_configs(cluster, &[Resource::topic(topic)], false)
        .await
        .ok()?;
    let entries: Vec<ConfigEntry> = configs
        .into_values()
        .filter_map(Result::ok)
        .flatten()
        .collect();
    let entry = entries
        .iter()
        .find(|entry| entry.name == "min.insync.replicas")?;
    entry.value.as_ref()?.parse().ok()
}

/// The changes that the brokers remember, the oldest first. Several brokers remember one election.
fn merged(reports: &[Value]) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let changes = reports
        .iter()
        .filter_map(|report| report["changes"].as_array());
    let mut changes: Vec<Value> = changes.flatten().cloned().collect();
    // Another broker may have the reason of an election that a broker found when it started.
    changes.sort_by_key(|change| (change["found"] == true, change["atMs"].as_i64()));
    changes.retain(|change| {
        let parts = ["kind", "broker", "leaderEpoch", "isr"].map(|name| change[name].to_string());
        // Elections have one leader epoch each.
        let isr = if change["kind"] == "leader" {
            String::new()
        } else {
            parts[3].clone()
        };
        seen.insert((parts[0].clone(), parts[1].clone(), parts[2].clone(), isr))
    });
    changes.sort_by_key(|change| change["atMs"].as_i64());
    changes
}

struct Explained<'a> {
    id: &'a PartitionId,
    partition: &'a Partition,
    brokers: &'a [Node],
    min_isr: Option<usize>,
    changes: Vec<Value>,
    reports: Vec<Value>,
    missing: Vec<String>,
}

impl Explained<'_> {
    fn text(&self) -> String {
        let mut text = format!("Partition {}\n\n", self.id);
        text += &self.leader();
        text += &self.in_sync();
        text += &self.history();
        for missing in &self.missing {
            text += &format!("\nNot complete: {}\n", sentence(missing));
        }
        text
    }

    fn leader(&self) -> String {
        let Partition {
            leader, replicas, ..
        } = self.partition;
        let Some(leader) = leader else {
            let elr = self.partition.elr.as_deref().unwrap_or_default();
            let may_lead = match elr.is_empty() {
                true => self.partition.isr.as_slice(),
                false => elr,
            };
            return format!(
                "It has no leader: neither producers nor consumers can use it. It is led again \
                 once one of its last replicas in sync is in service: {}.\n",
                brokers(may_lead)
            );
        };
        let mut text = format!("Broker {leader} leads it");
        if let Some(change) = self.last(|change| change["kind"] == "leader") {
            let reason = change["reason"].as_str().unwrap_or_default();
            text += &format!(" since {}: {reason}", at(change));
        }
        text += ".\n";
        if let Some(preferred) = replicas.first().filter(|preferred| *preferred != leader) {
            text += &format!(
                "Its preferred leader, the first of its replicas, is broker {preferred}: {}.\n",
                match self.partition.isr.contains(preferred) {
                    true => "it is in sync, and leads after the next preferred leader election",
                    false => "it is not in sync",
                }
            );
        }
        text
    }

    fn in_sync(&self) -> String {
        let Partition { isr, replicas, .. } = self.partition;
        let mut text = format!(
            "Replicas: {}; in sync: {}.\n",
            brokers(replicas),
            brokers(isr)
        );
        let behind: Vec<i32> = replicas
            .iter()
            .filter(|id| !isr.contains(id))
            .copied()
            .collect();
        if behind.is_empty() {
            text += "All replicas are in sync.\n";
        } else {
            let (all, out) = (replicas.len(), behind.len());
            text += &format!("It is under-replicated: {out} of {all} replicas are not in sync.\n");
        }
        for id in behind {
            text += &self.why_behind(id);
        }
        if let Some(min) = self.min_isr {
            let min = min.min(replicas.len());
            if isr.len() < min {
                text += &format!(
                    "Fewer replicas are in sync than min.insync.replicas={min}: producers with \
                     acks=all get NOT_ENOUGH_REPLICAS, until {} more in sync.\n",
                    match min - isr.len() {
                        1 => "1 is".to_owned(),
                        more => format!("{more} are"),
                    }
                );
            }
        }
        text
    }

    fn why_behind(&self, id: i32) -> String {
        let mut text = format!("  Broker {id} is not in sync");
        let removal = self.last(|change| change["kind"] == "isrShrunk" && change["broker"] == id);
        if let Some(removal) = removal {
            let reason = removal["reason"].as_str().unwrap_or_default();
            text += &format!(" since {}: {reason}", at(removal));
        }
        text += ".";
        match self.brokers.iter().find(|node| node.id == id) {
            None => text += " Its broker is not registered: it never started, or was removed.",
            Some(node) if node.fenced => {
                text += " Its broker is out of service now: start it, or look why it cannot reach \
                         the controllers.";
            }
            Some(_) => {
                if let Some(follower) = self.follower(id) {
                    text += &now(follower);
                }
            }
        }
        text + "\n"
    }

    /// A follower as the leader sees it now.
    fn follower(&self, id: i32) -> Option<&Value> {
        let leading = self.reports.iter().find(|report| report["leads"] == true)?;
        let mut followers = leading["followers"].as_array()?.iter();
        followers.find(|follower| follower["broker"] == id)
    }

    fn last(&self, wanted: impl Fn(&Value) -> bool) -> Option<&Value> {
        self.changes.iter().rev().find(|change| wanted(change))
    }

    fn history(&self) -> String {
        if self.changes.is_empty() {
            return String::new();
        }
        let mut text = "\nChanges within the last day, the last one first:\n".to_owned();
        for change in self.changes.iter().rev() {
            let broker = &change["broker"];
            let what = match change["kind"].as_str() {
                Some("isrShrunk") => format!("broker {broker} left the ISR"),
                Some("isrExpanded") => format!("broker {broker} joined the ISR"),
                _ if broker.is_null() => "no leader".to_owned(),
                _ => format!("broker {broker} is the leader"),
            };
            let isr = change["isr"].as_array().into_iter().flatten();
            let isr: Vec<String> = isr.map(ToString::to_string).collect();
            let reason = change["reason"].as_str().unwrap_or_default();
            text += &format!(
                "  {}  {what} (ISR {}): {reason}\n",
                at(change),
                isr.join(", ")
            );
        }
        text
    }
}

fn at(change: &Value) -> String {
    time(change["atMs"].as_i64().unwrap_or_default())
}

/// What a follower lacks now.
fn now(follower: &Value) -> String {
    let mut text = match follower["connected"] == true {
        true => " Now it is connected to the leader".to_owned(),
        false => " Now it is not connected to the leader".to_owned(),
    };
    if let Some(lag) = follower["lagRecords"].as_i64() {
        text += &format!(", and lacks {lag} records");
    }
    if let Some(ago) = follower["caughtUpAgoMs"].as_i64().filter(|ago| *ago > 0) {
        text += &format!("; it had all records {} ago", span(ago));
    }
    if follower["withoutSpace"] == true {
        text += "; its log directory has no space for records: free some on its disk";
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn node(id: i32, fenced: bool) -> Node {
        Node {
            id,
            host: "localhost".to_owned(),
            port: 9092,
            rack: None,
            fenced,
        }
    }

    fn change(at: i64, kind: &str, broker: i32, isr: &[i32], reason: &str) -> Value {
        json!({
            "atMs": at, "kind": kind, "broker": broker, "leaderEpoch": 3, "isr": isr,
            "reason": reason,
        })
    }

    #[test]
    fn a_partition_is_a_topic_and_a_number() {
        let id = parse("a-b-12").unwrap();
        assert_eq!((id.topic.as_str(), id.partition), ("a-b", 12));
        for wrong in ["orders", "orders-", "orders-x", "-1", "orders--1x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_changes_that_several_brokers_remember_are_listed_once() {
        let mut found = change(3, "leader", 1, &[1, 2], "found when it started");
        found["found"] = true.into();
        let reports = [
            json!({ "changes": [found] }),
            json!({ "changes": [
                change(4, "leader", 1, &[1, 2], "took over from 3: its broker is shutting down"),
                change(9, "isrShrunk", 2, &[1], "its broker is fenced"),
            ]}),
        ];
        let reasons: Vec<String> = merged(&reports)
            .iter()
            .map(|change| change["reason"].to_string())
            .collect();
        expect![[r#"
            "took over from 3: its broker is shutting down"
            "its broker is fenced"
        "#]]
        .assert_eq(&(reasons.join("\n") + "\n"));
    }

    #[test]
    fn an_under_replicated_partition_is_explained() {
        let id = PartitionId::new("orders", 0);
        let partition = Partition {
            partition: 0,
            leader: Some(2),
            replicas: vec![1, 2, 3],
            isr: vec![2],
            elr: None,
            last_known_elr: None,
        };
        let changes = vec![
            change(
                1000,
                "leader",
                2,
                &[2, 3],
                "took over from 1: its broker is shutting down",
            ),
            change(61_000, "isrShrunk", 3, &[2], "not caught up for 30000 ms"),
        ];
        let report = json!({ "leads": true, "followers": [
            { "broker": 3, "connected": true, "lagRecords": 17, "caughtUpAgoMs": 90_000 },
        ]});
        let nodes = [node(1, true), node(2, false), node(3, false)];
        let mut explained = Explained {
            id: &id,
            partition: &partition,
            brokers: &nodes,
            min_isr: Some(2),
            changes,
            reports: vec![report],
            missing: vec!["broker 1 could not be asked".to_owned()],
        };
        expect![[r#"
            Partition orders-0

            Broker 2 leads it since 1970-01-01 00:00:01 UTC: took over from 1: its broker is shutting down.
            Its preferred leader, the first of its replicas, is broker 1: it is not in sync.
            Replicas: brokers 1, 2, 3; in sync: broker 2.
            It is under-replicated: 2 of 3 replicas are not in sync.
              Broker 1 is not in sync. Its broker is out of service now: start it, or look why it cannot reach the controllers.
              Broker 3 is not in sync since 1970-01-01 00:01:01 UTC: not caught up for 30000 ms. Now it is connected to the leader, and lacks 17 records; it had all records 1 min 30 s ago.
            Fewer replicas are in sync than min.insync.replicas=2: producers with acks=all get NOT_ENOUGH_REPLICAS, until 1 is more in sync.

            Changes within the last day, the last one first:
              1970-01-01 00:01:01 UTC  broker 3 left the ISR (ISR 2): not caught up for 30000 ms
              1970-01-01 00:00:01 UTC  broker 2 is the leader (ISR 2, 3): took over from 1: its broker is shutting down

            Not complete: Broker 1 could not be asked.
        "#]].assert_eq(&explained.text());
        let offline = Partition {
            leader: None,
            ..partition.clone()
        };
        explained.partition = &offline;
        assert!(
            explained
                .text()
                .contains("replicas in sync is in service: broker 2.")
        );
    }
}
