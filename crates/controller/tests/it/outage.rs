//! Tests of a quorum that has lost its majority: the remaining voter answers from its own
//! observations.

use super::cluster::{Cluster, create_request, describe, forward, within};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Kills two of three controllers, including the active one if `with_active`. Returns the remaining
/// one.
async fn survivor(cluster: &mut Cluster, with_active: bool) -> i32 {
    let active = cluster.active().await;
    let survivor = if with_active { active % 3 + 1 } else { active };
    // A leader needs only one other voter for its first commits, which may not be the survivor.
    let mut client = cluster.client_of(active).await;
    within("metadata at the survivor", async {
        loop {
            let described = describe(&mut client).await;
            let voters = described.map_or(Vec::new(), |(quorum, _)| quorum.current_voters);
            let mut voters = voters.iter();
            if voters.any(|voter| voter.replica_id == survivor && voter.log_end_offset > 1) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    for id in (1..=3).filter(|id| *id != survivor) {
        cluster.kill(id);
    }
    survivor
}

async fn the_survivor_reports_the_outage(cluster: &mut Cluster, with_active: bool) {
    let survivor = survivor(cluster, with_active).await;
    let mut client = cluster.client_of(survivor).await;
    // Waits until the voter has noticed both failures.
    let described = within("a description without a leader", async {
        loop {
            match describe(&mut client).await {
                Ok((described, _)) if described.leader_id == -1 => return described,
                Ok(_) | Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert_eq!(described.current_voters.len(), 3, "{described:?}");
    let own = described
        .current_voters
        .iter()
        .find(|voter| voter.replica_id == survivor);
    assert!(
        own.is_some_and(|own| own.log_end_offset > 1),
        "{described:?}"
    );
    let message = within("a refusal that names the voters", async {
        loop {
            let refused = forward(&mut client, &create_request("u", &[]), 2).await;
            let status = refused.unwrap_err();
            if status.message().contains("2 of 3 voters do not respond") {
                assert!(status.metadata().contains_key(dohle_rpc::NO_QUORUM_TRAILER));
                return status.message().to_owned();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    for id in (1..=3).filter(|id| *id != survivor) {
        let named = message.contains(&format!("{id}@127.0.0.1:"));
        assert!(named && message.contains(" s ("), "{message}");
    }
}

#[test]
fn a_controller_whose_leader_is_gone_names_the_voters_that_do_not_respond() {
    let mut cluster = Cluster::start(3);
    runtime().block_on(the_survivor_reports_the_outage(&mut cluster, true));
}

#[test]
fn an_active_controller_without_a_majority_names_the_voters_that_do_not_respond() {
    let mut cluster = Cluster::start(3);
    runtime().block_on(the_survivor_reports_the_outage(&mut cluster, false));
}
