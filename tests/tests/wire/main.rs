//! Compares Dohle's answers on the wire with those recorded from Apache Kafka.

use std::collections::{BTreeMap, BTreeSet};

use dohle_tests::wait::DEADLINE;
use dohle_tests::wire::recording::Answer;
use dohle_tests::wire::run::Answers;
use dohle_tests::wire::schema::Schemas;
use dohle_tests::wire::script::Script;
use dohle_tests::wire::{compare, coverage, folder, newer, recording, session};

/// Each request of the scripts is answered as Apache Kafka answers it, apart from the differences
/// that `tests/wire/intended-differences.txt` lists, all of which occur.
#[test]
fn requests_are_answered_as_by_apache_kafka() {
    let scripts = session::scripts();
    let schemas = session::schemas().expect("schemas");
    let intended = std::fs::read_to_string(folder().join("intended-differences.txt"));
    let mut intended = compare::parse_intended(&intended.expect("the list")).expect("the list");
    intended.retain(|it| scripts.iter().any(|script| script.api == it.api));
    let found = session::answers(&schemas, &scripts, DEADLINE).expect("a node that runs");
    let mut complaints = missing(&found, &schemas, &scripts);
    let mut differences = BTreeSet::new();
    for script in &scripts {
        let api = script.api;
        let mut recorded = self::recorded("kafka", api);
        if newer::has(api) {
            recorded.extend(self::recorded(newer::FOLDER, api));
        }
        let answers = found.get(api).expect("answers of each API");
        complaints.extend(
            answers
                .failed
                .iter()
                .map(|it| format!("not compared: {it}")),
        );
        let cases = session::cases(script);
        let (more, stale) = compare::differences(api, &recorded, &answers.answers, &cases);
        differences.extend(more);
        complaints.extend(stale);
    }
    differences.retain(|it| !newer::is_property(it));
    complaints.push(compare::report(&differences, &intended));
    let complaints = complaints.join("\n");
    assert!(complaints.trim().is_empty(), "\n{complaints}");
}

/// Returns the answers in a recording.
fn recorded(folder_name: &str, api: &str) -> Vec<Answer> {
    let path = folder().join(format!("{folder_name}/{api}.json"));
    let text = std::fs::read_to_string(&path).expect("a recording: `make wire-record`");
    recording::parse(&text).expect("a recording")
}

/// Returns what a node advertises and the scripts lack; nothing when only some scripts were run.
fn missing(
    found: &BTreeMap<&'static str, Answers>,
    schemas: &Schemas,
    scripts: &[Script],
) -> Vec<String> {
    if std::env::var_os("DOHLE_WIRE_API").is_some() {
        return Vec::new();
    }
    let answers = found.get("ApiVersions").expect("answers of ApiVersions");
    let newest = answers.answers.iter().max_by_key(|answer| {
        let is_answer = answer.case == "advertised/a client";
        (is_answer, answer.version)
    });
    let newest = newest.expect("the response of a client");
    coverage::missing(&newest.response, &schemas.names(), scripts).expect("a response")
}
