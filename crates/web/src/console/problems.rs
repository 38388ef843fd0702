//! What is wrong with a cluster, and what to do about it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use dohle_admin::{Node, Quorum, Topic};
use serde::Serialize;

/// The most partitions that a problem names; the others are only counted.
const NAMED_MAX: usize = 5;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Something does not work.
    Critical,
    /// Something works with fewer replicas than it should.
    Warning,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub severity: Severity,
    pub title: String,
    /// What this means, and where.
    pub detail: String,
    /// What to do.
    pub action: String,
}

/// What is known of a cluster.
pub(super) struct Cluster<'a> {
    pub brokers: &'a [Node],
    pub topics: &'a [Topic],
    /// `min.insync.replicas` of the topics that have it.
    pub min_insync: &'a BTreeMap<String, usize>,
    pub quorum: Option<&'a Quorum>,
}

/// Returns what is wrong, the worst first.
pub(super) fn problems(cluster: &Cluster<'_>) -> Vec<Problem> {
    let mut found: Vec<Problem> = [
        offline(cluster),
        under_min_isr(cluster),
        no_controller(cluster),
        fenced(cluster),
        under_replicated(cluster),
    ]
    .into_iter()
    .flatten()
    .collect();
    found.sort_by_key(|problem| problem.severity);
    found
}

/// Names of partitions, and the brokers that are missing in them.
#[derive(Default)]
struct Found {
    count: usize,
    named: Vec<String>,
    missing: BTreeSet<i32>,
}

impl Found {
    fn add(&mut self, topic: &str, partition: &dohle_admin::Partition) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(format!("{topic}-{}", partition.partition));
        }
        let missing = partition.replicas.iter();
        self.missing
            .extend(missing.filter(|replica| !partition.isr.contains(replica)));
    }

    fn names(&self) -> String {
        let more = self.count - self.named.len();
        match more {
            0 => self.named.join(", "),
            _ => format!("{} and {more} more", self.named.join(", ")),
        }
    }

    fn partitions(&self) -> String {
        counted(self.count, "partition")
    }

    fn brokers(&self) -> String {
        brokers(&self.missing)
    }
}

fn brokers(ids: &BTreeSet<i32>) -> String {
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match texts.as_slice() {
        [one] => format!("broker {one}"),
        all => format!("brokers {}", all.join(", ")),
    }
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

fn find(
    cluster: &Cluster<'_>,
    matches: impl Fn(&Topic, &dohle_admin::Partition) -> bool,
) -> Option<Found> {
    let mut found = Found::default();
    for topic in cluster.topics {
        for partition in &topic.partitions {
            if matches(topic, partition) {
                found.add(&topic.name, partition);
            }
        }
    }
    (found.count > 0).then_some(found)
}

fn offline(cluster: &Cluster<'_>) -> Option<Problem> {
    let found = find(cluster, |_, partition| partition.leader.is_none())?;
    Some(Problem {
        severity: Severity::Critical,
        title: format!("{} without a leader", found.partitions()),
        detail: format!(
            "Nobody can write to or read from {}: all replicas that have all records are on \
             brokers that are out of service.",
            found.names()
        ),
        action: format!(
            "Start {} again. Only if their disks are lost, elect a leader that lacks records: \
             kafka-leader-election --election-type unclean.",
            found.brokers()
        ),
    })
}

fn under_min_isr(cluster: &Cluster<'_>) -> Option<Problem> {
    let found = find(cluster, |topic, partition| {
        let min = cluster.min_insync.get(&topic.name);
        partition.leader.is_some() && min.is_some_and(|min| partition.isr.len() < *min)
    })?;
    Some(Problem {
        severity: Severity::Critical,
        title: format!("{} below min.insync.replicas", found.partitions()),
        detail: format!(
            "Producers with acks=all, the default, are refused at {}: too few replicas are in \
             sync.",
            found.names()
        ),
        action: format!(
            "Start {}, and wait until its replicas have caught up.",
            found.brokers()
        ),
    })
}

fn under_replicated(cluster: &Cluster<'_>) -> Option<Problem> {
    let found = find(cluster, |_, partition| {
        partition.leader.is_some() && partition.isr.len() < partition.replicas.len()
    })?;
    Some(Problem {
        severity: Severity::Warning,
        title: format!("{} with replicas out of sync", found.partitions()),
        detail: format!(
            "{} can be written to and read from, with fewer copies than intended: records are \
             missing on {}.",
            found.names(),
            found.brokers()
        ),
        action: format!(
            "Start {} if out of service. One that runs catches up by itself; if it does not, look \
             in its log for errors of disks and of the network.",
            found.brokers()
        ),
    })
}

fn fenced(cluster: &Cluster<'_>) -> Option<Problem> {
    let fenced = cluster.brokers.iter().filter(|broker| broker.fenced);
    let fenced: BTreeSet<i32> = fenced.map(|broker| broker.id).collect();
    if fenced.is_empty() {
        return None;
    }
    Some(Problem {
        severity: Severity::Warning,
        title: format!("{} out of service", counted(fenced.len(), "broker")),
        detail: format!(
            "The controllers do not hear from {}, which Kafka calls fenced. Other brokers lead its \
             partitions.",
            brokers(&fenced)
        ),
        action: format!(
            "Start {}. If it is gone for good, move its partitions to others with \
             kafka-reassign-partitions, then remove it with kafka-cluster unregister.",
            brokers(&fenced)
        ),
    })
}

fn no_controller(cluster: &Cluster<'_>) -> Option<Problem> {
    let quorum = cluster.quorum?;
    if quorum.leader().is_some() {
        return None;
    }
    Some(Problem {
        severity: Severity::Critical,
        title: "No active controller".to_owned(),
        detail: "Nothing can be created or changed, and no leaders are elected.".to_owned(),
        action: format!(
            "Start controllers until more than half of {} run and reach each other.",
            quorum.voters.len()
        ),
    })
}

#[cfg(test)]
mod tests {
    use dohle_admin::Partition;

    use super::*;

    fn broker(id: i32, fenced: bool) -> Node {
        Node {
            id,
            host: "h".to_owned(),
            port: 9092,
            rack: None,
            fenced,
        }
    }

    fn partition(partition: i32, leader: Option<i32>, isr: &[i32]) -> Partition {
        Partition {
            partition,
            leader,
            replicas: vec![1, 2, 3],
            isr: isr.to_vec(),
            elr: None,
            last_known_elr: None,
        }
    }

    fn found(brokers: &[Node], partitions: Vec<Partition>) -> Vec<(Severity, String)> {
        let topics = [Topic {
            name: "t".to_owned(),
            id: kacrab_protocol::KafkaUuid::default(),
            partitions,
        }];
        let found = problems(&Cluster {
            brokers,
            topics: &topics,
            min_insync: &BTreeMap::from([("t".to_owned(), 2)]),
            quorum: None,
        });
        let texts = found.into_iter();
        texts
            .map(|it| {
                (
                    it.severity,
                    format!("{}|{}|{}", it.title, it.detail, it.action),
                )
            })
            .collect()
    }

    #[test]
    fn a_healthy_cluster_has_no_problems() {
        let brokers = [broker(1, false), broker(2, false), broker(3, false)];
        let partitions = vec![partition(0, Some(1), &[1, 2, 3])];
        assert_eq!(found(&brokers, partitions), []);
    }

    #[test]
    fn each_problem_names_where_it_is_and_the_worst_comes_first() {
        let brokers = [broker(1, false), broker(2, true), broker(3, true)];
        let partitions = vec![
            partition(0, Some(1), &[1, 3]),
            partition(1, Some(1), &[1]),
            partition(2, None, &[2]),
        ];
        let found = found(&brokers, partitions);
        let starts: Vec<(Severity, &str)> = found
            .iter()
            .map(|(severity, text)| (*severity, text.split('|').next().unwrap_or_default()))
            .collect();
        use Severity::{Critical, Warning};
        assert_eq!(
            starts,
            [
                (Critical, "1 partition without a leader"),
                (Critical, "1 partition below min.insync.replicas"),
                (Warning, "2 brokers out of service"),
                (Warning, "2 partitions with replicas out of sync"),
            ]
        );
        assert!(found[0].1.contains("read from t-2:"), "{}", found[0].1);
        assert!(found[1].1.contains("refused at t-1:"), "{}", found[1].1);
        assert!(found[2].1.contains("Start brokers 2, 3."), "{}", found[2].1);
        assert!(found[3].1.contains("t-0, t-1 can be"), "{}", found[3].1);
    }

    #[test]
    fn only_a_few_partitions_are_named() {
        let partitions = (0..7).map(|at| partition(at, Some(1), &[1, 2])).collect();
        let found = found(&[broker(3, true)], partitions);
        let detail = &found[1].1;
        assert!(
            detail.contains("t-0, t-1, t-2, t-3, t-4 and 2 more"),
            "{detail}"
        );
    }
}
