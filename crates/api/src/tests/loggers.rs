//! Tests of the levels of loggers, in DescribeConfigs, IncrementalAlterConfigs and AlterConfigs.

use dohle_model::ErrorCode;
use dohle_protocol::KafkaString;
use dohle_protocol::kinds::resource_type::BROKER_LOGGER;
use dohle_protocol::messages as m;
use dohle_telemetry::loggers::{LogLevel, LogLevels, Logger, LoggerChange, Loggers};
use expect_test::expect;
use parking_lot::Mutex;

use super::harness::{Broker, TestClient, ask};
use crate::wire::text;

/// Loggers of a program that logs nothing.
#[derive(Debug)]
pub(super) struct TestLoggers(Mutex<LogLevels>);

impl Default for TestLoggers {
    fn default() -> Self {
        Self(Mutex::new(LogLevels::new("info,openraft=off")))
    }
}

impl Loggers for TestLoggers {
    fn levels(&self) -> Vec<(&'static Logger, LogLevel)> {
        self.0.lock().all()
    }

    fn alter(&self, changes: &[LoggerChange]) -> Result<(), String> {
        if changes.iter().any(|(logger, _)| logger.name == "tower") {
            return Err("the filter cannot be replaced".to_owned());
        }
        self.0.lock().alter(changes);
        Ok(())
    }
}

/// SET, DELETE, APPEND and SUBTRACT.
const OPERATIONS: [&str; 4] = ["set", "delete", "append", "subtract"];

/// Reads `OPERATION NAME [LEVEL]`.
fn config(line: &str) -> m::incremental_alter_configs_request::AlterableConfig {
    let mut words = line.split(' ');
    let operation = words.next().unwrap();
    let operation = OPERATIONS.iter().position(|known| *known == operation);
    m::incremental_alter_configs_request::AlterableConfig {
        config_operation: i8::try_from(operation.unwrap()).unwrap(),
        name: text(words.next().unwrap()),
        value: words.next().map(text),
        ..Default::default()
    }
}

/// Sends IncrementalAlterConfigs for the loggers of a broker. Returns its code and its message.
async fn alter(
    client: &mut TestClient,
    broker: &str,
    lines: &[&str],
    validate_only: bool,
) -> (i16, Option<String>) {
    let resource = m::incremental_alter_configs_request::AlterConfigsResource {
        resource_type: BROKER_LOGGER,
        resource_name: text(broker),
        configs: lines.iter().map(|line| config(line)).collect(),
        ..Default::default()
    };
    let request = m::IncrementalAlterConfigsRequestData {
        resources: vec![resource],
        validate_only,
        ..Default::default()
    };
    let response = ask!(
        client,
        IncrementalAlterConfigs,
        1,
        request,
        m::IncrementalAlterConfigsResponseData
    );
    let result = &response.responses[0];
    let message = result.error_message.as_ref().map(KafkaString::to_string);
    (result.error_code, message)
}

/// Describes the loggers of a broker, or those with these names.
async fn describe(
    client: &mut TestClient,
    broker: &str,
    names: Option<&[&str]>,
) -> m::describe_configs_response::DescribeConfigsResult {
    let resource = m::describe_configs_request::DescribeConfigsResource {
        resource_type: BROKER_LOGGER,
        resource_name: text(broker),
        configuration_keys: names.map(|names| names.iter().map(|name| text(name)).collect()),
        ..Default::default()
    };
    let request = m::DescribeConfigsRequestData {
        resources: vec![resource],
        include_synonyms: true,
        ..Default::default()
    };
    let response = ask!(
        client,
        DescribeConfigs,
        4,
        request,
        m::DescribeConfigsResponseData
    );
    response.results.into_iter().next().unwrap()
}

/// Returns the levels of these loggers, or of all without names, as DescribeConfigs lists them.
async fn levels(client: &mut TestClient, names: &[&str]) -> Vec<String> {
    let result = describe(client, "1", Some(names)).await;
    assert_eq!(result.error_code, 0, "{result:?}");
    let shown = result.configs.iter().map(|config| {
        // As Kafka describes loggers.
        assert_eq!(config.config_source, 6, "DYNAMIC_BROKER_LOGGER_CONFIG");
        assert!(!config.read_only && !config.is_sensitive, "{config:?}");
        assert!(config.synonyms.is_empty(), "{config:?}");
        assert_eq!(config.documentation.as_ref().unwrap().as_str(), "");
        format!("{}={}", config.name, config.value.as_ref().unwrap())
    });
    shown.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_are_described_set_and_deleted() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let client = &mut client;
    assert!(levels(client, &[]).await.len() > 10);
    let some = ["dohle_log", "no.such", "openraft", "root"];
    assert_eq!(
        levels(client, &some).await,
        ["dohle_log=INFO", "openraft=OFF", "root=INFO"]
    );
    let change = ["set dohle_log DEBUG", "set root FATAL", "set openraft WARN"];
    assert_eq!(alter(client, "1", &change, true).await, (0, None));
    assert_eq!(
        levels(client, &["root", "dohle_log"]).await,
        ["dohle_log=INFO", "root=INFO"]
    );
    assert_eq!(alter(client, "1", &change, false).await, (0, None));
    assert_eq!(
        levels(client, &some).await,
        ["dohle_log=DEBUG", "openraft=WARN", "root=FATAL"]
    );
    let delete = ["delete dohle_log", "delete openraft", "delete dohle_api"];
    assert_eq!(alter(client, "1", &delete, false).await, (0, None));
    assert_eq!(
        levels(client, &some).await,
        ["dohle_log=FATAL", "openraft=OFF", "root=FATAL"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_changes_are_refused_with_the_words_of_kafka_and_change_nothing() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let levels_are = "Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN";
    let unsupported = |level: &str| {
        format!(
            "Cannot set the log level of dohle_log to {level} as it is not a supported log level. \
             {levels_are}"
        )
    };
    let not_allowed = |operation: &str| {
        format!("{operation} operation is not allowed for the BROKER_LOGGER resource")
    };
    let (invalid, config) = (ErrorCode::InvalidRequest, ErrorCode::InvalidConfig);
    let unknown = || "Logger no.such does not exist!".to_owned();
    let no_removal = "Removing the log level of the root logger is not allowed";
    let first = "set dohle_log DEBUG";
    for (name, lines, code, message) in [
        ("1", &[first, "set no.such DEBUG"][..], config, unknown()),
        ("1", &[first, "delete no.such"], config, unknown()),
        ("1", &[first, "delete root"], invalid, no_removal.to_owned()),
        ("1", &["set dohle_log OFF"], config, unsupported("OFF")),
        ("1", &["set dohle_log debug"], config, unsupported("debug")),
        (
            "1",
            &["append dohle_log DEBUG"],
            invalid,
            not_allowed("APPEND"),
        ),
        (
            "1",
            &["subtract dohle_log DEBUG"],
            invalid,
            not_allowed("SUBTRACT"),
        ),
        (
            "1",
            &[first, "set dohle_log WARN"],
            invalid,
            "dohle_log is named more than once for the resource".to_owned(),
        ),
        (
            "1",
            &["set dohle_log"],
            invalid,
            "dohle_log is set to null; delete it instead".to_owned(),
        ),
        (
            "1",
            &[first, "set tower DEBUG"],
            ErrorCode::UnknownServerError,
            "the filter cannot be replaced".to_owned(),
        ),
        (
            "2",
            &[first],
            invalid,
            "Unexpected broker id, expected 1, but received 2".to_owned(),
        ),
        (
            "one",
            &[first],
            invalid,
            "Node id must be an integer, but it is: one".to_owned(),
        ),
        (
            "",
            &[first],
            invalid,
            "Node id must be an integer, but it is: ".to_owned(),
        ),
    ] {
        let refused = alter(&mut client, name, lines, false).await;
        assert_eq!(refused, (code.code(), Some(message)), "{name} {lines:?}");
        assert_eq!(
            levels(&mut client, &["dohle_log"]).await,
            ["dohle_log=INFO"]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_broker_itself_describes_its_loggers() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let mut refusals = String::new();
    for name in ["2", "one", ""] {
        let result = describe(&mut client, name, None).await;
        assert!(result.configs.is_empty());
        let message = result.error_message.as_ref().unwrap();
        refusals += &format!("{name:?}: {} {message}\n", result.error_code);
    }
    expect![[r#"
        "2": 42 Unexpected broker id, expected 1, but received 2
        "one": 42 Node id must be an integer, but it is: one
        "": 42 Broker id must not be empty
    "#]]
    .assert_eq(&refusals);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_alter_configs_changes_no_loggers() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let config = m::alter_configs_request::AlterableConfig {
        name: text("root"),
        value: Some(text("DEBUG")),
        ..Default::default()
    };
    let resource = m::alter_configs_request::AlterConfigsResource {
        resource_type: BROKER_LOGGER,
        resource_name: text("1"),
        configs: vec![config],
        ..Default::default()
    };
    let request = m::AlterConfigsRequestData {
        resources: vec![resource],
        ..Default::default()
    };
    let response = ask!(
        client,
        AlterConfigs,
        2,
        request,
        m::AlterConfigsResponseData
    );
    let refused = ErrorCode::InvalidRequest.code();
    assert_eq!(response.responses[0].error_code, refused);
    assert_eq!(levels(&mut client, &["root"]).await, ["root=INFO"]);
}
