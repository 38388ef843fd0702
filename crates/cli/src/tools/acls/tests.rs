//! Command lines of the tool, and what it prints.

use dohle_model::acl::{AclOperation, Operation, PatternType, PermissionType, ResourceType};
use expect_test::{Expect, expect};

use super::*;
use crate::options::UsageError;

const SERVER: &str = "--bootstrap-server localhost:9092";

#[track_caller]
fn check(line: &str, expected: Expect) {
    let parsed = TOOL.read(&format!("{SERVER} {line}"));
    let entries = parsed.map_err(anyhow::Error::from).and_then(|parsed| {
        if parsed.has("add") {
            entries::to_add(&parsed)
        } else {
            entries::to_remove(&parsed)
        }
    });
    let text = match entries {
        Ok(entries) => entries
            .iter()
            .map(|(resource, entries)| format!("{resource}\n{}\n", lines(entries.iter())))
            .collect(),
        Err(error) => match error.downcast_ref::<UsageError>() {
            Some(usage) => format!("usage: {usage}\n"),
            None => format!("error: {error}\n"),
        },
    };
    expected.assert_eq(&text);
}

#[test]
fn permissions_are_the_product_of_principals_hosts_and_operations() {
    check(
        "--add --allow-principal User:a --allow-principal User:b --allow-host 10.0.0.1 \
         --operation read --operation DescribeConfigs --topic t --topic u",
        expect![[r#"
            ResourcePattern(resourceType=TOPIC, name=t, patternType=LITERAL)
            	(principal=User:a, host=10.0.0.1, operation=READ, permissionType=ALLOW)
            	(principal=User:a, host=10.0.0.1, operation=DESCRIBE_CONFIGS, permissionType=ALLOW)
            	(principal=User:b, host=10.0.0.1, operation=READ, permissionType=ALLOW)
            	(principal=User:b, host=10.0.0.1, operation=DESCRIBE_CONFIGS, permissionType=ALLOW)
            ResourcePattern(resourceType=TOPIC, name=u, patternType=LITERAL)
            	(principal=User:a, host=10.0.0.1, operation=READ, permissionType=ALLOW)
            	(principal=User:a, host=10.0.0.1, operation=DESCRIBE_CONFIGS, permissionType=ALLOW)
            	(principal=User:b, host=10.0.0.1, operation=READ, permissionType=ALLOW)
            	(principal=User:b, host=10.0.0.1, operation=DESCRIBE_CONFIGS, permissionType=ALLOW)
        "#]],
    );
    check(
        "--add --deny-principal User:a --cluster --operation ClusterAction",
        expect![[r#"
            ResourcePattern(resourceType=CLUSTER, name=kafka-cluster, patternType=LITERAL)
            	(principal=User:a, host=*, operation=CLUSTER_ACTION, permissionType=DENY)
        "#]],
    );
    check(
        "--remove --topic t --resource-pattern-type match",
        expect![[r#"
            ResourcePattern(resourceType=TOPIC, name=t, patternType=MATCH)

        "#]],
    );
}

#[test]
fn producers_and_consumers_get_what_they_need() {
    check(
        "--add --producer --idempotent --transactional-id x --topic t --allow-principal User:a",
        expect![[r#"
            ResourcePattern(resourceType=TOPIC, name=t, patternType=LITERAL)
            	(principal=User:a, host=*, operation=WRITE, permissionType=ALLOW)
            	(principal=User:a, host=*, operation=CREATE, permissionType=ALLOW)
            	(principal=User:a, host=*, operation=DESCRIBE, permissionType=ALLOW)
            ResourcePattern(resourceType=CLUSTER, name=kafka-cluster, patternType=LITERAL)
            	(principal=User:a, host=*, operation=IDEMPOTENT_WRITE, permissionType=ALLOW)
            ResourcePattern(resourceType=TRANSACTIONAL_ID, name=x, patternType=LITERAL)
            	(principal=User:a, host=*, operation=WRITE, permissionType=ALLOW)
            	(principal=User:a, host=*, operation=DESCRIBE, permissionType=ALLOW)
        "#]],
    );
    check(
        "--add --consumer --producer --topic t --group g --resource-pattern-type prefixed \
         --allow-principal User:a",
        expect![[r#"
            ResourcePattern(resourceType=TOPIC, name=t, patternType=PREFIXED)
            	(principal=User:a, host=*, operation=READ, permissionType=ALLOW)
            	(principal=User:a, host=*, operation=WRITE, permissionType=ALLOW)
            	(principal=User:a, host=*, operation=CREATE, permissionType=ALLOW)
            	(principal=User:a, host=*, operation=DESCRIBE, permissionType=ALLOW)
            ResourcePattern(resourceType=GROUP, name=g, patternType=PREFIXED)
            	(principal=User:a, host=*, operation=READ, permissionType=ALLOW)
        "#]],
    );
}

#[test]
fn a_command_line_that_says_too_little_or_too_much_is_refused_in_kafkas_words() {
    for (line, expected) in [
        (
            "--add --allow-principal User:a",
            expect![[r#"
            usage: You must provide at least one resource: --topic <topic> or --cluster or --group <group> or --delegation-token <Delegation Token ID>
        "#]],
        ),
        (
            "--add --topic t",
            expect![[r#"
            usage: You must specify one of: --allow-principal, --deny-principal when trying to add ACLs.
        "#]],
        ),
        (
            "--topic t",
            expect![[r#"
            usage: Command must include exactly one action: --list, --add, --remove. 
        "#]],
        ),
        (
            "--add --list --topic t",
            expect![[r#"
            usage: Command must include exactly one action: --list, --add, --remove. 
        "#]],
        ),
        (
            "--list --producer --topic t",
            expect![[r#"
            usage: Option "[list]" can't be used with option "[producer]"
        "#]],
        ),
        (
            "--add --producer --allow-principal User:a",
            expect![[r#"
            usage: With --producer you must specify a --topic
        "#]],
        ),
        (
            "--add --consumer --topic t --allow-principal User:a",
            expect![[r#"
                usage: With --consumer you must specify a --topic and a --group and no --cluster or --transactional-id option should be specified.
            "#]],
        ),
        (
            "--add --consumer --topic t --group g --cluster --allow-principal User:a",
            expect![[r#"
                usage: With --consumer you must specify a --topic and a --group and no --cluster or --transactional-id option should be specified.
            "#]],
        ),
        (
            "--add --idempotent --allow-principal User:a",
            expect![[r#"
            usage: The --idempotent option is only available if --producer is set
        "#]],
        ),
        (
            "--remove --topic t --principal User:a",
            expect![[r#"
            usage: The --principal option is only available if --list is set
        "#]],
        ),
        (
            "--add --topic t --resource-pattern-type any --allow-principal User:a",
            expect![[r#"
                usage: A '--resource-pattern-type' value of 'ANY' is not valid when adding acls.
            "#]],
        ),
        (
            "--add --topic t --resource-pattern-type some --allow-principal User:a",
            expect![[r#"
                usage: Cannot parse argument 'some' of option resource-pattern-type
            "#]],
        ),
        (
            "--add --topic t --operation ClusterAction --allow-principal User:a",
            expect![[r#"
                usage: ResourceType TOPIC only supports operations [ALL, READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS]
            "#]],
        ),
        (
            "--add --topic t --operation fly --allow-principal User:a",
            expect![[r#"
                usage: ResourceType TOPIC only supports operations [ALL, READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS]
            "#]],
        ),
        (
            "--add --topic t --allow-principal a",
            expect![[r#"
            error: expected a string in format principalType:principalName but got a
        "#]],
        ),
        (
            "--add --topic t --bootstrap-controller c:1",
            expect![[r#"
            usage: Only one of --bootstrap-server or --bootstrap-controller must be specified
        "#]],
        ),
    ] {
        check(line, expected);
    }
    let error = TOOL.read("--list").unwrap_err();
    expect!["One of --bootstrap-server or --bootstrap-controller must be specified"]
        .assert_eq(&error.to_string());
}

fn acl(pattern_type: PatternType, name: &str, principal: &str, operation: Operation) -> AclEntry {
    AclEntry {
        resource_type: ResourceType::Topic,
        pattern_type,
        resource_name: name.into(),
        principal: principal.into(),
        host: "*".into(),
        operation: AclOperation::One(operation),
        permission: PermissionType::Allow,
    }
}

#[test]
fn acls_are_listed_by_resource_and_by_principal() {
    let acls = BTreeSet::from([
        acl(PatternType::Literal, "t", "User:a", Operation::Read),
        acl(PatternType::Literal, "t", "User:b", Operation::Write),
        acl(
            PatternType::Prefixed,
            "t",
            "User:a",
            Operation::AlterConfigs,
        ),
    ]);
    expect![[r#"
        Current ACLs for resource `ResourcePattern(resourceType=TOPIC, name=t, patternType=LITERAL)`:
        	(principal=User:a, host=*, operation=READ, permissionType=ALLOW)
        	(principal=User:b, host=*, operation=WRITE, permissionType=ALLOW)

        Current ACLs for resource `ResourcePattern(resourceType=TOPIC, name=t, patternType=PREFIXED)`:
        	(principal=User:a, host=*, operation=ALTER_CONFIGS, permissionType=ALLOW)

    "#]].assert_eq(&render(&acls, &BTreeSet::new()));
    let principals = ["User:a", "User:c"].map(str::to_owned);
    expect![[r#"
        ACLs for principal `User:a`
        Current ACLs for resource `ResourcePattern(resourceType=TOPIC, name=t, patternType=LITERAL)`:
        	(principal=User:a, host=*, operation=READ, permissionType=ALLOW)

        Current ACLs for resource `ResourcePattern(resourceType=TOPIC, name=t, patternType=PREFIXED)`:
        	(principal=User:a, host=*, operation=ALTER_CONFIGS, permissionType=ALLOW)

        ACLs for principal `User:c`
    "#]].assert_eq(&render(&acls, &BTreeSet::from(principals)));
    let rows: Vec<Row<'_>> = acls.iter().take(1).map(Row::of).collect();
    expect![[r#"
        {
          "resourceType": "TOPIC",
          "patternType": "LITERAL",
          "resourceName": "t",
          "principal": "User:a",
          "host": "*",
          "operation": "READ",
          "permissionType": "ALLOW"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&rows[0]).unwrap());
}

#[test]
fn only_y_confirms() {
    for (answer, yes) in [
        ("y\n", true),
        ("Y\r\n", true),
        ("yes\n", false),
        ("", false),
    ] {
        assert_eq!(is_yes(&mut answer.as_bytes()).unwrap(), yes, "{answer:?}");
    }
}
