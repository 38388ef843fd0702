//! The address of a listener: `NAME://host:port`. Pure.

use std::fmt;

use dohle_model::HostPort;

use super::ConfiguredVoter;

/// One entry of `listeners` or `advertised.listeners`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerAddress {
    /// The listener's name, upper case.
    pub name: String,
    /// The host without brackets; may be empty in `listeners`.
    pub host: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = HostPort(&self.host, self.port);
        write!(f, "{}://{address}", self.name)
    }
}

/// As in `controller.quorum.voters`: `id@host:port`.
impl fmt::Display for ConfiguredVoter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.id {
            write!(f, "{id}@")?;
        }
        write!(f, "{}", HostPort(&self.host, self.port))
    }
}

/// Parses one `NAME://host:port`.
pub(super) fn parse_address(text: &str) -> Result<ListenerAddress, String> {
    let Some((name, rest)) = text.split_once("://") else {
        return Err(format!("{text:?} has no NAME:// in front"));
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || !name.chars().all(legal) {
        return Err(format!("{name:?} is not a name of a listener"));
    }
    let Some((host, port)) = rest.rsplit_once(':') else {
        return Err(format!("{text:?} has no :port at its end"));
    };
    let port = port
        .parse()
        .map_err(|_| format!("{port:?} is not a port from 0 to 65535"))?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains([':', '[', ']']) {
        return Err(format!(
            "the IPv6 address {host:?} needs brackets: [{host}]"
        ));
    }
    if host.contains([' ', '/', '@']) {
        return Err(format!("{host:?} is not a host"));
    }
    let host = bare.unwrap_or(host).to_owned();
    Ok(ListenerAddress {
        name: name.to_uppercase(),
        host,
        port,
    })
}
