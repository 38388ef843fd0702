//! `groups`: lists groups of all types.
//!
//! Kafka's `GroupsCommand`.

use dohle_admin::{ListedGroup, list_groups};

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::{Parsed, all_of, conflicts, usage};
use crate::table::{Table, cells};
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work};

const OPTIONS: &str = "
    --list: List the groups.
    --group-type <type>: Filter the groups based on group type. Valid types are: 'classic',
        'consumer', 'share' and 'streams'.
    --protocol <protocol>: Filter the groups based on protocol type.
    --consumer: Filter the groups to show all kinds of consumer groups, including classic and simple
        consumer groups. This matches group type 'consumer', and group type 'classic' where the
        protocol type is 'consumer' or empty.
    --share: Filter the groups to show share groups.
    --streams: Filter the groups to show streams groups.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-groups",
    "This tool helps to list groups of all types.",
    &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    all_of("list").message("Command must include exactly one action: --list."),
    conflicts("consumer", "group-type protocol share streams"),
    conflicts("share", "consumer group-type protocol streams"),
    conflicts("streams", "consumer group-type protocol share"),
])
.failure(Failure::Stdout("Error while executing groups command : "));

const TYPES: [&str; 4] = ["Classic", "Consumer", "Share", "Streams"];

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    if let Some(kind) = run.parsed.value("group-type")?
        && !TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind))
    {
        return Ok(usage("--group-type must be a valid group type.")?);
    }
    let cluster = run.connect().await?;
    let mut groups = list_groups(&cluster, &[], &[], &run.progress).await?;
    let parsed = &run.parsed;
    let (kind, protocol) = (parsed.value("group-type")?, parsed.value("protocol")?);
    groups.retain(|group| matches_filters(group, parsed, kind, protocol));
    run.show(groups.as_slice(), render)
}

fn matches_filters(
    group: &ListedGroup,
    parsed: &Parsed,
    kind: Option<&str>,
    protocol: Option<&str>,
) -> bool {
    let is = |kind: &str| group.kind.eq_ignore_ascii_case(kind);
    if kind.is_some() || protocol.is_some() {
        return kind.is_none_or(is) && protocol.is_none_or(|protocol| group.protocol == protocol);
    }
    if parsed.has("consumer") {
        return matches!(group.protocol.as_str(), "consumer" | "") || is("consumer");
    }
    (!parsed.has("share") || is("share")) && (!parsed.has("streams") || is("streams"))
}

/// As Kafka's tool prints it.
fn render(groups: &[ListedGroup]) -> String {
    let cells = groups
        .iter()
        .flat_map(|group| [group.group.len(), group.kind.len(), group.protocol.len()]);
    let width = cells.max().unwrap_or(0).max(20);
    let table = Table::new("GROUP | TYPE | PROTOCOL").wide(width, &["GROUP", "TYPE", "PROTOCOL"]);
    table.text(groups, |group| {
        // Kafka's tool prints one more space after each group than after the titles.
        let protocol = format!("{:<width$} ", group.protocol);
        cells![group.group, group.kind, protocol]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_printed_in_kafkas_columns() {
        let group = |group: &str, kind: &str| ListedGroup {
            group: group.to_owned(),
            kind: kind.to_owned(),
            protocol: "consumer".to_owned(),
            state: "Stable".to_owned(),
        };
        expect_test::expect![[r#"
            GROUP                TYPE                 PROTOCOL            
            new1                 Consumer             consumer             
            idle                 Classic              consumer             
        "#]]
        .assert_eq(&render(&[
            group("new1", "Consumer"),
            group("idle", "Classic"),
        ]));
    }
}
