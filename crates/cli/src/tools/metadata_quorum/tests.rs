//! What is printed, against what Kafka's tool prints for the same state.

use expect_test::expect;

use super::*;

fn replica(id: i32, end: i64) -> QuorumReplica {
    QuorumReplica {
        id,
        directory_id: KafkaUuid::ZERO.to_string(),
        endpoints: vec![format!("CONTROLLER://127.0.0.1:{}", 41190 + id)],
        log_end_offset: end,
        last_fetch_timestamp: Some(1_795_240_957_013),
        last_caught_up_timestamp: (id != 3).then_some(1_795_240_957_013 - i64::from(id)),
    }
}

fn quorum() -> Quorum {
    let mut observer = replica(4, 4872);
    observer.directory_id = "Th_tigX8Ru2SofOlg6A9Zw".to_owned();
    Quorum {
        cluster_id: "4L6g3nShT-eMCtK--X86sw".to_owned(),
        leader_id: 1,
        leader_epoch: 7,
        high_watermark: 4872,
        voters: vec![replica(1, 4873), replica(2, 4870)],
        observers: vec![observer, replica(3, 4800)],
    }
}

#[test]
fn the_status_is_printed_as_kafka_does() {
    expect![[r#"
        ClusterId:              4L6g3nShT-eMCtK--X86sw
        LeaderId:               1
        LeaderEpoch:            7
        HighWatermark:          4872
        MaxFollowerLag:         3
        MaxFollowerLagTimeMs:   1
        CurrentVoters:          [{"id": 1, "endpoints": ["CONTROLLER://127.0.0.1:41191"]}, {"id": 2, "endpoints": ["CONTROLLER://127.0.0.1:41192"]}]
        CurrentObservers:       [{"id": 4, "directoryId": "Th_tigX8Ru2SofOlg6A9Zw", "endpoints": ["CONTROLLER://127.0.0.1:41194"]}, {"id": 3, "endpoints": ["CONTROLLER://127.0.0.1:41193"]}]
    "#]]
    .assert_eq(&render_status(&quorum()));
}

#[test]
fn replication_is_printed_as_kafka_does() {
    expect![[r#"
        NodeId	DirectoryId           	LogEndOffset	Lag	LastFetchTimestamp	LastCaughtUpTimestamp	Status  	
        1     	AAAAAAAAAAAAAAAAAAAAAA	4873        	0  	1795240957013     	1795240957012        	Leader  	
        2     	AAAAAAAAAAAAAAAAAAAAAA	4870        	3  	1795240957013     	1795240957011        	Follower	
        4     	Th_tigX8Ru2SofOlg6A9Zw	4872        	1  	1795240957013     	1795240957009        	Observer	
        3     	AAAAAAAAAAAAAAAAAAAAAA	4800        	73 	1795240957013     	-1                   	Observer	
    "#]]
    .assert_eq(&render_replication(&quorum(), None));
    let text = render_replication(&quorum(), Some(1_795_240_957_020));
    assert!(text.contains("\t7 ms ago          \t8 ms ago"), "{text}");
}

#[test]
fn a_quorum_without_a_leader_is_printed_as_far_as_it_is_known() {
    let mut quorum = quorum();
    quorum.leader_id = -1;
    let status = render_status(&quorum);
    assert!(status.contains("LeaderId:               -1\n"), "{status}");
    assert!(status.contains("MaxFollowerLag:         -1\n"), "{status}");
    let replication = render_replication(&quorum, None);
    assert!(!replication.contains("Leader\t"), "{replication}");
    assert_eq!(replication.matches("Follower").count(), 2, "{replication}");
}
