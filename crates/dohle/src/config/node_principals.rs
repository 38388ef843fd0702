//! `node.principals`: which principals may act under which node ids. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_auth::NodePrincipals;
use dohle_config::keys::broker as keys;
use dohle_tls::{ClientAuth, TlsSettings};

use super::values::PropertyReader;
use super::{ConfigFault, Listeners, Roles};

/// Reads the principals of nodes; `None` when a node may act under any id. `tls` has the properties
/// of the listeners with TLS.
///
/// # Errors
/// When one of them is not a principal, or a listener of nodes does not authenticate its peers.
pub(super) fn read(
    values: &PropertyReader<'_>,
    roles: Roles,
    listeners: &Listeners,
    tls: &BTreeMap<String, TlsSettings>,
) -> Result<Option<Arc<NodePrincipals>>, ConfigFault> {
    let text = values.values.read(&keys::NODE_PRINCIPALS);
    let Some(principals) = NodePrincipals::parse(&text)? else {
        return Ok(None);
    };
    let authenticates = |name: &str| {
        let asks = |tls: &TlsSettings| tls.client_auth != ClientAuth::None;
        listeners.protocol(name).is_sasl() || tls.get(name).is_some_and(asks)
    };
    let of_nodes = [
        (roles.broker, &listeners.inter_broker),
        (roles.controller, &listeners.controller_name),
    ];
    for (is_served, name) in of_nodes {
        if is_served && !authenticates(name) {
            return Err(values.invalid(
                &keys::NODE_PRINCIPALS,
                &format!(
                    "nothing while nodes do not authenticate at the listener {name}: map it to \
                     SASL_SSL, or to SSL with ssl.client.auth=required, in \
                     listener.security.protocol.map"
                ),
            ));
        }
    }
    Ok(Some(Arc::new(principals)))
}
