//! `metadata-quorum`: the leader of the controllers, and how far each follower is behind.
//!
//! Kafka's `MetadataQuorumCommand`.

use anyhow::bail;
use dohle_admin::{ClusterError, Quorum, QuorumReplica, Target, describe_quorum};
use kacrab_protocol::KafkaUuid;
use kacrab_protocol::generated::RemoveRaftVoterRequestData;

use crate::clock::now_ms;
use crate::connect::{BOOTSTRAP_CONTROLLER, BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::{Subcommand, Syntax, all_of};
use crate::table::{Table, Width};
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work};

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "metadata-quorum",
    linked: true,
    syntax: Syntax {
        tool: "kafka-metadata-quorum",
        about: "This tool describes kraft metadata quorum status.",
        options: &[
            BOOTSTRAP_SERVER,
            BOOTSTRAP_CONTROLLER,
            COMMAND_CONFIG,
            OUTPUT,
        ],
        commands: &[
            Subcommand {
                name: "describe",
                help: "Describe the metadata quorum info.",
                options: &["
                    --status: A short summary of the quorum status.
                    --replication: Detailed information about the status of replication.
                    --human-readable: With --replication: how long ago, not when.
                    "],
            },
            Subcommand {
                name: "add-controller",
                help: "Add a controller to the KRaft controller cluster.",
                options: &["--dry-run: Print what would be done, but do not do it."],
            },
            Subcommand {
                name: "remove-controller",
                help: "Remove a controller from the KRaft controller cluster.",
                options: &["
                    --controller-id, -i <id>: The id of the controller to remove.
                    --controller-directory-id, -d <directory id>: The directory ID of the controller
                        to remove.
                    --dry-run: Print what would be done, but do not do it.
                    "],
            },
        ],
        rules: &[
            all_of(&["controller-id"])
                .when(&["remove-controller"])
                .message("argument --controller-id/-i is required"),
            all_of(&["controller-directory-id"]).when(&["remove-controller"]),
        ],
    },
    work: Work::Async(|run| Box::pin(work(run))),
    failure: Failure::Stderr(""),
};

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    match run.parsed.command {
        Some("add-controller") => add(run).await,
        Some("remove-controller") => remove(run).await,
        _ => describe(run).await,
    }
}

async fn describe(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let (status, replication) = (parsed.has("status"), parsed.has("replication"));
    if status && replication {
        bail!(
            "Only one of --status or --replication should be specified with describe sub-command"
        );
    }
    if !status && !replication {
        bail!("One of --status or --replication must be specified with describe sub-command");
    }
    let human = parsed.has("human-readable");
    if status && human {
        bail!("The option --human-readable is only supported along with --replication");
    }
    let cluster = run.connect().await?;
    let quorum = describe_quorum(&cluster).await?;
    run.show(&quorum, |quorum| match status {
        true => render_status(quorum),
        false => render_replication(quorum, human.then(now_ms)),
    })
}

/// The largest lag of a voter behind the leader, in entries and in milliseconds.
fn lag(quorum: &Quorum, leader: &QuorumReplica) -> (i64, i64) {
    let voters = quorum.voters.iter();
    let last = voters.min_by_key(|voter| voter.log_end_offset);
    let last = last.unwrap_or(leader);
    let lag_time = match (
        leader.last_caught_up_timestamp,
        last.last_caught_up_timestamp,
    ) {
        _ if last.id == leader.id => 0,
        (Some(leader), Some(last)) => leader - last,
        _ => -1,
    };
    (leader.log_end_offset - last.log_end_offset, lag_time)
}

/// As Kafka's tool prints it. Without a leader, LeaderId and the lags are -1.
fn render_status(quorum: &Quorum) -> String {
    let (lag, lag_time) = quorum
        .leader()
        .map_or((-1, -1), |leader| lag(quorum, leader));
    format!(
        "ClusterId:              {}\n\
         LeaderId:               {}\n\
         LeaderEpoch:            {}\n\
         HighWatermark:          {}\n\
         MaxFollowerLag:         {lag}\n\
         MaxFollowerLagTimeMs:   {lag_time}\n\
         CurrentVoters:          {}\n\
         CurrentObservers:       {}\n",
        quorum.cluster_id,
        quorum.leader_id,
        quorum.leader_epoch,
        quorum.high_watermark,
        render_nodes(&quorum.voters),
        render_nodes(&quorum.observers),
    )
}

fn render_nodes(replicas: &[QuorumReplica]) -> String {
    let texts: Vec<String> = replicas
        .iter()
        .map(|replica| {
            let mut text = format!("{{\"id\": {}", replica.id);
            if replica.directory_id != KafkaUuid::ZERO.to_string() {
                text += &format!(", \"directoryId\": \"{}\"", replica.directory_id);
            }
            if !replica.endpoints.is_empty() {
                text += &format!(
                    ", \"endpoints\": [\"{}\"]",
                    replica.endpoints.join("\", \"")
                );
            }
            text + "}"
        })
        .collect();
    format!("[{}]", texts.join(", "))
}

/// As Kafka's tool prints it; with the time, how long ago.
fn render_replication(quorum: &Quorum, now: Option<i64>) -> String {
    let leader = quorum.leader();
    let lag = |end: i64| leader.map_or(-1, |leader| leader.log_end_offset - end);
    let time = |at: Option<i64>| match (at, now) {
        (None, _) => "-1".to_owned(),
        (Some(at), None) => at.to_string(),
        // Another machine's clock may run ahead of this one's.
        (Some(at), Some(now)) => format!("{} ms ago", (now - at).max(0)),
    };
    let (leaders, followers): (Vec<_>, Vec<_>) = quorum
        .voters
        .iter()
        .partition(|voter| voter.id == quorum.leader_id);
    let mut rows: Vec<(&QuorumReplica, &str)> = Vec::new();
    rows.extend(leaders.into_iter().map(|leader| (leader, "Leader")));
    rows.extend(followers.into_iter().map(|follower| (follower, "Follower")));
    rows.extend(
        quorum
            .observers
            .iter()
            .map(|observer| (observer, "Observer")),
    );
    let table = Table::new()
        .separated_by("\t")
        .column(
            "NodeId",
            Width::Widest,
            |(one, _): &(&QuorumReplica, &str)| one.id.to_string(),
        )
        .column("DirectoryId", Width::Widest, |(one, _)| {
            one.directory_id.clone()
        })
        .column("LogEndOffset", Width::Widest, |(one, _)| {
            one.log_end_offset.to_string()
        })
        .column("Lag", Width::Widest, |(one, _)| {
            lag(one.log_end_offset).to_string()
        })
        .column("LastFetchTimestamp", Width::Widest, |(one, _)| {
            time(one.last_fetch_timestamp)
        })
        .column("LastCaughtUpTimestamp", Width::Widest, |(one, _)| {
            time(one.last_caught_up_timestamp)
        })
        .column("Status", Width::Widest, |(_, status)| (*status).to_owned());
    table.lines(&rows).join("\t\n") + "\t\n"
}

/// Why the quorum's members cannot be changed by this tool.
const STATIC: &str = "Dohle's controllers are those in controller.quorum.voters, and cannot be \
                      changed while the cluster runs: change that property on every node and \
                      restart them one after the other";

async fn add(run: &ToolRun<'_>) -> anyhow::Result<()> {
    if !run.parsed.has("command-config") {
        bail!(
            "You must supply the configuration file of the controller you are adding when using \
             add-controller."
        );
    }
    bail!("add-controller is not supported. {STATIC}")
}

async fn remove(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let id: i32 = run.parsed.parsed("controller-id")?.unwrap_or_default();
    let directory = run.parsed.required("controller-directory-id")?;
    if id < 0 {
        bail!("Invalid negative --controller-id: {id}");
    }
    let Ok(directory_id) = KafkaUuid::from_base64(directory) else {
        bail!("Failed to parse --controller-directory-id: {directory:?} is no directory id");
    };
    let dry_run = run.parsed.has("dry-run");
    let cluster = run.connect().await?;
    if !dry_run {
        let request = RemoveRaftVoterRequestData {
            voter_id: id,
            voter_directory_id: directory_id,
            ..RemoveRaftVoterRequestData::default()
        };
        match cluster.call_once(Target::Any, &request).await {
            Err(ClusterError::Unsupported { .. }) => {
                bail!("remove-controller is not supported by this cluster. {STATIC}");
            }
            answer => answer?,
        };
    }
    // Two spaces, as in Kafka's tool.
    let done = if dry_run {
        "DRY RUN of removing "
    } else {
        "Removed "
    };
    Ok(run.print(format!(
        "{done} KRaft controller {id} with directory id {directory_id}\n"
    ))?)
}

#[cfg(test)]
mod tests {
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
}
