//! Which principals may act under which node ids (`node.principals`).

use core::fmt;
use core::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dohle_model::NodeId;

use crate::Principal;

/// Stands for the id of a node.
const NODE_ID: &str = "{node.id}";

/// The principals with which nodes authenticate to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePrincipals {
    /// Names of users. [`NODE_ID`] in a name is replaced by the id of the node.
    names: Vec<Box<str>>,
}

/// A part of `node.principals` is not a principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "node.principals has {0:?}; each principal is User: and a name, such as \
     User:CN=node{{node.id}}, where {{node.id}} stands for the id of the node, and ; separates them"
)]
pub struct InvalidNodePrincipal(pub String);

impl NodePrincipals {
    /// Parses `node.principals`: principals with their types, separated by `;`. Returns `None` when
    /// there are none.
    ///
    /// # Errors
    /// When a part is not a principal, or has braces around anything but `node.id`.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidNodePrincipal> {
        let mut names = Vec::new();
        let parts = text.split(';').map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            let invalid = || InvalidNodePrincipal(part.to_owned());
            let (kind, name) = part.split_once(':').ok_or_else(invalid)?;
            let has_other_braces = name.replace(NODE_ID, "").contains(['{', '}']);
            if kind != Principal::TYPE || name.is_empty() || has_other_braces {
                return Err(invalid());
            }
            names.push(name.into());
        }
        Ok((!names.is_empty()).then_some(Self { names }))
    }

    /// Returns the names of the users that may act as the node.
    fn names_of(&self, node: NodeId) -> impl Iterator<Item = String> {
        let names = self.names.iter();
        names.map(move |name| name.replace(NODE_ID, &node.to_string()))
    }

    /// Returns whether a principal may act as the node.
    #[must_use]
    pub fn allows(&self, node: NodeId, principal: &Principal) -> bool {
        self.names_of(node).any(|name| name == principal.name())
    }
}

/// The node at the other end of a connection. By default it may act under any id.
#[derive(Debug, Clone, Default)]
pub struct NodePeer(Option<Arc<BoundPeer>>);

#[derive(Debug)]
struct BoundPeer {
    principals: Arc<NodePrincipals>,
    principal: Principal,
    listener: Arc<str>,
    address: SocketAddr,
    is_reported: AtomicBool,
}

/// A node acts under the id of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongNode {
    /// The id.
    pub node: NodeId,
    /// Whom the connection has authenticated.
    pub principal: Principal,
    /// The principals that may act under the id.
    pub expected: Vec<Principal>,
}

impl std::error::Error for WrongNode {}

impl fmt::Display for WrongNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (principal, node) = (&self.principal, self.node);
        write!(f, "{principal} may not act as node {node}, which is ")?;
        for (at, expected) in self.expected.iter().enumerate() {
            let or = if at > 0 { " or " } else { "" };
            write!(f, "{or}{expected}")?;
        }
        f.write_str(
            " (node.principals): check node.id and the certificate or user of the node that \
             connects, and node.principals of the other",
        )
    }
}

impl NodePeer {
    /// Returns the peer of a connection from `address` to a listener, which has authenticated it as
    /// `principal`. It may act under the ids that the principals allow.
    #[must_use]
    pub fn bound(
        principals: Arc<NodePrincipals>,
        principal: Principal,
        listener: Arc<str>,
        address: SocketAddr,
    ) -> Self {
        Self(Some(Arc::new(BoundPeer {
            principals,
            principal,
            listener,
            address,
            is_reported: AtomicBool::new(false),
        })))
    }

    /// Checks that the peer may act as the node. Logs the first refusal of a connection.
    ///
    /// # Errors
    /// When the principals of the node are others.
    pub fn check(&self, node: NodeId) -> Result<(), WrongNode> {
        let Some(peer) = &self.0 else {
            return Ok(());
        };
        let BoundPeer {
            principals,
            principal,
            listener,
            address,
            is_reported,
        } = &**peer;
        if principals.allows(node, principal) {
            return Ok(());
        }
        let expected = principals.names_of(node);
        let error = WrongNode {
            node,
            principal: principal.clone(),
            expected: expected.map(|name| Principal::user(&name)).collect(),
        };
        if !is_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(%listener, peer = %address, "refused a request of a node: {error}");
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<NodePrincipals> {
        NodePrincipals::parse(text).unwrap()
    }

    fn check(text: &str, user: &str, node: i32) -> Result<(), String> {
        let principals = Arc::new(parse(text).unwrap());
        let address = SocketAddr::from(([10, 0, 0, 1], 1234));
        let peer = NodePeer::bound(principals, Principal::user(user), "NODES".into(), address);
        peer.check(NodeId(node)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_principal_acts_only_as_the_node_whose_id_is_in_its_name() {
        for text in ["User:CN=node{node.id}", " ; User:CN=node{node.id};"] {
            assert_eq!(check(text, "CN=node2", 2), Ok(()));
            for (user, node) in [
                ("CN=node2", 1),
                ("CN=node2", 22),
                ("CN=node22", 2),
                ("CN=node02", 2),
                ("CN=node{node.id}", 2),
                ("ANONYMOUS", 2),
            ] {
                assert!(check(text, user, node).is_err(), "{user} as {node}");
            }
        }
        assert_eq!(
            check("User:node-{node.id};User:old", "node-1", 2),
            Err(
                "User:node-1 may not act as node 2, which is User:node-2 or User:old \
                 (node.principals): check node.id and the certificate or user of the node that \
                 connects, and node.principals of the other"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_name_without_an_id_may_act_as_any_node() {
        for node in [1, 2] {
            assert_eq!(check("User:node-{node.id};User:old", "old", node), Ok(()));
        }
    }

    #[test]
    fn without_principals_a_peer_may_act_as_any_node() {
        assert_eq!(parse(" ; "), None);
        assert_eq!(NodePeer::default().check(NodeId(7)), Ok(()));
    }

    #[test]
    fn what_is_not_a_principal_is_refused() {
        for text in [
            "node{node.id}",
            "User:",
            "Group:node{node.id}",
            "User:node{id}",
            "User:a;User:node${node.id}}",
        ] {
            let error = NodePrincipals::parse(text).unwrap_err();
            assert!(text.ends_with(&error.0), "{text}");
        }
        assert_eq!(
            InvalidNodePrincipal("node1".into()).to_string(),
            "node.principals has \"node1\"; each principal is User: and a name, such as \
             User:CN=node{node.id}, where {node.id} stands for the id of the node, and ; separates \
             them"
        );
    }
}
