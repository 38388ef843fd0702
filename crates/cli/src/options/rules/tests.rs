//! What rules accept, and how they report what they do not.

use super::super::tests::parse;
use super::super::{Syntax, read_options};
use super::*;

#[track_caller]
fn check(rule: Rule, line: &str, expected: Option<&str>) {
    const SYNTAX: Syntax = Syntax {
        options: &["
            --list: x
            --describe: x
            --topic <t>: x
            --all: x
        "],
        ..Syntax::EMPTY
    };
    assert_eq!(read_options(SYNTAX.options[0]).len(), 4);
    let result = rule.check(&parse(&SYNTAX, line).unwrap());
    let error = result.err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), expected, "{line}");
}

#[test]
fn what_is_missing_is_named() {
    let missing = Some("Missing required argument \"[topic]\"");
    check(all_of("topic"), "--list", missing);
    check(all_of("topic"), "--topic t", None);
    check(all_of("topic").when("describe"), "--list", None);
    check(all_of("topic").when("describe"), "--describe", missing);
    check(all_of("topic").unless("list"), "--list", None);
    let any = any_of("topic all").when("describe");
    let any = any.message("[{when}] takes one of: {options}");
    let expected = Some("[describe] takes one of: topic, all");
    check(any, "--describe", expected);
    check(any, "--describe --all", None);
    check(any, "--describe --all --topic t", None);
}

#[test]
fn what_does_not_go_together_is_named() {
    let conflict = Some("Option \"[topic]\" can't be used with option \"[list]\"");
    check(conflicts("topic", "list all"), "--list --topic t", conflict);
    check(conflicts("topic", "list"), "--list --all", None);
    let pair = Some("Option \"[list]\" can't be used with option \"[describe]\"");
    let most = at_most_one_of("list describe");
    check(most, "--describe --list", pair);
    check(most, "--all", None);
    let one = one_of("list describe").message("one of {options}");
    check(one, "--all", Some("one of list, describe"));
    check(one, "--list --describe", Some("one of list, describe"));
    check(one, "--list", None);
    let only = only("list all")
        .when("list")
        .message("{options} with {when}");
    check(only, "--all --list --topic t", Some("topic with list"));
    check(only, "--all --list", None);
}
