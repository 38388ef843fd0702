//! Command lines as scripts have them.

use super::*;

const SYNTAX: Syntax = Syntax {
    tool: "kafka-example",
    about: "Shows how command lines are read.",
    options: &["
        --topic <topic>: The topic.
        --topic-id <id>: Its id.
        --config <name=value>: A property; may be repeated.
        --partitions <#>: How many.
        --list: List all.
        --describe: Describe.
        --props <NAME=VALUE>...: Properties.
        --daemon, -D: In the background.
        "],
    ..Syntax::EMPTY
};

const WITH_COMMANDS: Syntax = Syntax {
    tool: "kafka-quorum",
    about: "Shows how subcommands are read.",
    options: &["--bootstrap-server <host:port>: Where."],
    commands: "
        describe: Describe it.
            --status: The status.
            --replication: Who lags.
        add-voter: Add one.
            --dry-run: Only say what would be done.
        ",
    ..Syntax::EMPTY
};

pub(super) fn parse(syntax: &Syntax, line: &str) -> Result<Parsed, String> {
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match syntax.parse(&args) {
        Ok(ParsedCommand::Work(parsed)) => Ok(parsed),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_value_follows_its_option_or_an_equals_sign() {
    for line in ["--topic a=b", "--topic=a=b", "-topic a=b"] {
        let parsed = parse(&SYNTAX, line).unwrap();
        assert_eq!(parsed.value("topic"), Ok(Some("a=b")), "{line}");
    }
}

#[test]
fn options_come_in_any_order_and_are_repeated() {
    let parsed = parse(&SYNTAX, "--config a=1 --list --config b=2").unwrap();
    let values: Vec<&str> = parsed.values("config").collect();
    assert_eq!(values, ["a=1", "b=2"]);
    assert!(parsed.has("list"));
    let twice = parsed.value("config").unwrap_err().to_string();
    let expected = "Found multiple arguments for option config, but you asked for only one";
    assert_eq!(twice, expected);
}

#[test]
fn a_value_may_begin_with_a_dash() {
    let parsed = parse(&SYNTAX, "--topic -x --partitions -1").unwrap();
    assert_eq!(parsed.value("topic"), Ok(Some("-x")));
    assert_eq!(parsed.parsed::<i32>("partitions"), Ok(Some(-1)));
}

#[test]
fn options_may_be_shortened_while_they_are_clear() {
    assert!(parse(&SYNTAX, "--des").unwrap().has("describe"));
    let parsed = parse(&SYNTAX, "--topic t").unwrap();
    assert_eq!(parsed.value("topic"), Ok(Some("t")), "the exact name wins");
    let unclear = parse(&SYNTAX, "--top t").unwrap_err();
    assert_eq!(unclear, "--top may be --topic or --topic-id");
}

#[test]
fn an_unknown_option_names_the_nearest() {
    let error = parse(&SYNTAX, "--tpoic t").unwrap_err();
    assert_eq!(
        error,
        "tpoic is not a recognized option; did you mean --topic?"
    );
    let error = parse(&SYNTAX, "--quite-different").unwrap_err();
    assert_eq!(error, "quite-different is not a recognized option");
    for option in ["zookeeper", "broker-list"] {
        let error = parse(&WITH_COMMANDS, &format!("describe --{option} a:2181")).unwrap_err();
        let use_brokers = format!(
            "{option} is not a recognized option any more; use --bootstrap-server with the \
             addresses of brokers"
        );
        assert_eq!(error, use_brokers);
    }
    let error = parse(&WITH_COMMANDS, "describe --dry-run").unwrap_err();
    let expected = "dry-run is not a recognized option here; it belongs to the command add-voter";
    assert_eq!(error, expected);
}

#[test]
fn missing_and_wrong_values_are_told() {
    let missing = parse(&SYNTAX, "--list --topic").unwrap_err();
    assert_eq!(missing, "Option topic requires an argument");
    let wrong = parse(&SYNTAX, "--partitions many").unwrap();
    let wrong = wrong.parsed::<i32>("partitions").unwrap_err().to_string();
    assert_eq!(wrong, "Cannot parse argument 'many' of option partitions");
    let absent = parse(&SYNTAX, "--list").unwrap();
    let absent = absent.required("topic").unwrap_err().to_string();
    assert_eq!(absent, "Missing required argument \"[topic]\"");
}

#[test]
fn many_values_end_at_the_next_option() {
    let parsed = parse(&SYNTAX, "--props a=1 b=-2 --list word -- --topic").unwrap();
    let values: Vec<&str> = parsed.values("props").collect();
    assert_eq!(values, ["a=1", "b=-2"]);
    assert_eq!(parsed.words, ["word", "--topic"]);
}

#[test]
fn a_subcommand_may_stand_before_or_after_the_tools_options() {
    for line in [
        "describe --bootstrap-server h:1 --status",
        "--bootstrap-server h:1 describe --status",
    ] {
        let parsed = parse(&WITH_COMMANDS, line).unwrap();
        assert_eq!(parsed.command, Some("describe"), "{line}");
        assert!(parsed.has("status"), "{line}");
    }
    let error = parse(&WITH_COMMANDS, "descrbe").unwrap_err();
    assert_eq!(error, "descrbe is not a command; did you mean describe?");
    let error = parse(&WITH_COMMANDS, "--bootstrap-server h:1").unwrap_err();
    assert_eq!(
        error,
        "A command is missing; there are: describe, add-voter"
    );
}

#[test]
fn help_and_version_come_before_all_else() {
    let args = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    let version = SYNTAX.parse(&args("--version"));
    assert_eq!(version, Ok(ParsedCommand::Version));
    let Ok(ParsedCommand::Help(help)) = WITH_COMMANDS.parse(&args("describe --help")) else {
        panic!("no help");
    };
    expect_test::expect![[r#"
        Describe it.

        Usage: kafka-quorum describe [OPTIONS]

        Options:
          --status                        The status.
          --replication                   Who lags.
          --bootstrap-server <host:port>  Where.
          --help, -h                      Print usage information.
          --version                       Display the version.
    "#]]
    .assert_eq(&help);
}

#[test]
fn without_arguments_the_help_is_printed_unless_the_tool_works_so() {
    assert!(matches!(SYNTAX.parse(&[]), Ok(ParsedCommand::Help(_))));
    let works = Syntax {
        works_without_arguments: true,
        ..SYNTAX
    };
    assert!(matches!(works.parse(&[]), Ok(ParsedCommand::Work(_))));
    let stop = &crate::tools::TOOLS
        .iter()
        .find(|tool| tool.name == "server-stop");
    let syntax = &stop.expect("in the table").syntax;
    assert!(matches!(syntax.parse(&[]), Ok(ParsedCommand::Work(_))));
}
