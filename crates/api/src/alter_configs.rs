//! IncrementalAlterConfigs, versions 0–1 (KIP-339), and the older AlterConfigs, versions 0–2, which
//! replaces all entries of a resource. Serves topics, groups, brokers and client metrics
//! subscriptions (KIP-714). The request is forwarded to the active controller, which validates it,
//! and is answered once this broker has the new values. What a broker's values must fulfil together
//! is checked by that broker.
//!
//! IncrementalAlterConfigs also changes the levels of this broker's loggers (KIP-412), which are
//! neither forwarded nor stored. As in Kafka, AlterConfigs refuses them.

use std::collections::{HashMap, HashSet};

use dohle_config::Properties;
use dohle_model::acl::Operation;
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::kinds::config_operation::{SET, SUBTRACT};
use dohle_protocol::kinds::resource_type::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use dohle_protocol::messages::alter_configs_request::{
    AlterConfigsRequestData, AlterConfigsResource as ReplacedResource,
};
use dohle_protocol::messages::alter_configs_response as replaced;
use dohle_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, IncrementalAlterConfigsRequestData,
};
use dohle_protocol::messages::incremental_alter_configs_response as incremental;
use dohle_protocol::{Forwarded, KafkaString};

use super::describe_configs::asked_for;
use super::{Call, broker_loggers, errors};
use crate::context::REQUEST_TIMEOUT;

pub(super) async fn handle(
    call: Call,
    request: AlterConfigsRequestData,
) -> replaced::AlterConfigsResponseData {
    let resources = request.resources.iter();
    let named = resources.map(|one| (one.resource_type, &one.resource_name, replace_all(one)));
    let checked = check_all(&call, named.collect());
    let checked = and_values(&call, checked, &request.resources, |resource| {
        let new = |values: &mut Properties| {
            values.clear();
            for config in &resource.configs {
                set(values, config.name.as_str(), config.value.as_ref());
            }
        };
        (resource.resource_type, resource.resource_name.as_str(), new)
    });
    let forwarded = AlterConfigsRequestData {
        resources: accepted(&request.resources, &checked),
        validate_only: request.validate_only,
        ..AlterConfigsRequestData::default()
    };
    let answer = forward(&call, &forwarded, forwarded.resources.is_empty()).await;
    let answers = answer.map(|response| response.map_or_else(Vec::new, |it| it.responses));
    let own = |resource: &ReplacedResource, outcome: &Result<(), ApiError>| {
        let (error_code, error_message) = errors::to_wire(outcome);
        replaced::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..replaced::AlterConfigsResourceResponse::default()
        }
    };
    replaced::AlterConfigsResponseData {
        responses: merge(&request.resources, checked, answers, own),
        ..replaced::AlterConfigsResponseData::default()
    }
}

pub(super) async fn handle_incremental(
    call: Call,
    request: IncrementalAlterConfigsRequestData,
) -> incremental::IncrementalAlterConfigsResponseData {
    let resources = request.resources.iter();
    let named = resources.map(|one| (one.resource_type, &one.resource_name, change(one)));
    let checked = check_all(&call, named.collect());
    let checked = and_values(&call, checked, &request.resources, |resource| {
        let new = |values: &mut Properties| {
            for config in &resource.configs {
                let (name, value) = (config.name.as_str(), config.value.as_ref());
                match config.config_operation {
                    0 => set(values, name, value),
                    1 => drop(values.remove(name)),
                    2 => {
                        let base = values.get(name).filter(|base| !base.is_empty());
                        let base = base.map_or_else(String::new, |base| format!("{base},"));
                        let items = value.map_or("", KafkaString::as_str);
                        values.insert(name.to_owned(), base + items);
                    }
                    // A shorter list contradicts nothing that the longer one does not.
                    _ => {}
                }
            }
        };
        (resource.resource_type, resource.resource_name.as_str(), new)
    });
    let checked = change_loggers(&call, checked, &request);
    let forwarded = IncrementalAlterConfigsRequestData {
        resources: accepted(&request.resources, &checked),
        validate_only: request.validate_only,
        ..IncrementalAlterConfigsRequestData::default()
    };
    let answer = forward(&call, &forwarded, forwarded.resources.is_empty()).await;
    let answers = answer.map(|response| response.map_or_else(Vec::new, |it| it.responses));
    let own = |resource: &AlterConfigsResource, outcome: &Result<(), ApiError>| {
        let (error_code, error_message) = errors::to_wire(outcome);
        incremental::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..incremental::AlterConfigsResourceResponse::default()
        }
    };
    incremental::IncrementalAlterConfigsResponseData {
        responses: merge(&request.resources, checked, answers, own),
        ..incremental::IncrementalAlterConfigsResponseData::default()
    }
}

/// What is left to do for a resource that this broker has checked.
enum Remaining {
    /// The controller changes it.
    Forward,
    /// This broker has changed it.
    Nothing,
}

type Checked = Result<Remaining, ApiError>;

/// Changes the levels of loggers, unless the request only validates them.
fn change_loggers(
    call: &Call,
    checked: Vec<Checked>,
    request: &IncrementalAlterConfigsRequestData,
) -> Vec<Checked> {
    let change = |(checked, resource): (Checked, &AlterConfigsResource)| {
        if resource.resource_type != BROKER_LOGGER {
            return checked;
        }
        checked?;
        broker_loggers::alter(call, resource, request.validate_only)?;
        Ok(Remaining::Nothing)
    };
    checked
        .into_iter()
        .zip(&request.resources)
        .map(change)
        .collect()
}

/// Forwards the resources that passed the checks of this broker. Returns `None` when no resource
/// passed.
async fn forward<R: Forwarded>(
    call: &Call,
    request: &R,
    is_empty: bool,
) -> Result<Option<R::Response>, ApiError> {
    if is_empty {
        return Ok(None);
    }
    let deadline = call.request.received + REQUEST_TIMEOUT;
    let (response, _) = call.forward(request, deadline).await?;
    Ok(Some(response))
}

/// Returns the resources that the controller changes.
fn accepted<T: Clone>(resources: &[T], checked: &[Checked]) -> Vec<T> {
    let resources = resources.iter().zip(checked);
    let accepted = resources.filter(|(_, checked)| matches!(checked, Ok(Remaining::Forward)));
    accepted.map(|(resource, _)| resource.clone()).collect()
}

/// Returns the controller's answer for each resource that was forwarded, and for each other one the
/// answer that `own` makes of this broker's outcome.
fn merge<T, A>(
    resources: &[T],
    checked: Vec<Checked>,
    answers: Result<Vec<A>, ApiError>,
    own: impl Fn(&T, &Result<(), ApiError>) -> A,
) -> Vec<A> {
    let mut answers = answers.map(Vec::into_iter);
    let answer = |(resource, checked): (&T, Checked)| match (checked, &mut answers) {
        (Err(error), _) => own(resource, &Err(error)),
        (Ok(Remaining::Nothing), _) => own(resource, &Ok(())),
        (Ok(Remaining::Forward), Err(error)) => own(resource, &Err(error.clone())),
        // The controller answers in the order of the request.
        (Ok(Remaining::Forward), Ok(answers)) => answers
            .next()
            .unwrap_or_else(|| own(resource, &Err(ErrorCode::UnknownServerError.into()))),
    };
    resources.iter().zip(checked).map(answer).collect()
}

fn replace_all(resource: &ReplacedResource) -> Result<(), ApiError> {
    let names = resource.configs.iter().map(|config| config.name.as_str());
    check_names(names)?;
    let mut configs = resource.configs.iter();
    match configs.find(|config| config.value.is_none()) {
        Some(config) => Err(null_value(config.name.as_str())),
        None if resource.resource_type == BROKER_LOGGER => Err(ErrorCode::InvalidRequest.because(
            "AlterConfigs cannot change the levels of loggers; IncrementalAlterConfigs can",
        )),
        None => Ok(()),
    }
}

fn change(resource: &AlterConfigsResource) -> Result<(), ApiError> {
    let names = resource.configs.iter().map(|config| config.name.as_str());
    check_names(names)?;
    for config in &resource.configs {
        if !(SET..=SUBTRACT).contains(&config.config_operation) {
            let message = format!(
                "{} is not an operation on a property",
                config.config_operation
            );
            return Err(ErrorCode::InvalidRequest.because(message));
        }
        if config.config_operation != 1 && config.value.is_none() {
            return Err(null_value(config.name.as_str()));
        }
    }
    Ok(())
}

fn null_value(name: &str) -> ApiError {
    ErrorCode::InvalidRequest.because(format!("{name} is set to null; delete it instead"))
}

fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            let message = format!("{name} is named more than once for the resource");
            return Err(ErrorCode::InvalidRequest.because(message));
        }
    }
    Ok(())
}

/// Asks for AlterConfigs on what a resource belongs to, and refuses types that cannot be changed.
fn authorize(call: &Call, kind: i8, name: &str) -> Result<(), ApiError> {
    if let Some((asked, name)) = asked_for(kind, name) {
        call.authorize(Operation::AlterConfigs, asked, name)?;
    }
    if [TOPIC, BROKER, BROKER_LOGGER, GROUP, CLIENT_METRICS].contains(&kind) {
        return Ok(());
    }
    let message = format!("properties of resources of type {kind} cannot be changed here");
    Err(ErrorCode::InvalidRequest.because(message))
}

/// Makes the checks that are this broker's: which resources may be changed, by whom, and how each
/// is named. As in Kafka, requests are validated before they are authorized.
fn check_all(
    call: &Call,
    resources: Vec<(i8, &KafkaString, Result<(), ApiError>)>,
) -> Vec<Checked> {
    let mut counts: HashMap<(i8, &KafkaString), usize> = HashMap::new();
    for (kind, name, _) in &resources {
        *counts.entry((*kind, *name)).or_default() += 1;
    }
    let checked = resources.into_iter().map(|(kind, name, checked)| {
        if counts[&(kind, name)] > 1 {
            let message = "the resource is named more than once in the request";
            return Err(ErrorCode::InvalidRequest.because(message));
        }
        checked?;
        // Clients send the properties of a broker to that broker. An empty name means all brokers.
        if kind == BROKER && !name.is_empty() {
            call.context.check_is_this_broker(name.as_str())?;
        }
        authorize(call, kind, name.as_str())?;
        Ok(Remaining::Forward)
    });
    checked.collect()
}

fn set(values: &mut Properties, name: &str, value: Option<&KafkaString>) {
    if let Some(value) = value {
        values.insert(name.to_owned(), value.to_string());
    }
}

/// Checks what this broker's properties, or those of all brokers, would be against each other. The
/// check is this broker's, because its other values may be in its file. `change` returns a
/// resource's type and name, and the function that changes the values that are set at run time.
fn and_values<'a, T, F: FnOnce(&mut Properties)>(
    call: &Call,
    checked: Vec<Checked>,
    resources: &'a [T],
    change: impl Fn(&'a T) -> (i8, &'a str, F),
) -> Vec<Checked> {
    let image = call.context.image();
    let configs = call.context.configs(&image);
    let values = configs.broker();
    let check = |resource| {
        let (kind, name, change) = change(resource);
        if kind != BROKER {
            return Ok(());
        }
        let for_all = name.is_empty();
        let layer = if for_all {
            &values.dynamic_default
        } else {
            &values.dynamic_broker
        };
        let mut after = Properties::clone(layer);
        change(&mut after);
        let violation = values.violation_of(for_all, after);
        violation.map_or(Ok(()), |violation| {
            Err(ErrorCode::InvalidRequest.because(violation.to_string()))
        })
    };
    let checked = checked.into_iter().zip(resources);
    let checked = checked.map(|(checked, resource)| {
        let remaining = checked?;
        check(resource).map(|()| remaining)
    });
    checked.collect()
}
