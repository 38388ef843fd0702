//! IncrementalAlterConfigs, versions 0–1 (KIP-339), and the older AlterConfigs, versions 0–2, which
//! replaces all entries of a resource. Topics, groups and brokers; forwarded to the active
//! controller, which validates, and answered once this broker knows the values.

use std::collections::{HashMap, HashSet};

use dohle_model::{ApiError, ErrorCode, NodeId};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::alter_configs_request::{
    AlterConfigsRequestData, AlterConfigsResource as ReplacedResource,
};
use dohle_protocol::messages::alter_configs_response as replaced;
use dohle_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, IncrementalAlterConfigsRequestData,
};
use dohle_protocol::messages::incremental_alter_configs_response as incremental;
use dohle_rpc::v1;

use super::{Call, errors};
use crate::context::{Context, REQUEST_TIMEOUT};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;
/// Kafka's `AlterConfigOp.OpType`: set, delete, append, subtract.
const OPERATION_LAST: i8 = 3;

/// One resource of a request, and what became of it.
struct Item {
    kind: i8,
    name: KafkaString,
    ask: Result<v1::AlterConfigsResource, ApiError>,
}

pub(super) async fn handle(
    call: Call,
    request: AlterConfigsRequestData,
) -> replaced::AlterConfigsResponseData {
    let items = request.resources.iter().map(replace_all).collect();
    let outcomes = alter(&call, items, request.validate_only).await;
    let response = |(kind, name, outcome): (i8, KafkaString, Result<(), ApiError>)| {
        let (error_code, error_message) = errors::to_wire(&outcome);
        replaced::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: kind,
            resource_name: name,
            ..replaced::AlterConfigsResourceResponse::default()
        }
    };
    replaced::AlterConfigsResponseData {
        responses: outcomes.into_iter().map(response).collect(),
        ..replaced::AlterConfigsResponseData::default()
    }
}

pub(super) async fn handle_incremental(
    call: Call,
    request: IncrementalAlterConfigsRequestData,
) -> incremental::IncrementalAlterConfigsResponseData {
    let items = request.resources.iter().map(change).collect();
    let outcomes = alter(&call, items, request.validate_only).await;
    let response = |(kind, name, outcome): (i8, KafkaString, Result<(), ApiError>)| {
        let (error_code, error_message) = errors::to_wire(&outcome);
        incremental::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: kind,
            resource_name: name,
            ..incremental::AlterConfigsResourceResponse::default()
        }
    };
    incremental::IncrementalAlterConfigsResponseData {
        responses: outcomes.into_iter().map(response).collect(),
        ..incremental::IncrementalAlterConfigsResponseData::default()
    }
}

fn replace_all(resource: &ReplacedResource) -> Item {
    let ops = resource.configs.iter().map(|config| v1::AlterConfigOp {
        name: config.name.to_string(),
        op: 0,
        value: config.value.as_ref().map(KafkaString::to_string),
    });
    let names = resource.configs.iter().map(|config| config.name.as_str());
    let ask = check(resource.resource_type, names).and_then(|()| {
        if let Some(config) = resource
            .configs
            .iter()
            .find(|config| config.value.is_none())
        {
            return Err(null_value(config.name.as_str()));
        }
        Ok(v1::AlterConfigsResource {
            resource: Some(to_controller(
                resource.resource_type,
                &resource.resource_name,
            )),
            ops: ops.collect(),
            replace_all: true,
        })
    });
    Item {
        kind: resource.resource_type,
        name: resource.resource_name.clone(),
        ask,
    }
}

fn change(resource: &AlterConfigsResource) -> Item {
    let ops = resource.configs.iter().map(|config| v1::AlterConfigOp {
        name: config.name.to_string(),
        op: u32::try_from(config.config_operation).unwrap_or(u32::MAX),
        value: config.value.as_ref().map(KafkaString::to_string),
    });
    let names = resource.configs.iter().map(|config| config.name.as_str());
    let ask = check(resource.resource_type, names).and_then(|()| {
        for config in &resource.configs {
            if !(0..=OPERATION_LAST).contains(&config.config_operation) {
                let message = format!("{} is no operation on a property", config.config_operation);
                return Err(ErrorCode::InvalidRequest.because(message));
            }
            if config.config_operation != 1 && config.value.is_none() {
                return Err(null_value(config.name.as_str()));
            }
        }
        Ok(v1::AlterConfigsResource {
            resource: Some(to_controller(
                resource.resource_type,
                &resource.resource_name,
            )),
            ops: ops.collect(),
            replace_all: false,
        })
    });
    Item {
        kind: resource.resource_type,
        name: resource.resource_name.clone(),
        ask,
    }
}

fn null_value(name: &str) -> ApiError {
    ErrorCode::InvalidRequest.because(format!("{name} is set to null; delete it instead"))
}

fn to_controller(kind: i8, name: &KafkaString) -> v1::ConfigResource {
    v1::ConfigResource {
        r#type: u32::try_from(kind).unwrap_or(0),
        name: name.to_string(),
    }
}

fn check<'a>(kind: i8, names: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    if ![TOPIC, BROKER, GROUP].contains(&kind) {
        let message = format!("properties of resources of type {kind} cannot be changed here");
        return Err(ErrorCode::InvalidRequest.because(message));
    }
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            let message = format!("{name} is named more than once for the resource");
            return Err(ErrorCode::InvalidRequest.because(message));
        }
    }
    Ok(())
}

/// Clients send a broker's properties to that broker; those of all brokers have no name.
fn is_this_broker(node: NodeId, name: &str) -> Result<(), ApiError> {
    let message = match name.parse() {
        Ok(id) if NodeId(id) == node => return Ok(()),
        _ if name.is_empty() => return Ok(()),
        Ok(id) => format!("Unexpected broker id, expected {node}, but received {id}"),
        Err(_) => format!("Node id must be an integer, but it is: {name}"),
    };
    Err(ErrorCode::InvalidRequest.because(message))
}

async fn alter(
    call: &Call,
    mut items: Vec<Item>,
    validate_only: bool,
) -> Vec<(i8, KafkaString, Result<(), ApiError>)> {
    let mut counts: HashMap<(i8, KafkaString), usize> = HashMap::new();
    for item in &items {
        *counts.entry((item.kind, item.name.clone())).or_default() += 1;
    }
    for item in &mut items {
        if counts[&(item.kind, item.name.clone())] > 1 {
            let message = "the resource is named more than once in the request";
            item.ask = Err(ErrorCode::InvalidRequest.because(message));
        } else if item.ask.is_ok()
            && item.kind == BROKER
            && let Err(error) = is_this_broker(call.context.node_id, item.name.as_str())
        {
            item.ask = Err(error);
        }
    }
    let resources: Vec<_> = items
        .iter()
        .filter_map(|item| item.ask.clone().ok())
        .collect();
    let answers = ask(
        &call.context,
        resources,
        validate_only,
        call.request.received + REQUEST_TIMEOUT,
    )
    .await;
    let mut answers = answers.map(Vec::into_iter);
    let mut outcome = |item: Item| {
        let outcome = match (item.ask, &mut answers) {
            (Err(error), _) => Err(error),
            (Ok(_), Err(error)) => Err(error.clone()),
            // The controller answers in the order of the request.
            (Ok(_), Ok(answers)) => answers
                .next()
                .unwrap_or(Err(ErrorCode::UnknownServerError.into())),
        };
        (item.kind, item.name, outcome)
    };
    items.into_iter().map(&mut outcome).collect()
}

async fn ask(
    context: &Context,
    resources: Vec<v1::AlterConfigsResource>,
    validate_only: bool,
    deadline: tokio::time::Instant,
) -> Result<Vec<Result<(), ApiError>>, ApiError> {
    if resources.is_empty() {
        return Ok(Vec::new());
    }
    let request = v1::AlterConfigsRequest {
        resources,
        validate_only,
    };
    let response = context.controller.alter_configs(request, deadline).await?;
    context.reached(response.offset, deadline).await?;
    let outcome = |result: &v1::AlterConfigsResult| errors::outcome(result.outcome.as_ref());
    Ok(response.resources.iter().map(outcome).collect())
}
