//! What is printed, against what Kafka's tool prints for the same state.

use std::collections::BTreeMap;

use dohle_admin::{Committed, Group, Member, Node, PartitionId};
use expect_test::expect;

use super::describe::{render_members, render_offsets, render_state, rows};
use super::offsets::clamp;
use super::reset::{Plan, Scenario, export, new_offsets, read_plan, render, scenario};
use super::*;

fn id(topic: &str, partition: i32) -> PartitionId {
    PartitionId {
        topic: topic.to_owned(),
        partition,
    }
}

fn group(members: Vec<Member>) -> Group {
    Group {
        id: "new1".to_owned(),
        state: "Stable".to_owned(),
        assignor: "uniform".to_owned(),
        coordinator: Node {
            id: 1,
            host: "127.0.0.1".to_owned(),
            port: 41091,
            rack: None,
            fenced: false,
        },
        members,
        epoch: Some(2),
        target_epoch: Some(2),
    }
}

fn member(instance: Option<&str>) -> Member {
    Member {
        id: "6CfTLAvpThGBwjGy5VKBTw".to_owned(),
        instance: instance.map(str::to_owned),
        client_id: "console-consumer".to_owned(),
        host: "/127.0.0.1".to_owned(),
        assignment: vec![id("orders", 0), id("orders", 1), id("orders", 2)],
        target: vec![id("orders", 0), id("orders", 1), id("orders", 2)],
        epoch: Some(2),
        upgraded: None,
    }
}

fn committed() -> BTreeMap<PartitionId, Committed> {
    let at = |offset, leader_epoch| Committed {
        offset,
        leader_epoch,
    };
    [
        (id("orders", 0), at(0, None)),
        (id("orders", 1), at(30, Some(0))),
        (id("plain", 0), at(4, Some(0))),
    ]
    .into()
}

#[test]
fn offsets_are_printed_in_kafkas_columns() {
    let ends = [
        (id("orders", 0), Some(0)),
        (id("orders", 1), Some(30)),
        (id("orders", 2), None),
        (id("plain", 0), Some(10)),
    ];
    let group = group(vec![member(None)]);
    let rows = rows(&group, &committed(), &ends.into());
    expect![[r#"

        GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID            HOST            CLIENT-ID
        new1            orders          0          0               0               0               6CfTLAvpThGBwjGy5VKBTw /127.0.0.1      console-consumer
        new1            orders          1          30              30              0               6CfTLAvpThGBwjGy5VKBTw /127.0.0.1      console-consumer
        new1            orders          2          -               -               -               6CfTLAvpThGBwjGy5VKBTw /127.0.0.1      console-consumer
        new1            plain           0          4               10              6               -                      -               -
    "#]]
    .assert_eq(&render_offsets(&group, &rows, false));
    expect![[r#"

        GROUP           TOPIC           PARTITION  LEADER-EPOCH    CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID            HOST            CLIENT-ID
        new1            orders          0          -               0               0               0               6CfTLAvpThGBwjGy5VKBTw /127.0.0.1      console-consumer
        new1            orders          1          0               30              30              0               6CfTLAvpThGBwjGy5VKBTw /127.0.0.1      console-consumer
        new1            orders          2          -               -               -               -               6CfTLAvpThGBwjGy5VKBTw /127.0.0.1      console-consumer
        new1            plain           0          0               4               10              6               -                      -               -
    "#]]
    .assert_eq(&render_offsets(&group, &rows, true));
}

#[test]
fn members_are_printed_in_kafkas_columns() {
    expect![[r#"

        GROUP           CONSUMER-ID            HOST            CLIENT-ID        #PARTITIONS     CURRENT-EPOCH   CURRENT-ASSIGNMENT   TARGET-EPOCH    TARGET-ASSIGNMENT   
        new1            6CfTLAvpThGBwjGy5VKBTw /127.0.0.1      console-consumer 3               2               orders:0,1,2         2               orders:0,1,2        
    "#]]
    .assert_eq(&render_members(&group(vec![member(None)]), true));
    expect![[r#"

        GROUP           CONSUMER-ID            GROUP-INSTANCE-ID HOST            CLIENT-ID        #PARTITIONS     
        new1            6CfTLAvpThGBwjGy5VKBTw inst-a            /127.0.0.1      console-consumer 3               
    "#]]
    .assert_eq(&render_members(&group(vec![member(Some("inst-a"))]), false));
}

#[test]
fn the_state_of_a_group_is_printed_in_kafkas_columns() {
    expect![[r#"

        GROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                GROUP-EPOCH     TARGET-ASSIGNMENT-EPOCH   #MEMBERS
        new1            127.0.0.1:41091  (1)      uniform              Stable               2               2                         1
    "#]]
    .assert_eq(&render_state(&group(vec![member(None)]), true));
    let mut empty = group(Vec::new());
    empty.assignor = String::new();
    empty.state = "Empty".to_owned();
    expect![[r#"

        GROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                #MEMBERS
        new1            127.0.0.1:41091  (1)      -                    Empty                0
    "#]]
    .assert_eq(&render_state(&empty, false));
}

#[test]
fn lists_have_the_columns_that_are_asked_for() {
    let groups = [ListedGroup {
        group: "new1".to_owned(),
        kind: "Consumer".to_owned(),
        protocol: "consumer".to_owned(),
        state: "Stable".to_owned(),
    }];
    assert_eq!(render_list(&groups, false, false), "new1\n");
    expect![[r#"
        GROUP                     TYPE                 STATE               
        new1                      Consumer             Stable              
    "#]]
    .assert_eq(&render_list(&groups, true, true));
    let error = names("stable,nope", &STATES, "state")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("Invalid state list 'stable,nope'"),
        "{error}"
    );
}

#[test]
fn plans_are_exported_and_read_again() {
    let offsets = BTreeMap::from([(id("orders", 0), 5), (id("orders", 1), 7)]);
    let plan = Plan::from([("g".to_owned(), offsets)]);
    assert_eq!(export(&plan, true), "orders,0,5\norders,1,7\n\n");
    assert_eq!(
        read_plan(&export(&plan, true), Some("g")).as_ref(),
        Ok(&plan)
    );
    assert_eq!(read_plan(&export(&plan, false), None).as_ref(), Ok(&plan));
    for (text, part) in [("orders,0", "Line 1"), ("\norders,0,x", "must be numbers")] {
        let error = read_plan(text, Some("g")).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    expect![[r#"

        GROUP           TOPIC           PARTITION  NEW-OFFSET
        g               orders          0          5
        g               orders          1          7
    "#]]
    .assert_eq(&render(&new_offsets(&plan)));
}

#[test]
fn offsets_are_kept_within_the_log() {
    let partition = |n| id("t", n);
    let wanted = BTreeMap::from([(partition(0), 50), (partition(1), -3), (partition(2), 7)]);
    let starts = (0..3).map(|n| (partition(n), 5)).collect();
    let ends = (0..3).map(|n| (partition(n), 10)).collect();
    let (found, told) = clamp(wanted, &starts, &ends);
    let offsets: Vec<i64> = found.into_values().collect();
    assert_eq!(offsets, [10, 5, 7]);
    let first = "New offset (50) is higher than latest offset for topic partition t-0. Value will \
                 be set to 10";
    assert_eq!(told[0], first);
    assert_eq!(told.len(), 2);
}

#[test]
fn every_scenario_is_read() {
    let of = |text: &str| scenario(&TOOL.read(&format!("--reset-offsets --group g {text}"))?);
    let offset = of("--topic t --to-offset 7");
    assert_eq!(offset, Ok(Scenario::Offset(7)));
    assert_eq!(of("--topic t --shift-by -2"), Ok(Scenario::Shift(-2)));
    assert_eq!(of("--all-topics --to-earliest"), Ok(Scenario::Earliest));
    assert_eq!(of("--all-topics --to-latest"), Ok(Scenario::Latest));
    assert_eq!(of("--all-topics --to-current"), Ok(Scenario::Current));
    let at = of("--topic t:0,1 --to-datetime 1970-01-01T00:00:01.000");
    assert_eq!(at, Ok(Scenario::Timestamp(1000)));
    let by = of("--topic t --by-duration P1D");
    assert!(matches!(by, Ok(Scenario::Timestamp(_))), "{by:?}");
    let error = of("--to-earliest").unwrap_err().to_string();
    let expected = "One of the reset scopes should be defined: --all-topics, --topic.";
    assert_eq!(error, expected);
    let error = of("--all-topics").unwrap_err().to_string();
    assert!(
        error.contains("requires one of the following scenarios"),
        "{error}"
    );
}

#[test]
fn options_that_do_not_go_together_are_refused_in_kafkas_words() {
    for (line, part) in [
        (
            "--list --describe",
            "Command must include exactly one action: --list, --describe",
        ),
        (
            "--describe",
            "Option [describe] takes one of these options: [group], [all-groups]",
        ),
        (
            "--describe --group g --members --state",
            "takes at most one of these options",
        ),
        (
            "--describe --group g --state x",
            "does not take a value for [state]",
        ),
        (
            "--list --members",
            "Option [members] is only available with --describe",
        ),
        (
            "--delete --group g --topic t",
            "does not support topic-specific offset deletion",
        ),
        (
            "--delete-offsets --group g",
            "takes the following options: [group], [topic]",
        ),
        (
            "--reset-offsets --group g --dry-run --execute",
            "only accepts one of [execute] and [dry-run]",
        ),
        (
            "--reset-offsets --group g --to-latest --to-earliest",
            "Option \"[to-earliest]\" can't be used with option \"[to-latest]\"",
        ),
        (
            "--list --group g",
            "Option \"[group]\" can't be used with option \"[list]\"",
        ),
    ] {
        let error = TOOL.read(line).unwrap_err().to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
    assert!(TOOL.read("--list --state").is_ok());
}
