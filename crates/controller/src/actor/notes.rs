//! Logs the decisions of plans once they are committed.

use dohle_model::{NodeId, PartitionIndex, TopicName};

use crate::plan::{Note, listed};

/// The most unclean elections, and the most partitions that need one, that are logged individually
/// for one batch.
const ELECTIONS_MAX: usize = 100;

/// Logs the notes of a committed batch; see the module.
pub(super) fn log(notes: &[Note]) {
    let (mut unclean, mut last_known, mut waiting) = (0, 0, 0);
    for note in notes {
        match note {
            Note::TokenExpired { id, owner } => {
                tracing::info!(token = %id, %owner, "removed an expired delegation token");
            }
            Note::LeftIsrs {
                broker,
                partitions,
                reason,
            } => {
                tracing::info!(%broker, partitions, reason, "removed a broker from ISRs and ELRs");
            }
            Note::UncleanElection {
                last_known: true, ..
            } => last_known += 1,
            Note::UncleanElection {
                id, topic, leader, ..
            } => {
                unclean += 1;
                if unclean <= ELECTIONS_MAX {
                    tracing::warn!(
                        partition = format!("{topic}-{}", id.partition),
                        %leader,
                        "unclean election: committed records may be lost"
                    );
                }
            }
            Note::NoEligibleReplica {
                id,
                topic,
                replicas,
            } => {
                waiting += 1;
                if waiting <= ELECTIONS_MAX {
                    warn_of_no_leader(id.partition, topic, replicas);
                }
            }
        }
    }
    if unclean > ELECTIONS_MAX {
        tracing::warn!(
            partitions = unclean - ELECTIONS_MAX,
            "more unclean elections: committed records may be lost"
        );
    }
    if waiting > ELECTIONS_MAX {
        tracing::warn!(
            partitions = waiting - ELECTIONS_MAX,
            "more partitions without a leader and without an eligible replica: each needs an \
             unclean election"
        );
    }
    if last_known > 0 {
        tracing::info!(
            partitions = last_known,
            "elected last known leaders again, after an unclean stop"
        );
    }
}

fn warn_of_no_leader(partition: PartitionIndex, topic: &TopicName, replicas: &[NodeId]) {
    let command = format!(
        "dohle leader-election --bootstrap-server HOST:PORT --election-type unclean --topic \
         {topic} --partition {partition}"
    );
    tracing::warn!(
        partition = format!("{topic}-{partition}"),
        replicas = listed(replicas),
        command,
        "the partition has no leader, and no replica is known to hold all committed records. An \
         unclean election makes the first running replica the leader, and loses the records that \
         only others have: before it, stop the brokers whose copies must not be used"
    );
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use dohle_model::{TopicId, TopicIdPartition};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(notes: &[Note]) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || log(notes));
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| line.trim_start().to_owned() + "\n")
            .collect()
    }

    #[test]
    fn a_partition_without_eligible_replica_is_a_warning_with_the_command_that_ends_it() {
        let id = TopicIdPartition {
            topic_id: TopicId::from_bytes([1; 16]),
            partition: PartitionIndex(7),
        };
        let topic = TopicName::new("orders").unwrap();
        let replicas = vec![NodeId(1), NodeId(2)];
        let note = Note::NoEligibleReplica {
            id,
            topic,
            replicas,
        };
        expect_test::expect![[r#"
            WARN the partition has no leader, and no replica is known to hold all committed records. An unclean election makes the first running replica the leader, and loses the records that only others have: before it, stop the brokers whose copies must not be used partition="orders-7" replicas="1, 2" command="dohle leader-election --bootstrap-server HOST:PORT --election-type unclean --topic orders --partition 7"
        "#]].assert_eq(&logged(&[note]));
    }

    fn election(partition: i32, last_known: bool) -> Note {
        Note::UncleanElection {
            id: TopicIdPartition {
                topic_id: TopicId::from_bytes([1; 16]),
                partition: PartitionIndex(partition),
            },
            topic: TopicName::new("orders").unwrap(),
            leader: NodeId(2),
            last_known,
        }
    }

    #[test]
    fn an_unclean_election_is_a_warning_that_names_partition_and_leader() {
        let text = logged(&[election(7, false), election(8, true)]);
        expect_test::expect![[r#"
            WARN unclean election: committed records may be lost partition="orders-7" leader=2
            INFO elected last known leaders again, after an unclean stop partitions=1
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_broker_that_leaves_isrs_is_named_with_the_reason() {
        let text = logged(&[Note::LeftIsrs {
            broker: NodeId(3),
            partitions: 12,
            reason: "it is fenced",
        }]);
        expect_test::expect![[r#"
            INFO removed a broker from ISRs and ELRs broker=3 partitions=12 reason="it is fenced"
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn of_many_unclean_elections_the_rest_is_counted() {
        let many = ELECTIONS_MAX as i32 + 5;
        let notes: Vec<Note> = (0..many).map(|id| election(id, false)).collect();
        let text = logged(&notes);
        assert_eq!(text.lines().count(), ELECTIONS_MAX + 1);
        assert!(
            text.contains("more unclean elections: committed records may be lost partitions=5")
        );
    }
}
