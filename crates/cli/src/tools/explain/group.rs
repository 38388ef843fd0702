//! `explain group`: members, what the group waits for, and why it rebalanced.

use dohle_admin::{Cluster, ClusterError, Group, describe_groups, list_groups};
use serde_json::{Value, json};

use super::debug_pages::{DebugPages, encode};
use super::words::{count, sentence, span, time};
use crate::tool_run::{ToolRun, unknown_name};

pub(super) async fn explain(run: &ToolRun<'_>, id: &str) -> anyhow::Result<()> {
    let cluster = run.connect().await?;
    let brokers = cluster.nodes().await?;
    let group = described(run, &cluster, id).await?;
    let pages = DebugPages::find(run, &brokers).await?;
    let path = format!("/debug/groups?group={}", encode(id));
    let page = pages.page(group.coordinator.id, &path).await;
    let report = page.and_then(|page| {
        let report = page["groups"].get(0).cloned();
        report.ok_or_else(|| {
            let broker = group.coordinator.id;
            format!("broker {broker} no longer coordinates the group; run the command again")
        })
    });
    let members: Vec<Value> = group
        .members
        .iter()
        .map(|member| {
            json!({
                "id": member.id,
                "clientId": member.client_id,
                "host": member.host.trim_start_matches('/'),
            })
        })
        .collect();
    let shown = json!({
        "group": id,
        "state": group.state,
        "coordinator": group.coordinator.id,
        "members": members,
        "report": report.as_ref().ok(),
        "notAnswered": report.as_ref().err(),
    });
    run.show(&shown, |_| text(&group, &report))
}

async fn described(run: &ToolRun<'_>, cluster: &Cluster, id: &str) -> anyhow::Result<Group> {
    let ids = [id.to_owned()];
    match describe_groups(cluster, &ids, &run.progress).await {
        Ok(mut groups) => {
            let group = groups.remove(id);
            group.ok_or_else(|| anyhow::anyhow!("There is no group {id}."))
        }
        Err(ClusterError::Refused(refusal))
            if refusal.code == kacrab_protocol::generated::ErrorCode::GroupIdNotFound =>
        {
            let all = list_groups(cluster, &[], &[], &run.progress).await?;
            let existing = all.iter().map(|group| group.group.as_str());
            let message = format!(
                "There is no group {id}: no client has joined it or committed offsets for it, or \
                 it was deleted."
            );
            Err(unknown_name(message, id, existing))
        }
        Err(error) => Err(error.into()),
    }
}

fn text(group: &Group, report: &Result<Value, String>) -> String {
    let coordinator = &group.coordinator;
    let mut text = format!(
        "Group {} is {} and has {}. Broker {} ({}:{}) coordinates it",
        group.id,
        group.state,
        count(group.members.len(), "member"),
        coordinator.id,
        coordinator.host,
        coordinator.port,
    );
    match report {
        Ok(report) => {
            if let Some(since) = report["coordinatorSinceMs"].as_i64() {
                text += &format!(" since {}", time(since));
            }
            text += ".\n";
            text += &members(report);
            text += &rebalances(report);
        }
        Err(missing) => {
            text += ".\n";
            for member in &group.members {
                let host = member.host.trim_start_matches('/');
                text += &format!(
                    "  {} (client.id {}) at {host}\n",
                    member.id, member.client_id
                );
            }
            text += &format!(
                "\nWhy it rebalanced is not known here: {}\nThe log of that broker has the causes, \
                 too: look for \"rebalance begins\" and the group's name.\n",
                sentence(missing)
            );
        }
    }
    text
}

fn members(report: &Value) -> String {
    let members = report["members"].as_array().into_iter().flatten();
    let mut text = String::new();
    for member in members {
        let word = |name: &str| member[name].as_str().unwrap_or_default();
        text += &format!(
            "  {} (client.id {}) at {}",
            word("id"),
            word("clientId"),
            word("host")
        );
        if let Some(left) = member["sessionExpiresInMs"].as_i64() {
            text += &format!("; without a heartbeat it is removed in {}", span(left));
        }
        if let Some(waiting) = member["waiting"].as_str() {
            text += &format!("; it {waiting}");
        }
        text.push('\n');
    }
    text
}

fn rebalances(report: &Value) -> String {
    let events: Vec<&Value> = report["rebalances"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    if events.is_empty() {
        return "\nNo rebalance within the last day, or since this broker coordinates the group. \
                Earlier ones are in the log of the coordinator before.\n"
            .to_owned();
    }
    let mut text = "\nRebalances within the last day, the last one first:\n".to_owned();
    // What happened during a rebalance follows its begin.
    let begins = events
        .iter()
        .enumerate()
        .filter(|(_, event)| event["began"] == true);
    let mut begins: Vec<usize> = begins.map(|(index, _)| index).collect();
    if begins.first() != Some(&0) {
        begins.insert(0, 0);
    }
    let mut end = events.len();
    for begin in begins.into_iter().rev() {
        for (number, event) in events[begin..end].iter().enumerate() {
            text += &line(event, number > 0);
        }
        end = begin;
    }
    text
}

fn line(event: &Value, is_meanwhile: bool) -> String {
    let at = time(event["atMs"].as_i64().unwrap_or_default());
    let cause = sentence(event["cause"].as_str().unwrap_or_default());
    let members = event["members"].as_u64().unwrap_or_default();
    let members = count(usize::try_from(members).unwrap_or(usize::MAX), "member");
    match is_meanwhile {
        true => format!("    {at}  meanwhile, {members}: {cause}\n"),
        false => format!(
            "  {at}  generation {}, {members}: {cause}\n",
            event["generation"]
        ),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn rebalances_are_listed_from_the_last_with_what_happened_meanwhile() {
        let event = |at: i64, generation: i32, began: bool, cause: &str| {
            json!({
                "atMs": at, "generation": generation, "members": 2, "began": began, "cause": cause,
            })
        };
        let report = json!({ "rebalances": [
            event(0, 1, true, "member a joined"),
            event(1000, 1, false, "member b joined"),
            event(60_000, 2, true, "member b timed out: no heartbeat for 45000 ms"),
        ]});
        expect![[r#"

            Rebalances within the last day, the last one first:
              1970-01-01 00:01:00 UTC  generation 2, 2 members: Member b timed out: no heartbeat for 45000 ms.
              1970-01-01 00:00:00 UTC  generation 1, 2 members: Member a joined.
                1970-01-01 00:00:01 UTC  meanwhile, 2 members: Member b joined.
        "#]].assert_eq(&rebalances(&report));
        assert!(rebalances(&json!({ "rebalances": [] })).contains("No rebalance"));
    }

    #[test]
    fn members_are_shown_with_what_they_wait_for() {
        let report = json!({ "members": [{
            "id": "c-1", "clientId": "c", "host": "10.0.0.7", "sessionExpiresInMs": 30_500,
            "waiting": "has to join again (JoinGroup)",
        }]});
        expect![[r#"
            c-1 (client.id c) at 10.0.0.7; without a heartbeat it is removed in 30 s; it has to join again (JoinGroup)
        "#]]
        .assert_eq(members(&report).trim_start());
    }
}
