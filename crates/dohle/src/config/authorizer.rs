//! `authorizer.class.name` and the properties of the authorizer.

use dohle_auth::AclSettings;
use dohle_config::BrokerValues;
use dohle_config::keys::broker as keys;

use super::ConfigFault;

/// The class of Kafka that Dohle's authorizer stands for.
pub(super) const STANDARD_AUTHORIZER: &str =
    "org.apache.kafka.metadata.authorizer.StandardAuthorizer";

/// Reads the settings of the authorizer; `None` if no class is set.
///
/// # Errors
/// When the class is another one than StandardAuthorizer, or a super user is not a principal.
pub(super) fn read(values: &BrokerValues) -> Result<Option<AclSettings>, ConfigFault> {
    let class = values.read(&keys::AUTHORIZER_CLASS_NAME);
    let Some(class) = class.filter(|class| !class.is_empty()) else {
        return Ok(None);
    };
    if class != STANDARD_AUTHORIZER {
        return Err(ConfigFault::Authorizer(class));
    }
    let super_users = values.read(&keys::SUPER_USERS);
    let allow_everyone = values.read(&keys::ALLOW_EVERYONE_IF_NO_ACL_FOUND);
    Ok(Some(AclSettings::parse(&super_users, allow_everyone)?))
}
