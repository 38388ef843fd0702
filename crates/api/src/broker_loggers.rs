//! The levels of a broker's loggers, as DescribeConfigs and IncrementalAlterConfigs see them
//! (KIP-412). Levels are kept in memory, until the program ends.

use dohle_config::{ConfigSource, DescribedConfig};
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::KafkaString;
use dohle_protocol::kinds::config_operation::{APPEND, DELETE, SET};
use dohle_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use dohle_telemetry::loggers::{self, LogLevel, LoggerChange, ROOT};

use super::Call;
use super::context::Context;

/// Describes the levels of all loggers of the broker that the resource names.
pub(super) fn describe(context: &Context, name: &str) -> Result<Vec<DescribedConfig>, ApiError> {
    if name.is_empty() {
        return Err(ErrorCode::InvalidRequest.because("Broker id must not be empty"));
    }
    context.check_is_this_broker(name)?;
    let levels = context.loggers().map(|loggers| loggers.levels());
    let config = |(logger, level): (&loggers::Logger, LogLevel)| DescribedConfig {
        name: logger.name.to_owned(),
        value: Some(level.name().to_owned()),
        source: ConfigSource::DynamicBrokerLogger,
        is_read_only: false,
        is_sensitive: false,
        synonyms: Vec::new(),
        kind: None,
        documentation: Some(""),
    };
    Ok(levels.into_iter().flatten().map(config).collect())
}

/// Changes the levels that a resource lists, all of them or none. Only checks them if
/// `validate_only`. The caller has checked whether the sender may do so.
pub(super) fn alter(
    call: &Call,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), ApiError> {
    let name = resource.resource_name.as_str();
    call.context.check_is_this_broker(name)?;
    let changes: Result<Vec<LoggerChange>, ApiError> =
        resource.configs.iter().map(change).collect();
    let changes = changes?;
    let Some(loggers) = call.context.loggers().filter(|_| !validate_only) else {
        return Ok(());
    };
    loggers
        .alter(&changes)
        .map_err(|reason| ErrorCode::UnknownServerError.because(reason))?;
    for (logger, level) in changes {
        let level = level.map_or("that of the start", LogLevel::name);
        // As in Kafka a warning, which most levels let pass: what is missing in the log afterwards
        // is explained by it.
        tracing::warn!(
            node = %call.context.node_id, logger = logger.name, level,
            principal = %call.request.principal, "changed the level of a logger"
        );
    }
    Ok(())
}

fn change(config: &AlterableConfig) -> Result<LoggerChange, ApiError> {
    let name = config.name.as_str();
    let operation = config.config_operation;
    if !(operation == SET || operation == DELETE) {
        let operation = if operation == APPEND {
            "APPEND"
        } else {
            "SUBTRACT"
        };
        let message =
            format!("{operation} operation is not allowed for the BROKER_LOGGER resource");
        return Err(ErrorCode::InvalidRequest.because(message));
    }
    let Some(logger) = loggers::find(name) else {
        let message = format!("Logger {name} does not exist!");
        return Err(ErrorCode::InvalidConfig.because(message));
    };
    if operation == DELETE {
        if name == ROOT {
            let message = format!("Removing the log level of the {ROOT} logger is not allowed");
            return Err(ErrorCode::InvalidRequest.because(message));
        }
        return Ok((logger, None));
    }
    let level = config.value.as_ref().map_or("", KafkaString::as_str);
    let Some(level) = LogLevel::settable(level) else {
        let names = LogLevel::SETTABLE.map(LogLevel::name).join(", ");
        let message = format!(
            "Cannot set the log level of {name} to {level} as it is not a supported log level. \
             Valid log levels are {names}"
        );
        return Err(ErrorCode::InvalidConfig.because(message));
    };
    Ok((logger, Some(level)))
}
