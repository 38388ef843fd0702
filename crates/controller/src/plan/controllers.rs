//! UnregisterController. The metadata have no registrations of controllers: the voters of the
//! quorum, `controller.quorum.voters`, are all there are. Kafka removes the registration of a
//! controller, which registers again while it runs, so that nothing is left to remove here.

use std::collections::BTreeSet;

use dohle_model::features::{CONTROLLERS_UNREGISTERED_FROM, METADATA_VERSION};
use dohle_model::{ApiError, ErrorCode, NodeId};
use dohle_protocol::messages::{UnregisterControllerRequestData, UnregisterControllerResponseData};
use dohle_protocol::text;

use super::Draft;

/// Answers UnregisterController in Kafka's order of checks.
#[must_use]
pub fn unregister(
    draft: &Draft,
    request: &UnregisterControllerRequestData,
) -> UnregisterControllerResponseData {
    let id = NodeId(request.controller_id);
    let level = draft.image.feature_level(METADATA_VERSION);
    let settings = &draft.settings;
    let result = check(id, settings.controller, &settings.controllers, level);
    let (error_code, message) = match &result {
        Ok(()) => (0, ""),
        Err(error) => (error.code.code(), error.message.as_str()),
    };
    UnregisterControllerResponseData {
        error_code,
        error_message: Some(text(message)),
        ..UnregisterControllerResponseData::default()
    }
}

fn check(
    id: NodeId,
    active: NodeId,
    controllers: &BTreeSet<NodeId>,
    level: i16,
) -> Result<(), ApiError> {
    if id == active {
        let message = format!("controller {id} is the active one, which cannot be unregistered");
        return Err(ErrorCode::InvalidRequest.because(message));
    }
    if level < CONTROLLERS_UNREGISTERED_FROM {
        return Err(ErrorCode::UnsupportedVersion.because(format!(
            "{METADATA_VERSION} is {level}, and {CONTROLLERS_UNREGISTERED_FROM} is needed"
        )));
    }
    if !controllers.contains(&id) {
        let message = format!("controller {id} is not registered: it is no voter of the quorum");
        return Err(ErrorCode::ControllerIdNotRegistered.because(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn only_other_voters_are_unregistered_and_only_from_kafkas_level_on() {
        let voters = [1, 2, 3].map(NodeId).into();
        let outcome = |id, level| match check(NodeId(id), NodeId(1), &voters, level) {
            Ok(()) => "done".to_owned(),
            Err(error) => error.to_string(),
        };
        let cases = [(1, 32), (2, 32), (1, 33), (2, 33), (4, 33), (-1, 33)];
        let line = |(id, level)| format!("{id} at {level}: {}\n", outcome(id, level));
        let outcomes = cases.map(line);
        expect![[r#"
            1 at 32: INVALID_REQUEST: controller 1 is the active one, which cannot be unregistered
            2 at 32: UNSUPPORTED_VERSION: metadata.version is 32, and 33 is needed
            1 at 33: INVALID_REQUEST: controller 1 is the active one, which cannot be unregistered
            2 at 33: done
            4 at 33: CONTROLLER_ID_NOT_REGISTERED: controller 4 is not registered: it is no voter of the quorum
            -1 at 33: CONTROLLER_ID_NOT_REGISTERED: controller -1 is not registered: it is no voter of the quorum
        "#]]
        .assert_eq(&outcomes.concat());
    }
}
