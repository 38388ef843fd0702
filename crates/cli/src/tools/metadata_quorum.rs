//! `metadata-quorum`: the leader of the controllers, and how far each follower is behind.
//!
//! Kafka's `MetadataQuorumCommand`.

use anyhow::bail;
use dohle_admin::{ClusterError, Quorum, QuorumReplica, describe_quorum, remove_voter};
use kacrab_protocol::KafkaUuid;

use crate::clock::now_ms;
use crate::connect::{BOOTSTRAP, COMMAND_CONFIG};
use crate::options::{all_of, any_of, at_most_one_of};
use crate::table::{Table, cells};
use crate::text::join_with;
use crate::tool_run::{OUTPUT, Tool, ToolRun, Work};

const COMMANDS: &str = "
    describe: Describe the metadata quorum info.
        --status: A short summary of the quorum status.
        --replication: Detailed information about the status of replication.
        --human-readable: With --replication: how long ago, not when.
    add-controller: Add a controller to the KRaft controller cluster.
        --dry-run: Print what would be done, but do not do it.
    remove-controller: Remove a controller from the KRaft controller cluster.
        --controller-id, -i <id>: The id of the controller to remove.
        --controller-directory-id, -d <directory id>: The directory ID of the controller to remove.
        --dry-run: Print what would be done, but do not do it.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-metadata-quorum",
    "This tool describes kraft metadata quorum status.",
    &[BOOTSTRAP, COMMAND_CONFIG, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    all_of("controller-id")
        .when("remove-controller")
        .message("argument --controller-id/-i is required"),
    all_of("controller-directory-id").when("remove-controller"),
    all_of("command-config").when("add-controller").message(
        "You must supply the configuration file of the controller you are adding when using \
         add-controller.",
    ),
    at_most_one_of("status replication")
        .when("describe")
        .message(
            "Only one of --status or --replication should be specified with describe sub-command",
        ),
    any_of("status replication")
        .when("describe")
        .message("One of --status or --replication must be specified with describe sub-command"),
    at_most_one_of("status human-readable")
        .when("describe")
        .message("The option --human-readable is only supported along with --replication"),
])
.commands(COMMANDS);

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    match run.parsed.command {
        Some("add-controller") => bail!("add-controller is not supported. {STATIC}"),
        Some("remove-controller") => remove(run).await,
        _ => describe(run).await,
    }
}

async fn describe(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let cluster = run.connect().await?;
    let quorum = describe_quorum(&cluster).await?;
    run.show(&quorum, |quorum| match run.parsed.has("status") {
        true => render_status(quorum),
        false => render_replication(quorum, run.parsed.has("human-readable").then(now_ms)),
    })
}

/// The largest lag of a voter behind the leader, in entries and in milliseconds.
fn lag(quorum: &Quorum, leader: &QuorumReplica) -> (i64, i64) {
    let voters = quorum.voters.iter();
    let last = voters.min_by_key(|voter| voter.log_end_offset);
    let last = last.unwrap_or(leader);
    let times = leader
        .last_caught_up_timestamp
        .zip(last.last_caught_up_timestamp);
    let lag_time = match times {
        _ if last.id == leader.id => 0,
        Some((leader, last)) => leader - last,
        None => -1,
    };
    (leader.log_end_offset - last.log_end_offset, lag_time)
}

/// As Kafka's tool prints it. Without a leader, LeaderId and the lags are -1.
fn render_status(quorum: &Quorum) -> String {
    let lags = quorum.leader().map(|leader| lag(quorum, leader));
    let (lag, lag_time) = lags.unwrap_or((-1, -1));
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
    let texts = replicas.iter().map(|replica| {
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
    });
    format!("[{}]", join_with(", ", texts))
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
    let voters = quorum.voters.iter();
    let (leaders, followers): (Vec<_>, Vec<_>) = voters.partition(|one| one.id == quorum.leader_id);
    let leaders = leaders.into_iter().map(|one| (one, "Leader"));
    let followers = followers.into_iter().map(|one| (one, "Follower"));
    let observers = quorum.observers.iter().map(|one| (one, "Observer"));
    Table::with_tabs(
        "NodeId | DirectoryId | LogEndOffset | Lag | LastFetchTimestamp | LastCaughtUpTimestamp | \
         Status",
    )
    .text(
        leaders.chain(followers).chain(observers),
        |(one, status)| {
            cells![
                one.id,
                one.directory_id,
                one.log_end_offset,
                lag(one.log_end_offset),
                time(one.last_fetch_timestamp),
                time(one.last_caught_up_timestamp),
                status,
            ]
        },
    )
}

/// Why the quorum's members cannot be changed by this tool.
const STATIC: &str = "Dohle's controllers are those in controller.quorum.voters, and cannot be \
                      changed while the cluster runs: change that property on every node and \
                      restart them one after the other";

async fn remove(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let id: i32 = run.parsed.parsed("controller-id")?.unwrap_or_default();
    let directory = run.parsed.required("controller-directory-id")?;
    if id < 0 {
        bail!("Invalid negative --controller-id: {id}");
    }
    let Ok(directory_id) = KafkaUuid::from_base64(directory) else {
        bail!("Failed to parse --controller-directory-id: {directory:?} is not a directory id");
    };
    let dry_run = run.parsed.has("dry-run");
    let cluster = run.connect().await?;
    if !dry_run {
        match remove_voter(&cluster, id, directory_id).await {
            Err(ClusterError::Unsupported { .. }) => {
                bail!("remove-controller is not supported by this cluster. {STATIC}");
            }
            answer => answer?,
        };
    }
    // Two spaces, as in Kafka's tool.
    let done = if dry_run {
        "DRY RUN of removing"
    } else {
        "Removed"
    };
    Ok(run.print(format!(
        "{done}  KRaft controller {id} with directory id {directory_id}\n"
    ))?)
}

#[cfg(test)]
mod tests;
