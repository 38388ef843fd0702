//! `storage recover-quorum`: lets a voter lead alone after the others have lost their metadata.
//!
//! It runs on the stopped node, prints what may be lost, and asks.

use std::io::BufRead;
use std::path::Path;

use anyhow::bail;

use crate::host::VoterState;
use crate::tool_run::ToolRun;

/// The directory with the metadata of a controller, in one of its log directories. It also contains
/// the directory of metadata that were imported from Apache Kafka.
const METADATA_DIR: &str = "__cluster_metadata-0";

pub(super) fn recover(run: &ToolRun<'_>, answers: &mut impl BufRead) -> anyhow::Result<()> {
    let config = super::config(&run.parsed)?;
    let state = (run.host.inspect_voter)(config)?;
    run.print(describe(&state)?)?;
    if !run.parsed.has("yes") {
        run.print("Let this node lead alone at its next start? Type yes to go on: ")?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        if answer.trim() != "yes" {
            bail!("Nothing was changed.");
        }
    }
    (run.host.recover_quorum)(config)?;
    Ok(run.print(after(&state, config))?)
}

/// What the voter holds, and what may be lost.
fn describe(state: &VoterState) -> anyhow::Result<String> {
    let dir = state.dir.display();
    let Some((term, offset)) = state.last else {
        bail!(
            "{dir} holds no metadata. Run this command on the controller whose metadata is the \
             newest."
        );
    };
    if state.voters < 2 {
        bail!(
            "Node {} is the only controller: it leads without this.",
            state.node_id
        );
    }
    let committed = match state.committed {
        Some(committed) => format!("at least up to offset {committed}"),
        None => "unknown".to_owned(),
    };
    let others = state.voters - 1;
    Ok(format!(
        "Metadata of node {} in {dir}:\n  \
         last entry:     term {term}, offset {offset}\n  \
         committed:      {committed}\n  \
         last voted in:  term {}\n\n\
         Entries after offset {offset} that only the other {others} controllers held are lost: \
         topics, configurations and leader elections that were acknowledged. A term above {term} \
         in which this node has voted, or a larger term or offset on another controller, shows \
         that there were such entries. Entries that were not committed become committed.\n\n\
         Go on only if a majority of the controllers has lost its metadata for good, and on no \
         more than one node: the one with the largest term and offset. Before any other \
         controller that still holds metadata is started again, move its {METADATA_DIR} away.\n",
        state.node_id, state.voted_term,
    ))
}

fn after(state: &VoterState, config: &Path) -> String {
    format!(
        "Start node {} now (dohle server {}), and then the other controllers: they get the \
         metadata from it.\n",
        state.node_id,
        config.display()
    )
}

#[cfg(test)]
mod tests;
