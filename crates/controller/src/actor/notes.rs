//! Logs what plans decided, once it is committed.

use crate::plan::Note;

/// Unclean elections of one batch that are logged one by one.
const ELECTIONS_MAX: usize = 100;

/// See the module.
pub(super) fn log(notes: &[Note]) {
    let (mut unclean, mut last_known) = (0, 0);
    for note in notes {
        match note {
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
        }
    }
    if unclean > ELECTIONS_MAX {
        tracing::warn!(
            partitions = unclean - ELECTIONS_MAX,
            "more unclean elections: committed records may be lost"
        );
    }
    if last_known > 0 {
        tracing::info!(
            partitions = last_known,
            "elected last known leaders again, after an unclean stop"
        );
    }
}
