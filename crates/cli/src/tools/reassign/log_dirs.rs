//! Moving replicas to other directories of their brokers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use dohle_admin::{Cluster, Replica, move_replicas};

use crate::tool_run::ToolRun;

/// Moves replicas to directories; tries until their brokers have them, or the time is over.
pub async fn execute_moves(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    moves: &BTreeMap<Replica, String>,
    timeout: Duration,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut left = moves.clone();
    let progress = run.progress.while_printing();
    let count = progress.count("moves begun", Some(moves.len()));
    loop {
        for replica in move_replicas(cluster, &left, &count).await? {
            if let Some(dir) = left.remove(&replica) {
                run.print(format!(
                    "Successfully started moving log directory to {dir} for replica {} with \
                     broker {} \n",
                    replica.id, replica.broker
                ))?;
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= timeout {
            let replicas: Vec<String> = left.keys().map(ToString::to_string).collect();
            bail!(
                "Timed out before log directory move{} could be started for: {}",
                if left.len() == 1 { "" } else { "s" },
                replicas.join(",")
            );
        }
        // A replica that is on its way to a broker cannot be moved there yet.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
