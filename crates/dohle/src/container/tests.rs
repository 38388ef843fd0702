//! Tests of the command that a container runs, given its command line.

use expect_test::{Expect, expect};

use super::*;

fn split(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    let words = split(text);
    let shown = |words: &[OsString]| {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.display().to_string())
            .collect();
        words.join(" ")
    };
    let told = match task(&words) {
        Task::Server(words) => format!("server: {}", shown(words)),
        Task::Own(words) => format!("own: {}", shown(words)),
        Task::Other(words) => format!("other: {}", shown(words)),
    };
    expected.assert_eq(&told);
}

#[test]
fn a_container_runs_a_node_unless_it_is_told_something_else() {
    check("", expect!["server: "]);
    check("server", expect!["server: "]);
    check("server /my/file", expect!["server: /my/file"]);
    check(
        "--override num.partitions=6",
        expect!["server: --override num.partitions=6"],
    );
    check("/etc/confluent/docker/run", expect!["server: "]);
    check(
        "/opt/bitnami/scripts/kafka/entrypoint.sh /opt/bitnami/scripts/kafka/run.sh",
        expect!["server: "],
    );
    check(
        "/opt/kafka/bin/kafka-server-start.sh /opt/kafka/config/server.properties",
        expect!["server: /opt/kafka/config/server.properties"],
    );
    check("dohle server", expect!["server: "]);
    check("dohle dev --port 9", expect!["own: dev --port 9"]);
    check("dev", expect!["own: dev"]);
    check("topics --list", expect!["own: topics --list"]);
    check("--version", expect!["own: --version"]);
    check("dohle --help", expect!["own: --help"]);
    check("dohle", expect!["own: "]);
    check(
        "kafka-topics.sh --list",
        expect!["other: kafka-topics.sh --list"],
    );
    check("sh -c run", expect!["other: sh -c run"]);
}

#[test]
fn called_as_a_start_script_it_is_the_entrypoint() {
    let line = |text| command_line(split(text).into_iter());
    assert_eq!(
        line("/etc/kafka/docker/run"),
        split("/etc/kafka/docker/run entrypoint")
    );
    assert_eq!(line("dohle server"), split("dohle server"));
}

#[test]
fn the_node_of_a_container_is_known_from_its_first_process() {
    let server = |text| server_words(&split(text));
    assert_eq!(
        server("/usr/local/bin/dohle entrypoint server"),
        Some(vec![])
    );
    assert_eq!(
        server("/sbin/docker-init -- /usr/local/bin/dohle entrypoint server /f"),
        Some(split("/f"))
    );
    assert_eq!(server("/etc/kafka/docker/run"), Some(vec![]));
    assert_eq!(server("/usr/local/bin/dohle entrypoint dev"), None);
    assert_eq!(server("/sbin/init"), None);
    assert_eq!(words(b"dohle\0entrypoint\0"), split("dohle entrypoint"));
}
