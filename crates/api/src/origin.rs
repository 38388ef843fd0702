//! The sender of a request, in the form that groups keep of it.

use std::net::{IpAddr, Ipv6Addr};

use dohle_groups::Caller;

use super::Call;

/// The sender of a request.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    client_id: String,
    client_host: String,
    version: i16,
}

impl Origin {
    /// Returns the sender of a request.
    pub(crate) fn of(call: &Call) -> Self {
        let client_id = call.request.client_id.as_ref();
        Self {
            client_id: client_id.map_or_else(String::new, ToString::to_string),
            client_host: host(call.request.client_address.ip()),
            version: call.version,
        }
    }

    /// Returns the sender in the form that the shards use.
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller {
            client_id: &self.client_id,
            client_host: &self.client_host,
            version: self.version,
        }
    }
}

/// An address in Java's spelling (`InetAddress.toString` of an address without a name).
fn host(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => format!("/{}", spelled_out(address)),
    }
}

fn spelled_out(address: Ipv6Addr) -> String {
    let groups = address.segments().map(|segment| format!("{segment:x}"));
    groups.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_spelled_as_java_does() {
        let spell = |text: &str| host(text.parse().unwrap());
        assert_eq!(spell("127.0.0.1"), "/127.0.0.1");
        assert_eq!(spell("::1"), "/0:0:0:0:0:0:0:1");
        assert_eq!(spell("::ffff:10.0.0.7"), "/10.0.0.7");
    }
}
